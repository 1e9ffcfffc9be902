//! A real server on a free port, and what it takes to talk to it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use service_kit::http::{RequestLimits, ServeLimits, guard, serve};
use service_kit::problem::with_fallbacks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("a positive number")
}

/// Limits that no test meets by accident.
pub(crate) fn wide() -> (RequestLimits, ServeLimits) {
    let requests = RequestLimits {
        max_in_flight: at_least_one(1000),
        timeout: PATIENCE,
    };
    let connections = ServeLimits {
        max_connections: at_least_one(1000),
        header_timeout: PATIENCE,
        drain_timeout: PATIENCE,
    };
    (requests, connections)
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(router: Router) -> Self {
        let (requests, connections) = wide();
        Self::start_with(router, requests, connections).await
    }

    pub(crate) async fn start_with(router: Router, requests: RequestLimits, connections: ServeLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = guard(with_fallbacks(router), requests, &Arc::default());
        let ended = tokio::spawn(serve(listener, router, connections, stop.clone()));
        Self { address, stop, ended }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(client().get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn get_with_token(&self, path: &str, token: &str) -> Answer {
        Answer::of(client().get(self.url(path)).bearer_auth(token).send().await.unwrap()).await
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

/// Sends these bytes and returns whatever comes back until the other side closes.
pub(crate) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    read_to_end(stream).await
}

/// A reset counts as closed.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .expect("the connection stays open");
    assert!(read.is_ok() || read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    String::from_utf8_lossy(&text).into_owned()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a problem, after checking that it is one in every respect.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let document = self.json();
        let code = document["code"].as_str().unwrap().to_owned();
        assert_eq!(document["type"], format!("urn:cambist:problem:{code}"));
        assert_eq!(document["status"], self.status);
        assert!(document["title"].is_string());
        assert_eq!(self.status == 401, self.header("www-authenticate") == Some("Bearer"));
        assert_eq!(matches!(self.status, 429 | 503), self.header("retry-after").is_some());
        assert!(self.status != 405 || self.header("allow").is_some());
        code
    }
}

/// Somewhere to write logs to, and to read them back.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn lines_with(&self, text: &str) -> usize {
        self.text().lines().filter(|line| line.contains(text)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
