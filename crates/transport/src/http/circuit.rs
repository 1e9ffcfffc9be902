//! Whether a peer is asked at all: a circuit that opens when it is away, so that nobody waits for nothing.
//!
//! Pure: time is handed in as what has passed since some beginning, and chance as a number. Closed, everything passes. After
//! [`Rules::failures`] attempts in a row without an answer it opens: nothing passes for a rest. Then one request at a time
//! passes as a probe: an answer closes the circuit, another failure opens it for twice as long, up to a bound.
//!
//! What it keeps true: at most one probe is under way; whoever was let through before the circuit changed has no say in what
//! it is now.

use std::time::Duration;

/// The knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many failures in a row open the circuit; 0 counts as 1.
    pub failures: u32,
    /// How long it is open the first time, at most; half of it at least.
    pub first_rest: Duration,
    /// How long it is open at most.
    pub longest_rest: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures: 5,
            first_rest: Duration::from_millis(250),
            longest_rest: Duration::from_secs(5),
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// A probe is due, or under way.
    HalfOpen,
}

/// What came of a request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The peer answered, whatever it said.
    Answered,
    /// It gave no usable answer.
    Away,
    /// Nobody waited for the answer.
    GivenUp,
}

/// The right to send one request, to be given back with [`Circuit::report`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Ticket(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, rest: Duration },
    Probing { rest: Duration },
}

/// The circuit of one peer.
#[derive(Debug)]
pub struct Circuit {
    rules: Rules,
    state: State,
    /// Counts the changes of state: a ticket of an earlier one says nothing of the present.
    age: u64,
}

impl Circuit {
    /// A closed one.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Closed { failures: 0 },
            age: 0,
        }
    }

    /// How it stands at `now`.
    #[must_use]
    pub fn position(&self, now: Duration) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::Open { until, .. } if now < until => Position::Open,
            State::Open { .. } | State::Probing { .. } => Position::HalfOpen,
        }
    }

    /// For how long nothing will pass, if [`Circuit::admit`] would let nothing pass now.
    #[must_use]
    pub fn refuses(&self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { until, .. } => (now < until).then(|| until.saturating_sub(now)),
            State::Probing { rest } => Some(rest),
        }
    }

    /// Lets a request through, or says for how long it is of no use to ask.
    ///
    /// # Errors
    /// The time to wait; after a probe that is under way it is a guess.
    pub fn admit(&mut self, now: Duration) -> Result<Ticket, Duration> {
        if let Some(wait) = self.refuses(now) {
            return Err(wait);
        }
        if let State::Open { rest, .. } = self.state {
            self.become_(State::Probing { rest });
        }
        Ok(Ticket(self.age))
    }

    /// Says what came of a request. `draw` is chance, evenly drawn: with it those who wait do not come back together.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub fn report(&mut self, ticket: Ticket, now: Duration, report: Report, draw: u64) {
        let Ticket(age) = ticket;
        if age != self.age {
            return;
        }
        match (self.state, report) {
            (State::Closed { .. }, Report::Answered) => self.state = State::Closed { failures: 0 },
            (State::Closed { failures }, Report::Away) => {
                let failures = failures.saturating_add(1);
                if failures < self.rules.failures {
                    self.state = State::Closed { failures };
                } else {
                    self.open(now, self.rules.first_rest, draw);
                }
            }
            (State::Probing { .. }, Report::Answered) => self.become_(State::Closed { failures: 0 }),
            (State::Probing { rest }, Report::Away) => self.open(now, rest.saturating_mul(2), draw),
            // The next one is the probe, at once: this one has told nothing.
            (State::Probing { rest }, Report::GivenUp) => self.become_(State::Open { until: now, rest }),
            (State::Closed { .. }, Report::GivenUp) | (State::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, now: Duration, rest: Duration, draw: u64) {
        let rest = rest.min(self.rules.longest_rest);
        let half = rest / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        let until = now
            .saturating_add(half)
            .saturating_add(Duration::from_micros(draw % span));
        self.become_(State::Open { until, rest });
    }

    fn become_(&mut self, state: State) {
        self.state = state;
        self.age = self.age.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
