//! Settings: one table in code, from which everything else follows.
//!
//! [`TABLE`] declares every setting once. The typed [`Settings`], the flags, the environment variables, the keys of
//! `cambist.toml`, their help and the reference are generated from it, so they cannot disagree. What it keeps true:
//! flags outweigh the environment, the environment outweighs the file, the file outweighs the defaults; a name that
//! nobody knows is refused with the nearest one that exists; every error is one line that says what to do; and a
//! secret is shown nowhere.

mod check;
mod nearest;
mod reference;
mod secret;
mod smtp;
mod source;
mod table;
mod value;

pub use reference::{from_process, given_flags, reference_markdown, with_flags};
pub use secret::{CallerTokens, Secret, SecretUrl};
pub use smtp::{MailSecurity, SmtpUrl};
pub use source::{Effective, FILE_NAME, FILE_VARIABLE, Gathered, Loaded, Origin, SettingsError, read_file};
pub use table::{Setting, Settings, TABLE};
pub use value::{Deposits, LogFilter, LogFormat, MASK, ServiceUrl, Value};
