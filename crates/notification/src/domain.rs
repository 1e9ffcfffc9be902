//! What `notification` decides, without doing anything.

pub mod delivery;
pub mod letter;
