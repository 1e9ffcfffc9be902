//! The stories: what a customer, a stranger and an operator meet.

mod customers;
mod doors;
mod list;
mod operators;
mod repeats;

pub(super) use self::customers::*;
pub(super) use self::doors::*;
pub(super) use self::list::tell_all;
pub(super) use self::operators::*;
pub(super) use self::repeats::*;
