//! `cambist migrate`: creates or upgrades the schema, then makes sure that there is a funded hot wallet.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use balance::domain::Funding;
use contracts::{Clock, Entropy, SystemClock, SystemEntropy};
use service_kit::settings::Settings;

use crate::system::{Address, establish_hot_wallet, migrate};

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let (databases, applied) = migrate(&Address::of(settings)?, settings, clock.as_ref(), &entropy).await?;
    let place = &settings.database_url;
    if applied.is_empty() {
        println!("{place}: the schema is up to date");
    }
    for migration in applied {
        println!("{place}: applied {migration}");
    }
    let capital = format!(
        "{} fiat and {} crypto",
        settings.funding_fiat.text(),
        settings.funding_crypto.text()
    );
    match establish_hot_wallet(&databases, settings, clock).await? {
        Funding::Booked => println!("the hot wallet (user 1) is funded with {capital}"),
        Funding::Before => println!("the hot wallet (user 1) was funded before"),
        Funding::BeforeOtherwise { booked } => {
            let booked: Vec<_> = booked
                .iter()
                .map(|amount| format!("{amount} {}", amount.asset()))
                .collect();
            println!(
                "the hot wallet (user 1) was funded before, with {}; that stands",
                booked.join(" and ")
            );
        }
        Funding::Nothing => println!("the hot wallet (user 1) is not funded: both amounts are zero"),
        Funding::Refused(refusal) => bail!("the hot wallet cannot be funded: {refusal}"),
    }
    Ok(ExitCode::SUCCESS)
}
