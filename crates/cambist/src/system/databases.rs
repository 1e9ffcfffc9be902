//! Where the services keep their tables: in one file that this process owns, or on a server that processes share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use contracts::{Clock, Entropy, ServiceName};
use service_kit::settings::Settings;
use storage::migrations::{Migration, Migrations, SchemaError};
use storage::{postgres, sqlite};
use thiserror::Error;

/// Every service's schema in the embedded database.
#[must_use]
pub fn migrations() -> Vec<Migrations> {
    vec![
        auth::migrations(),
        balance::migrations(),
        exchanger::migrations(),
        bc_gateway::migrations(),
        notification::migrations(),
        wallet::migrations(),
    ]
}

/// Every service's schema on PostgreSQL.
#[must_use]
pub fn postgres_migrations() -> Vec<Migrations> {
    vec![
        auth::postgres_migrations(),
        balance::store::postgres::migrations(),
        exchanger::postgres_migrations(),
        bc_gateway::postgres_migrations(),
        notification::postgres_migrations(),
        wallet::postgres_migrations(),
    ]
}

/// Why the embedded database cannot be used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] sqlite::OpenError),
    /// Its schema cannot be upgraded.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// What `database_url` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A file of this machine's.
    File(PathBuf),
    /// A server. Holds a password, perhaps.
    Server(String),
}

impl Address {
    /// What the settings say.
    ///
    /// # Errors
    /// A kind of database that there is not.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let url = &settings.database_url;
        match url.scheme() {
            "sqlite" => Ok(Self::File(PathBuf::from(url.rest()))),
            "postgres" | "postgresql" => Ok(Self::Server(url.expose().to_owned())),
            other => {
                bail!("database_url: there is no `{other}:`; write sqlite:PATH or postgres://user:password@host/name")
            }
        }
    }
}

/// The databases of the services that run here. Clones are the same.
#[derive(Clone)]
pub enum Databases {
    /// One file with all of them, which no other process uses.
    File(sqlite::Database),
    /// A server: connections under the role of each service that runs here.
    Server(Arc<BTreeMap<ServiceName, postgres::Database>>),
}

/// One service's.
pub(super) enum Books<'a> {
    File(&'a sqlite::Database),
    Server(&'a postgres::Database),
}

impl Databases {
    /// Opens the file at `path` with every service's schema, upgrading what is older. Tells which migrations it applied.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn open_file(path: &Path, clock: &dyn Clock) -> Result<(Self, Vec<String>), DatabaseError> {
        let mut applied = Vec::new();
        let now = clock.now();
        let database = sqlite::Database::open(path, sqlite::Options::default(), |connection| {
            applied = told(&sqlite::migrate(connection, &migrations(), now)?);
            Ok::<(), DatabaseError>(())
        })?;
        Ok((Self::File(database), applied))
    }

    /// Reaches the server at `url` for each of `services`, whose schemas have to be there. Waits for a server that is not
    /// there yet, as long as the settings say.
    ///
    /// # Errors
    /// A server that cannot be reached, a role or a schema that is missing or another version's; in one line, with the
    /// command that helps.
    pub async fn connect(
        url: &str,
        services: &[ServiceName],
        settings: &Settings,
        entropy: &Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let options = options(settings);
        let schemas = postgres_migrations();
        let mut pools = BTreeMap::new();
        for service in services.iter().copied() {
            let database = postgres::Database::connect(url, service, options, Arc::clone(entropy)).await?;
            let schema = schemas.iter().filter(|schema| schema.service() == service).cloned();
            postgres::check(&database, &schema.collect::<Vec<_>>()).await?;
            pools.insert(service, database);
        }
        Ok(Self::Server(Arc::new(pools)))
    }

    /// The database of a service that runs here.
    pub(super) fn of(&self, service: ServiceName) -> Books<'_> {
        match self {
            Self::File(database) => Books::File(database),
            Self::Server(pools) => Books::Server(
                pools
                    .get(&service)
                    .expect("a process connects for every service that it runs"),
            ),
        }
    }

    /// Whether no other process can be at work on it.
    #[must_use]
    pub const fn is_ours_alone(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// Creates or upgrades all schemas at `address`; tells which migrations it applied, and how the services get there. Two at
/// once are safe.
///
/// # Errors
/// A database that cannot be reached or is another version's. Nothing is changed then.
pub async fn migrate(
    address: &Address,
    settings: &Settings,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
) -> anyhow::Result<(Databases, Vec<String>)> {
    match address {
        Address::File(path) => Ok(Databases::open_file(path, clock)?),
        Address::Server(url) => {
            postgres::wait_for_server(url, &options(settings), entropy.as_ref()).await?;
            let applied = postgres::migrate(url, &postgres_migrations(), clock.now())
                .await
                .context("the schemas cannot be migrated")?;
            let databases = Databases::connect(url, &ServiceName::ALL, settings, entropy).await?;
            Ok((databases, told(&applied)))
        }
    }
}

fn options(settings: &Settings) -> postgres::Options {
    postgres::Options {
        patience: settings.start_patience,
        connections: settings.database_connections.get(),
        ..postgres::Options::default()
    }
}

fn told(applied: &[Migration]) -> Vec<String> {
    let told = |migration: &Migration| format!("{} {} ({})", migration.service, migration.number, migration.name);
    applied.iter().map(told).collect()
}
