//! Users, credentials and signing keys
