//! HTTP as cheap as it gets: one connection, one request at a time. The load's generator shares the machine with what it
//! measures, so nothing is done here that a request does not need.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one answer is waited for.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often a request of the preparation is repeated that was turned away, and the longest pause before.
const MAX_TRIES: usize = 20;
const LONGEST_PAUSE: u64 = 60;

/// Where an instance listens: plain HTTP, a name or an address, and a port.
#[derive(Debug, Clone)]
pub(super) struct Address {
    authority: String,
    host: HeaderValue,
}

impl Address {
    /// The address of a URL without a path.
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        ensure!(
            uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/"),
            "{url}: the URL of a running instance looks like http://127.0.0.1:8000"
        );
        let authority = uri.authority().with_context(|| format!("{url} names no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let authority = format!("{}:{port}", authority.host());
        Ok(Self {
            host: HeaderValue::from_str(&authority)?,
            authority,
        })
    }
}

/// A connection that is kept alive. After an error it is of no more use.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    retry_after: Option<u64>,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Connection {
    pub(super) async fn open(address: &Address) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&address.authority)
            .await
            .with_context(|| format!("nobody answers at {}", address.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender, or with the other side.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.host.clone(),
        })
    }

    pub(super) async fn send(
        &mut self,
        method: Method,
        path: Uri,
        token: Option<&HeaderValue>,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answer {
                status,
                body,
                retry_after,
            })
        };
        Ok(timeout(MAX_WAIT, exchange).await.context("no answer")??)
    }

    /// Sends a request of the preparation until it is not turned away any more; any other status than `expected` is an
    /// error.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&HeaderValue>,
        body: Value,
        expected: u16,
    ) -> anyhow::Result<Value> {
        let text = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        let uri: Uri = path.parse()?;
        for _ in 0..MAX_TRIES {
            let answer = self.send(method.clone(), uri.clone(), token, text.clone()).await?;
            match answer.status {
                status if status == expected => return Ok(answer.json()),
                429 | 503 => {
                    let pause = answer.retry_after.unwrap_or(1).min(LONGEST_PAUSE);
                    // sleep: the other side said how long
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
                status => bail!(
                    "{method} {path} was answered {status}: {}",
                    String::from_utf8_lossy(&answer.body)
                ),
            }
        }
        bail!("{method} {path} was turned away {MAX_TRIES} times")
    }
}
