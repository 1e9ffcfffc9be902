//! What may be sent, how it reads, and how long one tries.

use std::num::NonZeroU32;
use std::time::Duration;

use notification::domain::delivery::{MailAnswer, Next, Patience, Tally, decide};
use notification::domain::letter::{Field, Letter, Mail, Progress};
use proptest::prelude::*;

use crate::given::{noon, order};

fn letter(payload: &str) -> Letter {
    Letter::try_new("ada@example.com".to_owned(), payload.to_owned()).unwrap()
}

#[test]
fn the_first_line_is_the_subject() {
    for (payload, subject) in [
        ("Order 7 is completed", "Order 7 is completed"),
        ("Order 7\nYou bought 3 BTC.", "Order 7"),
        ("Order 7\r\nBcc: eve@example.com\r\n\r\nHello", "Order 7"),
        ("Order 7\rBcc: eve@example.com", "Order 7"),
        ("  Order 7 \t\n", "Order 7"),
        ("Zażółć gęślą jaźń ₿", "Zażółć gęślą jaźń ₿"),
    ] {
        assert_eq!(letter(payload).subject(), subject, "{payload:?}");
    }
    let long = "ż".repeat(151);
    assert_eq!(letter(&long).subject(), format!("{}…", "ż".repeat(150)));
    assert_eq!(letter(&"x".repeat(150)).subject(), "x".repeat(150));
}

#[test]
fn lines_end_with_line_feeds() {
    assert_eq!(letter("a\r\nb\rc\nd").text(), "a\nb\nc\nd\n");
    assert_eq!(letter("a\n").text(), "a\n");
}

#[test]
fn what_makes_no_sense_is_refused_and_named() {
    let (long_email, long_payload) = (format!("{}@example.com", "a".repeat(300)), "x".repeat(4_097));
    for (email, payload, blamed) in [
        ("", "Order 7", vec![Field::Email]),
        ("ada", "Order 7", vec![Field::Email]),
        ("ada@example.com\r\nBcc: eve@example.com", "Order 7", vec![Field::Email]),
        ("ada@example.com, eve@example.com", "Order 7", vec![Field::Email]),
        ("\"ada\r\nBcc: eve\"@example.com", "Order 7", vec![Field::Email]),
        ("Ada <ada@example.com>", "Order 7", vec![Field::Email]),
        (&long_email, "Order 7", vec![Field::Email]),
        ("ada@example.com", "", vec![Field::Payload]),
        ("ada@example.com", "\nOrder 7", vec![Field::Payload]),
        ("ada@example.com", " \t \nOrder 7", vec![Field::Payload]),
        ("ada@example.com", "Order\0 7", vec![Field::Payload]),
        ("ada@example.com", "Order\u{1b}[31m 7", vec![Field::Payload]),
        ("ada@example.com", "Order\u{85}7", vec![Field::Payload]),
        ("ada@example.com", &long_payload, vec![Field::Payload]),
        ("", "", vec![Field::Email, Field::Payload]),
    ] {
        let flaws = Letter::try_new(email.to_owned(), payload.to_owned()).unwrap_err();
        let fields: Vec<_> = flaws.into_iter().map(|flaw| flaw.field).collect();
        assert_eq!(fields, blamed, "{email:?} {payload:?}");
    }
    assert!(Letter::try_new("a@b.co".to_owned(), "x".repeat(4_096)).is_ok());
}

#[test]
fn a_row_that_is_no_letter_is_an_error() {
    for content in [
        "",
        "{}",
        r#"{"email":"x","payload":"Order 7"}"#,
        r#"{"email":"a@b.co","payload":"Hi","more":1}"#,
    ] {
        assert!(Letter::from_content(content).is_err(), "{content}");
    }
    assert!(Progress::from_json(r#"{"accepted_at":"yesterday"}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CAMBIST_TEST_FULL").is_some() { 10_000 } else { 300 }))]

    /// Stored and read again, a letter is the same, and so is its mail.
    #[test]
    fn a_letter_survives_being_stored(payload in "[^\\p{Cc}]{1,40}(\r?\n[^\\p{Cc}]{0,40}){0,5}") {
        if let Ok(letter) = Letter::try_new("ada@example.com".to_owned(), payload) {
            prop_assert_eq!(&Letter::from_content(&letter.to_content()).unwrap(), &letter);
            let progress = Progress::new(noon());
            let again = Progress::from_json(&progress.to_json()).unwrap();
            let mail = Mail::new(order(7), &letter, again, "cambist.localhost");
            prop_assert_eq!(&mail, &Mail::new(order(7), &letter, progress, "cambist.localhost"));
            prop_assert!(!mail.subject.chars().any(char::is_control));
        }
    }
}

fn later() -> MailAnswer {
    MailAnswer::TryLater {
        reason: "greylisted".to_owned(),
    }
}

fn unconfirmed() -> MailAnswer {
    MailAnswer::Unconfirmed {
        reason: "silence".to_owned(),
    }
}

const fn tally(tries: u32, unconfirmed: u32) -> Tally {
    Tally { tries, unconfirmed }
}

#[test]
fn tries_are_paused_ever_longer_and_end() {
    let patience = Patience {
        max_tries: NonZeroU32::new(5).unwrap(),
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(5),
        ..Patience::default()
    };
    for (tries, seconds) in [(0, 1), (1, 2), (2, 4), (3, 5)] {
        let expected = Next::Again {
            pause: Duration::from_secs(seconds),
            reason: "greylisted".to_owned(),
            tally: tally(tries + 1, 0),
        };
        assert_eq!(decide(later(), tally(tries, 0), patience), expected);
    }
    for tries in [4, 5, u32::MAX] {
        let next = decide(later(), tally(tries, 0), patience);
        assert!(matches!(next, Next::Undeliverable { .. }), "{next:?}");
    }
    assert_eq!(decide(MailAnswer::Delivered, tally(4, 1), patience), Next::Delivered);
    let refused = MailAnswer::Refused {
        reason: "no such mailbox".to_owned(),
    };
    let detail = "refused: no such mailbox".to_owned();
    assert_eq!(decide(refused, tally(0, 0), patience), Next::Undeliverable { detail });
}

#[test]
fn of_lost_answers_only_so_many_are_made_up_for() {
    let patience = Patience::default();
    let again = Next::Again {
        pause: Duration::from_secs(8),
        reason: "silence".to_owned(),
        tally: tally(4, 1),
    };
    assert_eq!(decide(unconfirmed(), tally(3, 0), patience), again);
    let detail = "given up after 5 tries (it may have arrived: 2 of them were never answered): silence".to_owned();
    assert_eq!(
        decide(unconfirmed(), tally(4, 1), patience),
        Next::Undeliverable { detail }
    );
}

#[test]
fn a_disk_is_asked_every_ten_seconds_for_eleven_hours_whatever_it_says() {
    let patience = Patience::with_files();
    let mut waited = Duration::ZERO;
    let mut before = Tally::default();
    while let Next::Again { pause, tally, .. } = decide(unconfirmed(), before, patience) {
        assert!(pause <= Duration::from_secs(10));
        (waited, before) = (waited + pause, tally);
    }
    // Chance shortens them by a quarter on average.
    assert_eq!(waited.as_secs() * 3 / 4 / 3_600, 11);
}

#[test]
fn what_an_older_program_stored_is_read() {
    let progress = Progress::from_json(r#"{"accepted_at":"2026-03-04T12:00:00Z"}"#).unwrap();
    assert_eq!(progress, Progress::new(noon()));
}
