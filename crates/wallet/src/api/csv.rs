//! The statement as CSV (RFC 4180): a header, one line for each booking, CRLF after each.
//!
//! Spreadsheets take a cell that begins with `=` and the like for a formula, and would run what somebody wrote into a
//! reason. Such a text gets an apostrophe in front, as OWASP advises ("CSV Injection"). Numbers are ours and stay
//! numbers, negative ones too.

use csv::{Terminator, Writer, WriterBuilder};

use super::transactions::TransactionBody;

const HEADER: [&str; 12] = [
    "entry_id",
    "time",
    "kind",
    "order_id",
    "deposit_id",
    "adjustment_id",
    "leg",
    "amount",
    "asset",
    "balance_after",
    "counter_account",
    "reason",
];

/// The bookings as CSV, at most 100 of them.
pub(super) fn render(lines: &[TransactionBody]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for line in lines {
        write(&mut writer, line)?;
    }
    writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))
}

fn write(writer: &mut Writer<Vec<u8>>, line: &TransactionBody) -> Result<(), csv::Error> {
    let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
    writer.write_record([
        line.entry_id.to_string(),
        line.time.to_string(),
        line.kind.to_owned(),
        id(line.order_id.map(|id| id.get())),
        id(line.deposit_id.map(|id| id.get())),
        id(line.adjustment_id),
        line.leg.to_string(),
        line.amount.to_string(),
        line.amount.asset().to_string(),
        line.balance_after.to_string(),
        harmless(&line.counter_account.to_string()),
        harmless(&line.reason),
    ])
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    // The last four are the full-width forms, which some spreadsheets read as the plain ones.
    const BEGIN_A_FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.trim_start_matches(' ').starts_with(BEGIN_A_FORMULA) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use contracts::ledger::{Leg, Origin, Owner, StatementLine};
    use contracts::{Amount, Asset, UserId};

    use super::*;

    fn line(reason: &str) -> TransactionBody {
        let amount = |units| Amount::new(units, Asset::USD);
        StatementLine {
            entry_id: 7,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            origin: Origin::Adjustment(3),
            leg: Leg::AdjustFiat,
            amount: amount(-1_234),
            counter_account: Owner::User(UserId::try_new(9).unwrap()),
            balance_after: amount(5),
            reason: reason.to_owned(),
        }
        .into()
    }

    fn rendered(reason: &str) -> String {
        String::from_utf8(render(&[line(reason)]).unwrap()).unwrap()
    }

    #[test]
    fn a_line_has_every_column_and_its_numbers_stay_numbers() {
        assert_eq!(
            rendered("a gift"),
            "entry_id,time,kind,order_id,deposit_id,adjustment_id,leg,amount,asset,balance_after,counter_account,\
             reason\r\n7,2026-01-02T03:04:05Z,adjustment,,,3,adjust_fiat,-12.34,USD,0.05,user:9,a gift\r\n"
        );
        assert_eq!(String::from_utf8(render(&[]).unwrap()).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_a_spreadsheet_would_run_or_split_is_text() {
        for (reason, cell) in [
            ("=1+2", "'=1+2"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "'\t=1"),
            ("＝1", "'＝1"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=\"a\",1", "\"'=\"\"a\"\",1\""),
            ("1 - 1 = 0", "1 - 1 = 0"),
            ("Grüße", "Grüße"),
        ] {
            let text = rendered(reason);
            assert!(text.ends_with(&format!(",user:9,{cell}\r\n")), "{reason}: {text}");
        }
    }
}
