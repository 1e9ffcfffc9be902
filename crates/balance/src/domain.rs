//! What the books allow: pure decisions, the same for every database.
//!
//! A whole batch is decided in memory, one posting after the other, from what the store loaded: [`Batch`] says what
//! to load, [`decide`] turns that into an outcome for each posting and the rows to write.

mod adjustment;
mod batch;
mod books;
mod decide;
mod funding;
mod posting;

pub use adjustment::{Adjusted, Adjustment, RequestKey};
pub use batch::{AccountRef, Batch, View};
pub use books::{AssetTotals, BooksReport, MAX_VIOLATIONS, PostedTransfer, Violation};
pub use decide::{AccountAfter, Booked, Decision, decide};
pub use funding::{Capital, Funding};
pub use posting::{MAX_ACTOR, check};
