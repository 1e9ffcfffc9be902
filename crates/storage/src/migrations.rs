//! Schema changes: embedded in the program, ordered, applied once, never edited afterwards.

use std::collections::BTreeMap;

use contracts::ServiceName;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// One schema change of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Whose schema.
    pub service: ServiceName,
    /// 1, 2, 3 … within the service.
    pub number: u32,
    /// What it does, for people.
    pub name: &'static str,
    /// The statements.
    pub sql: String,
}

impl Migration {
    /// The SHA-256 of the statements, in hexadecimal: an applied migration that was edited is noticed.
    #[must_use]
    pub fn checksum(&self) -> String {
        Sha256::digest(self.sql.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// A service's migrations, in order. Numbers follow from the order, so entries are only ever appended.
#[derive(Debug, Clone)]
pub struct Migrations {
    service: ServiceName,
    list: Vec<Migration>,
}

impl Migrations {
    /// No migrations yet.
    #[must_use]
    pub const fn new(service: ServiceName) -> Self {
        Self {
            service,
            list: Vec::new(),
        }
    }

    /// Appends a migration. `{service}` in `sql` becomes the service's name: tables that several services have
    /// alike (outbox, commands) are written once.
    #[must_use]
    pub fn then(mut self, name: &'static str, sql: &str) -> Self {
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX).saturating_add(1);
        let sql = sql.replace("{service}", self.service.as_str());
        self.list.push(Migration {
            service: self.service,
            number,
            name,
            sql,
        });
        self
    }

    /// Whose they are.
    #[must_use]
    pub const fn service(&self) -> ServiceName {
        self.service
    }

    /// The migrations, first to last.
    #[must_use]
    pub fn list(&self) -> &[Migration] {
        &self.list
    }
}

/// Why the schema cannot be used or changed.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// Migrations are missing.
    #[error("the schema of {service} lacks migration {number} ({name}); run `cambist migrate`")]
    Behind {
        /// Whose schema.
        service: ServiceName,
        /// The first one missing.
        number: u32,
        /// Its name.
        name: &'static str,
    },
    /// The database is newer than this program.
    #[error(
        "the schema of {service} has migration {number}, which this program does not know; run the newer version of \
         cambist that made it"
    )]
    Ahead {
        /// Whose schema.
        service: String,
        /// The unknown migration.
        number: u32,
    },
    /// An applied migration is not the one in this program.
    #[error(
        "migration {number} of {service} was applied with other content; this program is not the one that made \
             this database"
    )]
    Edited {
        /// Whose schema.
        service: ServiceName,
        /// Which one.
        number: u32,
    },
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(String),
}

/// The migrations of `services` that are not among those `applied`: by service and number, their checksums.
///
/// # Errors
/// [`SchemaError::Ahead`] or [`SchemaError::Edited`]. Other services in the same database are nobody's business.
pub(crate) fn missing(
    mut applied: BTreeMap<(String, u32), String>,
    services: &[Migrations],
) -> Result<Vec<Migration>, SchemaError> {
    let mut missing = Vec::new();
    for migration in services.iter().flat_map(Migrations::list) {
        match applied.remove(&(migration.service.as_str().to_owned(), migration.number)) {
            None => missing.push(migration.clone()),
            Some(checksum) if checksum == migration.checksum() => {}
            Some(_) => {
                return Err(SchemaError::Edited {
                    service: migration.service,
                    number: migration.number,
                });
            }
        }
    }
    let known = |name: &str| services.iter().any(|service| service.service().as_str() == name);
    match applied.into_keys().find(|(service, _)| known(service)) {
        Some((service, number)) => Err(SchemaError::Ahead { service, number }),
        None => Ok(missing),
    }
}

/// Nothing is missing.
///
/// # Errors
/// [`SchemaError::Behind`] with the first one that is.
pub(crate) fn none_missing(missing: &[Migration]) -> Result<(), SchemaError> {
    missing.first().map_or(Ok(()), |first| {
        Err(SchemaError::Behind {
            service: first.service,
            number: first.number,
            name: first.name,
        })
    })
}
