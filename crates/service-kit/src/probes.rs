//! What a supervisor asks: `/livez` (restart me?), `/readyz` (send me requests?), `/health` (for people).
//!
//! They need no token and say little: which check fails, not why; why is in the log. They are merged beside the
//! guarded routes, so that a full service is busy, not dead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use futures::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::openapi::{Routes, routes};

/// How long one check may take. Probes have short patience themselves.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Something a service cannot work without.
#[async_trait]
pub trait Check: Send + Sync {
    /// Whether it answers right now. Reads only; called often; given up after two seconds.
    ///
    /// # Errors
    /// What is wrong, for the log.
    async fn check(&self) -> Result<(), String>;
}

/// Something that waits for a person. Nothing is wrong with the process for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Concern {
    /// What waits: `stuck orders`, `dead letters of wallet`.
    pub what: String,
    /// How many of it.
    pub count: u64,
    /// The command that helps: `cambist ops sagas --state stuck`.
    pub help: String,
}

/// Knows what waits for a person.
#[async_trait]
pub trait Attention: Send + Sync {
    /// All of it, and nothing that nobody has to do anything about. Reads only; given up after two seconds.
    ///
    /// # Errors
    /// Why it cannot be known, for the log.
    async fn concerns(&self) -> Result<Vec<Concern>, String>;
}

/// The probes of one process.
#[derive(Clone)]
pub struct Probes(Arc<Parts>);

struct Parts {
    version: &'static str,
    stopping: CancellationToken,
    checks: Vec<(&'static str, Arc<dyn Check>)>,
    attention: Option<Arc<dyn Attention>>,
}

impl Probes {
    /// Probes that report `version` and these named checks, and are not ready any more once `stopping` is cancelled.
    #[must_use]
    pub fn new(
        version: &'static str,
        stopping: CancellationToken,
        checks: Vec<(&'static str, Arc<dyn Check>)>,
    ) -> Self {
        Self(Arc::new(Parts {
            version,
            stopping,
            checks,
            attention: None,
        }))
    }

    /// The same probes, whose `/health` also says what waits for a person, and which command helps.
    #[must_use]
    pub fn with_attention(self, attention: Arc<dyn Attention>) -> Self {
        let Parts {
            version,
            stopping,
            checks,
            attention: _,
        } = &*self.0;
        Self(Arc::new(Parts {
            version,
            stopping: stopping.clone(),
            checks: checks.clone(),
            attention: Some(attention),
        }))
    }

    /// `/livez`, `/readyz` and `/health`.
    pub fn into_routes(self) -> Routes {
        Routes::new()
            .with(routes!(livez))
            .with(routes!(readyz))
            .with(routes!(health))
            .with_state(self)
    }

    /// What waits for a person; none where that cannot be known now.
    async fn concerns(&self) -> Option<Vec<Concern>> {
        let Some(attention) = &self.0.attention else {
            return Some(Vec::new());
        };
        let outcome = tokio::time::timeout(CHECK_TIMEOUT, attention.concerns()).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())));
        outcome
            .inspect_err(|problem| tracing::warn!(problem, "what needs an operator cannot be told"))
            .ok()
    }

    async fn run(&self) -> Vec<(&'static str, bool)> {
        join_all(self.0.checks.iter().map(|(name, check)| async move {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, check.check()).await;
            let problem = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(problem)) => Some(problem),
                Err(_) => Some(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
            };
            if let Some(problem) = &problem {
                tracing::warn!(check = name, problem, "a check fails");
            }
            (*name, problem.is_none())
        }))
        .await
    }
}

/// How a probe is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Probe, examples(json!({"status": "ready"})))]
struct Answer {
    /// `alive`; `ready`, `not_ready` or `stopping`.
    #[schema(pattern = "^(alive|ready|not_ready|stopping)$")]
    status: &'static str,
    /// The checks that fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'static str>,
}

const fn answer(status: &'static str) -> Answer {
    Answer {
        status,
        failing: Vec::new(),
    }
}

/// The state of the process, check by check.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"status": "ok", "version": "0.1.0", "checks": {"database": "ok"}, "needs_operator": []})))]
struct Health {
    /// `ok` or `failing`.
    #[schema(pattern = "^(ok|failing)$")]
    status: &'static str,
    /// The program's.
    version: &'static str,
    /// `ok` or `failing`, by name.
    checks: BTreeMap<&'static str, &'static str>,
    /// What waits for a person; `null` when that cannot be known now.
    needs_operator: Option<Vec<Concern>>,
}

/// Restart me?
///
/// Answers as long as the process can answer at all; if it does not, restart it.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "probes",
    responses((status = 200, description = "No.", body = Answer)))]
async fn livez() -> Json<Answer> {
    Json(answer("alive"))
}

/// Send me requests?
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "probes", responses(
    (status = 200, description = "Yes.", body = Answer),
    (status = 503, description = "No: it is stopping, or something it needs does not answer.", body = Answer),
))]
async fn readyz(State(probes): State<Probes>) -> (StatusCode, Json<Answer>) {
    if probes.0.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(answer("stopping")));
    }
    let checks = probes.run().await;
    let failing: Vec<_> = checks
        .into_iter()
        .filter(|(_, sound)| !sound)
        .map(|(name, _)| name)
        .collect();
    if failing.is_empty() {
        return (StatusCode::OK, Json(answer("ready")));
    }
    let report = Answer {
        status: "not_ready",
        failing,
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(report))
}

/// How are you?
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "probes", responses(
    (status = 200, description = "Every check is sound.", body = Health),
    (status = 503, description = "One is not.", body = Health),
))]
async fn health(State(probes): State<Probes>) -> (StatusCode, Json<Health>) {
    let word = |sound: bool| if sound { "ok" } else { "failing" };
    let checks = probes.run().await;
    let sound = checks.iter().all(|(_, sound)| *sound);
    let status = if sound {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let report = Health {
        status: word(sound),
        version: probes.0.version,
        checks: checks.into_iter().map(|(name, sound)| (name, word(sound))).collect(),
        needs_operator: probes.concerns().await,
    };
    (status, Json(report))
}
