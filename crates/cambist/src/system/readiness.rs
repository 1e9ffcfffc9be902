//! Whether this process can do its work.

use std::sync::Arc;

use async_trait::async_trait;
use service_kit::probes::Check;
use storage::sqlite::Database;

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
