//! The stores, through their ports, on every adapter.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod at_work;
mod commands;
mod crash;
mod desk;
mod disk_full;
mod given;
mod group_commit;
mod migrations;
mod operators;
mod outbox;
mod outbox_together;
mod readers;
