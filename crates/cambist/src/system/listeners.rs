//! The two sockets: the public one for users, the internal one for services and operators.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use service_kit::http::{RequestLimits, ServeLimits, guard, serve};
use service_kit::metrics::{HttpMetrics, Scrape};
use service_kit::openapi::{Routes, publish};
use service_kit::probes::{Attention, Check, Probes};
use service_kit::problem::{with_fallbacks, with_method_fallback};
use service_kit::settings::Settings;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Role;
use super::documents::{INTERNAL, PUBLIC};

/// Where a running system listens.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    /// For users, where any of their routes is here.
    pub public: Option<SocketAddr>,
    /// For services and operators.
    pub internal: SocketAddr,
}

pub(super) struct Sockets {
    public: Option<TcpListener>,
    internal: TcpListener,
    addresses: Listening,
}

pub(super) async fn bind(role: Role, settings: &Settings) -> anyhow::Result<Sockets> {
    let public = match role.is_public() {
        true => Some(listen(settings.listen, "listen").await?),
        false => None,
    };
    let internal = listen(settings.internal_listen, "internal-listen").await?;
    let addresses = Listening {
        public: public.as_ref().map(TcpListener::local_addr).transpose()?,
        internal: internal.local_addr()?,
    };
    Ok(Sockets {
        public,
        internal,
        addresses,
    })
}

async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another with --{flag}, for example 127.0.0.1:0"))
}

/// What supervisors see beside the internal routes.
pub(super) struct Seen {
    pub(super) checks: Vec<(&'static str, Arc<dyn Check>)>,
    pub(super) attention: Arc<dyn Attention>,
    pub(super) http: HttpMetrics,
    pub(super) scrape: Scrape,
}

/// Serves until `shutdown`. The token is cancelled when all requests that were taken are answered.
pub(super) fn serve_on(
    sockets: Sockets,
    settings: &Settings,
    public: Routes,
    internal: Routes,
    seen: Seen,
    shutdown: &Shutdown,
) -> (Listening, CancellationToken) {
    let limits = RequestLimits::from(settings);
    let Seen {
        checks,
        attention,
        http,
        scrape,
    } = seen;
    let probes = Probes::new(env!("CARGO_PKG_VERSION"), shutdown.token(), checks).with_attention(attention);
    let (public, _) = publish(PUBLIC, public, Routes::new());
    let public = guard(with_fallbacks(public), limits, &http.public);
    // Probes and metrics stay outside the guard: a full process is busy, not dead, and must be seen to be full.
    let beside = probes.into_routes().merge(scrape.into_routes());
    let (internal, beside) = publish(INTERNAL, internal, beside);
    let internal = guard(with_fallbacks(internal), limits, &http.internal).merge(with_method_fallback(beside));
    let served = CancellationToken::new();
    // Cancels when the last of them has ended, however it did.
    let serving = Arc::new(served.clone().drop_guard());
    for (name, socket, router) in [
        ("public listener", sockets.public, public),
        ("internal listener", Some(sockets.internal), internal),
    ] {
        let Some(socket) = socket else { continue };
        let (limits, stop, serving) = (ServeLimits::from(settings), shutdown.token(), Arc::clone(&serving));
        shutdown.spawn(name, async move {
            serve(socket, router, limits, stop).await;
            drop(serving);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    (sockets.addresses, served)
}
