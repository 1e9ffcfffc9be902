//! A client that does what no decent client does: it sends exactly the bytes it is told to.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use test_kit::api::Answer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer, or the end of a connection, is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request, byte by byte.
#[derive(Clone)]
pub(super) struct Request {
    method: String,
    target: String,
    head: Vec<u8>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(super) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            head: Vec::new(),
            body: None,
        }
    }

    /// Where it goes.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The same with another method.
    pub(super) fn with_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(super) fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// What goes over the line. A body's length is declared as it is.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nhost: x\r\n", self.method, self.target).into_bytes();
        bytes.extend_from_slice(&self.head);
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Asks on a connection of its own; `None` when that is closed without an answer.
    pub(super) async fn send(&self, base: &str) -> Option<Answer> {
        let request = self.clone().header("connection", "close");
        let mut line = Line::to(base).await;
        line.say(&request.bytes()).await;
        line.answer().await
    }

    /// Asks, and is answered.
    pub(super) async fn answered(&self, base: &str) -> Answer {
        let answer = self.send(base).await;
        answer.unwrap_or_else(|| panic!("no answer to {} {}", self.method, self.target))
    }
}

/// A connection.
pub(super) struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Line {
    pub(super) async fn to(base: &str) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            heard: Vec::new(),
        }
    }

    /// Sends. Who was hung up on in the middle of it finds out by listening.
    pub(super) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more will be said, and goes on listening.
    pub(super) async fn say_no_more(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Waits until more is heard; false at the end.
    pub(super) async fn hears(&mut self) -> bool {
        self.hear().await
    }

    /// Hears more; false at the end.
    async fn hear(&mut self) -> bool {
        let mut some = [0; 8192];
        let heard = timeout(PATIENCE, self.stream.read(&mut some)).await;
        // A connection that is reset has ended, too.
        let heard = heard.expect("neither an answer nor an end").unwrap_or(0);
        self.heard.extend_from_slice(&some[..heard]);
        heard > 0
    }

    /// The next answer; `None` when the connection ends without one.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let head = loop {
            match self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if !self.hear().await => {
                    assert!(self.heard.is_empty(), "half an answer");
                    return None;
                }
                None => {}
            }
        };
        let text = String::from_utf8(self.heard.drain(..head).collect()).expect("a head of text");
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
        let headers: HeaderMap = lines.map(header).collect();
        let body = match headers.get("content-length") {
            Some(length) => self.take(length.to_str().unwrap().parse().unwrap()).await,
            None if headers.contains_key("transfer-encoding") => self.rest().await,
            None => Vec::new(),
        };
        let text = String::from_utf8(body).expect("a body of text");
        Some(Answer {
            status: status.parse().unwrap(),
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        })
    }

    /// Whether the connection ends, and nothing more is said.
    pub(super) async fn ends(&mut self) -> bool {
        self.heard.is_empty() && !self.hear().await
    }

    /// A body, or none of it where only its head was asked for.
    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.heard.len() < length && self.hear().await {}
        self.heard.drain(..length.min(self.heard.len())).collect()
    }

    async fn rest(&mut self) -> Vec<u8> {
        while self.hear().await {}
        std::mem::take(&mut self.heard)
    }
}

fn header(line: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
    (name.parse().unwrap(), value.parse().unwrap())
}
