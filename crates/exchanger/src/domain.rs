//! What exchanger decides, without I/O: where a command stands, what to ask the venue next, what an answer means, and what
//! a trade does to the books.
//!
//! - [`progress`]: the record of a command's attempts, stored with it;
//! - [`decision`]: what to do next ([`decision::plan`]) and what an answer teaches ([`decision::learn`]);
//! - [`ruling`]: what an operator's word does to a record;
//! - [`totals`]: fills added up, rounded once, and checked against what was ordered;
//! - [`booking`]: a trade as linked transfers.

pub mod booking;
pub mod decision;
pub mod progress;
pub mod ruling;
pub mod totals;
