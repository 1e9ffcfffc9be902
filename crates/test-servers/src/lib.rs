//! Private copies of the real servers that tests run against, on loopback ports and in folders of their own, and of Cambist
//! itself beside them: as one process, or as ten. And [a disk](disk) that takes its time, as real ones do.
//!
//! What it keeps true: a server ends with the process that started it, however that ends, and takes its folder with it; no
//! test depends on a server that happens to run; a server that is not installed fails the test and says what helps.
//!
//! It depends on none of our crates and on hardly anything else, so that every crate's tests may use it and `cargo xtask`
//! still builds in seconds. What it knows of Cambist is what an operator knows: the commands, the settings, the probes.

pub mod cluster;
pub mod disk;
pub mod nats;
pub mod plans;
pub mod postgres;
