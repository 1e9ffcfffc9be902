//! Corrections by hand: what an operator may change in a wallet, always against `treasury`, always with a reason.

use contracts::clients::WalletBalances;
use contracts::ledger::{Leg, MAX_REASON, Origin, Owner, Posting, Refusal, Transfer, TransferId};
use contracts::{Amount, AssetKind, UserId};

use super::posting::invalid;

/// What makes a repeated request recognisable: the client's key and what stands for the request itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The `Idempotency-Key`, unique for each wallet.
    pub key: String,
    /// A hash of the request: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
}

/// A correction of one wallet. Positive amounts come from `treasury`, negative ones go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// Whose wallet.
    pub user: UserId,
    /// The change in a currency, not zero.
    pub fiat: Option<Amount>,
    /// The change in a coin, not zero.
    pub crypto: Option<Amount>,
    /// Why: 1 … [`MAX_REASON`] bytes, not only blanks.
    pub reason: String,
    /// Who caused it.
    pub actor: String,
    /// To recognise the request when it comes again.
    pub request: Option<RequestKey>,
}

/// What became of an adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjusted {
    /// Booked, now or by an earlier request with the same key.
    Booked {
        /// Its number: the id of [`Origin::Adjustment`].
        id: i64,
        /// The wallet as it was right after it.
        wallet: WalletBalances,
        /// Whether an earlier request had booked it.
        replayed: bool,
    },
    /// The key came before, with another request. Nothing changed.
    KeyReused,
    /// Not booked; nothing changed.
    Refused(Refusal),
}

impl Adjustment {
    /// The posting that books this as number `id`: at most two transfers, linked.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for no change, a change of zero, an asset of the wrong kind, or a reason that is none.
    pub fn posting(&self, id: i64) -> Result<Posting, Refusal> {
        if self.reason.trim().is_empty() || self.reason.len() > MAX_REASON {
            return Err(invalid(format!("a correction has a reason of 1 to {MAX_REASON} bytes")));
        }
        let wanted = [
            (self.fiat, AssetKind::Fiat, Leg::AdjustFiat),
            (self.crypto, AssetKind::Crypto, Leg::AdjustCrypto),
        ];
        let mut transfers = Vec::with_capacity(2);
        for (change, kind, leg) in wanted {
            let Some(change) = change else { continue };
            if change.asset().kind() != kind {
                return Err(invalid("a currency is no coin, and a coin no currency"));
            }
            transfers.push(self.transfer(id, leg, change)?);
        }
        if transfers.is_empty() {
            return Err(invalid("nothing is changed"));
        }
        Ok(Posting { transfers })
    }

    fn transfer(&self, id: i64, leg: Leg, change: Amount) -> Result<Transfer, Refusal> {
        let wallet = Owner::wallet(self.user);
        let (debit, credit, amount) = if change.is_negative() {
            let amount = change.checked_neg().map_err(|error| invalid(error.to_string()))?;
            (wallet, Owner::Treasury, amount)
        } else {
            (Owner::Treasury, wallet, change)
        };
        let id = TransferId {
            origin: Origin::Adjustment(id),
            leg,
        };
        Ok(Transfer {
            id,
            debit,
            credit,
            amount,
            reason: self.reason.clone(),
            actor: self.actor.clone(),
        })
    }
}
