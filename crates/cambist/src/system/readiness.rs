//! Whether this process can do its work, and what waits for a person.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::ServiceName;
use service_kit::probes::{Attention, Check, Concern};
use storage::postgres::TxError;
use storage::{StoreError, postgres, sqlite};

use super::databases::Databases;
use super::queues::Queues;
use crate::audit::{WITH_COMMANDS, WITH_LETTERS};

/// The checks behind `/readyz`, by name.
pub(super) fn checks(databases: &Databases, queues: &Queues) -> Vec<(&'static str, Arc<dyn Check>)> {
    let mut checks: Vec<(&'static str, Arc<dyn Check>)> = vec![("database", Arc::new(Answers(databases.clone())))];
    // Channels of our own are always there.
    if let Queues::Nats(..) = queues {
        checks.push(("queues", Arc::new(Connected(queues.clone()))));
    }
    checks
}

struct Answers(Databases);

#[async_trait]
impl Check for Answers {
    /// In a file, an empty transaction goes all the way: the queue, the writer, a commit; then one for the readers.
    async fn check(&self) -> Result<(), String> {
        let answered = match &self.0 {
            Databases::File(database) => {
                let written = database.writer().run(|_| Ok(())).await;
                match written {
                    Ok(()) => database.readers().run(|_| Ok(())).await,
                    Err(error) => Err(error),
                }
            }
            Databases::Server(pools) => {
                let mut answered = Ok(());
                for database in pools.values() {
                    answered = answered.and(match database.query("SELECT 1", &[]).await {
                        // All connections are in use, and so in order: taking busy processes out makes the others busier.
                        Ok(_) | Err(StoreError::Overloaded) => Ok(()),
                        Err(error) => Err(error),
                    });
                }
                answered
            }
        };
        answered.map_err(|error| error.to_string())
    }
}

struct Connected(Queues);

#[async_trait]
impl Check for Connected {
    async fn check(&self) -> Result<(), String> {
        self.0.transport().readiness()
    }
}

/// What waits for a person in these databases.
pub(super) fn attention(databases: &Databases) -> Arc<dyn Attention> {
    Arc::new(NeedsOperator(databases.clone()))
}

struct NeedsOperator(Databases);

/// How much of each kind waits.
#[derive(Default)]
struct Waiting {
    stuck_orders: u64,
    letters: Vec<(ServiceName, u64)>,
    commands: Vec<(ServiceName, u64)>,
}

#[async_trait]
impl Attention for NeedsOperator {
    async fn concerns(&self) -> Result<Vec<Concern>, String> {
        let waiting = match &self.0 {
            Databases::File(database) => database.readers().run(in_file).await,
            Databases::Server(pools) => {
                let mut waiting = Waiting::default();
                for (service, database) in pools.iter() {
                    on_server(*service, database, &mut waiting)
                        .await
                        .map_err(|error| error.to_string())?;
                }
                Ok(waiting)
            }
        };
        Ok(waiting.map_err(|error: StoreError| error.to_string())?.into_concerns())
    }
}

impl Waiting {
    fn into_concerns(self) -> Vec<Concern> {
        let mut concerns = vec![Concern {
            what: "stuck orders".to_owned(),
            count: self.stuck_orders,
            help: "cambist ops sagas --state stuck".to_owned(),
        }];
        for (what, counts) in [("dead letters", self.letters), ("dead commands", self.commands)] {
            concerns.extend(counts.into_iter().map(|(service, count)| Concern {
                what: format!("{what} of {service}"),
                count,
                help: format!("cambist ops dead-letters {service}"),
            }));
        }
        concerns.retain(|concern| concern.count > 0);
        concerns
    }
}

fn in_file(connection: &rusqlite::Connection) -> rusqlite::Result<Waiting> {
    let mut waiting = Waiting {
        stuck_orders: wallet::store::sqlite::audit::stuck_orders(connection)?,
        ..Waiting::default()
    };
    for service in WITH_LETTERS {
        waiting
            .letters
            .push((service, sqlite::dead_letters(connection, service)?));
    }
    for service in WITH_COMMANDS {
        waiting
            .commands
            .push((service, sqlite::dead_commands(connection, service)?));
    }
    Ok(waiting)
}

async fn on_server(
    service: ServiceName,
    database: &postgres::Database,
    waiting: &mut Waiting,
) -> Result<(), StoreError> {
    let mut tx = database.snapshot().await?;
    let counted = async {
        if service == ServiceName::Wallet {
            waiting.stuck_orders = wallet::store::postgres::audit::stuck_orders(&mut tx).await?;
        }
        if WITH_LETTERS.contains(&service) {
            waiting
                .letters
                .push((service, postgres::dead_letters(&mut tx, service).await?));
        }
        if WITH_COMMANDS.contains(&service) {
            waiting
                .commands
                .push((service, postgres::dead_commands(&mut tx, service).await?));
        }
        Ok::<(), TxError>(())
    };
    let counted = counted.await;
    tx.roll_back().await;
    Ok(counted?)
}
