//! An order's transfers by themselves: each goes between the accounts that its leg is for, and those of a trade come to
//! one trade that used the whole hold.

use balance::domain::PostedTransfer;
use contracts::clients::Side;
use contracts::ledger::{Leg, Owner, Transfer};
use contracts::{Amount, Asset};
use wallet::domain::Terms;

use super::expected::Traded;

/// The legs that do not go between the accounts they are for, in the words of a finding.
pub(super) fn misplaced(booked: &[PostedTransfer], side: Side, user: &Owner) -> Vec<String> {
    let misplaced = booked
        .iter()
        .filter(|posted| !is_in_place(&posted.transfer, side, user));
    misplaced
        .map(|PostedTransfer { transfer, .. }| {
            let Transfer { id, debit, credit, .. } = transfer;
            format!("has a leg {} from {debit} to {credit}", id.leg)
        })
        .collect()
}

fn is_in_place(transfer: &Transfer, side: Side, user: &Owner) -> bool {
    let Transfer { id, debit, credit, .. } = transfer;
    let venue = |owner: &Owner| matches!(owner, Owner::Venue(_));
    let (hot, fees, rounding) = (&Owner::HotWallet, &Owner::Fees, &Owner::Rounding);
    let transit = &Owner::ExternalChain;
    match (id.leg, side) {
        (Leg::Hold, Side::Buy | Side::Sell) => debit == user && credit == hot,
        (Leg::WithdrawBackSent, Side::Buy) => debit == user && credit == transit,
        (Leg::WithdrawBackUndone, Side::Buy) => debit == transit && credit == user,
        // From the user directly where an earlier program booked it.
        (Leg::WithdrawBack, Side::Buy) => (debit == transit || debit == user) && credit == hot,
        (Leg::TradePay, Side::Buy | Side::Sell) | (Leg::ReversePay, Side::Buy) => debit == hot && venue(credit),
        (Leg::TradeReceive | Leg::ReverseReceive, Side::Buy) => venue(debit) && credit == hot,
        (Leg::TradeReceive, Side::Sell) => venue(debit) && credit == user,
        (Leg::TradeFee, Side::Buy) => debit == hot && credit == fees,
        (Leg::TradeFee, Side::Sell) | (Leg::ReverseFee, Side::Buy) => venue(debit) && credit == fees,
        (Leg::TradeRounding, Side::Buy) => debit == hot && credit == rounding,
        (Leg::TradeRounding, Side::Sell) | (Leg::ReverseRounding, Side::Buy) => venue(debit) && credit == rounding,
        (Leg::TradeReturn | Leg::Release, Side::Buy | Side::Sell)
        | (Leg::Withdraw | Leg::WithdrawUndone, Side::Buy) => debit == hot && credit == user,
        (Leg::ReverseResult, Side::Buy) => {
            let treasury = &Owner::Treasury;
            (debit == hot && credit == treasury) || (debit == treasury && credit == hot)
        }
        // Nobody but the hot wallet sends what was bought.
        (Leg::WithdrawSent, Side::Buy | Side::Sell) => false,
        // What a sale never has, and what belongs to no order at all.
        (
            Leg::Withdraw
            | Leg::WithdrawBack
            | Leg::WithdrawUndone
            | Leg::WithdrawBackSent
            | Leg::WithdrawBackUndone
            | Leg::ReversePay
            | Leg::ReverseReceive
            | Leg::ReverseFee
            | Leg::ReverseRounding
            | Leg::ReverseResult,
            Side::Sell,
        )
        | (
            Leg::Deposit | Leg::FundFiat | Leg::FundCrypto | Leg::AdjustFiat | Leg::AdjustCrypto,
            Side::Buy | Side::Sell,
        ) => false,
    }
}

/// The trade that an order's transfers come to; none when none of them is a trade's.
///
/// # Errors
/// What does not fit together, in the words of a finding.
pub(super) fn traded(booked: &[PostedTransfer], terms: &Terms) -> Result<Option<Traded>, String> {
    if !booked.iter().any(|posted| is_of_trade(posted.transfer.id.leg)) {
        return Ok(None);
    }
    let beyond = |_| "has a trade whose amounts are beyond 128 bits".to_owned();
    let sum = |a: Amount, b: Amount| a.checked_add(b).map_err(beyond);
    let of = |leg, asset| amount_of(booked, leg, asset);
    let fiat = |leg| of(leg, terms.currency);
    let (fee, rounding) = (fiat(Leg::TradeFee)?, fiat(Leg::TradeRounding)?);
    let returned = of(Leg::TradeReturn, terms.hold.asset())?;
    let (filled, value, used) = match terms.side {
        Side::Buy => {
            let value = sum(fiat(Leg::TradePay)?, rounding)?;
            (of(Leg::TradeReceive, terms.asset)?, value, sum(value, fee)?)
        }
        Side::Sell => {
            let filled = of(Leg::TradePay, terms.asset)?;
            (filled, sum(fiat(Leg::TradeReceive)?, fee)?, filled)
        }
    };
    if !filled.is_positive() {
        return Err("has a trade in which nothing was filled".to_owned());
    }
    if rounding.units() > 1 {
        return Err(format!(
            "has a trade in which {rounding} {} was rounded",
            rounding.asset()
        ));
    }
    let accounted = sum(used, returned)?;
    if accounted != terms.hold {
        return Err(format!(
            "has a trade that accounts for {accounted} of the {} {} that were held",
            terms.hold,
            terms.hold.asset()
        ));
    }
    Ok(Some(Traded {
        filled,
        value,
        fee,
        returned,
    }))
}

/// What was moved by this leg: nothing when there is none.
fn amount_of(booked: &[PostedTransfer], leg: Leg, asset: Asset) -> Result<Amount, String> {
    let found = booked.iter().find(|posted| posted.transfer.id.leg == leg);
    match found.map(|posted| posted.transfer.amount) {
        None => Ok(Amount::zero(asset)),
        Some(amount) if amount.asset() == asset => Ok(amount),
        Some(amount) => Err(format!("has a leg {leg} in {}, not in {asset}", amount.asset())),
    }
}

fn is_of_trade(leg: Leg) -> bool {
    match leg {
        Leg::TradePay | Leg::TradeReceive | Leg::TradeFee | Leg::TradeRounding | Leg::TradeReturn => true,
        Leg::Deposit
        | Leg::FundFiat
        | Leg::FundCrypto
        | Leg::AdjustFiat
        | Leg::AdjustCrypto
        | Leg::Hold
        | Leg::Withdraw
        | Leg::WithdrawBack
        | Leg::WithdrawUndone
        | Leg::WithdrawSent
        | Leg::WithdrawBackSent
        | Leg::WithdrawBackUndone
        | Leg::ReversePay
        | Leg::ReverseReceive
        | Leg::ReverseFee
        | Leg::ReverseRounding
        | Leg::ReverseResult
        | Leg::Release => false,
    }
}

#[cfg(test)]
mod tests;
