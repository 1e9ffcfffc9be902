//! The listener: accepts as many connections as it can serve, and ends without cutting anybody off in mid-answer.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::closing::Closing;
use super::patient::Patient;
use crate::settings::Settings;

/// More header bytes than this are refused with 431.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// More headers than this are refused with 431.
const MAX_HEADERS: usize = 64;
/// How long accepting rests when the process has no file descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Open connections; more wait in the kernel's queue.
    pub max_connections: NonZeroUsize,
    /// How long a connection may take to send a request's headers, stay idle between requests, or take nothing of
    /// what is being answered.
    pub header_timeout: Duration,
    /// How long requests in flight may take once the shutdown has begun; then their connections are closed.
    pub drain_timeout: Duration,
}

impl From<&Settings> for ServeLimits {
    fn from(settings: &Settings) -> Self {
        let Settings {
            max_connections,
            header_timeout,
            drain_timeout,
            ..
        } = *settings;
        Self {
            max_connections,
            header_timeout,
            drain_timeout,
        }
    }
}

/// Serves HTTP/1.1 on `listener` until `shutdown` is cancelled: then nothing is accepted any more, requests in flight
/// are answered, idle connections closed, and after `drain_timeout` the rest as well. Handlers find the peer as
/// `ConnectInfo<SocketAddr>`, and those whose answers do not end by themselves find [`Closing`].
pub async fn serve(listener: TcpListener, router: Router, limits: ServeLimits, shutdown: CancellationToken) {
    let router = router.with_state(());
    let graceful = GracefulShutdown::new();
    let cut_off = CancellationToken::new();
    let permits = limits.max_connections.get().min(Semaphore::MAX_PERMITS);
    let connections = Arc::new(Semaphore::new(permits));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);

    while let Some((permit, (stream, peer))) = next_connection(&listener, &connections, &shutdown).await {
        let service = to_service(router.clone(), peer, Closing::new(shutdown.clone()));
        let connection = builder.serve_connection(TokioIo::new(Patient::new(stream, limits.header_timeout)), service);
        let connection = graceful.watch(connection);
        let cut_off = cut_off.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "the connection broke");
                },
                () = cut_off.cancelled() => {}
            }
            drop(permit);
        });
    }

    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        let unfinished = permits.saturating_sub(connections.available_permits());
        tracing::warn!(
            unfinished,
            "connections are cut off: their requests did not end in time"
        );
        cut_off.cancel();
        // All permits come back as soon as the cut is noticed.
        let _ = connections
            .acquire_many(u32::try_from(permits).unwrap_or(u32::MAX))
            .await;
    }
}

/// The next connection together with its place; `None` once the shutdown has begun.
async fn next_connection(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(tokio::sync::OwnedSemaphorePermit, (TcpStream, SocketAddr))> {
    let accepted = async {
        // The place first: a connection that cannot be served is not accepted.
        let permit = Arc::clone(connections)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        (permit, accept(listener).await)
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        connection = accepted => Some(connection),
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small; waiting for company would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                // sleep: nothing tells when a file descriptor is free again, and asking at once would spin.
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// The peer gave up while it waited; that says nothing about us.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn to_service(
    router: Router,
    peer: SocketAddr,
    closing: Closing,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send,
> {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(closing.clone());
        router.clone().call(request.map(Body::new))
    })
}
