//! What only the books of several processes have to promise.

mod audit;
mod lost;
mod plans;
mod replicas;
