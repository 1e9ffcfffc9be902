//! `cambist migrate`: creates or upgrades the schema, then makes sure that there is a funded hot wallet.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use balance::domain::Funding;
use contracts::{Clock, SystemClock};
use service_kit::settings::Settings;

use crate::system::{establish_hot_wallet, open_database};

pub(super) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = super::database_path(settings)?;
    let (database, applied) = open_database(&path, clock.as_ref())?;
    if applied.is_empty() {
        println!("{}: the schema is up to date", path.display());
    }
    for migration in applied {
        println!("{}: applied {migration}", path.display());
    }
    let capital = format!(
        "{} fiat and {} crypto",
        settings.funding_fiat.text(),
        settings.funding_crypto.text()
    );
    match establish_hot_wallet(&database, settings, clock).await? {
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
