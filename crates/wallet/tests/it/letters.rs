//! What users are told, to the letter: each kind of text as a file in `tests/it/letters`, which is also what the mails of
//! `notification` are tested with. After a change: `UPDATE_REFERENCES=1 cargo test -p wallet letters`.

use std::path::Path;

use contracts::clients::Side;
use contracts::messages::FailureCode;
use wallet::domain::{Command, Effect, Fact, OrderState, Saga, command};

use crate::samples::*;

fn notice(saga: Saga) -> String {
    match command(&order_with(saga), Effect::Notify) {
        Some(Command::Notify(notice)) => notice.payload,
        other => panic!("a notice, not {other:?}"),
    }
}

fn failed(side: Side, code: FailureCode) -> Saga {
    walk(side, [Fact::Held, Fact::ExchangeFailed { code }, Fact::Released])
}

#[test]
fn each_letter_reads_as_it_is_written_down() {
    let traded = |side| Fact::Exchanged {
        trade: partial_trade(side),
    };
    let (buy, sell) = (Side::Buy, Side::Sell);
    let undone = [
        Fact::Held,
        exchanged(buy),
        withdraw_failed(),
        Fact::Reversed,
        Fact::Released,
    ];
    let letters = [
        ("bought", saga_in(buy, OrderState::Completed).unwrap()),
        (
            "bought_in_part_with_a_fee",
            walk(buy, [Fact::Held, traded(buy), withdrawn()]),
        ),
        ("sold", saga_in(sell, OrderState::Completed).unwrap()),
        ("sold_in_part_with_a_fee", walk(sell, [Fact::Held, traded(sell)])),
        ("not_bought", failed(buy, FailureCode::VenueRejected)),
        ("not_sold", failed(sell, FailureCode::NothingFilled)),
        ("bought_and_undone", walk(buy, undone)),
        ("refused_late", walk(buy, [Fact::Promised, Fact::HoldRefused])),
    ];
    let update = std::env::var_os("UPDATE_REFERENCES").is_some();
    for (name, saga) in letters {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/letters/{name}.txt"));
        let text = notice(saga);
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text, written,
            "{name}: run UPDATE_REFERENCES=1 cargo test -p wallet letters"
        );
    }
}
