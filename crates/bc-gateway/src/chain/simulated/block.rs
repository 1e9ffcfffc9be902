//! Blocks: what a transaction does to the coins of the chain.
//!
//! What it keeps true: a transfer moves coins once, in the order of its sender's nonces, and only when there are enough;
//! it is confirmed together with what it moves. Of each account that a block touches the coins and the nonce are read
//! once and written once, at its end: nearly all transfers are the hot wallet's.

use std::collections::BTreeMap;
use std::sync::Arc;

use contracts::{Amount, Asset};
use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::types::Type;
use storage::sqlite::bad_column;

use super::ledger::{self, Due, Entry, Standing};
use super::manners::{Manner, Manners};
use crate::ports::{BroadcastAnswer, FindAnswer};

/// How far ahead of the next one a nonce may be and still wait in the mempool.
const MAX_AHEAD: u64 = 100_000;

/// The block that a transaction makes, from [`Block::open`] to [`Block::close`]. One that is not closed has to be undone
/// with its transaction.
pub(super) struct Block<'a> {
    tx: &'a Connection,
    now: Timestamp,
    coins: BTreeMap<(String, Asset), Kept<Amount>>,
    nonces: BTreeMap<String, Kept<u64>>,
    /// Whether anything may be waiting that another transfer could bring forward.
    waiting: bool,
    confirmed: Vec<String>,
}

/// What was read, or what is to be written instead.
struct Kept<T> {
    value: T,
    changed: bool,
}

impl<T> Kept<T> {
    const fn read(value: T) -> Self {
        Self { value, changed: false }
    }

    const fn changed(value: T) -> Self {
        Self { value, changed: true }
    }
}

impl<'a> Block<'a> {
    pub(super) fn open(tx: &'a Connection, now: Timestamp) -> rusqlite::Result<Self> {
        Ok(Self {
            tx,
            now,
            coins: BTreeMap::new(),
            nonces: BTreeMap::new(),
            waiting: ledger::any_waits(tx)?,
            confirmed: Vec::new(),
        })
    }

    /// Writes what has changed; the hashes of the transfers that are confirmed for good by it.
    pub(super) fn close(self) -> rusqlite::Result<Vec<String>> {
        for ((address, _), coins) in self.coins.iter().filter(|(_, coins)| coins.changed) {
            ledger::set_coins(self.tx, address, coins.value)?;
        }
        for (address, next) in self.nonces.iter().filter(|(_, next)| next.changed) {
            ledger::set_next_nonce(self.tx, address, next.value)?;
        }
        Ok(self.confirmed)
    }

    /// What the chain does with sound bytes; an answer for each, in their order. They are taken by their nonces, however
    /// they overtook each other on their way: so most of them can be confirmed at once.
    pub(super) fn take_all(
        &mut self,
        manners: &dyn Manners,
        entries: &[Arc<Entry>],
    ) -> rusqlite::Result<Vec<BroadcastAnswer>> {
        let mut by_nonce: Vec<_> = entries.iter().enumerate().collect();
        by_nonce.sort_by_key(|(_, entry)| entry.nonce);
        let mut answers = by_nonce
            .into_iter()
            .map(|(place, entry)| Ok((place, self.take(manners, entry)?)))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn take(&mut self, manners: &dyn Manners, entry: &Entry) -> rusqlite::Result<BroadcastAnswer> {
        let refused = |reason: &str| BroadcastAnswer::Refused {
            reason: reason.to_owned(),
        };
        match ledger::holder_of_nonce(self.tx, &entry.from, entry.nonce)? {
            Some(hash) if hash == entry.hash => return Ok(BroadcastAnswer::Taken),
            Some(_) => return Ok(refused("the nonce belongs to another transfer")),
            None => {}
        }
        if entry.nonce > self.next_nonce(&entry.from)?.saturating_add(MAX_AHEAD) {
            return Ok(refused("the nonce is too far ahead"));
        }
        let number = ledger::vain_broadcasts(self.tx, &entry.hash)?.saturating_add(1);
        let silence = BroadcastAnswer::Unknown {
            reason: "the connection broke".to_owned(),
        };
        let manner = manners.broadcast(&entry.memo, number);
        if matches!(
            manner,
            Manner::LostBroadcast | Manner::UnknownNotTaken | Manner::Reorganise
        ) {
            ledger::count_vain_broadcast(self.tx, &entry.hash)?;
        }
        let (ready_at, shallow, answer) = match manner {
            Manner::Confirm => (self.now, false, BroadcastAnswer::Taken),
            Manner::LostBroadcast => return Ok(BroadcastAnswer::Taken),
            Manner::UnknownButTaken => (self.now, false, silence),
            Manner::UnknownNotTaken => return Ok(silence),
            Manner::LateConfirmation(by) => (contracts::time::later(self.now, by), false, BroadcastAnswer::Taken),
            Manner::Reorganise => (self.now, true, BroadcastAnswer::Taken),
        };
        self.put(entry, ready_at, shallow)?;
        Ok(answer)
    }

    /// Answers a question about a transfer, after time has done its work. A shallow one is seen once and gone then.
    pub(super) fn look_up(&mut self, hash: &str) -> rusqlite::Result<FindAnswer> {
        if let Some(sender) = ledger::sender_of(self.tx, hash)? {
            self.advance(vec![sender])?;
        }
        Ok(match ledger::standing(self.tx, hash)? {
            None => FindAnswer::NotFound,
            Some(Standing::Pending) => FindAnswer::Pending,
            Some(Standing::Confirmed) => FindAnswer::Confirmed {
                confirmations: super::DEPTH,
            },
            Some(Standing::Shallow) => {
                ledger::remove(self.tx, hash)?;
                FindAnswer::Confirmed { confirmations: 1 }
            }
        })
    }

    /// The nonce of an address's transfer that is confirmed next, after time has done its work.
    pub(super) fn confirmed_nonce(&mut self, address: &str) -> rusqlite::Result<u64> {
        self.advance(vec![address.to_owned()])?;
        self.next_nonce(address)
    }

    /// Puts a transfer into this block where it can be confirmed at once; else into the mempool, or into a block that
    /// will not last.
    fn put(&mut self, entry: &Entry, ready_at: Timestamp, shallow: bool) -> rusqlite::Result<()> {
        let Entry {
            from,
            to,
            amount,
            nonce,
            ..
        } = entry;
        let at_once = !shallow && ready_at <= self.now && self.move_coins(from, *nonce, to, *amount)?;
        let mut moved = vec![from.clone()];
        let standing = if at_once {
            self.confirmed.push(entry.hash.clone());
            moved.push(to.clone());
            Standing::Confirmed
        } else if shallow {
            Standing::Shallow
        } else {
            self.waiting = true;
            Standing::Pending
        };
        ledger::store(self.tx, entry, ready_at, standing)?;
        self.advance(moved)
    }

    /// Confirms whatever is ready: these senders' transfers in the order of their nonces, and then those that were waiting
    /// for the coins these brought. Each step confirms a transfer, so it ends.
    fn advance(&mut self, mut senders: Vec<String>) -> rusqlite::Result<()> {
        if !self.waiting {
            return Ok(());
        }
        while let Some(sender) = senders.pop() {
            while let Some(recipient) = self.confirm_next(&sender)? {
                senders.push(recipient);
            }
        }
        Ok(())
    }

    /// Confirms a sender's next transfer if it is there, ready and paid for; its recipient then.
    fn confirm_next(&mut self, sender: &str) -> rusqlite::Result<Option<String>> {
        let nonce = self.next_nonce(sender)?;
        let Some(Due {
            hash,
            recipient,
            amount,
        }) = ledger::due(self.tx, self.now, sender, nonce)?
        else {
            return Ok(None);
        };
        if !self.move_coins(sender, nonce, &recipient, amount)? {
            return Ok(None);
        }
        ledger::set_confirmed(self.tx, sender, nonce)?;
        self.confirmed.push(hash);
        Ok(Some(recipient))
    }

    /// Moves a transfer's coins and its sender's nonce, if that is next and they are there.
    fn move_coins(&mut self, sender: &str, nonce: u64, recipient: &str, amount: Amount) -> rusqlite::Result<bool> {
        if self.next_nonce(sender)? != nonce {
            return Ok(false);
        }
        let left = self.coins(sender, amount.asset())?.checked_sub(amount).map_err(bad)?;
        if left.is_negative() {
            return Ok(false);
        }
        self.set_coins(sender, left);
        // Read after the sender's is written: both may be the same account.
        let gained = self
            .coins(recipient, amount.asset())?
            .checked_add(amount)
            .map_err(bad)?;
        self.set_coins(recipient, gained);
        self.nonces.insert(sender.to_owned(), Kept::changed(nonce + 1));
        Ok(true)
    }

    fn coins(&mut self, address: &str, asset: Asset) -> rusqlite::Result<Amount> {
        let account = (address.to_owned(), asset);
        if let Some(kept) = self.coins.get(&account) {
            return Ok(kept.value);
        }
        let coins = ledger::coins(self.tx, address, asset)?;
        self.coins.insert(account, Kept::read(coins));
        Ok(coins)
    }

    fn set_coins(&mut self, address: &str, coins: Amount) {
        self.coins
            .insert((address.to_owned(), coins.asset()), Kept::changed(coins));
    }

    fn next_nonce(&mut self, address: &str) -> rusqlite::Result<u64> {
        if let Some(kept) = self.nonces.get(address) {
            return Ok(kept.value);
        }
        let next = ledger::next_nonce(self.tx, address)?;
        self.nonces.insert(address.to_owned(), Kept::read(next));
        Ok(next)
    }
}

fn bad(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    bad_column(1, Type::Blob, error)
}
