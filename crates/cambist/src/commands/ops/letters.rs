//! Verbs about dead letters: dead-letters, replay.

use anyhow::Context as _;
use clap::ArgMatches;
use contracts::{Clock as _, ServiceName, SystemClock};
use serde_json::{Map, Value, json};

use super::arguments::{CURSOR, LETTER, LIMIT, REASON, SERVICE, WITH_LETTERS};
use super::client::Client;
use super::sagas::Query;
use super::table::{Table, age};
use super::{Told, text};

/// `cambist ops dead-letters`: of one service, or of each that has any. As JSON, by service.
pub(super) async fn list(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let mut query = Query::default();
    query.add("limit", given.get_one::<u16>(LIMIT));
    query.add("cursor", given.get_one::<i64>(CURSOR));
    let one = given.get_one::<String>(SERVICE);
    let services: Vec<&str> = match one {
        Some(service) => vec![service],
        None => WITH_LETTERS.map(ServiceName::as_str).to_vec(),
    };
    let now = SystemClock.now();
    let mut table = Table::new(["service", "letter", "age", "from", "what is wrong"]);
    let mut json = Map::new();
    let (mut letters, mut more) = (0_usize, String::new());
    for service in services {
        let page = client.get(&format!("/{service}/dead_letters{}", query.0)).await?.body;
        for letter in page["items"].as_array().into_iter().flatten() {
            letters += 1;
            table.add([
                service.to_owned(),
                text(&letter["id"]),
                age(now, &letter["died_at"]),
                text(&letter["source"]),
                text(&letter["error"]),
            ]);
        }
        if let Some(next) = page["next_cursor"].as_i64() {
            more += &format!("\nthere are more: cambist ops dead-letters {service} --cursor {next}");
        }
        json.insert(service.to_owned(), page);
    }
    let text = if letters == 0 {
        "there are no dead letters".to_owned()
    } else {
        format!("{}{more}", table.text())
    };
    let json = Value::Object(json);
    Ok(Told { text, json })
}

/// `cambist ops replay`
pub(super) async fn replay(client: &Client, given: &ArgMatches) -> anyhow::Result<Told> {
    let service = given.get_one::<String>(SERVICE).context("a service is required")?;
    let letter = given.get_one::<i64>(LETTER).context("a letter is required")?;
    let reason = given.get_one::<String>(REASON).context("a reason is required")?;
    let path = format!("/{service}/dead_letters/{letter}/replay");
    let answer = client.post(&path, &json!({"reason": reason})).await?;
    let how = if answer.replayed {
        "was put on its way before"
    } else {
        "is on its way again; if it dies again, it is listed again"
    };
    Ok(Told {
        text: format!("letter {letter} of {service} {how}"),
        json: answer.body,
    })
}
