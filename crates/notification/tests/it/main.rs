//! `notification` from outside: its rules, its mailer on a real folder, its verbs and routes over a real database.
//! Each file in `suites` is compiled once for every database, as a module of it, and finds there where to start.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]
#![allow(clippy::duplicate_mod, reason = "one suite of tests, run on every database")]

mod eml;
mod given;
mod letters;
mod pages;
mod port;
mod postgres;
mod routes;
mod server;
mod smtp;
mod smtp_tls;
mod sqlite;
