//! cambist
fn main() {}
