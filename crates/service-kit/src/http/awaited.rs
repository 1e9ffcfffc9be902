//! Whether it is the client who is slow: a request that waits for the rest of its own body has its sender to blame.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Tells whether a request's body is being waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Sender(Arc<AtomicBool>);

impl Sender {
    /// Watches the sender of this request. What has no body, or has arrived with it, is waited for by nobody.
    pub(super) fn watched(self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        request.map(|body| Body::new(Awaited { body, sender: self }))
    }

    /// Whether whoever reads the body got nothing when they asked last.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Awaited {
    body: Body,
    sender: Sender,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.sender.0.store(frame.is_pending(), Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
