//! The stores, through their ports, on every adapter.

mod commands;
mod given;
mod group_commit;
mod migrations;
mod outbox;
