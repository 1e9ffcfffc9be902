//! The world that was started from the manifests, as whoever started it describes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use test_kit::api::{Answer, Api};
use test_kit::waiting::{PATIENCE, eventually};
use test_servers::cluster::Service;
use tokio::process::Command;

/// The variable with the file that describes it.
const DESCRIBED_IN: &str = "CAMBIST_TEST_WORLD";

/// Where everything is. Services are named as in commands: `bc_gateway`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct World {
    /// The public routes of `auth` and of `wallet`, apart.
    public: BTreeMap<String, String>,
    /// The internal routes of each service.
    internal: BTreeMap<String, String>,
    /// What the operator and each service shows.
    tokens: BTreeMap<String, String>,
    /// The folder where mails arrive.
    mail: PathBuf,
    audit: Audit,
}

/// How the books are audited.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Audit {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn read() -> Self {
        let file = std::env::var_os(DESCRIBED_IN)
            .unwrap_or_else(|| panic!("{DESCRIBED_IN} is not set; run `cargo xtask test --only processes`"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// The public API, wherever its parts are.
    pub(crate) fn api(&self) -> Api {
        Api::apart(&self.public["auth"], &self.public["wallet"])
    }

    /// A request to the internal side of a service, with this token if any.
    pub(crate) async fn internally(
        &self,
        service: Service,
        (method, path): (Method, &str),
        body: Option<Value>,
        token: Option<&str>,
    ) -> Answer {
        let api = Api::new(&self.internal[service.name()]);
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
        self.tokens["operator"].clone()
    }

    /// What a service shows to those whom it calls.
    pub(crate) fn token_of(&self, service: Service) -> String {
        self.tokens[service.name()].clone()
    }

    /// The mail about an order, when it has come.
    pub(crate) async fn mail_about(&self, order: i64) -> String {
        let path = self.mail.join(format!("order-{order}.eml"));
        eventually(PATIENCE, "a mail", async || std::fs::read_to_string(&path)).await
    }

    /// The audit finds nothing.
    pub(crate) async fn audited(&self) {
        let audit = Command::new(&self.audit.program)
            .args(&self.audit.arguments)
            .env_clear()
            .envs(&self.audit.environment)
            .stdin(Stdio::null())
            .output();
        let output = audit.await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
