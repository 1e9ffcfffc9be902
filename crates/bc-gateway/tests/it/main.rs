//! The tests of the gateway, by theme.
