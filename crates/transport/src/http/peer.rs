//! Another service, as a process of its own: what every call to it has in common.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use contracts::Entropy;
use contracts::clients::ClientError;
use contracts::metrics::Stopwatch;
use contracts::traces;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::circuit::{Circuit, Report, Ticket};
use super::failure::{Answer, Failure, FailureKind, Received, Unreadable, judge};
use super::metrics::PeerMetrics;
use super::options::{InvalidPeer, Options, address, authorization};
use super::retry::Repeat;

/// The media type of problems (RFC 9457).
const PROBLEM_JSON: &str = "application/problem+json";
/// With less time left than this nothing is sent: it would end in doubt, and say nothing of the peer.
const LEAST_TIME: Duration = Duration::from_millis(100);
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Another service over HTTP. Clones are the same: they share connections, bounds and circuit.
#[derive(Clone)]
pub struct Peer(Arc<Parts>);

struct Parts {
    name: &'static str,
    address: String,
    authorization: HeaderValue,
    http: Client,
    options: Options,
    places: Semaphore,
    circuit: Mutex<Circuit>,
    began: Instant,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<PeerMetrics>,
    /// Whether it was said that the peer does not let us in.
    denied: AtomicBool,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.0.name, self.0.address)
    }
}

/// One request, which may be sent several times.
pub(super) struct Request {
    pub(super) method: Method,
    /// From the peer's address on, with its query.
    pub(super) path: String,
    pub(super) body: Option<Bytes>,
    pub(super) repeat: Repeat,
    /// The causes of the orders in it, where that is traced.
    pub(super) causes: Option<String>,
}

impl Request {
    /// To look at something: it may be repeated whatever happens.
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            repeat: Repeat::Always,
            causes: None,
        }
    }

    /// To do something.
    pub(super) fn post(path: impl Into<String>, body: Option<Bytes>, repeat: Repeat) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body,
            repeat,
            causes: None,
        }
    }
}

impl Peer {
    /// The service of this name at `address`, its internal listener, for a caller with this token. Nothing is sent yet.
    ///
    /// What has no service's name is another program of ours, such as the simulated `venue`; the setting that leads there is
    /// `{name}_url`.
    ///
    /// # Errors
    /// [`InvalidPeer`].
    pub fn try_new(
        name: impl Into<&'static str>,
        address_text: &str,
        token: &str,
        options: Options,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, InvalidPeer> {
        let http = Client::builder()
            // Neither a proxy nor another place may get to see the token.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(options.idle_connections)
            .pool_idle_timeout(options.idle_for)
            .tcp_nodelay(true)
            .build()
            .map_err(InvalidPeer::Client)?;
        Ok(Self(Arc::new(Parts {
            name: name.into(),
            address: address(address_text)?,
            authorization: authorization(token)?,
            http,
            options,
            places: Semaphore::new(options.in_flight.get().min(Semaphore::MAX_PERMITS)),
            circuit: Mutex::new(Circuit::new(options.circuit)),
            began: Instant::now(),
            entropy,
            metrics: Arc::default(),
            denied: AtomicBool::new(false),
        })))
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<PeerMetrics> {
        &self.0.metrics
    }

    /// When a call that begins now has to have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.0.options.call_timeout
    }

    /// Sends `request` until there is an answer that `read` can read, within the bounds of retries and until `deadline`.
    ///
    /// # Errors
    /// [`ClientError`]; `Overloaded` only if nothing that was sent can have had an effect.
    pub(super) async fn call<T>(
        &self,
        request: &Request,
        deadline: Instant,
        read: impl Fn(Answer<'_>) -> Result<T, Unreadable>,
    ) -> Result<T, ClientError> {
        let mut untouched = true;
        let mut made = 0;
        loop {
            let heard = |answer: Answer<'_>| match answer {
                // One of another version may answer this time: what it cannot read, the one before may have done.
                Answer::Invalid(detail) if !untouched => Err(Unreadable(format!(
                    "refused, after an attempt that may have had an effect: {detail}"
                ))),
                other @ (Answer::Success(..) | Answer::NotFound | Answer::AlreadyExists | Answer::Invalid(_)) => {
                    read(other)
                }
            };
            let failure = match self.attempt(request, deadline, heard).await {
                Ok(value) => {
                    self.0.denied.store(false, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            made += 1;
            untouched &= failure.kind.nothing_was_done();
            self.note(&failure);
            let left = self.begin_by(deadline).saturating_duration_since(Instant::now());
            let (rules, draw) = (self.0.options.retry, self.0.entropy.next_u64());
            let Some(pause) = rules.pause(made, left, &failure, request.repeat, draw) else {
                return Err(failure.into_error(untouched));
            };
            self.0.metrics.retries.one();
            // sleep: the pause before the next attempt; bounded by the number of attempts and the call's deadline
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt<T>(
        &self,
        request: &Request,
        deadline: Instant,
        read: impl Fn(Answer<'_>) -> Result<T, Unreadable>,
    ) -> Result<T, Failure> {
        let parts = &*self.0;
        let not_asked = |wait: Duration| {
            let (peer, address) = (parts.name, &parts.address);
            let wait = wait.as_millis();
            let detail = format!("{peer} at {address} did not answer lately, and is not asked for {wait} ms");
            Failure::new(FailureKind::NotAsked, detail)
        };
        // Before there is a place: those who hold the places may be waiting for nothing.
        if let Some(wait) = self.circuit().refuses(self.now()) {
            return Err(not_asked(wait));
        }
        let full = || {
            let detail = format!("too much is under way to {} already", parts.name);
            Failure::new(FailureKind::Overloaded, detail)
        };
        let begin_by = self.begin_by(deadline);
        let place = timeout_at(begin_by, parts.places.acquire()).await;
        let _place = place.map_err(|_| full())?.map_err(|_| full())?;
        let now = Instant::now();
        if now >= begin_by {
            return Err(full());
        }
        let limit = deadline.duration_since(now).min(parts.options.attempt_timeout);
        let ticket = self.circuit().admit(self.now()).map_err(not_asked)?;
        let mut under_way = UnderWay {
            peer: self,
            ticket: Some(ticket),
        };
        parts.metrics.requests.one();
        let watch = Stopwatch::start();
        let outcome = self.exchange(request, limit, read).await;
        match &outcome {
            Ok(_) => parts.metrics.answered.record_time(watch.elapsed()),
            Err(failure) => parts.metrics.failed(failure.kind),
        }
        under_way.ended(match outcome.as_ref().map_err(|failure| failure.kind) {
            // It had less time than an attempt has: that is no fault of the peer.
            Err(FailureKind::TimedOut) if limit < parts.options.attempt_timeout => Report::GivenUp,
            Err(kind) if kind.is_away() => Report::Away,
            Ok(_) | Err(_) => Report::Answered,
        });
        outcome
    }

    /// One request and its answer.
    async fn exchange<T>(
        &self,
        request: &Request,
        limit: Duration,
        read: impl Fn(Answer<'_>) -> Result<T, Unreadable>,
    ) -> Result<T, Failure> {
        let parts = &*self.0;
        let (name, address) = (parts.name, parts.address.as_str());
        let response = self.request(request, limit).send().await;
        let mut response = response.map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        let (is_problem, retry_after) = headers(&response);
        let body = self.body(&mut response).await?;
        let received = Received {
            status,
            is_problem,
            retry_after,
            body: &body,
        };
        read(judge(name, address, received)?).map_err(|Unreadable(why)| {
            let detail = format!("{name} at {address} gave an answer that cannot be read: {why}");
            Failure::new(received.unreadable(), detail)
        })
    }

    /// Until when there is time enough for another attempt.
    fn begin_by(&self, deadline: Instant) -> Instant {
        let least = LEAST_TIME.min(self.0.options.call_timeout / 4);
        deadline.checked_sub(least).unwrap_or(deadline)
    }

    fn request(&self, request: &Request, limit: Duration) -> RequestBuilder {
        let parts = &*self.0;
        let mut builder = parts
            .http
            .request(request.method.clone(), format!("{}{}", parts.address, request.path))
            .header(AUTHORIZATION, parts.authorization.clone())
            .timeout(limit);
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, JSON).body(body.clone());
        }
        if let Some(cause) = traces::present() {
            builder = builder.header("traceparent", cause.to_string());
        }
        if let Some(causes) = &request.causes {
            builder = builder.header(traces::CAUSES_HEADER, causes);
        }
        builder
    }

    /// The whole body, which has its bound.
    async fn body(&self, response: &mut Response) -> Result<Bytes, Failure> {
        let limit = self.0.options.answer_bytes;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if body.len().saturating_add(chunk.len()) > limit {
                let detail = format!("{self:?} answered more than {limit} bytes");
                return Err(Failure::new(FailureKind::Unreadable, detail));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// What an error of the client means. Only a connection that never came to be is known to have carried nothing.
    fn failed(&self, error: reqwest::Error) -> Failure {
        let kind = if error.is_connect() {
            FailureKind::Unreachable
        } else if error.is_timeout() {
            FailureKind::TimedOut
        } else {
            FailureKind::Broken
        };
        let error = error.without_url();
        let mut detail = format!("{self:?}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            detail.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Failure::new(kind, detail)
    }

    /// Says once what only a person can cure.
    fn note(&self, failure: &Failure) {
        if failure.kind == FailureKind::Denied && !self.0.denied.swap(true, Ordering::Relaxed) {
            tracing::error!(peer = self.0.name, "{}", failure.detail);
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.0.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0.began)
    }

    fn report(&self, ticket: Ticket, report: Report) {
        use super::circuit::Position;
        let now = self.now();
        let draw = self.0.entropy.next_u64();
        let (before, after) = {
            let mut circuit = self.circuit();
            let before = circuit.position(now);
            circuit.report(ticket, now, report, draw);
            (before, circuit.position(now))
        };
        self.0.metrics.stands(after);
        match (before, after) {
            (Position::Closed | Position::HalfOpen, Position::Open) => {
                self.0.metrics.opened.one();
                if before == Position::Closed {
                    tracing::warn!(peer = ?self, "it does not answer; it is asked now and then until it does");
                }
            }
            (Position::HalfOpen, Position::Closed) => tracing::info!(peer = ?self, "it answers again"),
            _ => {}
        }
    }
}

/// `Retry-After` in seconds is heeded; as a date it would need a clock that both agree on.
fn headers(response: &Response) -> (bool, Option<Duration>) {
    let text = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let media = text(CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    let retry_after = text(RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    (media == Some(PROBLEM_JSON), retry_after.map(Duration::from_secs))
}

/// A request that was let through; whoever stops waiting for it gives its ticket back.
struct UnderWay<'a> {
    peer: &'a Peer,
    ticket: Option<Ticket>,
}

impl UnderWay<'_> {
    fn ended(&mut self, report: Report) {
        if let Some(ticket) = self.ticket.take() {
            self.peer.report(ticket, report);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.ended(Report::GivenUp);
    }
}
