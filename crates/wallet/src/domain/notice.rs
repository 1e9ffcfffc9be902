//! What a user reads when an order has ended: the sums first, in words that need no knowledge of trading.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Trade};
use contracts::{Amount, Asset};

use super::order::{Order, OrderState};
use super::saga::Saga;

/// The message about an order that has ended; the first line is its subject. `None` while it has not, and for one that
/// completed without a trade, which there is not. At most about 1 KiB.
#[must_use]
pub fn text(order: &Order) -> Option<String> {
    let saga = &order.saga;
    let message = match (saga.state, &saga.trade) {
        (OrderState::Completed, Some(trade)) => completed(saga, trade),
        (OrderState::Failed, _) => failed(saga),
        _ => return None,
    };
    Some(format!("{message}\n\nThis was your order number {}.\n", order.id))
}

fn completed(saga: &Saga, trade: &Trade) -> String {
    let (asset, currency) = (saga.terms.asset, saga.terms.currency);
    let Trade {
        filled,
        value,
        fee,
        returned,
        price,
    } = trade;
    let fee_note = if fee.is_zero() {
        String::new()
    } else {
        match saga.terms.side {
            Side::Buy => format!(" and a fee of {fee} {currency}"),
            Side::Sell => format!(", less a fee of {fee} {currency}"),
        }
    };
    let (done, arrived) = match saga.terms.side {
        Side::Buy => (
            format!("You bought {filled} {asset} for {value} {currency}{fee_note}"),
            format!("The {asset} is in your wallet."),
        ),
        Side::Sell => (
            format!("You sold {filled} {asset} for {value} {currency}{fee_note}"),
            format!("The money is in your wallet, in {currency}."),
        ),
    };
    let rest = if returned.is_zero() {
        String::new()
    } else {
        let unused = match saga.terms.side {
            Side::Buy => "not needed",
            Side::Sell => "not sold",
        };
        format!(
            "\nOf the {hold} {held} you set aside, {returned} {held} were {unused} and are back in your wallet.",
            hold = saga.terms.hold,
            held = saga.terms.hold.asset(),
        )
    };
    let moved = moved(saga.terms.side, *value, *fee, asset);
    format!("{done}\n\n{moved}\nThe price was {price} {currency} for 1 {asset}.\n{arrived}{rest}")
}

/// What the trade changed in the user's fiat, fee included.
fn moved(side: Side, value: Amount, fee: Amount, asset: Asset) -> String {
    let currency = value.asset();
    let (verb, net) = match side {
        Side::Buy => ("paid", value.checked_add(fee)),
        Side::Sell => ("received", value.checked_sub(fee)),
    };
    match (net, side) {
        (Ok(net), _) if fee.is_zero() => format!("You {verb} {net} {currency}. There was no fee."),
        (Ok(net), Side::Buy) => {
            format!(
                "You {verb} {net} {currency} in all: {value} {currency} for the {asset} and a fee of {fee} {currency}."
            )
        }
        (Ok(net), Side::Sell) => {
            format!("You {verb} {net} {currency}: {value} {currency} for the {asset}, less a fee of {fee} {currency}.")
        }
        // A trade whose sums do not fit together is not believed in the first place.
        (Err(_), _) => format!("It was about {value} {currency}, and the fee was {fee} {currency}."),
    }
}

fn failed(saga: &Saga) -> String {
    let hold = saga.terms.hold;
    let held = hold.asset();
    let (verb, participle) = match saga.terms.side {
        Side::Buy => ("buy", "bought"),
        Side::Sell => ("sell", "sold"),
    };
    let asset = saga.terms.asset;
    let reason = saga
        .failure
        .map_or_else(|| "it could not be carried out".to_owned(), |code| reason(code, asset));
    let charged = if saga.held {
        format!("Nothing was charged: your {hold} {held} are back in your wallet.")
    } else {
        "Nothing was charged.".to_owned()
    };
    format!(
        "Your order to {verb} {asset} was not carried out\n\nNo {asset} was {participle}, because {reason}.\n{charged}"
    )
}

fn reason(code: FailureCode, asset: Asset) -> String {
    match code {
        FailureCode::InsufficientFunds => "the balance did not suffice".to_owned(),
        FailureCode::VenueRejected => "the market did not accept the order".to_owned(),
        FailureCode::NothingFilled => "nobody on the market took the other side".to_owned(),
        FailureCode::NotExecuted => "the market did not carry it out in time".to_owned(),
        FailureCode::WithdrawalRefused => format!("the {asset} could not be sent to your address"),
        FailureCode::Cancelled => "it was cancelled".to_owned(),
        FailureCode::Undeliverable => "it could not be delivered".to_owned(),
    }
}
