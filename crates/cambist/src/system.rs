//! The six services in one process, on the embedded database.
//!
//! One room decides which adapter stands behind which port; `up` and the tests differ in what they hand in (the
//! outside world, the clock, the randomness) and in nothing else.

mod documents;
mod listeners;
mod metrics;
pub mod outside;
mod readiness;
mod translate;
mod wiring;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bc_gateway::Custody;
use contracts::{Clock, Entropy, ServiceName};
use service_kit::internal::InternalTokens;
use service_kit::metrics::HttpMetrics;
use service_kit::openapi::Routes;
use service_kit::settings::Settings;
use service_kit::shutdown::Shutdown;
use storage::commands::CommandStore;
use storage::migrations::{Migrations, SchemaError};
use storage::sqlite::{Database, OpenError, Options, OutboxRows};
use transport::local::LocalTransport;

pub use self::listeners::Listening;
pub use self::outside::Outside;
use self::wiring::Wiring;

/// Every service's schema.
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

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its schema cannot be upgraded.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Opens the database at `path` with every service's schema, upgrading what is older. Tells which migrations it
/// applied.
///
/// # Errors
/// [`DatabaseError`].
pub fn open_database(path: &Path, clock: &dyn Clock) -> Result<(Database, Vec<String>), DatabaseError> {
    let mut applied = Vec::new();
    let now = clock.now();
    let database = Database::open(path, Options::default(), |connection| -> Result<(), DatabaseError> {
        let done = storage::sqlite::migrate(connection, &migrations(), now)?;
        applied = done
            .iter()
            .map(|m| format!("{} {} ({})", m.service, m.number, m.name))
            .collect();
        Ok(())
    })?;
    Ok((database, applied))
}

/// Creates user 1, the hot wallet, and funds it from the treasury: the last step of a migration. Idempotent: a funded
/// wallet stays as it is.
///
/// # Errors
/// Stores that do not answer, or amounts that make no sense.
pub async fn establish_hot_wallet(
    database: &Database,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<balance::domain::Funding> {
    let users = auth::store::sqlite::SqliteAuth::new(database.clone());
    auth::create_hot_wallet_user(&users, clock.as_ref())
        .await
        .context("user 1 cannot be created")?;
    let ledger = balance::store::sqlite::SqliteLedger::new(database.clone());
    let capital = translate::capital(settings)?;
    balance::use_cases::fund(&ledger, clock.as_ref(), capital)
        .await
        .context("the hot wallet cannot be funded")
}

/// Refuses settings that lead out of this process: with all services in it, they would be followed by nobody.
///
/// # Errors
/// Says which.
pub fn one_process(settings: &Settings) -> anyhow::Result<()> {
    let leading = [
        ("nats_url", settings.nats_url.is_some()),
        ("auth_url", settings.auth_url.is_some()),
        ("balance_url", settings.balance_url.is_some()),
        ("exchanger_url", settings.exchanger_url.is_some()),
        ("bc_gateway_url", settings.bc_gateway_url.is_some()),
        ("notification_url", settings.notification_url.is_some()),
    ];
    match leading.into_iter().find(|(_, leads)| *leads) {
        Some((name, _)) => bail!("{name} is for services that run apart; leave it empty for `up`"),
        None => Ok(()),
    }
}

/// What the system is made of besides its services.
pub struct Parts {
    /// The settings.
    pub settings: Settings,
    /// The embedded database, with the schema and the hot wallet in it.
    pub database: Database,
    /// Venue, chain and mail.
    pub outside: Outside,
    /// The keys that hold coins.
    pub custody: Custody,
    /// Who may call the internal listener.
    pub internal_tokens: InternalTokens,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys, tokens, jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// The six services, wired. Nothing runs before [`System::start`].
pub struct System {
    settings: Settings,
    database: Database,
    auth: auth::Service,
    balance: balance::Service,
    exchanger: exchanger::Service,
    bc_gateway: bc_gateway::Service,
    notification: notification::Service,
    wallet: wallet::Service,
    commands: [Arc<dyn CommandStore>; 3],
    committed: Committed,
    letters: Letters,
    clock: Arc<dyn Clock>,
    http: HttpMetrics,
    queues: Arc<LocalTransport>,
    /// Every database of this process.
    books: Vec<Database>,
}

/// The outboxes' rows on their way to the dispatchers.
struct Committed {
    exchanger: OutboxRows,
    bc_gateway: OutboxRows,
    notification: OutboxRows,
    wallet: OutboxRows,
}

/// The routes of the services' dead letters.
struct Letters {
    exchanger: Routes,
    bc_gateway: Routes,
    notification: Routes,
    wallet: Routes,
}

impl System {
    /// Wires the services.
    ///
    /// # Errors
    /// Settings that a service cannot work with.
    pub fn assemble(parts: Parts) -> anyhow::Result<Self> {
        let Parts {
            settings,
            database,
            outside,
            custody,
            internal_tokens,
            clock,
            entropy,
        } = parts;
        one_process(&settings)?;
        let queues = Arc::new(LocalTransport::new(settings.queue_capacity.get()));
        let wiring = Wiring {
            tokens: Arc::new(internal_tokens),
            transport: queues.clone(),
            settings,
            database,
            clock,
            entropy,
        };
        let Outside {
            venue,
            chain,
            mailer,
            mut books,
        } = outside;
        books.push(wiring.database.clone());
        let auth = wiring.auth();
        let balance = wiring.balance();
        let exchanger = wiring.exchanger(balance.client(), venue);
        let bc_gateway = wiring.bc_gateway(balance.client(), chain, custody);
        let notification = wiring.notification(mailer)?;
        let (wallet, wallet_rows, wallet_letters) = wiring.wallet(wiring::Neighbours {
            auth: auth.client(),
            balance: balance.client(),
            exchanger: exchanger.service.client(),
            bc_gateway: bc_gateway.service.client(),
            notification: notification.service.client(),
        });
        Ok(Self {
            commands: [exchanger.commands, bc_gateway.commands, notification.commands],
            committed: Committed {
                exchanger: exchanger.rows,
                bc_gateway: bc_gateway.rows,
                notification: notification.rows,
                wallet: wallet_rows,
            },
            letters: Letters {
                exchanger: exchanger.letters,
                bc_gateway: bc_gateway.letters,
                notification: notification.letters,
                wallet: wallet_letters,
            },
            auth,
            balance,
            exchanger: exchanger.service,
            bc_gateway: bc_gateway.service,
            notification: notification.service,
            wallet,
            settings: wiring.settings,
            database: wiring.database,
            clock: wiring.clock,
            http: HttpMetrics::default(),
            queues,
            books,
        })
    }

    /// Takes up what an earlier run left, starts workers and dispatchers, and listens, until `shutdown`. Then workers and
    /// dispatchers go on until the last request is answered: it may wait for what they do.
    ///
    /// # Errors
    /// A store that does not answer, a seed that made none of the stored addresses, an address in use.
    pub async fn start(self, shutdown: &Shutdown) -> anyhow::Result<Listening> {
        // The lock on the database says that no other process works on it: nobody's lease is worth waiting for.
        for commands in &self.commands {
            commands
                .release_leases(self.clock.now())
                .await
                .context("unfinished work cannot be taken up")?;
        }
        self.wallet
            .prepare()
            .await
            .context("unfinished orders cannot be taken up")?;
        // Bound before anything runs: a second process on the same ports ends without having done a thing.
        let sockets = listeners::bind(&self.settings).await?;

        for database in self.books.clone() {
            let stop = shutdown.token();
            shutdown.spawn("a database", async move {
                tokio::select! {
                    error = database.failure() => Err(error),
                    () = stop.cancelled() => Ok(()),
                }
            });
        }
        // While all of it is there.
        let metrics = self.metrics();
        let work = Shutdown::new();
        self.auth.start(&work);
        self.exchanger.start_dispatcher(self.committed.exchanger, &work);
        self.exchanger.start_worker(&work);
        self.bc_gateway.start_dispatcher(self.committed.bc_gateway, &work);
        self.bc_gateway.start_worker(&work).await?;
        self.notification.start_dispatcher(self.committed.notification, &work);
        self.notification.start_worker(&work);
        self.wallet.start_dispatcher(self.committed.wallet, &work);
        self.wallet.start_worker(&work);

        let public = self.auth.public_routes().merge(self.wallet.public_routes());
        let internal = Routes::new()
            .nest(ServiceName::Auth, self.auth.internal_routes())
            .nest(ServiceName::Balance, self.balance.internal_routes())
            .nest(
                ServiceName::Exchanger,
                self.exchanger.internal_routes().merge(self.letters.exchanger),
            )
            .nest(
                ServiceName::BcGateway,
                self.bc_gateway.internal_routes().merge(self.letters.bc_gateway),
            )
            .nest(
                ServiceName::Notification,
                self.notification.internal_routes().merge(self.letters.notification),
            )
            .nest(
                ServiceName::Wallet,
                self.wallet.internal_routes().merge(self.letters.wallet),
            );
        let seen = listeners::Seen {
            checks: readiness::checks(&self.database),
            attention: readiness::attention(&self.database),
            scrape: metrics.into_scrape(Arc::clone(&self.clock)),
            http: self.http,
        };
        let (listening, served) = listeners::serve_on(sockets, &self.settings, public, internal, seen, shutdown);
        let drain = self.settings.drain_timeout;
        shutdown.spawn("work behind the listeners", async move {
            tokio::select! {
                () = served.cancelled() => work.request(),
                // One of its tasks has broken: the process ends with it, and says which.
                () = work.token().cancelled_owned() => {}
            }
            work.wait(drain).await
        });
        Ok(listening)
    }
}
