//! An auditor's way to the server: one transaction that sees one moment of every service's tables, under a role that may read
//! them and write nothing.

use std::time::Duration;

use contracts::Entropy;

use super::Tx;
use super::connect::{ConnectError, Role, Way};
use super::database::Options;

/// How long the server may work on one statement: some of them read all that was ever booked. Two million transfers took 20 s,
/// twice what a service's statement may take.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How much longer we wait for what the server has to say in the end.
const GRACE: Duration = Duration::from_secs(60);

/// A transaction that sees, in all that it reads, the moment of its first statement. It has the role that
/// [`migrate`](super::migrate) makes for auditors, so that `url` may be that of a login that can do nothing else. Waits for a
/// server that is not there yet, for `patience`.
///
/// While it is open, the server keeps what is deleted or replaced meanwhile: whoever is done with it rolls it back.
///
/// # Errors
/// [`ConnectError`], which names the grant that is missing.
pub async fn auditor(url: &str, patience: Duration, entropy: &dyn Entropy) -> Result<Tx, ConnectError> {
    let options = Options {
        patience,
        connections: 1,
        statement: LONGEST,
        answer: LONGEST + GRACE,
        ..Options::default()
    };
    let way = Way::open(url, Role::Auditor, &options, entropy).await?;
    let connection = way.get().await;
    let connection = connection.map_err(|error| way.unreachable(&error))?;
    Ok(Tx::snapshot(connection, options.answer))
}
