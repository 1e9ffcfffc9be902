//! What a supervisor asks: `/livez` (restart me?), `/readyz` (send me requests?), `/health` (for people).
//!
//! They need no token and say little: which check fails, not why; why is in the log. They are merged beside the
//! guarded routes, so that a full service is busy, not dead.

use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use async_trait::async_trait;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

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

/// The probes of one process.
#[derive(Clone)]
pub struct Probes(Arc<Parts>);

struct Parts {
    version: &'static str,
    stopping: CancellationToken,
    checks: Vec<(&'static str, Arc<dyn Check>)>,
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
        }))
    }

    /// `/livez`, `/readyz` and `/health`.
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let ready = self.clone();
        Router::new()
            .route("/livez", get(|| async { Json(json!({"status": "alive"})) }))
            .route("/readyz", get(move || ready.readyz()))
            .route("/health", get(move || self.health()))
    }

    async fn readyz(self) -> Response {
        if self.0.stopping.is_cancelled() {
            return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "stopping"}))).into_response();
        }
        let failing: Vec<_> = self
            .run()
            .await
            .into_iter()
            .filter(|(_, sound)| !sound)
            .map(|(name, _)| name)
            .collect();
        if failing.is_empty() {
            Json(json!({"status": "ready"})).into_response()
        } else {
            let report = json!({"status": "not_ready", "failing": failing});
            (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response()
        }
    }

    async fn health(self) -> Response {
        let checks = self.run().await;
        let sound = checks.iter().all(|(_, sound)| *sound);
        let (status, word) = if sound {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "failing")
        };
        let checks: serde_json::Map<_, _> = checks
            .into_iter()
            .map(|(name, sound)| (name.to_owned(), if sound { "ok" } else { "failing" }.into()))
            .collect();
        (
            status,
            Json(json!({"status": word, "version": self.0.version, "checks": checks})),
        )
            .into_response()
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
