//! A venue behind a real listener, the remote adapter that leads there, and a wire between them that can be cut.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::SeededEntropy;
use exchanger::ports::Venue;
use exchanger::venue::remote::RemoteVenue;
use exchanger::venue::server;
use service_kit::http::{ServeLimits, serve};
use service_kit::internal::InternalTokens;
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::http::{Options, Peer, circuit};

use crate::scene::name;

pub(crate) const EXCHANGER_TOKEN: &str = "token-of-exchanger";
pub(crate) const GATEWAY_TOKEN: &str = "token-of-bc_gateway";
pub(crate) const ANNS_TOKEN: &str = "token-of-operator:ann";

/// The way to `address`; the circuit stays out of it.
pub(crate) fn way_to(address: &str, token: &str) -> RemoteVenue {
    patient_way_to(address, token, Options::default().attempt_timeout)
}

/// The same, on which an answer is waited for as long as this.
pub(crate) fn patient_way_to(address: &str, token: &str, attempt_timeout: Duration) -> RemoteVenue {
    let options = Options {
        attempt_timeout,
        circuit: circuit::Rules {
            failures: u32::MAX,
            ..circuit::Rules::default()
        },
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    RemoteVenue::new(
        name(),
        Peer::try_new("venue", address, token, options, entropy).unwrap(),
    )
}

/// A listener, until it is closed or the test ends.
pub(crate) struct Listener {
    pub(crate) address: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn of(venue: Arc<dyn Venue>) -> Self {
        Self::bounded(venue, Duration::from_secs(4)).await
    }

    /// One that waits for each answer of the venue as long as this.
    pub(crate) async fn bounded(venue: Arc<dyn Venue>, patience: Duration) -> Self {
        let callers = ["exchanger", "bc_gateway", "operator:ann"];
        let tokens = callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}"))));
        let tokens = Arc::new(InternalTokens::try_new(tokens).unwrap());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        let limits = ServeLimits {
            max_connections: NonZeroUsize::new(100).unwrap(),
            header_timeout: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(5),
        };
        let router = with_fallbacks(server::routes(venue, patience, &tokens).into());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(socket, router, limits, stop.clone()));
        Self { address, stop, serving }
    }

    pub(crate) fn venue(&self, token: &str) -> RemoteVenue {
        way_to(&self.address, token)
    }

    /// Once everything that came is answered. Nothing of it keeps the venue after that.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// What becomes of an answer on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// None of it arrives.
    Before,
    /// Half of it arrives.
    Within,
}

/// A wire to a listener. Every request arrives and is answered, and every answer gets lost.
pub(crate) struct Wire {
    pub(crate) address: String,
    requests: Arc<AtomicUsize>,
}

impl Wire {
    pub(crate) async fn to(listener: &Listener, cut: Cut) -> Self {
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", near.local_addr().unwrap());
        let far = listener.address["http://".len()..].to_owned();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((near, _)) = near.accept().await {
                let far = TcpStream::connect(&far).await.unwrap();
                let count = Arc::clone(&count);
                tokio::spawn(carry(near, far, cut, count));
            }
        });
        Self { address, requests }
    }

    /// How many requests went over it.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn carry(near: TcpStream, far: TcpStream, cut: Cut, requests: Arc<AtomicUsize>) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let forth = tokio::spawn(async move { copy(&mut from_near, &mut to_far).await });
    let mut answer = vec![0; 64 * 1024];
    let length = from_far.read(&mut answer).await.unwrap();
    requests.fetch_add(1, Ordering::SeqCst);
    if cut == Cut::Within {
        to_near.write_all(&answer[..length / 2]).await.unwrap();
    }
    forth.abort();
    drop(to_near);
    let _ = copy(&mut from_far, &mut sink()).await;
}
