//! Verbs about orders: sagas, saga, retry, resolve.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::ArgMatches;
use contracts::{Clock as _, OrderId, SystemClock};
use serde_json::{Map, Value, json};

use super::arguments::{
    ATTEMPT, CURSOR, EVIDENCE, FILL, LIMIT, MIN_AGE, ORDER, OUTCOME, REASON, STATE, TRANSACTION, VENUE_REFERENCE,
};
use super::client::Client;
use super::table::{Table, age};
use super::{Told, amount, text};

/// `cambist ops sagas`
pub(super) async fn list(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let mut query = Query::default();
    query.add("state", given.get_one::<String>(STATE));
    query.add("min_age_seconds", given.get_one::<u64>(MIN_AGE));
    query.add("limit", given.get_one::<u16>(LIMIT));
    query.add("cursor", given.get_one::<i64>(CURSOR));
    let json = client.get(&format!("/wallet/sagas{}", query.0)).await?.body;
    let now = SystemClock.now();
    let mut table = Table::new([
        "order",
        "user",
        "side",
        "requested",
        "state",
        "age",
        "in state",
        "tries",
    ]);
    for saga in json["items"].as_array().into_iter().flatten() {
        table.add([
            text(&saga["order_id"]),
            text(&saga["user_id"]),
            text(&saga["side"]),
            amount(&saga["requested"]),
            text(&saga["state"]),
            age(now, &saga["created_at"]),
            age(now, &saga["updated_at"]),
            text(&saga["tries"]),
        ]);
    }
    let text = page(&table.text(), &json, "no order is in such a state");
    Ok(Told { text, json })
}

/// A table with what lies beyond it; `none` in its place when it is empty.
pub(super) fn page(table: &str, json: &Value, none: &str) -> String {
    if json["items"].as_array().is_none_or(Vec::is_empty) {
        return none.to_owned();
    }
    json["next_cursor"].as_i64().map_or_else(
        || table.to_owned(),
        |next| format!("{table}\n\nthere are more: --cursor {next}"),
    )
}

/// A query in the making.
#[derive(Default)]
pub(super) struct Query(pub(super) String);

impl Query {
    /// Adds a parameter if it is there. Whatever is no plain character is escaped (RFC 3986, section 2.1).
    pub(super) fn add(&mut self, name: &str, value: Option<&impl ToString>) {
        let Some(value) = value else { return };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                // Writing to a text cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }
}

/// `cambist ops saga`
pub(super) async fn show(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let json = client.get(&format!("/wallet/sagas/{}", order(given)?)).await?.body;
    let now = SystemClock.now();
    let mut out = format!(
        "order {}: {} {} for user {}, {}, accepted {} ago",
        text(&json["order_id"]),
        text(&json["side"]),
        amount(&json["requested"]),
        text(&json["user_id"]),
        text(&json["state"]),
        age(now, &json["created_at"]),
    );
    if !json["filled"].is_null() {
        let (filled, price, fee) = (amount(&json["filled"]), amount(&json["price"]), amount(&json["fee"]));
        out += &format!(
            "\nfilled {filled} at {price}, fee {fee}, returned {}",
            amount(&json["returned"])
        );
    }
    if !json["failure_code"].is_null() {
        out += &format!("\nfails because of {}", text(&json["failure_code"]));
    }
    if !json["step"].is_null() {
        out += &step(&json["step"], now);
    }
    let mut log = Table::new(["#", "time", "to", "what happened", "by", "through"]);
    for event in json["events"].as_array().into_iter().flatten() {
        log.add([
            text(&event["seq"]),
            short_time(&event["time"]),
            text(&event["to"]),
            text(&event["event"]["fact"]),
            text(&event["actor"]),
            text(&event["cause"]),
        ]);
    }
    out += &format!("\n\n{}", log.text());
    let acts = [&json["acts"], &json["step"]["acts"]];
    let acts: Vec<&Value> = acts.iter().filter_map(|acts| acts.as_array()).flatten().collect();
    if !acts.is_empty() {
        out += &format!("\n\n{}", acts_table(acts));
    }
    if let Some(advice) = advice(&json) {
        out += &format!("\n\n{advice}");
    }
    Ok(Told { text: out, json })
}

/// A step, as the service that does it has it.
pub(super) fn step(step: &Value, now: jiff::Timestamp) -> String {
    let mut out = format!("\nstep {} is {}", text(&step["step"]), text(&step["state"]));
    if !step["attempt"].is_null() {
        out += &format!(", attempt {}", text(&step["attempt"]));
    }
    if !step["answer_missing_since"].is_null() {
        out += &format!(", without an answer for {}", age(now, &step["answer_missing_since"]));
    }
    if !step["last_reason"].is_null() {
        out += &format!("\nlast time: {}", text(&step["last_reason"]));
    }
    out
}

/// Acts of operators, as a table.
pub(super) fn acts_table<'a>(acts: impl IntoIterator<Item = &'a Value>) -> String {
    let mut table = Table::new(["time", "who", "did", "to", "why"]);
    for act in acts {
        table.add([
            short_time(&act["time"]),
            text(&act["operator"]),
            text(&act["verb"]),
            text(&act["subject"]),
            text(&act["reason"]),
        ]);
    }
    table.text()
}

/// To the second, which is enough to read.
fn short_time(time: &Value) -> String {
    let time = text(time);
    time.get(..19)
        .map_or_else(|| time.clone(), |time| time.replace('T', " "))
}

/// What helps an order in this state.
fn advice(json: &Value) -> Option<String> {
    let order = text(&json["order_id"]);
    Some(match json["state"].as_str()? {
        "stuck_exchanging" | "stuck_withdrawing" => format!(
            "It waits for an answer from outside, and goes on by itself when that comes. If you know what became of the \
             attempt:\n  cambist ops resolve {order} --help"
        ),
        "stuck_reversing" => format!(
            "Once the venue takes orders again:\n  cambist ops retry {order} --reason \"…\"\nIf what is left was sold \
             elsewhere, or the attempt's answer cannot be had and you know it:\n  cambist ops resolve {order} --help"
        ),
        "stuck_releasing" => {
            format!("Once what stands in the way is gone:\n  cambist ops retry {order} --reason \"…\"")
        }
        _ => return None,
    })
}

/// `cambist ops retry`
pub(super) async fn retry(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let order = order(given)?;
    let reason = given.get_one::<String>(REASON).context("a reason is required")?;
    let answer = client
        .post(&format!("/wallet/sagas/{order}/retry"), &json!({"reason": reason}))
        .await?;
    let state = text(&answer.body["state"]);
    let text = match answer.body["did"].as_str() {
        Some("nothing") => format!("order {order} is {state}: there was nothing to do"),
        Some("reopened") => format!("order {order} ({state}): its step had been given up and is tried again now"),
        _ => format!("order {order} ({state}): its step is issued again now"),
    };
    Ok(Told {
        text,
        json: answer.body,
    })
}

/// `cambist ops resolve`
pub(super) async fn resolve(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let order = order(given)?;
    let path = format!("/wallet/sagas/{order}/resolve");
    let answer = client.post(&path, &Value::Object(resolution(given)?)).await?;
    let before = if answer.replayed { " (it was before)" } else { "" };
    let text = format!("recorded{before}; order {order} goes on from it by itself. See how: cambist ops saga {order}");
    Ok(Told {
        text,
        json: answer.body,
    })
}

/// What is said of an attempt, as it is asked for by HTTP.
pub(super) fn resolution(given: &ArgMatches) -> anyhow::Result<Map<String, Value>> {
    let outcome = given.get_one::<String>(OUTCOME).context("an outcome is required")?;
    let mut body = Map::new();
    body.insert("outcome".to_owned(), outcome.replace('-', "_").into());
    for (name, argument) in [
        ("attempt", ATTEMPT),
        ("venue_reference", VENUE_REFERENCE),
        ("transaction", TRANSACTION),
        ("evidence", EVIDENCE),
    ] {
        if let Some(value) = given.get_one::<String>(argument) {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    if let Some(fills) = given.get_many::<String>(FILL) {
        let fills: anyhow::Result<Vec<Value>> = fills.map(|text| fill(text)).collect();
        body.insert("fills".to_owned(), fills?.into());
    }
    Ok(body)
}

/// `3@10+0.05`: a quantity, its price and, if there is one, the fee.
fn fill(text: &str) -> anyhow::Result<Value> {
    let (quantity, rest) = text
        .split_once('@')
        .with_context(|| format!("--fill {text}: write QUANTITY@PRICE, for example 3@10, or 3@10+0.05 with a fee"))?;
    let (price, fee) = rest.split_once('+').unwrap_or((rest, "0"));
    Ok(json!({"quantity": quantity, "price": price, "fee": fee}))
}

pub(super) fn order(given: &ArgMatches) -> anyhow::Result<OrderId> {
    given.get_one::<OrderId>(ORDER).copied().context("an order is required")
}
