//! Money: read, written, computed and rounded, against models that share no code with it.

mod amounts;
mod arithmetic;
mod json;
mod model;
mod prices;
mod rounding;
mod samples;
