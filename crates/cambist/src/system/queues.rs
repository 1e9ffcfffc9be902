//! The queues: inside this process, or on NATS between several.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use contracts::messages::Queue;
use contracts::{Clock, Entropy};
use service_kit::metrics::{Family, Registry};
use service_kit::settings::Settings;
use storage::letters::DeadLetterStore;
use transport::local::LocalTransport;
use transport::metrics::TransportMetrics;
use transport::nats::{Bounds, Credentials, NatsParts, NatsSettings, NatsTransport, Tls};
use transport::queue::Transport;

const QUEUED: Family = Family::gauge(
    "cambist_queue_messages",
    &["queue"],
    "Wake-ups and results that wait in a queue of this process. The truth is in the tables; a queue may be empty.",
);
const NATS_MESSAGES: Family = Family::counter(
    "cambist_nats_messages_total",
    &["outcome"],
    "Messages that this process and the NATS server handed each other: `published`, `refused` (not published as far as is \
     known; they stay in the outbox), `taken`, `redelivered` (taken again), `settled`, `dead` (not to be read).",
);
const NATS_IN_HAND: Family = Family::gauge(
    "cambist_nats_messages_in_hand",
    &[],
    "Messages that this process has taken and not yet settled.",
);
const NATS_REBUILT: Family = Family::counter(
    "cambist_nats_consumers_rebuilt_total",
    &[],
    "How often a consumer was missing or stood still and was made again.",
);

/// What is shown where the queues are on a server.
pub(super) static OF_NATS: [&Family; 3] = [&NATS_MESSAGES, &NATS_IN_HAND, &NATS_REBUILT];

/// How many servers may keep a queue, at most.
const MAX_REPLICAS: u32 = 5;

/// The queues of this process. Clones are the same.
#[derive(Clone)]
pub enum Queues {
    /// Channels, and what stands before them.
    Local(Arc<LocalTransport>, Arc<dyn Transport>),
    /// Streams on a server.
    Nats(Arc<NatsTransport>, Arc<TransportMetrics>),
}

impl Queues {
    /// Channels of the settings' capacity.
    #[must_use]
    pub fn local(settings: &Settings) -> Self {
        let channels = Arc::new(LocalTransport::new(settings.queue_capacity.get()));
        Self::Local(channels.clone(), channels)
    }

    /// The same channels, seen by senders and listeners through what `stand_before` puts there: for tests that disturb them.
    #[must_use]
    pub fn through(self, stand_before: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>) -> Self {
        match self {
            Self::Local(channels, transport) => Self::Local(channels, stand_before(transport)),
            nats @ Self::Nats(..) => nats,
        }
    }

    /// Streams on the server at `url`, for a process called `name` that leaves what it cannot read in `letters`. Waits for
    /// a server that is not there yet, as long as the settings say.
    pub(super) async fn nats(
        url: &str,
        name: String,
        settings: &Settings,
        letters: Arc<dyn DeadLetterStore>,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> anyhow::Result<Self> {
        let metrics: Arc<TransportMetrics> = Arc::default();
        let parts = NatsParts {
            letters,
            clock,
            entropy,
            metrics: Arc::clone(&metrics),
        };
        let transport = NatsTransport::connect(nats_settings(url, name, settings)?, parts).await?;
        Ok(Self::Nats(Arc::new(transport), metrics))
    }

    pub(super) fn transport(&self) -> Arc<dyn Transport> {
        match self {
            Self::Local(_, transport) => Arc::clone(transport),
            Self::Nats(streams, _) => streams.clone(),
        }
    }

    /// Tells the server what became of all that was taken, when nobody takes any more.
    pub(super) async fn close(&self, patience: Duration) {
        if let Self::Nats(streams, _) = self
            && !streams.close(patience).await
        {
            tracing::warn!("NATS was not told of all that is done; it delivers that again");
        }
    }

    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        match self {
            Self::Local(channels, _) => {
                for queue in Queue::ALL {
                    let channels = Arc::clone(channels);
                    registry.value(&QUEUED, &[queue.as_str()], move || {
                        u64::try_from(channels.waiting(queue)).unwrap_or(u64::MAX)
                    });
                }
            }
            Self::Nats(_, metrics) => register_nats(registry, metrics),
        }
    }
}

fn register_nats(registry: &mut Registry, metrics: &Arc<TransportMetrics>) {
    let mut show = |outcome: &str, count: fn(&TransportMetrics) -> u64| {
        let metrics = Arc::clone(metrics);
        registry.value(&NATS_MESSAGES, &[outcome], move || count(&metrics));
    };
    show("published", |metrics| metrics.published.get());
    show("refused", |metrics| metrics.refused.get());
    show("taken", |metrics| metrics.taken.get());
    show("redelivered", |metrics| metrics.redelivered.get());
    show("settled", |metrics| metrics.settled.get());
    show("dead", |metrics| metrics.dead.get());
    let of = Arc::clone(metrics);
    registry.value(&NATS_IN_HAND, &[], move || of.in_hand());
    let of = Arc::clone(metrics);
    registry.value(&NATS_REBUILT, &[], move || of.rebuilt.get());
}

fn nats_settings(url: &str, name: String, settings: &Settings) -> anyhow::Result<NatsSettings> {
    let replicas = settings.nats_replicas.get();
    ensure!(
        replicas <= MAX_REPLICAS,
        "nats_replicas: at most {MAX_REPLICAS} servers keep a queue"
    );
    let (url, in_url) = apart_from_secrets(url);
    let credentials = match &settings.nats_credentials_file {
        Some(path) => Credentials::File(path.clone()),
        None => in_url,
    };
    Ok(NatsSettings {
        name,
        credentials,
        tls: Tls {
            authorities: settings.nats_ca_file.clone(),
            ..Tls::default()
        },
        patience: settings.start_patience,
        bounds: Bounds {
            replicas: u8::try_from(replicas).unwrap_or(1),
            ..Bounds::default()
        },
        ..NatsSettings::new(url)
    })
}

/// The addresses without who we are there, and who we are: what the first address that says so says.
fn apart_from_secrets(url: &str) -> (String, Credentials) {
    let mut who = Credentials::Nobody;
    let addresses = url.split(',').map(|address| {
        let address = address.trim();
        let Some((scheme, rest)) = address.split_once("://") else {
            return address.to_owned();
        };
        let Some((user, host)) = rest.rsplit_once('@') else {
            return address.to_owned();
        };
        if matches!(who, Credentials::Nobody) {
            who = match user.split_once(':') {
                Some((name, password)) => Credentials::User {
                    name: name.to_owned(),
                    password: password.to_owned(),
                },
                None => Credentials::Token(user.to_owned()),
            };
        }
        format!("{scheme}://{host}")
    });
    let addresses = addresses.collect::<Vec<_>>().join(",");
    (addresses, who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_we_are_is_taken_out_of_the_addresses() {
        let said = |url| match apart_from_secrets(url) {
            (url, Credentials::User { name, password }) => (url, format!("{name} {password}")),
            (url, Credentials::Token(token)) => (url, token),
            (url, Credentials::Nobody | Credentials::File(_)) => (url, String::new()),
        };
        let plain = |url: &str, who: &str| (url.to_owned(), who.to_owned());
        assert_eq!(said("nats://nats:4222"), plain("nats://nats:4222", ""));
        assert_eq!(
            said("nats://ann:s3@cret@nats:4222"),
            plain("nats://nats:4222", "ann s3@cret")
        );
        assert_eq!(said("nats://token@nats:4222"), plain("nats://nats:4222", "token"));
        assert_eq!(
            said("tls://ann:a@one:4222, tls://ann:a@two:4222"),
            plain("tls://one:4222,tls://two:4222", "ann a")
        );
        assert_eq!(said("nonsense"), plain("nonsense", ""));
    }
}
