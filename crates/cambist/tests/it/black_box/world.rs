//! A world to tell stories in: Cambist as somebody runs it, seen from outside.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use serde_json::Value;
use test_kit::api::{Answer, Api};
use test_kit::waiting::{PATIENCE, eventually};
use test_servers::cluster::{Cluster, Node, OPERATOR_TOKEN, Service, Setup, Tables, token_of};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cambist");

/// `cambist up` on its embedded database.
pub(crate) fn one_process_on_a_file() -> Setup {
    of_tests(Setup::one_process(PROGRAM, Tables::File))
}

/// `cambist up` on a PostgreSQL server.
pub(crate) fn one_process_on_postgresql() -> Setup {
    of_tests(Setup::one_process(PROGRAM, Tables::Shared))
}

/// Each service on its own.
pub(crate) fn ten_processes() -> Setup {
    of_tests(Setup::ten_processes(PROGRAM, Tables::Shared))
}

/// What is lost on the way is looked for soon, and tokens last as long as any test.
pub(crate) fn of_tests(setup: Setup) -> Setup {
    setup.with("sweep_interval", "200ms").with("token_ttl", "2h")
}

/// Cambist, running.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
}

impl World {
    pub(crate) fn begin(setup: Setup) -> Self {
        let cluster = Cluster::start(setup).unwrap_or_else(|why| panic!("{why}"));
        Self { cluster }
    }

    /// The public API, wherever its parts are.
    pub(crate) fn api(&self) -> Api {
        Api::apart(self.cluster.public(Service::Auth), self.cluster.public(Service::Wallet))
    }

    /// A request to the internal side of a service, with this token if any.
    pub(crate) async fn internally(
        &self,
        service: Service,
        (method, path): (Method, &str),
        body: Option<Value>,
        token: Option<&str>,
    ) -> Answer {
        let api = Api::new(self.cluster.internal(service));
        let mut request = api.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        api.send(request).await.unwrap()
    }

    /// What an operator asks of a service: GET without a body, POST with one.
    pub(crate) async fn operator(&self, service: Service, path: &str, body: Option<Value>) -> Answer {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        self.internally(service, (method, path), body, Some(&self.operators_token()))
            .await
    }

    /// What an operator shows.
    pub(crate) fn operators_token(&self) -> String {
        OPERATOR_TOKEN.to_owned()
    }

    /// What a service shows to those whom it calls.
    pub(crate) fn token_of(&self, service: Service) -> String {
        token_of(service)
    }

    /// The mail about an order, when it has come.
    pub(crate) async fn mail_about(&self, order: i64) -> String {
        let path = self.mail().join(format!("order-{order}.eml"));
        eventually(PATIENCE, "a mail", async || std::fs::read_to_string(&path)).await
    }

    pub(crate) fn mail(&self) -> PathBuf {
        self.cluster.mail()
    }

    /// `cambist audit` finds nothing; its report.
    pub(crate) async fn audited(&self) -> Value {
        let mut command = self.cluster.command(&["audit", "--json"]);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{report}{errors}");
        serde_json::from_str(&report).unwrap()
    }

    /// The process whose settings say how the world outside behaves.
    pub(crate) fn outside(&self) -> Node {
        let nodes = self.cluster.nodes();
        if nodes.contains(&Node::SIMULATE) {
            Node::SIMULATE
        } else {
            Node::UP
        }
    }

    /// No process has met a bug that it knows of.
    pub(crate) fn assert_no_panic(&self) {
        for node in self.cluster.nodes() {
            let log = self.cluster.log(node);
            assert!(!log.contains("panicked"), "{node}: {log}");
        }
    }
}

/// A world that several tests of one process share: the first comes upon nothing and makes it, the last takes it down.
pub(crate) struct Shared {
    setup: fn() -> Setup,
    stories: usize,
    state: Mutex<(Option<Arc<World>>, usize)>,
}

impl Shared {
    pub(crate) const fn new(setup: fn() -> Setup, stories: usize) -> Self {
        Self {
            setup,
            stories,
            state: Mutex::new((None, 0)),
        }
    }

    pub(crate) fn visit(&'static self) -> Visit {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let world = match &state.0 {
            Some(world) => Arc::clone(world),
            None => Arc::new(World::begin((self.setup)())),
        };
        state.0 = Some(Arc::clone(&world));
        Visit { shared: self, world }
    }
}

/// A story's stay in a world.
pub(crate) struct Visit {
    shared: &'static Shared,
    world: Arc<World>,
}

impl Visit {
    pub(crate) fn world(&self) -> &World {
        &self.world
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 += 1;
        if state.1 == self.shared.stories {
            state.0 = None;
        }
    }
}
