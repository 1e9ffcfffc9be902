//! The suites on SQLite, and what they start from there.

#[path = "suites/stores.rs"]
mod stores;

use exchanger::store::audit::TradeFact;
use exchanger::store::sqlite::SqliteExchanger;
use exchanger::store::sqlite::audit::trades_of_orders;
use std::sync::Arc;
use storage::sqlite::{Database, reader};
use tempfile::TempDir;

use crate::scene::{Stores, TIMES, database, order};

/// A database of a test's own.
struct Given {
    database: Database,
    folder: TempDir,
}

async fn a_fresh_store() -> Given {
    let folder = tempfile::tempdir().unwrap();
    Given {
        database: database(&folder),
        folder,
    }
}

impl Given {
    fn stores(&self) -> Stores {
        let (stores, rows) = SqliteExchanger::new(self.database.clone(), TIMES, 1_000);
        Stores {
            commands: Arc::new(stores.commands),
            outbox: Arc::new(stores.outbox),
            installation: Arc::new(stores.installation),
            rows,
        }
    }

    /// Stores that know nothing of these.
    async fn beside(&self) -> Stores {
        self.stores()
    }

    async fn facts(&self, from: i64, to: i64) -> Vec<TradeFact> {
        let connection = reader(&self.folder.path().join("cambist.db")).unwrap();
        trades_of_orders(&connection, order(from), order(to)).unwrap()
    }
}
