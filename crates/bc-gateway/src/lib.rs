//! Addresses and transfers on a blockchain
