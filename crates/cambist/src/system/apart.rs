//! One service in a process of its own, on PostgreSQL and NATS: its API, or its worker.
//!
//! What each is given is what DESIGN 1 says that it may reach, and nothing else: a setting that is missing is named, with
//! what to write, before anything is connected.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bc_gateway::Custody;
use contracts::{Clock, Entropy, ServiceName};
use service_kit::internal::InternalTokens;
use service_kit::settings::{ServiceUrl, Settings};
use storage::letters::DeadLetterStore;

use super::databases::{Address, Databases};
use super::part::{Part, Tasks};
use super::peers::Peers;
use super::wiring::Wiring;
use super::{Queues, System, outside};

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All services with their workers.
    Everything,
    /// One service's API.
    Api(ServiceName),
    /// One service's worker.
    Worker(ServiceName),
}

impl Role {
    /// The services that have a worker.
    pub const WITH_WORKER: [ServiceName; 4] = [
        ServiceName::Wallet,
        ServiceName::Exchanger,
        ServiceName::BcGateway,
        ServiceName::Notification,
    ];

    /// Whether users may call anything here.
    #[must_use]
    pub const fn is_public(self) -> bool {
        matches!(
            self,
            Self::Everything | Self::Api(ServiceName::Auth | ServiceName::Wallet)
        )
    }

    pub(super) const fn tasks(self) -> Tasks {
        let (api, worker) = match self {
            Self::Everything => (true, true),
            Self::Api(_) => (true, false),
            Self::Worker(_) => (false, true),
        };
        Tasks { api, worker }
    }
}

impl fmt::Display for Role {
    /// The command that starts such a process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("cambist up"),
            Self::Api(service) => write!(f, "cambist serve {service}"),
            Self::Worker(service) => write!(f, "cambist work {service}"),
        }
    }
}

/// What a process that runs one service is made from.
pub struct Apart {
    /// [`Role::Api`] or [`Role::Worker`].
    pub role: Role,
    /// The service of that role.
    pub service: ServiceName,
    /// The settings.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys, tokens, jitter.
    pub entropy: Arc<dyn Entropy>,
}

impl System {
    /// Connects one service to what it needs, and wires it.
    ///
    /// # Errors
    /// In one line: a setting that is missing, a server that is not there or lets nobody in, a schema that is not this
    /// program's.
    pub async fn apart(apart: Apart) -> anyhow::Result<Self> {
        let Apart {
            settings,
            clock,
            entropy,
            ..
        } = &apart;
        let mut peers = Peers::new(settings, entropy);
        let mut files = Vec::new();
        // What can be missing comes before what has to be waited for.
        let (wiring, queues, service): (Wiring, Queues, Box<dyn Part>) = match apart.service {
            ServiceName::Auth => {
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.auth();
                (wiring, queues, Box::new(service))
            }
            ServiceName::Balance => {
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.balance();
                (wiring, queues, Box::new(service))
            }
            ServiceName::Exchanger => {
                let balance = peers.balance()?;
                elsewhere("venue", settings.venue_url.as_ref())?;
                let (venue, books) = outside::venue(settings, clock, entropy)?;
                files.extend(books);
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.exchanger(balance, venue);
                (wiring, queues, Box::new(service))
            }
            ServiceName::BcGateway => {
                let (balance, custody) = (peers.balance()?, custody(settings)?);
                elsewhere("chain", settings.chain_url.as_ref())?;
                let (chain, books) = outside::chain(settings, &custody, clock, entropy)?;
                files.extend(books);
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.bc_gateway(balance, chain, custody);
                (wiring, queues, Box::new(service))
            }
            ServiceName::Notification => {
                let mailer = outside::mailer(settings, entropy.as_ref())?;
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.notification(mailer)?;
                (wiring, queues, Box::new(service))
            }
            ServiceName::Wallet => {
                let neighbours = peers.of_the_wallet()?;
                let (wiring, queues) = apart.connect().await?;
                let service = wiring.wallet(neighbours);
                (wiring, queues, Box::new(service))
            }
        };
        let peers = peers.into_metrics();
        Ok(Self {
            peers,
            ..Self::of(apart.role, wiring, queues, vec![service], files)
        })
    }
}

impl Apart {
    /// Reaches the database and the queues.
    async fn connect(&self) -> anyhow::Result<(Wiring, Queues)> {
        let Self { service, settings, .. } = self;
        let Address::Server(url) = Address::of(settings)? else {
            bail!(
                "database_url leads to a file, which only one process may use; services that run apart need a server: \
                 postgres://user:password@host/name"
            );
        };
        let nats_url = settings.nats_url.as_ref();
        let sends = Role::WITH_WORKER.contains(service);
        if sends && nats_url.is_none() {
            bail!("nats_url is empty: write where the queues are, like nats://nats:4222");
        }
        let tokens = InternalTokens::try_new(settings.internal_tokens.0.iter().cloned())?;
        let databases = Databases::connect(&url, &[*service], settings, &self.entropy).await?;
        let queues = match nats_url.filter(|_| sends) {
            Some(nats_url) => self.queues(nats_url.expose(), databases.buried(*service)).await?,
            // Never used: these services only answer.
            None => Queues::local(settings),
        };
        let wiring = Wiring {
            tokens: Arc::new(tokens),
            transport: queues.transport(),
            settings: settings.clone(),
            databases,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
        };
        Ok((wiring, queues))
    }

    async fn queues(&self, url: &str, letters: Arc<dyn DeadLetterStore>) -> anyhow::Result<Queues> {
        let handed_in = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        Queues::nats(url, self.role.to_string(), &self.settings, letters, handed_in).await
    }
}

/// Refuses a venue or a chain inside this process: the service's other processes would have another one.
fn elsewhere(name: &str, url: Option<&ServiceUrl>) -> anyhow::Result<()> {
    ensure!(
        url.is_some(),
        "{name}_url is empty: write where the {name} is that all processes share, like http://simulators:8001/{name} for \
         `cambist simulate`"
    );
    Ok(())
}

/// The keys that hold coins. Nobody makes a seed here: processes that have different ones would have different wallets.
fn custody(settings: &Settings) -> anyhow::Result<Custody> {
    let seed = settings.chain_seed.as_ref().context(
        "chain_seed is empty: write the secret from which all keys come, the same for every process of bc_gateway",
    )?;
    Custody::try_new(seed.expose().as_bytes()).context("chain_seed")
}
