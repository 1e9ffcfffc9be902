//! The other services as processes of their own: who calls whom (DESIGN 1), by which setting, with which token.

use std::sync::Arc;

use anyhow::Context as _;
use contracts::{Entropy, ServiceName};
use service_kit::metrics::{Family, Registry};
use service_kit::settings::{ServiceUrl, Settings};
use transport::http::failure::FailureKind;
use transport::http::{
    HttpAuth, HttpBalance, HttpBcGateway, HttpExchanger, HttpNotification, Options, Peer, PeerMetrics,
};

use super::wiring::Neighbours;

const REQUESTS: Family = Family::counter(
    "cambist_peer_requests_total",
    &["peer"],
    "Requests that were sent to another service, whatever came of them.",
);
const RETRIES: Family = Family::counter(
    "cambist_peer_retries_total",
    &["peer"],
    "Requests to another service that were sent again.",
);
const FAILURES: Family = Family::counter(
    "cambist_peer_failures_total",
    &["peer", "kind"],
    "Requests to another service that failed, by how.",
);
const OPENED: Family = Family::counter(
    "cambist_peer_circuit_opened_total",
    &["peer"],
    "How often another service was taken to be away, so that nobody was sent there for a while.",
);
const CIRCUIT: Family = Family::gauge(
    "cambist_peer_circuit",
    &["peer"],
    "Whether another service is asked: 0 yes, 1 by one request at a time, 2 no, because it is away.",
);
const ANSWERED: Family = Family::histogram(
    "cambist_peer_answer_duration_seconds",
    &["peer"],
    "How long another service took for its answers.",
)
.in_seconds();

/// What is shown of the ways to other services.
pub(super) static OF_PEERS: [&Family; 6] = [&REQUESTS, &RETRIES, &FAILURES, &OPENED, &CIRCUIT, &ANSWERED];

/// The ways to other services. What it makes is registered, for the metrics.
pub(super) struct Peers<'a> {
    settings: &'a Settings,
    entropy: &'a Arc<dyn Entropy>,
    made: Vec<(ServiceName, Arc<PeerMetrics>)>,
}

impl<'a> Peers<'a> {
    pub(super) const fn new(settings: &'a Settings, entropy: &'a Arc<dyn Entropy>) -> Self {
        Self {
            settings,
            entropy,
            made: Vec::new(),
        }
    }

    /// The ledger, for exchanger and bc_gateway.
    pub(super) fn balance(&mut self) -> anyhow::Result<Arc<HttpBalance>> {
        let peer = self.peer(ServiceName::Balance, "balance_url", self.settings.balance_url.as_ref())?;
        Ok(Arc::new(HttpBalance(peer)))
    }

    /// All whom the wallet calls.
    pub(super) fn of_the_wallet(&mut self) -> anyhow::Result<Neighbours> {
        let settings = self.settings;
        let auth = self.peer(ServiceName::Auth, "auth_url", settings.auth_url.as_ref())?;
        let exchanger = self.peer(ServiceName::Exchanger, "exchanger_url", settings.exchanger_url.as_ref())?;
        let bc_gateway = self.peer(
            ServiceName::BcGateway,
            "bc_gateway_url",
            settings.bc_gateway_url.as_ref(),
        )?;
        let url = settings.notification_url.as_ref();
        let notification = self.peer(ServiceName::Notification, "notification_url", url)?;
        Ok(Neighbours {
            auth: Arc::new(HttpAuth(auth)),
            balance: self.balance()?,
            exchanger: Arc::new(HttpExchanger(exchanger)),
            bc_gateway: Arc::new(HttpBcGateway(bc_gateway)),
            notification: Arc::new(HttpNotification(notification)),
        })
    }

    /// What is counted of the ways that were made.
    pub(super) fn into_metrics(self) -> Vec<(ServiceName, Arc<PeerMetrics>)> {
        self.made
    }

    fn peer(&mut self, service: ServiceName, setting: &str, url: Option<&ServiceUrl>) -> anyhow::Result<Peer> {
        let url = url.with_context(|| {
            format!("{setting} is empty: write where {service} listens internally, like http://{service}:8001")
        })?;
        let token = self.settings.internal_token.as_ref().with_context(|| {
            format!("internal_token is empty: write the token with which this process calls {service}")
        })?;
        // A connection must not meet a peer that closes it for having been idle.
        let usual = Options::default();
        let options = Options {
            idle_for: usual.idle_for.min(self.settings.header_timeout * 2 / 3),
            ..usual
        };
        let peer = Peer::try_new(service, url.as_str(), token.expose(), options, Arc::clone(self.entropy))
            .with_context(|| setting.to_owned())?;
        self.made.push((service, Arc::clone(peer.metrics())));
        Ok(peer)
    }
}

pub(super) fn register_metrics(registry: &mut Registry, service: ServiceName, metrics: &Arc<PeerMetrics>) {
    let peer = service.as_str();
    let mut show = |family: &'static Family, count: fn(&PeerMetrics) -> u64| {
        let metrics = Arc::clone(metrics);
        registry.value(family, &[peer], move || count(&metrics));
    };
    show(&REQUESTS, |peer| peer.requests.get());
    show(&RETRIES, |peer| peer.retries.get());
    show(&OPENED, |peer| peer.opened.get());
    show(&CIRCUIT, PeerMetrics::circuit);
    for kind in FailureKind::ALL {
        let metrics = Arc::clone(metrics);
        registry.value(&FAILURES, &[peer, kind.as_str()], move || metrics.failures(kind));
    }
    let metrics = Arc::clone(metrics);
    registry.distribution(&ANSWERED, &[peer], move || metrics.answered.distribution());
}
