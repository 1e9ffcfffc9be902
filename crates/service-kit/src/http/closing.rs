//! How an answer that does not end by itself learns that the listener is closing.

use std::convert::Infallible;

use ::http::request::Parts;
use axum::extract::FromRequestParts;
use tokio_util::sync::CancellationToken;

/// The listener's end, for handlers of streams: a listener that closes waits for the answers under way, so a stream
/// MUST end when this does, or it holds up the whole shutdown. Without [`super::serve`] it never closes.
#[derive(Debug, Clone, Default)]
pub struct Closing(CancellationToken);

impl Closing {
    pub(super) const fn new(shutdown: CancellationToken) -> Self {
        Self(shutdown)
    }

    /// Whether the listener is closing.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns when the listener begins to close.
    pub async fn begins(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Closing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
