//! The suites on SQLite, and what they start from there.

#[path = "suites/store.rs"]
mod store;
#[path = "suites/stories.rs"]
mod stories;

use storage::sqlite::Database;
use tempfile::TempDir;

use crate::stores::{Stores, on_file, open};

/// A database of a test's own.
struct Given {
    database: Database,
    _folder: TempDir,
}

async fn a_fresh_store() -> Given {
    let folder = tempfile::tempdir().unwrap();
    Given {
        database: open(&folder.path().join("cambist.db")),
        _folder: folder,
    }
}

impl Given {
    fn stores(&self) -> Stores {
        on_file(&self.database)
    }

    /// Stores that know nothing of these.
    async fn beside(&self) -> Stores {
        self.stores()
    }
}
