//! What is written and read as JSON. Field names are a promise.

use contracts::clients::{Side, WalletBalances};
use contracts::messages::FailureCode;
use contracts::money::{DecimalText, JsonNumber};
use contracts::{Amount, Asset, DepositId, OrderId, PositiveDecimal, Price, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Deposit, DepositStatus, Fact, InvalidTerms, LogEntry, Order, OrderState, OrderStatus};

/// The most characters of a client's reference.
const MAX_REFERENCE: usize = 64;

/// A request to buy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BuyRequest, examples(json!({"fiat_amount": 30})))]
pub(super) struct BuyBody {
    /// What it may cost, fees included.
    #[schema(value_type = PositiveDecimal)]
    pub(super) fiat_amount: DecimalText,
    /// The crypto; BTC unless said.
    pub(super) asset: Option<Asset>,
    /// The fiat; USD unless said.
    pub(super) currency: Option<Asset>,
    /// Your name for it, unique among your orders; 1 to 64 printable characters without spaces around them.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    pub(super) client_reference: Option<String>,
}

/// A request to sell.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SellRequest, examples(json!({"crypto_amount": 1.5})))]
pub(super) struct SellBody {
    /// What is sold.
    #[schema(value_type = PositiveDecimal)]
    pub(super) crypto_amount: DecimalText,
    /// The crypto; BTC unless said.
    pub(super) asset: Option<Asset>,
    /// The fiat; USD unless said.
    pub(super) currency: Option<Asset>,
    /// Your name for it, unique among your orders; 1 to 64 printable characters without spaces around them.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    pub(super) client_reference: Option<String>,
}

/// A request to deposit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DepositRequest, examples(json!({"fiat_amount": 600})))]
pub(super) struct DepositBody {
    /// What was paid in.
    #[schema(value_type = PositiveDecimal)]
    pub(super) fiat_amount: DecimalText,
    /// The fiat; USD unless said.
    pub(super) currency: Option<Asset>,
    /// Your name for it, unique among your deposits; 1 to 64 printable characters without spaces around them.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    pub(super) client_reference: Option<String>,
}

/// A payment that arrived, as an operator books it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRequest, examples(json!({"fiat_amount": 600, "reference": "SEPA 2026-01-02/17",
    "reason": "on the statement of 2 January"})))]
pub(super) struct BookDepositBody {
    /// What arrived.
    #[schema(value_type = PositiveDecimal)]
    pub(super) fiat_amount: DecimalText,
    /// The fiat; USD unless said.
    pub(super) currency: Option<Asset>,
    /// The payment's name; the same for a user is the same payment.
    #[schema(min_length = 1, max_length = 64)]
    pub(super) reference: String,
    /// Why, or by which evidence.
    #[schema(min_length = 1, max_length = 500)]
    pub(super) reason: String,
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedOrder, examples(json!({"order_id": 1, "status": "pending"})))]
pub(super) struct AcceptedBody {
    pub(super) order_id: OrderId,
    pub(super) status: OrderStatus,
}

/// A wallet. The two numbers are those of BTC and USD.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wallet, examples(json!({"user_id": 2, "crypto_amount": 1.5, "fiat_amount": 585,
    "balances": [{"amount": "1.5", "asset": "BTC"}, {"amount": "585", "asset": "USD"}]})))]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenedWallet, examples(json!({"user_id": 2})))]
pub(super) struct OpenedBody {
    pub(super) user_id: UserId,
}

/// A deposit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deposit, examples(json!({"deposit_id": 1, "status": "booked",
    "amount": {"amount": "600", "asset": "USD"}, "reference": "deposit-1"})))]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote, examples(json!({"amount": "10", "asset": "USD"})))]
pub(super) struct PriceBody {
    #[schema(value_type = Price)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order, examples(json!({"order_id": 1, "client_reference": null, "side": "buy", "asset": "BTC",
    "currency": "USD", "status": "completed", "state": "completed", "requested": {"amount": "30", "asset": "USD"},
    "filled": {"amount": "3", "asset": "BTC"}, "price": {"amount": "10", "asset": "USD"},
    "fee": {"amount": "0", "asset": "USD"}, "failure_code": null, "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:06Z"})))]
pub(super) struct OrderBody {
    order_id: OrderId,
    #[schema(required)]
    client_reference: Option<String>,
    side: Side,
    asset: Asset,
    currency: Asset,
    status: OrderStatus,
    state: OrderState,
    /// What was held: of a buy fiat, of a sell crypto.
    requested: Amount,
    /// Crypto.
    #[schema(required)]
    filled: Option<Amount>,
    /// Averaged over the fills.
    #[schema(required)]
    price: Option<PriceBody>,
    #[schema(required)]
    fee: Option<Amount>,
    #[schema(required)]
    failure_code: Option<FailureCode>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// Its log; not in lists.
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderEvent)]
struct EventBody {
    #[schema(minimum = 1)]
    seq: i64,
    time: Timestamp,
    #[schema(required)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Saga)]
pub(super) struct SagaBody {
    user_id: UserId,
    #[serde(flatten)]
    order: OrderBody,
    definition: u16,
    held: bool,
    promised: bool,
    returned: Option<Amount>,
    refusals: u32,
    revision: i64,
    tries: u32,
    next_attempt_at: Timestamp,
}

impl SagaBody {
    /// The saga with its log.
    pub(super) fn with_events(order: Order, log: Vec<LogEntry>) -> Self {
        let mut body = Self::from(order);
        body.order.events = Some(log.into_iter().map(EventBody::from).collect());
        body
    }
}

impl From<Order> for SagaBody {
    fn from(order: Order) -> Self {
        Self {
            user_id: order.user_id,
            definition: order.saga.definition,
            held: order.saga.held,
            promised: order.saga.promised,
            returned: order.saga.trade.as_ref().map(|trade| trade.returned),
            refusals: order.saga.refusals,
            revision: order.revision,
            tries: order.tries,
            next_attempt_at: order.next_attempt_at,
            order: order.into(),
        }
    }
}
