//! Whether this process can do its work.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::ServiceName;
use service_kit::probes::{Attention, Check, Concern};
use storage::sqlite::{Database, dead_commands, dead_letters};
use wallet::store::sqlite::audit::stuck_orders;

use crate::audit::{WITH_COMMANDS, WITH_LETTERS};

/// The checks behind `/readyz`, by name.
pub(super) fn checks(database: &Database) -> Vec<(&'static str, Arc<dyn Check>)> {
    vec![("database", Arc::new(DatabaseAnswers(database.clone())))]
}

struct DatabaseAnswers(Database);

#[async_trait]
impl Check for DatabaseAnswers {
    /// An empty transaction goes all the way: the queue, the writer, a commit; then one for the readers.
    async fn check(&self) -> Result<(), String> {
        self.0
            .writer()
            .run(|_| Ok(()))
            .await
            .map_err(|error| error.to_string())?;
        self.0
            .readers()
            .run(|_| Ok(()))
            .await
            .map_err(|error| error.to_string())
    }
}

/// What waits for a person in this database.
pub(super) fn attention(database: &Database) -> Arc<dyn Attention> {
    Arc::new(NeedsOperator(database.clone()))
}

struct NeedsOperator(Database);

#[async_trait]
impl Attention for NeedsOperator {
    async fn concerns(&self) -> Result<Vec<Concern>, String> {
        let concerns = self.0.readers().run(|connection| {
            let mut concerns = vec![Concern {
                what: "stuck orders".to_owned(),
                count: stuck_orders(connection)?,
                help: "cambist ops sagas --state stuck".to_owned(),
            }];
            let mut add = |what: &str, service: ServiceName, count| {
                concerns.push(Concern {
                    what: format!("{what} of {service}"),
                    count,
                    help: format!("cambist ops dead-letters {service}"),
                });
            };
            for service in WITH_LETTERS {
                add("dead letters", service, dead_letters(connection, service)?);
            }
            for service in WITH_COMMANDS {
                add("dead commands", service, dead_commands(connection, service)?);
            }
            concerns.retain(|concern| concern.count > 0);
            Ok(concerns)
        });
        concerns.await.map_err(|error| error.to_string())
    }
}
