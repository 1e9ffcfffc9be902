//! Lists come in pages: bounded, and continued by a cursor.

use ::http::request::Parts;
use axum::extract::{FromRequestParts, Query};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Problem, ProblemCode};

/// How many items of a list are wanted: 1 to 100, 20 unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit(u16);

impl PageLimit {
    /// The most items a page has.
    pub const MAX: u16 = 100;

    /// The limit; `None` for zero and for more than [`PageLimit::MAX`].
    #[must_use]
    pub fn try_new(limit: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&limit).then_some(Self(limit))
    }

    /// How many items.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// How many rows to read: one more than wanted, which tells whether there is a next page.
    #[must_use]
    pub fn rows(self) -> usize {
        self.get() + 1
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(20)
    }
}

impl<'de> Deserialize<'de> for PageLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = u16::deserialize(deserializer)?;
        Self::try_new(limit).ok_or_else(|| D::Error::custom("a limit is a number from 1 to 100"))
    }
}

/// `?limit=20&cursor=17`: which page of a list is wanted. Other parameters are refused; a list that takes more has a
/// type of its own with these two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items.
    #[serde(default)]
    #[param(inline)]
    pub limit: PageLimit,
    /// The `next_cursor` of the page before; none for the first page.
    #[serde(default)]
    pub cursor: Option<i64>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// At most as many as were wanted.
    #[schema(max_items = 100)]
    pub items: Vec<T>,
    /// What to ask for next; `null` on the last page.
    #[schema(required)]
    pub next_cursor: Option<i64>,
}

impl<T> Page<T> {
    /// Makes a page of up to [`PageLimit::rows`] rows; `cursor` tells where an item stands in the list.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, limit: PageLimit, cursor: impl Fn(&T) -> i64) -> Self {
        let more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let next_cursor = rows.last().filter(|_| more).map(cursor);
        Self {
            items: rows,
            next_cursor,
        }
    }

    /// The same page with every item translated.
    #[must_use]
    pub fn map<U>(self, translate: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(translate).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Query parameters of type `T`; what does not fit is a `malformed_query`.
#[derive(Debug, Clone)]
pub struct QueryParams<T>(pub T);

impl<T, S> FromRequestParts<S> for QueryParams<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                Err(Problem::new(ProblemCode::MalformedQuery).with_detail(reason))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        QueryParams::from_request_parts(parts, state)
            .await
            .map(|QueryParams(query)| query)
    }
}
