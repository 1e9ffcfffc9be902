//! What an answer means, and what a missing one does. Pure.
//!
//! The one decision that money hangs on: an answer is a refusal only if it is a problem document (RFC 9457) of the service
//! itself, whole, whose code says so. Everything else is a [`Failure`], and of a failure only a few kinds say that nothing was
//! done.

use std::time::Duration;

use contracts::clients::ClientError;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How long to stay away from a peer that is full and does not say for how long.
const USUAL_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why an attempt gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// There was no connection: nothing was sent.
    Unreachable,
    /// The answer did not come in time.
    TimedOut,
    /// The connection broke before the answer was whole.
    Broken,
    /// The answer is none of those that the service gives.
    Unreadable,
    /// The answer is the service's own, and this program does not know what it says here: it may be of another version.
    Unexpected,
    /// The service said that something went wrong inside. It is there, and may answer others.
    ServerError,
    /// It said, or something before it did, that it cannot work now.
    Unavailable,
    /// The service, or our own way to it, is full: nothing was done.
    Overloaded,
    /// It does not know this caller, does not serve it, or is another program than the one that is meant. Somebody has to
    /// change a setting.
    Denied,
    /// It was not asked, as the circuit is open.
    NotAsked,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::TimedOut,
        Self::Broken,
        Self::Unreadable,
        Self::Unexpected,
        Self::ServerError,
        Self::Unavailable,
        Self::Overloaded,
        Self::Denied,
        Self::NotAsked,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::Unexpected => "unexpected",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Denied => "denied",
            Self::NotAsked => "not_asked",
        }
    }

    /// Whether the request is known to have had no effect.
    #[must_use]
    pub const fn nothing_was_done(self) -> bool {
        match self {
            Self::Unreachable | Self::Overloaded | Self::Denied | Self::NotAsked => true,
            Self::TimedOut
            | Self::Broken
            | Self::Unreadable
            | Self::Unexpected
            | Self::ServerError
            | Self::Unavailable => false,
        }
    }

    /// Whether the same request may fare better in a moment.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::Broken
            | Self::Unreadable
            | Self::Unexpected
            | Self::ServerError
            | Self::Unavailable
            | Self::Overloaded => true,
            Self::Denied | Self::NotAsked => false,
        }
    }

    /// Whether it speaks against the peer as a whole, so that enough of them open its circuit. One that is full, that does
    /// not let us in, or that stumbles over this request, is there.
    #[must_use]
    pub const fn is_away(self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::Broken | Self::Unreadable | Self::Unavailable => true,
            Self::Unexpected | Self::ServerError | Self::Overloaded | Self::Denied | Self::NotAsked => false,
        }
    }
}

/// An attempt without a usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// What happened, for people; no secrets.
    pub detail: String,
    /// When the peer wants to be asked again, if it said so.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that says nothing of when to come back.
    #[must_use]
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// What the port answers. `untouched` says whether all that was sent for this call is known to have had no effect: only
    /// then it may promise so.
    #[must_use]
    pub fn into_error(self, untouched: bool) -> ClientError {
        match self.kind {
            FailureKind::Overloaded if untouched => ClientError::Overloaded {
                retry_after: self.retry_after.unwrap_or(USUAL_RETRY_AFTER),
            },
            FailureKind::Denied => ClientError::Denied(self.detail),
            FailureKind::Overloaded
            | FailureKind::Unreachable
            | FailureKind::TimedOut
            | FailureKind::Broken
            | FailureKind::Unreadable
            | FailureKind::Unexpected
            | FailureKind::ServerError
            | FailureKind::Unavailable
            | FailureKind::NotAsked => ClientError::Unavailable(self.detail),
        }
    }
}

/// An answer as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Whether its media type is that of problems.
    pub is_problem: bool,
    /// `Retry-After`, if it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The whole body.
    pub body: &'a [u8],
}

impl Received<'_> {
    /// What it is when nobody can make sense of it: of the service itself if it is a problem document or a success in JSON,
    /// of whatever stands before it otherwise.
    #[must_use]
    pub fn unreadable(self) -> FailureKind {
        let success = (200..300).contains(&self.status);
        let its_own = if success {
            serde_json::from_slice::<IgnoredAny>(self.body).is_ok()
        } else {
            Problem::of(self).is_some()
        };
        if its_own {
            FailureKind::Unexpected
        } else {
            FailureKind::Unreadable
        }
    }
}

/// What the service has to say: the verb knows what each means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// 2xx, with this body.
    Success(u16, &'a [u8]),
    /// There is no such thing.
    NotFound,
    /// What should be made is there.
    AlreadyExists,
    /// The request makes no sense, for this reason; nothing was done.
    Invalid(String),
}

/// An answer that is none of those that the verb has.
pub(super) struct Unreadable(pub(super) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl Unreadable {
    /// For what the verb never answers.
    pub(super) fn unexpected(answer: &Answer<'_>) -> Self {
        Self(match answer {
            Answer::Success(status, _) => format!("{status} says nothing here"),
            Answer::NotFound => "not found, though it is always there".to_owned(),
            Answer::AlreadyExists => "already there, though nothing is made".to_owned(),
            Answer::Invalid(detail) => format!("it cannot make sense of the request: {detail}"),
        })
    }
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    status: u16,
    detail: Option<String>,
    /// There where the peer has nothing at all at a path, and not where a thing is missing.
    path: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    pointer: String,
    detail: String,
}

impl Problem {
    /// Its document, if it is one: the media type says so, and the status is its own.
    fn of(received: Received<'_>) -> Option<Self> {
        let problem: Self = serde_json::from_slice(received.body).ok()?;
        (received.is_problem && problem.status == received.status).then_some(problem)
    }

    /// What it says is wrong, for people.
    fn text(&self) -> String {
        let of = |error: &FieldError| match error.pointer.as_str() {
            "" => error.detail.clone(),
            pointer => format!("{pointer}: {}", error.detail),
        };
        let mut said: Vec<String> = self.detail.iter().cloned().collect();
        said.extend(self.errors.iter().map(of));
        if said.is_empty() {
            said.push(self.code.clone());
        }
        said.join("; ")
    }
}

/// What an answer of the service called `peer` at `address` means.
///
/// # Errors
/// [`Failure`] for everything that is not known to be what the service says.
pub fn judge<'a>(peer: &str, address: &str, received: Received<'a>) -> Result<Answer<'a>, Failure> {
    let status = received.status;
    if (200..300).contains(&status) {
        return Ok(Answer::Success(status, received.body));
    }
    let problem = Problem::of(received);
    let said = problem.as_ref().map(Problem::text).unwrap_or_default();
    let failure = |kind, detail| Failure {
        kind,
        detail,
        retry_after: received.retry_after,
    };
    let strange = || {
        let detail = format!("{peer} at {address} answered {status}: {said}");
        failure(received.unreadable(), detail)
    };
    let code = problem.as_ref().map(|problem| problem.code.as_str());
    match (status, code) {
        (401, _) => Err(failure(FailureKind::Denied, unknown_token(peer, address))),
        (403, _) => Err(failure(FailureKind::Denied, wrong_caller(peer, address, &said))),
        (404, Some("not_found")) if problem.as_ref().is_some_and(|problem| problem.path.is_none()) => {
            Ok(Answer::NotFound)
        }
        (404 | 405, _) => Err(failure(FailureKind::Denied, wrong_address(peer, address, &said))),
        (409, Some("already_exists")) => Ok(Answer::AlreadyExists),
        (413, Some("body_too_large")) | (422, Some("invalid")) => Ok(Answer::Invalid(said)),
        (429, Some("too_many_requests")) | (503, Some("overloaded")) => {
            let detail = format!("{peer} at {address} is full");
            Err(failure(FailureKind::Overloaded, detail))
        }
        (500..=599, _) => {
            let detail = format!("{peer} at {address} answered {status} {}", code.unwrap_or_default());
            let kind = match code {
                Some("internal") => FailureKind::ServerError,
                Some(_) | None => FailureKind::Unavailable,
            };
            Err(failure(kind, detail.trim_end().to_owned()))
        }
        _ => Err(strange()),
    }
}

fn unknown_token(peer: &str, address: &str) -> String {
    format!(
        "{peer} at {address} does not know this process's token: give it one in internal_token (CAMBIST_INTERNAL_TOKEN) that \
         {peer}'s internal_tokens (CAMBIST_INTERNAL_TOKENS) lists"
    )
}

fn wrong_caller(peer: &str, address: &str, said: &str) -> String {
    format!(
        "{peer} at {address} does not serve this caller ({said}): the token in internal_token (CAMBIST_INTERNAL_TOKEN) has to be \
         the one that {peer}'s internal_tokens (CAMBIST_INTERNAL_TOKENS) lists for the service that runs here"
    )
}

fn wrong_address(peer: &str, address: &str, said: &str) -> String {
    let name = peer.to_uppercase();
    format!(
        "what listens at {address} is not {peer}'s internal listener, or of another version ({said}): correct {peer}_url \
         (CAMBIST_{name}_URL)"
    )
}

#[cfg(test)]
mod tests;
