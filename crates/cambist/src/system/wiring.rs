//! Each service with its stores, its ports and its settings: one method a service, so that what it gets can be read.

use std::sync::Arc;

use bc_gateway::Custody;
use bc_gateway::ports::Chain;
use contracts::clients::{Auth, Balance, BcGateway, Exchanger, Notification};
use contracts::operators::DeadLetters;
use contracts::{Clock, Entropy};
use exchanger::ports::Venue;
use notification::ports::Mailer;
use service_kit::auth::TokenVerifier;
use service_kit::http::RateLimit;
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use service_kit::operators::dead_letter_routes;
use service_kit::settings::Settings;
use transport::queue::Transport;

use super::databases::Databases;
use super::part::{Commanded, Sending};
use super::stores::{AuthStores, CommandStores, WalletStores};
use super::translate;

/// What all services have in common.
pub(super) struct Wiring {
    pub(super) settings: Settings,
    pub(super) databases: Databases,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) tokens: Arc<InternalTokens>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// Whom the wallet calls.
pub(super) struct Neighbours {
    pub(super) auth: Arc<dyn Auth>,
    pub(super) balance: Arc<dyn Balance>,
    pub(super) exchanger: Arc<dyn Exchanger>,
    pub(super) bc_gateway: Arc<dyn BcGateway>,
    pub(super) notification: Arc<dyn Notification>,
}

impl Wiring {
    fn letters(&self, letters: Arc<dyn DeadLetters>) -> Routes {
        dead_letter_routes(letters, Arc::clone(&self.clock), &self.tokens)
    }

    fn capacity(&self) -> usize {
        self.settings.queue_capacity.get()
    }

    pub(super) fn auth(&self) -> auth::Service {
        let AuthStores { users, keys, failures } = self.databases.auth();
        let hasher = auth::Argon2Pool::new(translate::hashing(&self.settings), Arc::clone(&self.entropy));
        let rate_limit = RateLimit::per_minute(self.settings.requests_per_minute, Arc::clone(&self.clock));
        auth::Service::new(auth::Dependencies {
            users,
            keys,
            failures,
            hasher: Arc::new(hasher),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            rate_limit: Arc::new(rate_limit),
            internal_tokens: Arc::clone(&self.tokens),
            settings: translate::auth(&self.settings),
        })
    }

    pub(super) fn balance(&self) -> balance::Service {
        balance::Service::new(balance::Dependencies {
            ledger: self.databases.ledger(),
            clock: Arc::clone(&self.clock),
            internal_tokens: Arc::clone(&self.tokens),
        })
    }

    pub(super) fn exchanger(&self, balance: Arc<dyn Balance>, venue: Arc<dyn Venue>) -> Commanded<exchanger::Service> {
        let times = translate::command_times(&self.settings);
        let (stores, installation) = self.databases.exchanger(times, self.capacity());
        self.commanded(stores, |stores| {
            exchanger::Service::new(exchanger::Dependencies {
                commands: Arc::clone(&stores.commands),
                installation,
                outbox: Arc::clone(&stores.outbox),
                balance,
                venue,
                transport: Arc::clone(&self.transport),
                internal_tokens: Arc::clone(&self.tokens),
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                settings: translate::exchanger(&self.settings),
            })
        })
    }

    pub(super) fn bc_gateway(
        &self,
        balance: Arc<dyn Balance>,
        chain: Arc<dyn Chain>,
        custody: Custody,
    ) -> Commanded<bc_gateway::Service> {
        let times = translate::command_times(&self.settings);
        let (stores, transfers) = self.databases.bc_gateway(times, self.capacity());
        self.commanded(stores, |stores| {
            bc_gateway::Service::new(bc_gateway::Dependencies {
                commands: Arc::clone(&stores.commands),
                transfers,
                outbox: Arc::clone(&stores.outbox),
                balance,
                chain,
                custody,
                transport: Arc::clone(&self.transport),
                internal_tokens: Arc::clone(&self.tokens),
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                settings: translate::bc_gateway(&self.settings),
            })
        })
    }

    pub(super) fn notification(&self, mailer: Arc<dyn Mailer>) -> anyhow::Result<Commanded<notification::Service>> {
        let times = translate::command_times(&self.settings);
        let settings = translate::notification(&self.settings)?;
        let stores = self.databases.notification(times, self.capacity());
        Ok(self.commanded(stores, |stores| {
            notification::Service::new(notification::Dependencies {
                commands: Arc::clone(&stores.commands),
                outbox: Arc::clone(&stores.outbox),
                transport: Arc::clone(&self.transport),
                mailer,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                internal_tokens: Arc::clone(&self.tokens),
                settings,
            })
        }))
    }

    pub(super) fn wallet(&self, neighbours: Neighbours) -> Sending<wallet::Service> {
        let WalletStores {
            orders,
            deposits,
            freezes,
            keys,
            outbox,
            rows,
            letters,
        } = self.databases.wallet(self.capacity());
        let Neighbours {
            auth,
            balance,
            exchanger,
            bc_gateway,
            notification,
        } = neighbours;
        let settings = &self.settings;
        let verifier = TokenVerifier::new(
            Arc::clone(&auth),
            Arc::clone(&self.clock),
            &settings.token_issuer,
            &settings.token_audience,
            settings.token_cache,
        );
        let service = wallet::Service::new(wallet::Dependencies {
            orders,
            deposits,
            freezes,
            keys,
            outbox,
            auth,
            balance,
            exchanger,
            bc_gateway,
            notification,
            transport: Arc::clone(&self.transport),
            verifier: Arc::new(verifier),
            internal_tokens: Arc::clone(&self.tokens),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            settings: translate::wallet(settings, self.databases.is_ours_alone()),
        });
        Sending {
            service,
            rows,
            letters: self.letters(letters),
        }
    }

    /// The service that `make` makes of its stores, with what runs beside it.
    fn commanded<S>(&self, stores: CommandStores, make: impl FnOnce(&CommandStores) -> S) -> Commanded<S> {
        let service = make(&stores);
        let CommandStores {
            commands,
            outbox: _,
            rows,
            letters,
        } = stores;
        Commanded {
            sending: Sending {
                service,
                rows,
                letters: self.letters(letters),
            },
            commands,
        }
    }
}
