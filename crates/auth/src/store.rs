//! Where users, keys and failed logins lie.

pub mod sqlite;
