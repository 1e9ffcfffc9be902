//! What works beside the requests: the pool that hashes passwords, and the replacement of old keys.

pub mod hashing;
pub(crate) mod key_rotation;
