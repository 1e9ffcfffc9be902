//! What `auth` decides, without doing anything: shared by every store.

pub mod keys;
pub mod logins;
pub mod user;
