//! The settings of each process: what it needs to do its work, and nothing that another needs.

use std::collections::BTreeMap;

use super::{Cluster, Kind, Node, Service};

/// The operator who may call every internal listener, as logs name them.
pub const OPERATOR: &str = "ann";
/// Their token.
pub const OPERATOR_TOKEN: &str = "the-token-of-an-operator-in-tests";
/// Where the keys that hold coins come from: known to who signs, and to who plays the chain.
const CHAIN_SEED: &str = "a seed of thirty-two bytes or more, for tests only";

/// The token that a service shows to those whom it calls.
#[must_use]
pub fn token_of(service: Service) -> String {
    format!("the-token-of-{}-in-tests", service.name())
}

impl Cluster {
    /// What a process is told.
    pub(super) fn environment(&self, node: Node) -> BTreeMap<String, String> {
        let mut told = BTreeMap::from([
            ("listen".to_owned(), self.ports.public(node).to_string()),
            ("internal_listen".to_owned(), self.ports.internal(node).to_string()),
            ("data_dir".to_owned(), self.data(node).display().to_string()),
            ("internal_tokens".to_owned(), callers(node)),
            ("log".to_owned(), "warn".to_owned()),
            ("requests_per_minute".to_owned(), "0".to_owned()),
        ]);
        let mut tell = |name: &str, value: String| told.insert(name.to_owned(), value);
        match node.kind {
            Kind::Up => {
                if let Some(url) = self.database.url() {
                    tell("database_url", url);
                }
                tell("internal_token", token_of_nobody());
            }
            Kind::Simulate => {
                tell("chain_seed", CHAIN_SEED.to_owned());
            }
            Kind::Serve(service) | Kind::Work(service) => {
                if let Some(url) = self.database.url_of(service) {
                    tell("database_url", url);
                }
                if let Some(nats) = self.nats.as_ref().filter(|_| Service::WITH_WORKER.contains(&service)) {
                    tell("nats_url", nats.url());
                }
                for peer in service.calls().iter().copied() {
                    tell(&format!("{}_url", peer.name()), self.peer(node, Node::serve(peer)));
                }
                if !service.calls().is_empty() {
                    tell("internal_token", token_of(service));
                }
                match service {
                    Service::Wallet => {
                        tell("deposits", "self".to_owned());
                    }
                    Service::Exchanger => {
                        tell("venue_url", format!("{}/venue", self.peer(node, Node::SIMULATE)));
                    }
                    Service::BcGateway => {
                        tell("chain_url", format!("{}/chain", self.peer(node, Node::SIMULATE)));
                        tell("chain_seed", CHAIN_SEED.to_owned());
                    }
                    Service::Auth | Service::Balance | Service::Notification => {}
                }
            }
        }
        told.extend(self.setup.settings.clone());
        as_variables(told)
    }

    /// What an operator tells the program: where the books are, and where whom to ask.
    pub(super) fn operators_environment(&self) -> BTreeMap<String, String> {
        let mut told = BTreeMap::from([
            ("data_dir".to_owned(), self.data(Node::UP).display().to_string()),
            ("internal_token".to_owned(), OPERATOR_TOKEN.to_owned()),
        ]);
        if let Some(url) = self.database.url() {
            told.insert("database_url".to_owned(), url);
        }
        let up = self.setup.nodes.contains(&Node::UP);
        if up {
            told.insert("internal_listen".to_owned(), self.ports.internal(Node::UP).to_string());
        } else {
            for service in Service::ALL {
                told.insert(format!("{}_url", service.name()), self.internal(service));
            }
        }
        as_variables(told)
    }

    /// Where `node` finds `other`: the replica of its own number, where there is one.
    fn peer(&self, node: Node, other: Node) -> String {
        let beside = Node {
            replica: node.replica,
            ..other
        };
        let there = self.setup.nodes.contains(&beside);
        self.internal_of(if there { beside } else { other })
    }
}

fn as_variables(told: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let name = |setting: String| format!("CAMBIST_{}", setting.to_uppercase());
    let mut variables: BTreeMap<String, String> = told
        .into_iter()
        .map(|(setting, value)| (name(setting), value))
        .collect();
    variables.insert("RUST_BACKTRACE".to_owned(), "1".to_owned());
    variables
}

/// What `up` would make for itself at its first start.
fn token_of_nobody() -> String {
    "the-token-of-nobody-in-tests".to_owned()
}

/// Who may call a process: an operator, and the services that have a reason.
fn callers(node: Node) -> String {
    let mut callers = vec![format!("operator:{OPERATOR}={OPERATOR_TOKEN}")];
    let asks = |service: Service| match node.kind {
        Kind::Up => true,
        Kind::Simulate => matches!(service, Service::Exchanger | Service::BcGateway),
        Kind::Serve(called) => service.calls().contains(&called),
        Kind::Work(_) => false,
    };
    let services = Service::ALL.into_iter().filter(|service| asks(*service));
    callers.extend(services.map(|service| format!("{}={}", service.name(), token_of(service))));
    callers.join(",")
}
