//! The way to the server: what a URL says, TLS, and what every connection is told first.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use contracts::ServiceName;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::Options;
use super::error::told;

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
    /// The service's role is not there, or this user may not take it.
    #[error("the database has no role for {service} that this user may take ({reason}); run `cambist migrate`")]
    NoRole {
        /// Whose role.
        service: ServiceName,
        /// What the server says.
        reason: String,
    },
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
        // A server that vanished without a word is noticed by whoever waits for it no later than by `answer`.
        config.tcp_user_timeout(options.answer);
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

/// The role of a service in a database: another database on the same server has roles of its own.
pub(super) fn role(database: &str, service: ServiceName) -> String {
    format!("{database}_{service}")
}

/// A pool of connections, each under the role of `service`.
pub(super) fn pool(url: &str, service: ServiceName, options: &Options) -> Result<Pool, ConnectError> {
    let Address { config, tls } = Address::parse(url, options)?;
    let manager = ManagerConfig {
        // A connection comes back with no transaction open, or not at all (`Tx`), so nothing has to be asked of it.
        recycling_method: RecyclingMethod::Fast,
    };
    let (first, connect) = (first_words(service, options), options.connect);
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
/// locks, when it has stood longer than any statement may take. A statement whose caller has hung up is ended soon (by
/// servers from 14 on): its place in the pool is free already.
fn first_words(service: ServiceName, options: &Options) -> String {
    let role = role("", service);
    let statement = options.statement.as_millis();
    format!(
        "SELECT set_config('role', current_database() || '{role}', false),
                set_config('statement_timeout', '{statement}', false),
                set_config('idle_in_transaction_session_timeout', '{statement}', false),
                set_config('jit', 'off', false);
         SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
}

/// Whether a server that is starting, or on its way, may answer so. One that refuses us, or that we do not trust, will do so
/// again.
pub(super) fn may_come(error: &PoolError) -> bool {
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

/// Why no connection could be had.
pub(super) fn unreachable(service: ServiceName, error: &PoolError) -> ConnectError {
    use tokio_postgres::error::SqlState;
    match error {
        PoolError::PostCreateHook(HookError::Backend(error)) => {
            let no_role = [
                SqlState::INVALID_PARAMETER_VALUE,
                SqlState::INSUFFICIENT_PRIVILEGE,
                SqlState::UNDEFINED_OBJECT,
            ];
            if error.code().is_some_and(|code| no_role.contains(code)) {
                return ConnectError::NoRole {
                    service,
                    reason: told(error),
                };
            }
            ConnectError::Unreachable(told(error))
        }
        PoolError::Backend(error) => ConnectError::Unreachable(told(error)),
        PoolError::Timeout(_) => ConnectError::Unreachable("it does not answer in time".to_owned()),
        PoolError::PostCreateHook(HookError::Message(said)) => ConnectError::Unreachable(said.to_string()),
        PoolError::Closed | PoolError::NoRuntimeSpecified => ConnectError::Unreachable(error.to_string()),
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
