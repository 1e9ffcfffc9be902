//! The way to the users: mail by SMTP, or as files where there is no mail server.

mod eml;
mod rfc5322;
mod smtp;

pub use eml::{EmlMailer, OpenError};
pub use rfc5322::{InvalidSender, Sender};
pub use smtp::{InvalidCertificates, SmtpMailer, SmtpServer};
