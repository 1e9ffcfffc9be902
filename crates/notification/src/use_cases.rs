//! What can be asked of `notification`, one verb per file.

mod be_a_client;
mod deliver;
mod submit;

pub(crate) use be_a_client::Client;
pub(crate) use deliver::Deliver;
pub(crate) use submit::{Outcome, Submit, Wish};
