//! The circuit by itself: what it lets through, whatever comes in whichever order.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    failures: 3,
    first_rest: Duration::from_millis(100),
    longest_rest: Duration::from_millis(800),
};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A circuit that has just opened, at time 0.
fn opened() -> Circuit {
    let mut circuit = Circuit::new(RULES);
    for _ in 0..RULES.failures {
        let ticket = circuit.admit(ms(0)).unwrap();
        circuit.report(ticket, ms(0), Report::Away, u64::MAX);
    }
    circuit
}

#[test]
fn it_opens_after_failures_in_a_row_and_not_before() {
    let mut circuit = Circuit::new(RULES);
    for report in [Report::Away, Report::Away, Report::Answered, Report::Away, Report::Away] {
        let ticket = circuit.admit(ms(0)).unwrap();
        circuit.report(ticket, ms(0), report, 0);
    }
    assert_eq!(circuit.position(ms(0)), Position::Closed);
    let ticket = circuit.admit(ms(0)).unwrap();
    circuit.report(ticket, ms(0), Report::Away, 0);
    assert_eq!(circuit.position(ms(0)), Position::Open);
    assert_eq!(circuit.admit(ms(0)), Err(ms(50)));
}

#[test]
fn one_probe_at_a_time_passes_and_its_answer_closes() {
    let mut circuit = opened();
    let probe = circuit.admit(ms(100)).unwrap();
    assert!(circuit.admit(ms(100)).is_err(), "a probe is under way");
    circuit.report(probe, ms(101), Report::Answered, 0);
    assert_eq!(circuit.position(ms(101)), Position::Closed);
    assert!(circuit.admit(ms(101)).is_ok() && circuit.admit(ms(101)).is_ok());
}

#[test]
fn each_probe_that_fails_doubles_the_rest_up_to_its_bound() {
    let mut circuit = opened();
    let mut now = ms(100);
    for rest in [200, 400, 800, 800] {
        let probe = circuit.admit(now).unwrap();
        circuit.report(probe, now, Report::Away, 0);
        let wait = circuit.refuses(now).unwrap();
        assert_eq!(wait, ms(rest / 2));
        now += wait;
    }
}

#[test]
fn a_probe_that_is_given_up_makes_room_for_the_next() {
    let mut circuit = opened();
    let probe = circuit.admit(ms(100)).unwrap();
    circuit.report(probe, ms(100), Report::GivenUp, 0);
    assert!(circuit.admit(ms(100)).is_ok());
}

#[test]
fn who_was_let_through_before_it_opened_neither_closes_it_nor_opens_it_again() {
    for late in [Report::Answered, Report::Away] {
        let mut circuit = Circuit::new(RULES);
        let early = circuit.admit(ms(0)).unwrap();
        for _ in 0..RULES.failures {
            let ticket = circuit.admit(ms(0)).unwrap();
            circuit.report(ticket, ms(0), Report::Away, 0);
        }
        let before = circuit.refuses(ms(0));
        circuit.report(early, ms(0), late, 0);
        assert_eq!(circuit.refuses(ms(0)), before);
    }
}

#[derive(Debug, Clone)]
enum Event {
    Ask,
    Report(usize, Report, u64),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let report = prop_oneof![Just(Report::Answered), Just(Report::Away), Just(Report::GivenUp)];
    prop_oneof![
        3 => Just(Event::Ask),
        3 => (any::<usize>(), report, any::<u64>()).prop_map(|(which, report, draw)| Event::Report(which, report, draw)),
        1 => (0..1_000_u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_probes_are_lonely_rests_are_bounded_and_it_can_always_close(
        events in prop::collection::vec(event(), 1..200)
    ) {
        let mut circuit = Circuit::new(RULES);
        let mut now = Duration::ZERO;
        let mut under_way: Vec<Ticket> = Vec::new();
        for event in events {
            match event {
                Event::Wait(millis) => now += ms(millis),
                Event::Ask => {
                    let refused = circuit.refuses(now);
                    let half_open = circuit.position(now) == Position::HalfOpen;
                    match circuit.admit(now) {
                        Ok(ticket) => {
                            prop_assert_eq!(refused, None);
                            under_way.push(ticket);
                            if half_open {
                                prop_assert!(circuit.admit(now).is_err(), "two probes at once");
                            }
                        }
                        Err(wait) => {
                            prop_assert_eq!(refused, Some(wait));
                            prop_assert!(wait <= RULES.longest_rest, "a rest of {:?}", wait);
                        }
                    }
                }
                Event::Report(which, report, draw) => {
                    if !under_way.is_empty() {
                        let ticket = under_way.swap_remove(which % under_way.len());
                        circuit.report(ticket, now, report, draw);
                    }
                }
            }
        }
        // Whoever is under way ends; after the longest rest a probe passes, and its answer closes.
        for ticket in under_way {
            circuit.report(ticket, now, Report::GivenUp, 0);
        }
        now += RULES.longest_rest;
        let ticket = circuit.admit(now).expect("nothing waits longer than the longest rest");
        circuit.report(ticket, now, Report::Answered, 0);
        prop_assert_eq!(circuit.position(now), Position::Closed);
    }
}
