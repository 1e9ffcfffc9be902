//! The services, wired: all six in one process, or one with its API or its worker.
//!
//! One room decides which adapter stands behind which port; the commands and the tests differ in what they hand in (the
//! databases, the outside world, the clock, the randomness) and in nothing else:
//!
//! - [`databases`], `stores`: the tables, on SQLite or PostgreSQL; [`queues`]: local or NATS; `peers`: other processes
//! - `wiring`: what each service gets; `part`: a service in this process; [`apart`]: which of them, and with what
//! - [`outside`]: venue, chain and mail; `translate`: settings to knobs
//! - `listeners`, `documents`, `readiness`, `metrics`: what others see of the process

pub mod apart;
pub mod databases;
mod documents;
mod listeners;
mod metrics;
pub mod outside;
mod part;
mod peers;
pub mod queues;
mod readiness;
mod stores;
mod translate;
mod wiring;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bc_gateway::Custody;
use contracts::{Clock, Entropy, ServiceName};
use service_kit::internal::InternalTokens;
use service_kit::metrics::HttpMetrics;
use service_kit::openapi::Routes;
use service_kit::settings::Settings;
use service_kit::shutdown::Shutdown;
use storage::sqlite;
use transport::http::PeerMetrics;

pub use self::apart::Role;
pub use self::databases::{Address, Databases, migrate, migrations, postgres_migrations};
pub use self::listeners::Listening;
pub use self::outside::Outside;
use self::part::Part;
pub use self::queues::Queues;
use self::wiring::{Neighbours, Wiring};

/// Creates user 1, the hot wallet, and funds it from the treasury: the last step of a migration. Idempotent: a funded
/// wallet stays as it is.
///
/// # Errors
/// Stores that do not answer, or amounts that make no sense.
pub async fn establish_hot_wallet(
    databases: &Databases,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<balance::domain::Funding> {
    auth::create_hot_wallet_user(&*databases.auth().users, clock.as_ref())
        .await
        .context("user 1 cannot be created")?;
    let capital = translate::capital(settings)?;
    balance::use_cases::fund(&*databases.ledger(), clock.as_ref(), capital)
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
    /// The tables of all services, with the schemas and the hot wallet in them.
    pub databases: Databases,
    /// The queues: inside this process.
    pub queues: Queues,
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

/// The services of this process, wired. Nothing runs before [`System::start`].
pub struct System {
    role: Role,
    settings: Settings,
    databases: Databases,
    queues: Queues,
    services: Vec<Box<dyn Part>>,
    /// What is counted of the ways to services elsewhere.
    peers: Vec<(ServiceName, Arc<PeerMetrics>)>,
    /// Every embedded database of this process, the simulators' included.
    files: Vec<sqlite::Database>,
    clock: Arc<dyn Clock>,
    http: HttpMetrics,
}

impl System {
    /// Wires all six services in one process: calls between them are function calls, queues are channels.
    ///
    /// # Errors
    /// Settings that a service cannot work with.
    pub fn assemble(parts: Parts) -> anyhow::Result<Self> {
        let Parts {
            settings,
            databases,
            queues,
            outside,
            custody,
            internal_tokens,
            clock,
            entropy,
        } = parts;
        one_process(&settings)?;
        let wiring = Wiring {
            tokens: Arc::new(internal_tokens),
            transport: queues.transport(),
            settings,
            databases,
            clock,
            entropy,
        };
        let Outside {
            venue,
            chain,
            mailer,
            books,
        } = outside;
        let auth = wiring.auth();
        let balance = wiring.balance();
        let exchanger = wiring.exchanger(balance.client(), venue);
        let bc_gateway = wiring.bc_gateway(balance.client(), chain, custody);
        let notification = wiring.notification(mailer)?;
        let wallet = wiring.wallet(Neighbours {
            auth: auth.client(),
            balance: balance.client(),
            exchanger: exchanger.sending.service.client(),
            bc_gateway: bc_gateway.sending.service.client(),
            notification: notification.sending.service.client(),
        });
        let services: Vec<Box<dyn Part>> = vec![
            Box::new(auth),
            Box::new(balance),
            Box::new(exchanger),
            Box::new(bc_gateway),
            Box::new(notification),
            Box::new(wallet),
        ];
        Ok(Self::of(Role::Everything, wiring, queues, services, books))
    }

    fn of(
        role: Role,
        wiring: Wiring,
        queues: Queues,
        services: Vec<Box<dyn Part>>,
        mut files: Vec<sqlite::Database>,
    ) -> Self {
        if let Databases::File(database) = &wiring.databases {
            files.push(database.clone());
        }
        Self {
            role,
            settings: wiring.settings,
            databases: wiring.databases,
            queues,
            services,
            peers: Vec::new(),
            files,
            clock: wiring.clock,
            http: HttpMetrics::default(),
        }
    }

    /// Takes up what an earlier run left, starts workers and dispatchers, and listens, until `shutdown`. Then workers and
    /// dispatchers go on until the last request is answered: it may wait for what they do.
    ///
    /// # Errors
    /// A store that does not answer, a seed that made none of the stored addresses, an address in use.
    pub async fn start(self, shutdown: &Shutdown) -> anyhow::Result<Listening> {
        for service in &self.services {
            service.take_up(self.clock.now()).await?;
        }
        // Bound before anything runs: a second process on the same ports ends without having done a thing.
        let sockets = listeners::bind(self.role, &self.settings).await?;
        for file in self.files.clone() {
            let stop = shutdown.token();
            shutdown.spawn("a database", async move {
                tokio::select! {
                    error = file.failure() => Err(error),
                    () = stop.cancelled() => Ok(()),
                }
            });
        }
        // While all of it is there.
        let (metrics, (public, internal)) = (self.metrics(), self.routes());
        let seen = listeners::Seen {
            checks: readiness::checks(&self.databases, &self.queues),
            attention: readiness::attention(&self.databases),
            scrape: metrics.into_scrape(Arc::clone(&self.clock)),
            http: self.http,
        };
        let (work, tasks) = (Shutdown::new(), self.role.tasks());
        for service in self.services {
            service.start(tasks, &work).await?;
        }
        let (listening, served) = listeners::serve_on(sockets, &self.settings, public, internal, seen, shutdown);
        let (drain, queues) = (self.settings.drain_timeout, self.queues);
        shutdown.spawn("work behind the listeners", finish(served, work, queues, drain));
        Ok(listening)
    }

    /// What users may call, and what services and operators may: under each service's name where there are several. A
    /// worker has neither.
    fn routes(&self) -> (Routes, Routes) {
        let (mut public, mut internal) = (Routes::new(), Routes::new());
        if !self.role.tasks().api {
            return (public, internal);
        }
        for service in &self.services {
            public = public.merge(service.public_routes());
            internal = match self.role {
                Role::Everything => internal.nest(service.service(), service.internal_routes()),
                Role::Api(_) | Role::Worker(_) => internal.merge(service.internal_routes()),
            };
        }
        (public, internal)
    }
}

/// Lets the work go on until all is `served`, and the queues know of all that was done.
async fn finish(
    served: tokio_util::sync::CancellationToken,
    work: Shutdown,
    queues: Queues,
    drain: Duration,
) -> Result<(), service_kit::shutdown::ShutdownError> {
    tokio::select! {
        () = served.cancelled() => work.request(),
        // One of its tasks has broken: the process ends with it, and says which.
        () = work.token().cancelled_owned() => {}
    }
    let ended = work.wait(drain).await;
    queues.close(drain).await;
    ended
}
