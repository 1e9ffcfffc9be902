//! The stores on PostgreSQL. Several processes may share them: what a call reads and then changes is locked before it is
//! read.

mod failures;
mod keys;
mod users;

use contracts::ServiceName;
use storage::migrations::Migrations;
use storage::postgres::Database;

/// The schema on PostgreSQL, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Auth).then(
        "users, keys and failed logins",
        include_str!("../../migrations/postgres/0001_users_keys_and_failed_logins.sql"),
    )
}

/// The three stores of `auth` on PostgreSQL. Clones share the connections.
#[derive(Clone)]
pub struct PostgresAuth {
    database: Database,
}

impl PostgresAuth {
    /// The stores in `database`, which has [`migrations`] applied and is this service's.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }
}
