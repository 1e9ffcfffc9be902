//! `cambist ops`: what an operator does, asked of a running Cambist over its internal listener.
//!
//! Nothing is decided here: the services decide, and record who wanted what and why. What it keeps true: what is not known
//! to have happened is never told as done, and every error says what to do next.

mod arguments;
mod client;
mod letters;
mod sagas;
mod table;
mod transfers;
mod users;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgMatches;
use service_kit::settings::Settings;

pub use self::arguments::command;
use self::client::Client;
use crate::cli::JSON;

/// Does what the arguments say, and prints it as a table or as JSON.
pub(super) fn run(settings: &Settings, arguments: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (verb, given) = arguments
        .subcommand()
        .context("no verb given; try `cambist ops --help`")?;
    let client = Client::try_new(settings, arguments.get_one::<String>(arguments::URL))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the operating system gives no threads")?;
    let json = given.get_flag(JSON);
    let told = runtime.block_on(async {
        match verb {
            "sagas" => sagas::list(&client, given).await,
            "saga" => sagas::show(&client, given).await,
            "retry" if transfers::are_meant(given) => transfers::retry(&client, given).await,
            "retry" => sagas::retry(&client, given).await,
            "resolve" if transfers::are_meant(given) => transfers::resolve(&client, given).await,
            "resolve" => sagas::resolve(&client, given).await,
            "transfers" => transfers::list(&client, given).await,
            "transfer" => transfers::show(&client, given).await,
            "freeze" => users::freeze(&client, given).await,
            "unfreeze" => users::unfreeze(&client, given).await,
            "frozen" => users::frozen(&client, given).await,
            "deposit" => users::deposit(&client, given).await,
            "dead-letters" => letters::list(&client, given).await,
            "replay" => letters::replay(&client, given).await,
            unknown => bail!("there is no verb {unknown}; try `cambist ops --help`"),
        }
    })?;
    if json {
        println!("{:#}", told.json);
    } else {
        println!("{}", told.text);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a verb has to say, for people and for machines.
struct Told {
    text: String,
    json: serde_json::Value,
}

/// A field of an answer as text; a dash where there is none.
fn text(value: &serde_json::Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => "-".to_owned(),
        None => value.to_string(),
    }
}

/// An amount with its asset, `30 USD`; a dash where there is none.
fn amount(value: &serde_json::Value) -> String {
    match (value["amount"].as_str(), value["asset"].as_str()) {
        (Some(amount), Some(asset)) => format!("{amount} {asset}"),
        _ => "-".to_owned(),
    }
}
