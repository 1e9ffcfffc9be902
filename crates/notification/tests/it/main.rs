//! `notification` from outside: its rules, its mailer on a real folder, its verbs and routes over a real database.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod audit;
mod deliveries;
mod eml;
mod given;
mod letters;
mod pages;
mod port;
mod routes;
mod server;
mod smtp;
mod smtp_tls;
mod submissions;
