//! Verbs about transfers on the chain: transfers, transfer, and retry and resolve of a step that is named.

use anyhow::Context as _;
use clap::ArgMatches;
use contracts::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::arguments::{CURSOR, LIMIT, REASON, STEP};
use super::client::Client;
use super::sagas::{Query, acts_table, order, page, resolution, step};
use super::table::{Table, age};
use super::{Told, amount, text};

/// Whether a verb that is about orders otherwise is about a step on the chain.
pub(super) fn are_meant(given: &ArgMatches) -> bool {
    given.contains_id(STEP)
}

fn named(given: &ArgMatches) -> anyhow::Result<String> {
    let step = given.get_one::<String>(STEP).context("a step is required")?;
    Ok(step.replace('-', "_"))
}

/// `cambist ops transfers`
pub(super) async fn list(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let mut query = Query::default();
    query.add("limit", given.get_one::<u16>(LIMIT));
    query.add("cursor", given.get_one::<i64>(CURSOR));
    let json = client.get(&format!("/bc_gateway/transfers{}", query.0)).await?.body;
    let now = SystemClock.now();
    let mut table = Table::new([
        "order",
        "step",
        "from",
        "to",
        "amount",
        "state",
        "age",
        "no answer",
        "last time",
    ]);
    for transfer in json["items"].as_array().into_iter().flatten() {
        let since = &transfer["answer_missing_since"];
        table.add([
            text(&transfer["order_id"]),
            text(&transfer["step"]),
            text(&transfer["from_user_id"]),
            text(&transfer["to_user_id"]),
            amount(&transfer["amount"]),
            text(&transfer["state"]),
            age(now, &transfer["created_at"]),
            if since.is_null() {
                "-".to_owned()
            } else {
                age(now, since)
            },
            text(&transfer["last_reason"]),
        ]);
    }
    let text = page(&table.text(), &json, "every transfer is at its end");
    Ok(Told { text, json })
}

/// `cambist ops transfer`
pub(super) async fn show(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let order = order(given)?;
    let path = format!("/bc_gateway/transfers/{order}?step={}", named(given)?);
    let json = client.get(&path).await?.body;
    let mut text = format!("order {order}{}", step(&json, SystemClock.now()));
    let acts: Vec<&Value> = json["acts"].as_array().into_iter().flatten().collect();
    if !acts.is_empty() {
        text += &format!("\n\n{}", acts_table(acts));
    }
    Ok(Told { text, json })
}

/// `cambist ops retry --step`
pub(super) async fn retry(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let (order, step) = (order(given)?, named(given)?);
    let reason = given.get_one::<String>(REASON).context("a reason is required")?;
    let path = format!("/bc_gateway/transfers/{order}/retry");
    let answer = client.post(&path, &json!({"step": step, "reason": reason})).await?;
    let text = match answer.body["did"].as_str() {
        Some("reopened") => format!("{step} of order {order} had been given up and is tried again now"),
        _ => format!("{step} of order {order} is tried again now, if it is not at its end"),
    };
    Ok(Told {
        text,
        json: answer.body,
    })
}

/// `cambist ops resolve --step`
pub(super) async fn resolve(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let (order, step) = (order(given)?, named(given)?);
    let mut body = resolution(given)?;
    body.insert("step".to_owned(), step.as_str().into());
    let path = format!("/bc_gateway/transfers/{order}/resolve");
    let answer = client.post(&path, &Value::Object(body)).await?;
    let before = if answer.replayed { " (it was before)" } else { "" };
    let text = format!(
        "recorded{before}; {step} of order {order} goes on from it by itself. See how: cambist ops transfer {order} \
         --step {}",
        step.replace('_', "-")
    );
    Ok(Told {
        text,
        json: answer.body,
    })
}
