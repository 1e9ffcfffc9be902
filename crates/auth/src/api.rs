//! `auth` over HTTP: thin handlers between bodies and use cases.

mod internal;
mod problems;
mod public;

pub(crate) use internal::routes as internal;
pub(crate) use public::routes as public;
