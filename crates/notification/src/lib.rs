//! Messages to users
