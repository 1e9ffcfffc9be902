//! The stores on the embedded database. Each call is one job of the single writer, so what a job reads cannot change
//! before it writes.

mod failures;
mod keys;
mod users;

use storage::sqlite::Database;

/// The three stores of `auth` on SQLite. Clones share the database.
#[derive(Clone)]
pub struct SqliteAuth {
    database: Database,
}

impl SqliteAuth {
    /// The stores in `database`, which has [`crate::migrations`] applied.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }
}
