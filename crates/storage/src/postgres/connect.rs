//! The way to the server: what a URL says, TLS, and what every connection is told first.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use contracts::random::backoff;
use contracts::{Entropy, ServiceName};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tokio_postgres::Config;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::Options;
use super::error::told;

/// The first pause between two looks for a server that is not there yet, which doubles, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The longest that a connection may be without a sign of the server's machine, and a transaction without one of ours, however
/// long a statement may take.
const SILENCE: Duration = Duration::from_secs(60);

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL makes no sense. It is not shown: there is a password in it.
    #[error("CAMBIST_DATABASE_URL: {0}")]
    Url(String),
    /// The certificates that it names cannot be used.
    #[error("CAMBIST_DATABASE_URL: sslrootcert={path}: {reason}")]
    Certificates {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The server is not there, or lets nobody in.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// The role is not there.
    #[error("the database has no role {role} ({reason}); run `cambist migrate`")]
    NoRole {
        /// Which, quoted.
        role: String,
        /// What the server says.
        reason: String,
    },
    /// This user is no member of the role.
    #[error("{user} may not act as {role} ({reason}); whoever ran `cambist migrate` lets it: GRANT {role} TO {user}")]
    NotGranted {
        /// Who connects, quoted.
        user: String,
        /// As whom, quoted.
        role: String,
        /// What the server says.
        reason: String,
    },
}

/// Whose rights a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads and writes the rows of one schema.
    Service(ServiceName),
    /// Reads the rows of several, and writes nothing.
    Auditor,
}

impl Role {
    /// Its name in a database: another database on the same server has roles of its own.
    pub(super) fn in_database(self, database: &str) -> String {
        format!("{database}_{self}")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => service.fmt(f),
            Self::Auditor => f.write_str("audit"),
        }
    }
}

/// A name as SQL wants it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a URL says, and how to secure the way there.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Address {
    /// Reads `postgres://user:password@host:port/database`, with the options of libpq that the library knows,
    /// `sslrootcert` for the authorities that may vouch for the server (Mozilla's otherwise), and `sslmode`: whenever TLS
    /// is used, the certificate and the host's name are verified.
    pub(super) fn parse(url: &str, options: &Options) -> Result<Self, ConnectError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut authorities = None;
        let mut rest = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslrootcert", path)) => authorities = Some(path.replace("%2F", "/")),
                Some(("sslmode", "verify-full" | "verify-ca")) => rest.push("sslmode=require"),
                Some(_) | None => rest.push(option),
            }
        }
        let mut config: Config = format!("{base}?{}", rest.join("&"))
            .parse()
            .map_err(|error: tokio_postgres::Error| ConnectError::Url(told(&error)))?;
        config.connect_timeout(options.connect);
        // A server that vanished without a word is noticed by whoever waits for it no later than by `answer`, and soon where
        // that is long.
        config.tcp_user_timeout(options.answer.min(SILENCE));
        config.keepalives_idle(SILENCE);
        if config.get_application_name().is_none() {
            config.application_name("cambist");
        }
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(verified_by(authorities)?),
        })
    }
}

fn verified_by(authorities: Option<String>) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unusable = |reason: String| ConnectError::Certificates {
                path: path.clone(),
                reason,
            };
            let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("no certificate in it".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Url(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Makes sure that the server at `url` is there and lets us in, as whoever the URL says. Waits for one that is not there yet,
/// for as long as the options say; what will not get better fails at once.
///
/// # Errors
/// [`ConnectError`].
pub async fn wait_for_server(url: &str, options: &Options, entropy: &dyn Entropy) -> Result<(), ConnectError> {
    let Address { config, tls } = Address::parse(url, options)?;
    let mut patience = Patience::new(options);
    while let Err(error) = config.connect(tls.clone()).await {
        let reason = ConnectError::Unreachable(told(&error));
        patience
            .after(may_come(&PoolError::Backend(error)), reason, entropy)
            .await?;
    }
    Ok(())
}

/// How long a start goes on trying to reach a server.
struct Patience {
    give_up: Instant,
    tried: u32,
}

impl Patience {
    fn new(options: &Options) -> Self {
        Self {
            give_up: Instant::now() + options.patience,
            tried: 0,
        }
    }

    /// Waits before the next try, unless what went wrong will not pass, or not in time.
    async fn after(&mut self, may_pass: bool, error: ConnectError, entropy: &dyn Entropy) -> Result<(), ConnectError> {
        let pause = entropy.jitter(backoff(FIRST_WAIT, self.tried, LONGEST_WAIT));
        if !may_pass || Instant::now() + pause > self.give_up {
            return Err(error);
        }
        tracing::warn!(%error, "no database yet; again shortly");
        // sleep: a server that is not there cannot tell when it is
        tokio::time::sleep(pause).await;
        self.tried += 1;
        Ok(())
    }
}

/// The way to a server under a role: a pool of connections. Clones share it.
#[derive(Clone)]
pub(super) struct Way {
    pool: Pool,
    /// Who connects, and as whom, for those who are told that it does not work.
    user: Arc<str>,
    role: Arc<str>,
}

impl Way {
    /// Makes sure that the server at `url` is there and lets us take the role. Waits for a server that is not there yet, for
    /// as long as the options say; what will not get better fails at once.
    pub(super) async fn open(
        url: &str,
        role: Role,
        options: &Options,
        entropy: &dyn Entropy,
    ) -> Result<Self, ConnectError> {
        let address = Address::parse(url, options)?;
        let user = address.config.get_user().unwrap_or("CURRENT_USER");
        let database = address.config.get_dbname().unwrap_or(user);
        let way = Self {
            user: quoted(user).into(),
            role: quoted(&role.in_database(database)).into(),
            pool: pool(address, role, options)?,
        };
        // The first connection shows whether all is well, and is kept for the first caller.
        let mut patience = Patience::new(options);
        while let Err(error) = way.get().await {
            patience
                .after(may_come(&error), way.unreachable(&error), entropy)
                .await?;
        }
        Ok(way)
    }

    pub(super) async fn get(&self) -> Result<Object, PoolError> {
        self.pool.get().await
    }

    pub(super) fn status(&self) -> deadpool_postgres::Status {
        self.pool.status()
    }

    /// Why no connection could be had.
    pub(super) fn unreachable(&self, error: &PoolError) -> ConnectError {
        match error {
            PoolError::PostCreateHook(HookError::Backend(error)) => {
                let reason = told(error);
                match error.code() {
                    Some(&(SqlState::INVALID_PARAMETER_VALUE | SqlState::UNDEFINED_OBJECT)) => ConnectError::NoRole {
                        role: self.role.to_string(),
                        reason,
                    },
                    Some(&SqlState::INSUFFICIENT_PRIVILEGE) => ConnectError::NotGranted {
                        user: self.user.to_string(),
                        role: self.role.to_string(),
                        reason,
                    },
                    Some(_) | None => ConnectError::Unreachable(reason),
                }
            }
            PoolError::Backend(error) => ConnectError::Unreachable(told(error)),
            PoolError::Timeout(_) => ConnectError::Unreachable("it does not answer in time".to_owned()),
            PoolError::PostCreateHook(HookError::Message(said)) => ConnectError::Unreachable(said.to_string()),
            PoolError::Closed | PoolError::NoRuntimeSpecified => ConnectError::Unreachable(error.to_string()),
        }
    }
}

/// A pool of connections, each under the role.
fn pool(Address { config, tls }: Address, role: Role, options: &Options) -> Result<Pool, ConnectError> {
    let manager = ManagerConfig {
        // A connection comes back with no transaction open, or not at all (`Tx`), so nothing has to be asked of it.
        recycling_method: RecyclingMethod::Fast,
    };
    let (first, connect) = (first_words(role, options), options.connect);
    let greet = Hook::async_fn(move |client, _| {
        let first = first.clone();
        Box::pin(async move {
            // The pool's own time-out ends before its hooks begin.
            let greeted = timeout(connect, client.batch_execute(&first)).await;
            let greeted = greeted.map_err(|_| HookError::message("it does not answer in time"))?;
            greeted.map_err(HookError::Backend)
        })
    });
    Pool::builder(Manager::from_config(config, tls, manager))
        .max_size(options.connections.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(options.wait))
        .create_timeout(Some(options.connect))
        .post_create(greet)
        .build()
        .map_err(|error| ConnectError::Url(error.to_string()))
}

/// What a connection is told first: whose it is, how long anything may take, and that a commit is on disk when it is
/// answered, whatever the server's own settings say. A process that stands still with a transaction open loses it, and its
/// locks, when it has stood as long as any statement may take, or a minute. A statement whose caller has hung up is ended soon (by
/// servers from 14 on): its place in the pool is free already.
///
/// Services look for rows by their keys. A statement that is planned while its table is empty would read the whole table, and go
/// on to when it has long been filled, until the server happens to count its rows: reading whole tables counts as dear, except
/// for auditors and in [overviews](super::Database::overview). So does reading by a bitmap, which walks through every row that
/// was deleted since the last VACUUM, each time, and merging, which walks along an index from its beginning.
fn first_words(role: Role, options: &Options) -> String {
    let (statement, idle) = (
        options.statement.as_millis(),
        options.statement.min(SILENCE).as_millis(),
    );
    let scans = match role {
        Role::Service(_) => "off",
        Role::Auditor => "on",
    };
    let role = role.in_database("");
    format!(
        "SELECT set_config('role', current_database() || '{role}', false),
                set_config('statement_timeout', '{statement}', false),
                set_config('idle_in_transaction_session_timeout', '{idle}', false),
                set_config('jit', 'off', false),
                set_config('enable_seqscan', '{scans}', false),
                set_config('enable_bitmapscan', '{scans}', false),
                set_config('enable_mergejoin', '{scans}', false);
         SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
}

/// Whether a server that is starting, or on its way, may answer so. One that refuses us, or that we do not trust, will do so
/// again.
fn may_come(error: &PoolError) -> bool {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => match error.code() {
            // Operator intervention, which a start counts as, and insufficient resources.
            Some(code) => ["57", "53"].iter().any(|class| code.code().starts_with(class)),
            None => {
                let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
                error.is_closed() || source.is_some_and(|source| source.kind() != io::ErrorKind::InvalidData)
            }
        },
        PoolError::Timeout(_) | PoolError::PostCreateHook(HookError::Message(_)) => true,
        PoolError::Closed | PoolError::NoRuntimeSpecified => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_makes_no_sense_is_refused_without_its_password() {
        let options = Options::default();
        for url in [
            "postgres://ann:secret@host:none/cambist",
            "postgres://ann:secret@host/cambist?sslmode=maybe",
            "postgres://ann:secret@host/cambist?sslrootcert=/nowhere.pem",
        ] {
            let refused = Address::parse(url, &options).err().unwrap().to_string();
            assert!(!refused.contains("secret"), "{refused}");
            assert!(refused.starts_with("CAMBIST_DATABASE_URL"), "{refused}");
        }
    }

    #[test]
    fn names_that_libpq_gives_to_verification_are_understood() {
        let options = Options::default();
        for mode in ["require", "verify-full", "verify-ca"] {
            let url = format!("postgres://ann@host/cambist?sslmode={mode}&connect_timeout=3");
            let address = Address::parse(&url, &options).ok().unwrap();
            assert_eq!(address.config.get_ssl_mode(), tokio_postgres::config::SslMode::Require);
            assert_eq!(address.config.get_dbname(), Some("cambist"));
        }
    }
}
