//! What every service needs around its routes: settings, telemetry, problems, authentication, shutdown.
//!
//! A service says *what* it does; this crate keeps true what is the same for all of them:
//!
//! - [`settings`]: one table declares every setting; unknown ones are refused, secrets are never shown;
//! - [`telemetry`]: logs for people on a terminal, JSON otherwise;
//! - [`problem`]: every refusal is an RFC 9457 problem from a closed registry, and what went wrong inside stays inside;
//! - [`extract`]: nothing reaches a handler that is not well-formed and bounded;
//! - [`auth`]: first *who are you* (401), then *is this yours* (403), before a body is read;
//! - [`openapi`]: routes that cannot be but documented, and the documents;
//! - [`internal`]: the same for the internal listeners, with a table of callers per route;
//! - [`http`]: a server in which connections, headers, requests and their number all have limits;
//! - [`metrics`]: what Prometheus is shown: named, described and bounded in one place;
//! - [`operators`]: what people may do in every service alike;
//! - [`probes`] and [`shutdown`]: what a supervisor sees, and an end in which nothing is cut off silently.
//!
//! How a service puts them together:
//!
//! ```text
//! let routes  = Routes::new().with(routes!(read, open)).protected(&verifier);
//! let private = Routes::new().with(routes!(book)).allowed(&tokens, &[Allowed::Service(ServiceName::Wallet)]);
//! let beside  = probes.into_routes().merge(scrape.into_routes());
//! let (public, _)       = openapi::publish(PUBLIC, routes, Routes::new());
//! let (private, beside) = openapi::publish(INTERNAL, private, beside);
//! let public  = http::guard(problem::with_fallbacks(public), limits, &metrics.public);
//! let private = http::guard(problem::with_fallbacks(private), limits, &metrics.internal).merge(beside);
//! shutdown.spawn("public listener", async { http::serve(listener, public, serve_limits, token).await; Ok(()) });
//! ```

pub mod auth;
pub mod extract;
pub mod http;
pub mod internal;
pub mod metrics;
pub mod openapi;
pub mod operators;
pub mod outcome;
pub mod probes;
pub mod problem;
pub mod settings;
pub mod shutdown;
pub mod telemetry;

mod bearer;
