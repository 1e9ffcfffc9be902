//! Verbs about users: freeze, unfreeze, frozen, deposit.

use anyhow::Context as _;
use clap::ArgMatches;
use contracts::{Clock as _, SystemClock, UserId};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::arguments::{AMOUNT, CURRENCY, CURSOR, LIMIT, REASON, REFERENCE, USER};
use super::client::Client;
use super::sagas::{Query, acts_table, page};
use super::table::{Table, age};
use super::{Told, amount, text};

/// `cambist ops freeze`
pub(super) async fn freeze(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let user = user(given)?;
    let answer = client.post(&format!("/wallet/freezes/{user}"), &reason(given)?).await?;
    let text = if answer.status == StatusCode::CREATED {
        format!("user {user} is frozen; orders in flight go on to their end")
    } else {
        let (operator, why) = (text(&answer.body["operator"]), text(&answer.body["reason"]));
        format!("user {user} was frozen before, by {operator}: {why}")
    };
    Ok(Told {
        text,
        json: answer.body,
    })
}

/// `cambist ops unfreeze`
pub(super) async fn unfreeze(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let user = user(given)?;
    let path = format!("/wallet/freezes/{user}/lift");
    let answer = client.post(&path, &reason(given)?).await?;
    let text = if answer.replayed {
        format!("user {user} was not frozen")
    } else {
        format!("user {user} is not frozen any more")
    };
    Ok(Told {
        text,
        json: answer.body,
    })
}

/// `cambist ops frozen`
pub(super) async fn frozen(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    if given.get_one::<UserId>(USER).is_some() {
        return one(client, user(given)?).await;
    }
    let mut query = Query::default();
    query.add("limit", given.get_one::<u16>(LIMIT));
    query.add("cursor", given.get_one::<i64>(CURSOR));
    let json = client.get(&format!("/wallet/freezes{}", query.0)).await?.body;
    let now = SystemClock.now();
    let mut table = Table::new(["user", "for", "by", "why"]);
    for freeze in json["items"].as_array().into_iter().flatten() {
        table.add([
            text(&freeze["user_id"]),
            age(now, &freeze["since"]),
            text(&freeze["operator"]),
            text(&freeze["reason"]),
        ]);
    }
    let text = page(&table.text(), &json, "nobody is frozen");
    Ok(Told { text, json })
}

async fn one(client: &Client, user: UserId) -> anyhow::Result<Told> {
    let json = client.get(&format!("/wallet/freezes/{user}")).await?.body;
    let mut out = if json["frozen"].as_bool() == Some(true) {
        format!("user {user} is frozen")
    } else {
        format!("user {user} is not frozen")
    };
    let acts = json["acts"].as_array().filter(|acts| !acts.is_empty());
    if let Some(acts) = acts {
        out = format!("{out}\n\n{}", acts_table(acts));
    }
    Ok(Told { text: out, json })
}

/// `cambist ops deposit`
pub(super) async fn deposit(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let user = user(given)?;
    let required = |name: &str| {
        given
            .get_one::<String>(name)
            .with_context(|| format!("{name} is required"))
    };
    let body = json!({
        "fiat_amount": required(AMOUNT)?, "currency": required(CURRENCY)?, "reference": required(REFERENCE)?,
        "reason": required(REASON)?,
    });
    let answer = client.post(&format!("/wallet/deposits/{user}"), &body).await?;
    let (id, what) = (text(&answer.body["deposit_id"]), amount(&answer.body["amount"]));
    let how = match (answer.body["status"].as_str(), answer.replayed) {
        (Some("booked"), false) => "is booked",
        (Some("booked"), true) => "was booked before",
        _ => "is stored, and will be booked by itself",
    };
    Ok(Told {
        text: format!("deposit {id} of {what} for user {user} {how}"),
        json: answer.body,
    })
}

fn reason(given: &ArgMatches) -> anyhow::Result<Value> {
    let reason = given.get_one::<String>(REASON).context("a reason is required")?;
    Ok(json!({"reason": reason}))
}

fn user(given: &ArgMatches) -> anyhow::Result<UserId> {
    given.get_one::<UserId>(USER).copied().context("a user is required")
}
