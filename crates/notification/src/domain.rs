//! What `notification` decides, without doing anything.

pub mod delivery;
mod html;
pub mod letter;
