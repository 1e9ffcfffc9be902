//! What is said of commands: of one that is accepted, and of each of an array.

use contracts::OrderId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A command that is on disk, now or before, and comes to its end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AcceptedCommand, examples(json!({"order_id": 1, "status": "accepted"})))]
pub struct Accepted {
    order_id: OrderId,
    #[schema(pattern = "^accepted$")]
    status: &'static str,
}

impl Accepted {
    /// The command of this order.
    #[must_use]
    pub const fn new(order_id: OrderId) -> Self {
        Self {
            order_id,
            status: "accepted",
        }
    }
}

/// One of an array's outcomes: what the single form would have answered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = CommandOutcome, examples(json!({"order_id": 1, "status": "accepted"})))]
pub enum Outcome {
    /// It is on disk.
    Accepted(Accepted),
    /// It was refused, and changed nothing. `order_id` says which.
    Refused(Problem),
}

impl Outcome {
    /// The outcome of this order's command.
    #[must_use]
    pub fn new(order_id: OrderId, refused: Option<Problem>) -> Self {
        match refused {
            None => Self::Accepted(Accepted::new(order_id)),
            Some(problem) => Self::Refused(problem.with_extension("order_id", order_id.get())),
        }
    }
}
