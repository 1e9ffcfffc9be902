//! Ids in paths: one spelling each, or a problem.

use std::str::FromStr;

use ::http::request::Parts;
use axum::extract::{FromRequestParts, RawPathParams};
use contracts::{DepositId, OrderId, UserId};

use crate::problem::{Problem, ProblemCode};

/// An id that occurs in paths, always under the same name.
pub trait PathParam: FromStr + Send {
    /// The name between the braces: `user_id` for `/orders/{user_id}`.
    const NAME: &'static str;
}

impl PathParam for UserId {
    const NAME: &'static str = "user_id";
}

impl PathParam for OrderId {
    const NAME: &'static str = "order_id";
}

impl PathParam for DepositId {
    const NAME: &'static str = "deposit_id";
}

/// The id in the path. Anything that is not the one spelling of an id is a `malformed_path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathId<T>(pub T);

impl<T, S> FromRequestParts<S> for PathId<T>
where
    T: PathParam,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let malformed = || {
            let detail = format!("{} must be a whole number from 1", T::NAME);
            Problem::new(ProblemCode::MalformedPath).with_detail(detail)
        };
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| malformed())?;
        let raw = params
            .iter()
            .find_map(|(name, value)| (name == T::NAME).then_some(value));
        let raw = raw.ok_or_else(|| Problem::internal(format!("the route has no {{{}}}", T::NAME)))?;
        raw.parse().map(Self).map_err(|_| malformed())
    }
}
