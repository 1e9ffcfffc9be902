//! What an auditor reads of orders, whatever the database.

use crate::domain::{LogEntry, Order};

/// An order as its row and its log tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFacts {
    /// The row.
    pub order: Order,
    /// The log, in the order of its entries.
    pub log: Vec<LogEntry>,
}
