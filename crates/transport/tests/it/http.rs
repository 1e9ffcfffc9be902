//! The way to a peer over real sockets: what is known is told, what is not is never taken for a refusal, and everything ends.

mod batches;
mod circuit;
mod faults;
mod peer;
mod requests;
mod together;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use contracts::ServiceName;
use contracts::UserId;
use transport::http::{HttpBalance, Options, Peer, circuit as breaker};

use crate::given::entropy;

/// Bounds under which a test need not wait long for what never comes; the circuit stays out of it.
fn brisk() -> Options {
    Options {
        connect_timeout: Duration::from_millis(500),
        attempt_timeout: Duration::from_millis(300),
        call_timeout: Duration::from_secs(5),
        circuit: breaker::Rules {
            failures: u32::MAX,
            ..breaker::Rules::default()
        },
        ..Options::default()
    }
}

/// As [`brisk`], with an attempt each that may take its time.
fn patient() -> Options {
    Options {
        attempt_timeout: Duration::from_secs(30),
        call_timeout: Duration::from_secs(30),
        ..brisk()
    }
}

fn places(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

fn way_to(address: &str, options: Options) -> Peer {
    Peer::try_new(ServiceName::Balance, address, "token-of-wallet", options, entropy()).unwrap()
}

fn balance_at(address: &str, options: Options) -> Arc<HttpBalance> {
    Arc::new(HttpBalance(way_to(address, options)))
}

fn user() -> UserId {
    UserId::try_new(2).unwrap()
}

/// User 2's wallet, with nothing in it.
const WALLET: &str = r#"{"user_id": 2, "crypto_amount": 0, "fiat_amount": 0, "balances": []}"#;
