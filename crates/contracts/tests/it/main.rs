//! What the contracts promise, seen from outside: one test binary, a module by theme.

#![allow(
    clippy::unwrap_used,
    reason = "in tests, helpers included, a broken assumption should end the test at once"
)]

mod money;
