//! `auth` from outside: its stores through their ports, its verbs and routes over a real database.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod conformance;
mod given;
mod hashing;
mod internal;
mod key_rules;
mod login;
mod login_rules;
mod port;
mod registration;
mod tokens;
