//! The internal listeners: who calls, and whether this route is for them.
//!
//! Every calling service has a token of its own, and so has every operator, whose name goes to the audit log. A token
//! is compared by its hash in constant time with all of them. Probes need no token; they are mounted beside.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use contracts::ServiceName;
use contracts::traces::{self, CAUSES_HEADER};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::bearer;
use crate::problem::{Problem, ProblemCode};
use crate::settings::Secret;

/// Who calls an internal listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Another service.
    Service(ServiceName),
    /// A person, by name.
    Operator(String),
}

impl fmt::Display for Caller {
    /// As in settings and audit logs: `wallet`, `operator:ann`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => name.fmt(f),
            Self::Operator(name) => write!(f, "operator:{name}"),
        }
    }
}

/// A name that is neither a service's nor an operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a caller is a service (wallet, exchanger, …) or operator: and a name of 1 to 32 of a–z, 0–9, - . _ @")]
pub struct InvalidCaller;

impl FromStr for Caller {
    type Err = InvalidCaller;

    fn from_str(text: &str) -> Result<Self, InvalidCaller> {
        let Some(name) = text.strip_prefix("operator:") else {
            return text.parse().map(Self::Service).map_err(|_| InvalidCaller);
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._@".contains(&byte);
        let sound = (1..=32).contains(&name.len()) && name.bytes().all(plain);
        if sound {
            Ok(Self::Operator(name.to_owned()))
        } else {
            Err(InvalidCaller)
        }
    }
}

/// The handler's way to the caller, put there by [`allow`].
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut ::http::request::Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Problem::internal("the route is not behind internal::allow"))
    }
}

/// A caller a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// This service.
    Service(ServiceName),
    /// Any operator.
    Operator,
}

impl Allowed {
    fn admits(self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::Service(allowed), Caller::Service(name)) => allowed == *name,
            (Self::Operator, Caller::Operator(_)) => true,
            (Self::Service(_), Caller::Operator(_)) | (Self::Operator, Caller::Service(_)) => false,
        }
    }
}

/// Two callers with one token: nobody could tell who called.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("internal_tokens: {0} and {1} have the same token; give each its own")]
pub struct SharedToken(Caller, Caller);

/// The tokens that open the internal listener. Only their hashes are kept.
#[derive(Clone)]
pub struct InternalTokens(Vec<([u8; 32], Caller)>);

impl fmt::Debug for InternalTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, caller)| caller)).finish()
    }
}

impl InternalTokens {
    /// Knows these callers. A caller may have several tokens, so that they can be changed without a gap.
    ///
    /// # Errors
    /// [`SharedToken`] when two callers have the same token.
    pub fn try_new(tokens: impl IntoIterator<Item = (Caller, Secret)>) -> Result<Self, SharedToken> {
        let mut known: Vec<([u8; 32], Caller)> = Vec::new();
        for (caller, token) in tokens {
            let digest = bearer::digest(token.expose());
            match known.iter().find(|(other, _)| *other == digest) {
                Some((_, owner)) if *owner != caller => return Err(SharedToken(owner.clone(), caller)),
                Some(_) => {}
                None => known.push((digest, caller)),
            }
        }
        Ok(Self(known))
    }

    /// Whose token this is; `None` when it is nobody's.
    #[must_use]
    pub fn caller(&self, token: &str) -> Option<&Caller> {
        let digest = bearer::digest(token);
        // All are compared whatever is found, so that the time taken says nothing.
        self.0.iter().fold(None, |found, (known, caller)| {
            if bool::from(known.ct_eq(&digest)) {
                Some(caller)
            } else {
                found
            }
        })
    }
}

/// Lets only these callers through to the routes of `router`: 401 without a known token, 403 for others. Handlers
/// extract the [`Caller`].
pub fn allow<S>(router: Router<S>, tokens: &Arc<InternalTokens>, allowed: &'static [Allowed]) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route_layer(from_fn_with_state((Arc::clone(tokens), allowed), check))
}

async fn check(
    State((tokens, allowed)): State<(Arc<InternalTokens>, &'static [Allowed])>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = bearer::token(request.headers())
        .and_then(|token| tokens.caller(token))
        .cloned()
    else {
        return Problem::new(ProblemCode::Unauthorized).into_response();
    };
    if !allowed.iter().any(|allowed| allowed.admits(&caller)) {
        let detail = format!("this route is not for {caller}");
        return Problem::new(ProblemCode::Forbidden).with_detail(detail).into_response();
    }
    // Whoever may not call says nothing of anybody's orders.
    if let Some(causes) = request
        .headers()
        .get(CAUSES_HEADER)
        .and_then(|causes| causes.to_str().ok())
    {
        traces::learn_all(causes);
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}
