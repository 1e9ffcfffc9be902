//! The way to the users: mail as files. SMTP comes behind the same port.

mod eml;
mod rfc5322;

pub use eml::{EmlMailer, OpenError};
pub use rfc5322::{InvalidSender, Sender};
