//! The way to the internal listener, and what its refusals mean to whoever sits at the terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use contracts::ServiceName;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use service_kit::settings::Settings;

/// How long an answer is waited for; a deposit's may take as long as its booking is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer that is no refusal.
pub(super) struct Answer {
    /// Its body.
    pub(super) body: Value,
    /// Whether it is that of an earlier request.
    pub(super) replayed: bool,
    /// Its status.
    pub(super) status: StatusCode,
}

/// An operator at a running Cambist.
pub(super) struct Client {
    /// Where all services are, each under its name.
    base: String,
    /// Where one is that runs apart, with its routes at the root.
    apart: BTreeMap<ServiceName, String>,
    token: String,
    http: reqwest::Client,
}

impl Client {
    /// At `url`, or else where the settings have each service, and this machine's internal listener for those that are not
    /// apart; with the token of the settings.
    pub(super) fn try_new(settings: &Settings, url: Option<&String>) -> anyhow::Result<Self> {
        let base = url.map_or_else(
            || format!("http://{}", settings.internal_listen),
            |url| url.trim_end_matches('/').to_owned(),
        );
        let apart = match url {
            Some(_) => BTreeMap::new(),
            None => addresses(settings),
        };
        Ok(Self {
            base,
            apart,
            token: token(settings)?,
            // The token is for this listener alone, not for a proxy that the environment names.
            http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
        })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let (base, path) = self.place(path);
        let mut request = self
            .http
            .request(method, format!("{base}{path}"))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| unanswered(base, &error))?;
        let status = response.status();
        let replayed = response
            .headers()
            .get("idempotency-replayed")
            .is_some_and(|value| value == "true");
        let text = response.text().await.map_err(|error| unanswered(base, &error))?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() && !body.is_null() {
            return Ok(Answer { body, replayed, status });
        }
        Err(refused(base, status, &body))
    }

    /// Where the service of a path is, whose first part is its name, and the path there.
    fn place<'a>(&'a self, path: &'a str) -> (&'a str, &'a str) {
        let rest = path.trim_start_matches('/');
        let name = rest.split(['/', '?']).next().unwrap_or_default();
        match name
            .parse()
            .ok()
            .and_then(|service: ServiceName| self.apart.get(&service))
        {
            Some(base) => (base, &rest[name.len()..]),
            None => (&self.base, path),
        }
    }
}

/// The services that run apart, by the settings.
fn addresses(settings: &Settings) -> BTreeMap<ServiceName, String> {
    let known = [
        (ServiceName::Auth, &settings.auth_url),
        (ServiceName::Balance, &settings.balance_url),
        (ServiceName::Exchanger, &settings.exchanger_url),
        (ServiceName::BcGateway, &settings.bc_gateway_url),
        (ServiceName::Notification, &settings.notification_url),
        (ServiceName::Wallet, &settings.wallet_url),
    ];
    let given = known
        .into_iter()
        .filter_map(|(service, url)| Some((service, url.as_ref()?.to_string())));
    given.collect()
}

/// No answer says nothing about what was done; repeating is safe.
fn unanswered(base: &str, error: &reqwest::Error) -> anyhow::Error {
    if error.is_builder() {
        anyhow!("{base} is no address; --url takes one like http://127.0.0.1:8001")
    } else if error.is_connect() {
        anyhow!(
            "nothing answers at {base}; start `cambist up`, or name its internal listener with --url or \
             CAMBIST_INTERNAL_LISTEN"
        )
    } else {
        anyhow!("no answer from {base} ({error}); whether it was done is not known: repeat it, that is safe")
    }
}

fn refused(base: &str, status: StatusCode, body: &Value) -> anyhow::Error {
    if body["code"].is_null() {
        return anyhow!("{base} answers {status}, and not as Cambist does; is this its internal listener?");
    }
    match status {
        StatusCode::UNAUTHORIZED => anyhow!(
            "{base} does not know this token; take the one that it was started with (internal_tokens, or \
             internal_token in its data directory)"
        ),
        StatusCode::FORBIDDEN => anyhow!(
            "this token is not an operator's ({}); use one that internal_tokens lists as operator:NAME",
            body["detail"].as_str().unwrap_or_default()
        ),
        StatusCode::SERVICE_UNAVAILABLE => {
            anyhow!(
                "{}; whether it was done is not known: repeat it, that is safe",
                told(body)
            )
        }
        _ => anyhow!("{}", told(body)),
    }
}

/// A problem in one line.
fn told(body: &Value) -> String {
    let mut line = body["title"].as_str().unwrap_or("refused").to_owned();
    if let Some(detail) = body["detail"].as_str() {
        line = format!("{line}: {detail}");
    }
    for error in body["errors"].as_array().into_iter().flatten() {
        let field = error["pointer"].as_str().unwrap_or_default().trim_start_matches('/');
        let detail = error["detail"].as_str().unwrap_or_default();
        line = if field.is_empty() {
            format!("{line}: {detail}")
        } else {
            format!("{line}: {field}: {detail}")
        };
    }
    line
}

/// The token of the settings, or the one that `up` made in the data directory.
fn token(settings: &Settings) -> anyhow::Result<String> {
    if let Some(token) = &settings.internal_token {
        return Ok(token.expose().to_owned());
    }
    let path = settings.data_dir.join("internal_token");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no token: {} cannot be read; run this where `cambist up` keeps its data, name that with --data-dir, or set \
             CAMBIST_INTERNAL_TOKEN",
            path.display()
        )
    })?;
    let token = text.trim();
    if token.is_empty() {
        bail!("{} is empty; set CAMBIST_INTERNAL_TOKEN", path.display());
    }
    Ok(token.to_owned())
}
