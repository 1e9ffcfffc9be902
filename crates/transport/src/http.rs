//! The client ports over HTTP: what one service asks of another that runs in a process of its own.
//!
//! - [`Peer`]: the other service, with everything that is done once: connections, time-outs, retries, the circuit, the token
//! - [`HttpAuth`], [`HttpBalance`], [`HttpExchanger`], [`HttpBcGateway`], [`HttpNotification`]: a port each
//! - [`Together`]: questions that come one by one, for the ports to the outside world where that is a program of ours
//! - [`circuit`], [`retry`], [`failure`]: the decisions, pure
//!
//! What it keeps true:
//!
//! - **Unknown is not refused.** A port's refusal comes only from an answer of the service that says so, whole and readable.
//!   Time-outs, lost connections, 5xx and whatever cannot be read are [`ClientError::Unavailable`]: the caller asks again.
//! - Nothing is repeated that is not idempotent. Every command is, by (order id, step) or transfer id; what each verb may be
//!   repeated for stands at the verb.
//! - A service that is away costs its callers nothing but an answer at once: the [`circuit`] is open, and what was accepted
//!   waits in the outbox.
//! - Everything has a bound: connections, requests in flight, the time of a call, its attempts, the bytes of an answer.
//!
//! Internal listeners speak plain HTTP, so the addresses do too; between machines the network or a proxy beside each process
//! has to encrypt.
//!
//! [`ClientError::Unavailable`]: contracts::clients::ClientError::Unavailable

mod auth;
mod balance;
mod batch;
mod bc_gateway;
pub mod circuit;
mod exchanger;
pub mod failure;
mod metrics;
mod notification;
mod operators;
mod options;
mod peer;
pub mod retry;
mod together;

pub use self::auth::HttpAuth;
pub use self::balance::HttpBalance;
pub use self::bc_gateway::HttpBcGateway;
pub use self::exchanger::HttpExchanger;
pub use self::metrics::PeerMetrics;
pub use self::notification::HttpNotification;
pub use self::options::{InvalidPeer, Options};
pub use self::peer::Peer;
pub use self::together::Together;
