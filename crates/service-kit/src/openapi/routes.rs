//! Routes together with their documentation.

use std::sync::Arc;

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::operation::{add_problem, operations};
use crate::auth::{self, TokenVerifier};
use crate::http::{self, RateLimit};
use crate::internal::{self, Allowed, InternalTokens};
use crate::problem::ProblemCode;

/// The security scheme of users: the access token of `POST /login`.
pub(super) const USER: &str = "user";
/// The security scheme of internal callers: the token of a service or an operator.
pub(super) const CALLER: &str = "caller";

/// A router whose every route is documented: there is no way to add one that is not.
#[derive(Clone)]
pub struct Routes<S = ()>(OpenApiRouter<S>);

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Routes")
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self(OpenApiRouter::with_openapi(OpenApi::default()))
    }

    /// These as well: `with(routes!(read, open))`, handlers of one path, a method each.
    #[must_use]
    pub fn with(self, routes: UtoipaMethodRouter<S>) -> Self {
        Self(self.0.routes(routes))
    }

    /// Those of `others` as well.
    #[must_use]
    pub fn merge(self, others: Self) -> Self {
        Self(self.0.merge(others.0))
    }

    /// Those of a service, or of another part of a process, as well, under its name: `/balance/wallet/{user_id}`. Their
    /// operations are tagged with it, and their ids begin with it.
    #[must_use]
    pub fn nest(self, name: impl Into<&'static str>, others: Self) -> Self {
        let name = name.into();
        let others = others.documented(|operation| {
            operation.tags = Some(vec![name.to_owned()]);
            // Services have verbs in common; an id is unique in its document.
            operation.operation_id = operation.operation_id.take().map(|id| format!("{name}_{id}"));
        });
        Self(self.0.nest(&format!("/{name}"), others.0))
    }

    /// The same, with what they need.
    #[must_use]
    pub fn with_state<T>(self, state: S) -> Routes<T> {
        Routes(self.0.with_state(state))
    }

    /// The same behind [`auth::protect`], and documented so.
    #[must_use]
    pub fn protected(self, verifier: &Arc<TokenVerifier>) -> Self {
        self.protected_by(&[], |router| auth::protect(router, verifier))
    }

    /// The same behind a layer of the service's own that asks [`auth::identify`] first, and may answer with these problems
    /// as well.
    #[must_use]
    pub fn protected_by(self, problems: &[ProblemCode], layer: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        let problems = [&[ProblemCode::Unauthorized, ProblemCode::Forbidden], problems].concat();
        self.layered(&problems, layer)
            .documented(|operation| require(operation, USER))
    }

    /// The same behind [`internal::allow`], and documented so.
    #[must_use]
    pub fn allowed(self, tokens: &Arc<InternalTokens>, allowed: &'static [Allowed]) -> Self {
        let problems = [ProblemCode::Unauthorized, ProblemCode::Forbidden];
        self.layered(&problems, |router| internal::allow(router, tokens, allowed))
            .documented(|operation| require(operation, CALLER))
    }

    /// The same behind [`http::rate_limited`], and documented so.
    #[must_use]
    pub fn rate_limited(self, limit: &Arc<RateLimit>) -> Self {
        self.layered(&[ProblemCode::TooManyRequests], |router| {
            http::rate_limited(router, limit)
        })
    }

    /// The same behind a layer that may answer with these problems.
    #[must_use]
    pub fn layered(self, problems: &[ProblemCode], layer: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        let (router, api) = self.0.split_for_parts();
        let api = OpenApiRouter::with_openapi(api);
        Self(api.merge(OpenApiRouter::from(layer(router)))).documented(|operation| {
            for code in problems {
                add_problem(operation, *code);
            }
        })
    }

    /// The router and what is said of it.
    pub fn into_parts(self) -> (Router<S>, OpenApi) {
        self.0.split_for_parts()
    }

    /// The same with something said of each of its operations.
    fn documented(mut self, say: impl Fn(&mut Operation)) -> Self {
        operations(self.0.get_openapi_mut()).for_each(|(_, operation)| say(operation));
        self
    }
}

/// Without what is said of it; for tests, and for listeners that publish no document.
impl<S: Clone + Send + Sync + 'static> From<Routes<S>> for Router<S> {
    fn from(routes: Routes<S>) -> Self {
        routes.into_parts().0
    }
}

fn require(operation: &mut Operation, scheme: &str) {
    let none: [&str; 0] = [];
    operation.security = Some(vec![SecurityRequirement::new(scheme, none)]);
}
