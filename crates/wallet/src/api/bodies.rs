//! What is written and read as JSON. Field names are a promise.

use contracts::clients::{Side, WalletBalances};
use contracts::messages::FailureCode;
use contracts::money::{DecimalText, JsonNumber};
use contracts::{Amount, Asset, DepositId, OrderId, Price, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Deposit, DepositStatus, Fact, InvalidTerms, LogEntry, Order, OrderState, OrderStatus};

/// The most characters of a client's reference.
const MAX_REFERENCE: usize = 64;

/// A request to buy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuyBody {
    pub(super) fiat_amount: DecimalText,
    pub(super) asset: Option<Asset>,
    pub(super) currency: Option<Asset>,
    pub(super) client_reference: Option<String>,
}

/// A request to sell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SellBody {
    pub(super) crypto_amount: DecimalText,
    pub(super) asset: Option<Asset>,
    pub(super) currency: Option<Asset>,
    pub(super) client_reference: Option<String>,
}

/// A request to deposit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DepositBody {
    pub(super) fiat_amount: DecimalText,
    pub(super) currency: Option<Asset>,
    pub(super) client_reference: Option<String>,
}

/// A client's reference, if it is one.
pub(super) fn reference(given: Option<String>) -> Result<Option<String>, InvalidTerms> {
    let printable = |text: &String| {
        let length = text.chars().count();
        (1..=MAX_REFERENCE).contains(&length) && !text.chars().any(char::is_control) && text.trim() == text
    };
    match given {
        Some(text) if !printable(&text) => Err(InvalidTerms {
            field: "client_reference",
            detail: format!("1 to {MAX_REFERENCE} printable characters, without spaces around them"),
        }),
        given => Ok(given),
    }
}

/// The answer to an accepted order.
#[derive(Debug, Serialize)]
pub(super) struct AcceptedBody {
    pub(super) order_id: OrderId,
    pub(super) status: OrderStatus,
}

/// A wallet. The two numbers are those of BTC and USD.
#[derive(Debug, Serialize)]
pub(super) struct WalletBody {
    user_id: UserId,
    crypto_amount: JsonNumber,
    fiat_amount: JsonNumber,
    balances: Vec<Amount>,
}

impl From<WalletBalances> for WalletBody {
    fn from(wallet: WalletBalances) -> Self {
        let WalletBalances { user_id, balances } = wallet;
        let of = |asset| {
            let found = balances.iter().copied().find(|amount| amount.asset() == asset);
            JsonNumber(found.unwrap_or(Amount::zero(asset)))
        };
        Self {
            user_id,
            crypto_amount: of(Asset::BTC),
            fiat_amount: of(Asset::USD),
            balances,
        }
    }
}

/// The answer to a wallet that is opened.
#[derive(Debug, Serialize)]
pub(super) struct OpenedBody {
    pub(super) user_id: UserId,
}

/// A deposit.
#[derive(Debug, Serialize)]
pub(super) struct DepositedBody {
    deposit_id: DepositId,
    status: DepositStatus,
    amount: Amount,
    reference: String,
}

impl From<Deposit> for DepositedBody {
    fn from(deposit: Deposit) -> Self {
        Self {
            deposit_id: deposit.id,
            status: deposit.status,
            amount: deposit.amount,
            reference: deposit.reference,
        }
    }
}

/// Fiat for one whole unit of crypto: as every other amount, but with as many decimals as a price has.
#[derive(Debug, Serialize)]
pub(super) struct PriceBody {
    amount: String,
    asset: Asset,
}

impl PriceBody {
    pub(super) fn new(price: &Price, currency: Asset) -> Self {
        Self {
            amount: price.to_string(),
            asset: currency,
        }
    }
}

/// An order.
#[derive(Debug, Serialize)]
pub(super) struct OrderBody {
    order_id: OrderId,
    client_reference: Option<String>,
    side: Side,
    asset: Asset,
    currency: Asset,
    status: OrderStatus,
    state: OrderState,
    requested: Amount,
    filled: Option<Amount>,
    price: Option<PriceBody>,
    fee: Option<Amount>,
    failure_code: Option<FailureCode>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventBody>>,
}

impl From<Order> for OrderBody {
    fn from(order: Order) -> Self {
        let saga = order.saga;
        let trade = saga.trade;
        let currency = saga.terms.currency;
        Self {
            order_id: order.id,
            client_reference: order.client_reference,
            side: saga.terms.side,
            asset: saga.terms.asset,
            currency,
            status: saga.state.status(),
            state: saga.state,
            requested: saga.terms.hold,
            filled: trade.as_ref().map(|trade| trade.filled),
            price: trade.as_ref().map(|trade| PriceBody::new(&trade.price, currency)),
            fee: trade.as_ref().map(|trade| trade.fee),
            failure_code: saga.failure,
            created_at: order.created_at,
            updated_at: order.updated_at,
            events: None,
        }
    }
}

impl OrderBody {
    /// The order with its log.
    pub(super) fn with_events(order: Order, log: Vec<LogEntry>) -> Self {
        let events = Some(log.into_iter().map(EventBody::from).collect());
        Self {
            events,
            ..Self::from(order)
        }
    }
}

/// An entry of an order's log.
#[derive(Debug, Serialize)]
struct EventBody {
    seq: i64,
    time: Timestamp,
    from: Option<OrderState>,
    to: OrderState,
    event: Fact,
    cause: String,
    actor: String,
}

impl From<LogEntry> for EventBody {
    fn from(entry: LogEntry) -> Self {
        // Which of our people looked after an order is not its user's to know.
        let operator = entry.event.actor.starts_with("operator:");
        let actor = if operator {
            "operator".to_owned()
        } else {
            entry.event.actor
        };
        Self {
            seq: entry.seq,
            time: entry.at,
            from: entry.from,
            to: entry.to,
            event: entry.event.fact,
            cause: entry.event.cause,
            actor,
        }
    }
}

/// A saga as operators see it.
#[derive(Debug, Serialize)]
pub(super) struct SagaBody {
    user_id: UserId,
    #[serde(flatten)]
    order: OrderBody,
    definition: u16,
    held: bool,
    returned: Option<Amount>,
    refusals: u32,
    revision: i64,
    tries: u32,
    next_attempt_at: Timestamp,
}

impl From<Order> for SagaBody {
    fn from(order: Order) -> Self {
        Self {
            user_id: order.user_id,
            definition: order.saga.definition,
            held: order.saga.held,
            returned: order.saga.trade.as_ref().map(|trade| trade.returned),
            refusals: order.saga.refusals,
            revision: order.revision,
            tries: order.tries,
            next_attempt_at: order.next_attempt_at,
            order: order.into(),
        }
    }
}
