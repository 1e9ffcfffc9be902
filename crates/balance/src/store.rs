//! The databases that keep the books: each an adapter of [`crate::ports::LedgerStore`], each passing its suite.

pub mod postgres;
pub mod sqlite;
mod survey;
