//! What an auditor reads of exchanger, whatever the database.

use contracts::OrderId;
use contracts::messages::{Step, StepResult};

/// A trade, or its reversal, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeFact {
    /// The order.
    pub order_id: OrderId,
    /// [`Step::Exchange`] or [`Step::Reverse`].
    pub step: Step,
    /// Its result, once it has one.
    pub result: Option<StepResult>,
}
