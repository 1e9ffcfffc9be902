//! What tests share: the system under test, given-when-then helpers, clients
