//! Problems: every refusal as an RFC 9457 document, from a closed registry.
//!
//! What it keeps true: a client can rely on `code` and `status`; what goes wrong inside (5xx) is logged once, in the
//! span of its request, and never returned; 401 carries `WWW-Authenticate`, 429 and 503 carry `Retry-After`.

mod registry;
mod schema;

use std::fmt;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::Router;
use axum::response::{IntoResponse, Response};
use contracts::clients::ClientError;
use serde::Serialize;
use serde_json::{Map, Value};

pub use registry::{ProblemCode, answers, problems_markdown};

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A field of the body that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901): `/fiat_amount`; empty for the whole body.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A refusal. Small to move: all of it lies behind one pointer.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    code: ProblemCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

impl Problem {
    /// The problem of this code, with nothing to add.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self(Box::new(Parts {
            code,
            detail: None,
            errors: Vec::new(),
            extensions: Map::new(),
            retry_after: None,
            cause: None,
        }))
    }

    /// 422: one field is to blame. More can follow with [`Problem::with_error`].
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Invalid).with_error(pointer, detail)
    }

    /// 404, saying what was not found.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::NotFound).with_detail(detail)
    }

    /// 500; the cause is logged and not returned.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ProblemCode::Internal).with_cause(cause)
    }

    /// 503, something we depend on does not answer; the cause is logged and not returned.
    #[must_use]
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::new(ProblemCode::Unavailable).with_cause(cause)
    }

    /// 503, nothing was done; come back after `retry_after`.
    #[must_use]
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::new(ProblemCode::Overloaded).with_retry_after(retry_after)
    }

    /// 429; come back after `retry_after`.
    #[must_use]
    pub fn too_many_requests(retry_after: Duration) -> Self {
        Self::new(ProblemCode::TooManyRequests).with_retry_after(retry_after)
    }

    /// Says what is particular about this occurrence. Of a 5xx it is logged instead of returned.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names a field that is to blame, by JSON pointer.
    #[must_use]
    pub fn with_error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// Adds a member of our own, such as `order_id`. Members that RFC 9457 or this crate define are not replaced.
    #[must_use]
    pub fn with_extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// When to come back, told in whole seconds, rounded up. 429 and 503 say one second unless told otherwise.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// What really happened, for the log only.
    #[must_use]
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Which problem it is.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        self.0.code
    }

    /// The fields to blame.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The document that is returned, for outcomes inside an array as well.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Parts {
            code,
            detail,
            errors,
            extensions,
            ..
        } = &*self.0;
        let mut document = extensions.clone();
        document.insert("type".into(), code.urn().into());
        document.insert("title".into(), code.title().into());
        document.insert("status".into(), code.status().as_u16().into());
        document.insert("code".into(), code.code().into());
        if let Some(detail) = detail.as_ref().filter(|_| !code.status().is_server_error()) {
            document.insert("detail".into(), detail.as_str().into());
        }
        if !errors.is_empty() {
            let error = |error: &FieldError| serde_json::json!({"pointer": error.pointer, "detail": error.detail});
            document.insert("errors".into(), errors.iter().map(error).collect());
        }
        Value::Object(document)
    }

    fn retry_after(&self) -> Option<u64> {
        let waiting = matches!(
            self.0.code.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let after = self.0.retry_after.or(waiting.then_some(Duration::from_secs(1)))?;
        Some(
            after
                .as_secs()
                .saturating_add(u64::from(after.subsec_nanos() > 0))
                .max(1),
        )
    }

    /// A cause is logged exactly where the answer is made, so once.
    fn log(&self) {
        let code = self.0.code.code();
        let internal = self.0.code.status().is_server_error();
        let detail = self.0.detail.as_deref().filter(|_| internal);
        if let Some(cause) = self.0.cause.as_deref().or(detail) {
            if internal {
                tracing::error!(code, detail, "{cause}");
            } else {
                tracing::info!(code, "{cause}");
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code.status().as_u16(), self.0.code.title())?;
        self.0.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.0.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        (self.0.code.status(), headers, self.to_json().to_string()).into_response()
    }
}

/// A call to another service that has no answer.
impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Overloaded { retry_after } => Self::overloaded(retry_after),
            ClientError::Unavailable(cause) | ClientError::Denied(cause) => Self::unavailable(cause),
        }
    }
}

/// Answers unknown paths and methods with problems. To be called once the routes are there, and before layers that
/// are meant for unknown paths too.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    async fn unknown_path(uri: Uri) -> Problem {
        // The member tells a wrong address from a missing thing, to services that call each other.
        Problem::not_found(format!("there is nothing at {}", uri.path())).with_extension("path", uri.path())
    }
    with_method_fallback(router.fallback(unknown_path))
}

/// Answers unknown methods of its routes with problems; for routes that are merged beside others, whose unknown paths are
/// theirs.
pub fn with_method_fallback<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    async fn unknown_method(method: Method) -> Problem {
        Problem::new(ProblemCode::MethodNotAllowed).with_detail(format!("{method} is not possible here"))
    }
    // The router adds `Allow` to the answer of the method fallback.
    router.method_not_allowed_fallback(unknown_method)
}
