//! What can be asked of `auth`, one verb per file.

mod be_a_client;
mod create_hot_wallet_user;
mod log_in;
mod manage_keys;
mod register;

pub(crate) use be_a_client::Client;
pub use create_hot_wallet_user::create_hot_wallet_user;
pub(crate) use log_in::LogIn;
pub use log_in::{LogInError, LoggedIn};
pub use manage_keys::KeyError;
pub(crate) use manage_keys::KeyRing;
pub(crate) use register::Register;
pub use register::RegisterError;
