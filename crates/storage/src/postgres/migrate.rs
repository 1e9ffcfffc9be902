//! Applying migrations to PostgreSQL, with a schema and a role for each service, and checking that none is missing.

use std::collections::BTreeMap;

use contracts::ServiceName;
use jiff::Timestamp;
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, IsolationLevel, Row};

use super::connect::{Address, Role, quoted};
use super::database::Options;
use super::{Database, Tx, TxError};
use crate::migrations::{self, Migration, Migrations, SchemaError, none_missing};

/// What the lock is called that is held while a database is migrated: one at a time. Any number, but always the same.
const LOCK: i64 = 0x0063_616d_6269_7374;
/// How long one migration waits for another, and for the locks on tables that are in use; its work takes as long as it
/// takes, whatever the database's settings say.
const PATIENCE: &str =
    "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning";

const TABLE: &str = "
CREATE SCHEMA IF NOT EXISTS cambist;
CREATE TABLE IF NOT EXISTS cambist.schema_migrations (
    service text NOT NULL, number bigint NOT NULL, name text NOT NULL, checksum text NOT NULL,
    applied_at bigint NOT NULL, PRIMARY KEY (service, number))";

const APPLIED: &str = "SELECT service, number, checksum FROM cambist.schema_migrations";

/// Applies what is missing to the database at `url`, in one transaction: all or nothing. Returns what it applied. Applying
/// twice, or two at once, is safe.
///
/// Each service gets a schema, and a role `{database}_{service}` that may use this schema and no other. The role has no
/// login: whoever shall run a service is made a member of its role (`GRANT … TO …`), as the user of `url` is of all. An auditor
/// has `{database}_audit`, which may read what all of them know of money, and write nothing: not `auth`'s, whose tables are
/// people's passwords and the keys to sign tokens with.
///
/// # Errors
/// [`SchemaError::Ahead`] or [`SchemaError::Edited`] for a database that another version made, before anything is
/// changed; [`SchemaError::Database`].
pub async fn migrate(url: &str, services: &[Migrations], now: Timestamp) -> Result<Vec<Migration>, SchemaError> {
    let failed = |error: &dyn std::fmt::Display| SchemaError::Database(error.to_string());
    let Address { config, tls } = Address::parse(url, &Options::default()).map_err(|error| failed(&error))?;
    let (mut client, connection) = config.connect(tls).await?;
    let connection = tokio::spawn(connection);
    let migrated = async {
        // Whoever waited for the lock sees what was applied meanwhile, whatever the database's settings say.
        let isolation = IsolationLevel::ReadCommitted;
        let tx = client.build_transaction().isolation_level(isolation).start().await?;
        tx.batch_execute(PATIENCE).await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
        let missing = apply(&tx, services, now).await?;
        for service in services {
            admit(&tx, service.service()).await?;
            admit_auditor(&tx, service.service()).await?;
        }
        tx.commit().await?;
        Ok(missing)
    }
    .await;
    drop(client);
    // Ends with its client; what it has to say of its end is nobody's concern.
    let _ = connection.await;
    migrated
}

async fn apply(
    tx: &impl GenericClient,
    services: &[Migrations],
    now: Timestamp,
) -> Result<Vec<Migration>, SchemaError> {
    tx.batch_execute(TABLE).await?;
    let applied = tx.query(APPLIED, &[]).await?;
    let missing = migrations::missing(to_applied(&applied)?, services)?;
    for service in services {
        tx.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", service.service()))
            .await?;
    }
    for migration in &missing {
        tx.batch_execute(&migration.sql).await?;
        tx.execute(
            "INSERT INTO cambist.schema_migrations (service, number, name, checksum, applied_at)
             VALUES ($1, $2, $3, $4, $5)",
            &[
                &migration.service.as_str(),
                &i64::from(migration.number),
                &migration.name,
                &migration.checksum(),
                &now.as_microsecond(),
            ],
        )
        .await?;
    }
    Ok(missing)
}

/// Gives the service's role what it needs of its schema, and nothing else. It may write its tables, and neither change nor
/// empty them.
async fn admit(tx: &impl GenericClient, service: ServiceName) -> Result<(), SchemaError> {
    let role = make(tx, Role::Service(service)).await?;
    tx.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA cambist, {service} TO {role};
         GRANT SELECT ON cambist.schema_migrations TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {service} TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {service} TO {role}"
    ))
    .await?;
    Ok(())
}

/// Lets auditors read the service's tables, where they have anything to do with money.
async fn admit_auditor(tx: &impl GenericClient, service: ServiceName) -> Result<(), SchemaError> {
    let role = make(tx, Role::Auditor).await?;
    tx.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA cambist TO {role}; GRANT SELECT ON cambist.schema_migrations TO {role}"
    ))
    .await?;
    if service != ServiceName::Auth {
        tx.batch_execute(&format!(
            "GRANT USAGE ON SCHEMA {service} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {service} TO {role}"
        ))
        .await?;
    }
    Ok(())
}

/// Makes sure that there is the role, and that we are a member of it. Its name, quoted.
async fn make(tx: &impl GenericClient, role: Role) -> Result<String, SchemaError> {
    let database: String = tx.query_one("SELECT current_database()::text", &[]).await?.try_get(0)?;
    let name = role.in_database(&database);
    let found = tx
        .query_opt(
            "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1",
            &[&name],
        )
        .await?;
    let member = found.as_ref().map(|row| row.try_get(0)).transpose()?;
    let quoted = quoted(&name);
    if member.is_none() {
        tx.batch_execute(&format!("CREATE ROLE {quoted} NOLOGIN")).await?;
    }
    if member != Some(true) {
        tx.batch_execute(&format!("GRANT {quoted} TO CURRENT_USER")).await?;
    }
    Ok(quoted)
}

/// Makes sure that of these services exactly these migrations are applied. Other services in the same database are none of
/// its business.
///
/// # Errors
/// [`SchemaError`] says which one is missing, unknown or different.
pub async fn check(database: &Database, services: &[Migrations]) -> Result<(), SchemaError> {
    let mut tx = database.snapshot().await.map_err(TxError::from)?;
    let checked = check_snapshot(&mut tx, services).await;
    tx.roll_back().await;
    checked
}

/// The same, of the moment that `tx` sees.
///
/// # Errors
/// As [`check`].
pub async fn check_snapshot(tx: &mut Tx, services: &[Migrations]) -> Result<(), SchemaError> {
    let applied = match tx.query(APPLIED, &[]).await {
        Ok(rows) => to_applied(&rows)?,
        Err(error) if is_no_table(&error) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    none_missing(&migrations::missing(applied, services)?)
}

/// Whether nothing was ever migrated, or nothing that this service may see.
fn is_no_table(error: &TxError) -> bool {
    let none = [
        SqlState::UNDEFINED_TABLE,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    matches!(error, TxError::Postgres(error) if error.code().is_some_and(|code| none.contains(code)))
}

fn to_applied(rows: &[Row]) -> Result<BTreeMap<(String, u32), String>, TxError> {
    rows.iter()
        .map(|row| {
            let number = u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(u32::MAX);
            Ok(((row.try_get(0)?, number), row.try_get(2)?))
        })
        .collect()
}
