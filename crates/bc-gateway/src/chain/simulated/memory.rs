//! What the chain keeps in mind beside its file.
//!
//! It saves work and decides nothing: what is remembered is as true as when it was seen, and what is not is looked at
//! again. Bounded, and empty after a restart.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use contracts::Asset;

use crate::ports::{Address, Funds};

/// The most transfers that are remembered at once; far more than are ever under way.
const CAPACITY: usize = 20_000;

/// What is remembered of the file's content.
#[derive(Default)]
pub(super) struct Memory {
    /// What is confirmed for good.
    pub(super) confirmed: Recent,
    pub(super) tip: Tip,
}

impl Memory {
    /// A block with these transfers is on disk, and whoever waits for it does not know it yet.
    pub(super) fn take_in(&self, confirmed: Vec<String>) {
        self.tip.move_on();
        confirmed.into_iter().for_each(|hash| self.confirmed.remember(hash));
    }
}

/// Transfers, by their hashes, of which something was seen a moment ago that never changes. It is asked about once, as a
/// rule, so it is forgotten then; and all of it is when nobody asks.
#[derive(Default)]
pub(super) struct Recent(Mutex<HashSet<String>>);

impl Recent {
    pub(super) fn remember(&self, hash: String) {
        let mut hashes = held(&self.0);
        if hashes.len() >= CAPACITY {
            hashes.clear();
        }
        hashes.insert(hash);
    }

    pub(super) fn recall(&self, hash: &str) -> bool {
        held(&self.0).remove(hash)
    }
}

/// The last answer to what an address has; it holds until the next block. Nearly all ask about the hot wallet's.
#[derive(Default)]
pub(super) struct Tip(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    blocks: u64,
    funds: Option<(Address, Asset, Funds)>,
}

impl Tip {
    /// The answer, or else the number of blocks after which it is looked for.
    pub(super) fn funds(&self, address: &Address, asset: Asset) -> Result<Funds, u64> {
        let seen = held(&self.0);
        match &seen.funds {
            Some((known, of, funds)) if known == address && *of == asset => Ok(*funds),
            _ => Err(seen.blocks),
        }
    }

    /// Remembers what was looked for after so many `blocks`, unless there is another one by now.
    pub(super) fn remember(&self, blocks: u64, address: Address, asset: Asset, funds: Funds) {
        let mut seen = held(&self.0);
        if seen.blocks == blocks {
            seen.funds = Some((address, asset, funds));
        }
    }

    fn move_on(&self) {
        let mut seen = held(&self.0);
        seen.blocks += 1;
        seen.funds = None;
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use contracts::Amount;

    use super::*;

    #[test]
    fn an_answer_holds_until_the_next_block_and_for_what_was_asked() {
        let tip = Tip::default();
        let address = |text: &str| Address::try_new(text).unwrap();
        let funds = Funds {
            coins: Amount::new(5, Asset::BTC),
            nonce: 1,
        };
        let blocks = tip.funds(&address("a"), Asset::BTC).unwrap_err();
        tip.remember(blocks, address("a"), Asset::BTC, funds);
        assert_eq!(tip.funds(&address("a"), Asset::BTC), Ok(funds));
        assert_eq!(tip.funds(&address("b"), Asset::BTC), Err(blocks));
        assert_eq!(tip.funds(&address("a"), Asset::ETH), Err(blocks));
        tip.move_on();
        assert_eq!(tip.funds(&address("a"), Asset::BTC), Err(blocks + 1));
        // Read before the block, told after it.
        tip.remember(blocks, address("a"), Asset::BTC, funds);
        assert_eq!(tip.funds(&address("a"), Asset::BTC), Err(blocks + 1));
    }

    #[test]
    fn what_is_recent_is_told_once_and_never_grows_too_large() {
        let recent = Recent::default();
        recent.remember("a".to_owned());
        assert!(recent.recall("a") && !recent.recall("a"));
        for number in 0..=CAPACITY {
            recent.remember(number.to_string());
        }
        assert!(recent.recall(&CAPACITY.to_string()) && !recent.recall("0"));
    }
}
