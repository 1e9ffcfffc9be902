//! A command as JSON, with the field names that are fixed for it.

use contracts::clients::{ExchangeCommand, Side};
use contracts::money::DecimalText;
use contracts::{Asset, OrderId, PositiveDecimal, UserId};
use serde::Deserialize;
use service_kit::problem::Problem;
use utoipa::ToSchema;

/// `{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30, "compensate": false}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TradeCommand, examples(json!({"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30})))]
pub(super) struct CommandBody {
    acquirer_user_id: UserId,
    pub(super) order_id: OrderId,
    /// Of a sell: the quantity. Of a buy that is undone: what it had filled.
    #[schema(value_type = Option<PositiveDecimal>)]
    crypto_amount: Option<DecimalText>,
    /// Of a buy: the ceiling on cost and fees.
    #[schema(value_type = Option<PositiveDecimal>)]
    fiat_amount: Option<DecimalText>,
    /// Whether the trade is to be undone.
    #[serde(default)]
    compensate: bool,
    #[serde(default = "default_asset")]
    asset: Asset,
    #[serde(default = "default_currency")]
    currency: Asset,
}

const fn default_asset() -> Asset {
    Asset::BTC
}

const fn default_currency() -> Asset {
    Asset::USD
}

impl CommandBody {
    /// The command. Exactly one of the amounts may be there, and it must be the one that limits the trade: an amount that
    /// is ignored would mislead whoever sent it.
    pub(super) fn command(&self, side: Side) -> Result<ExchangeCommand, Problem> {
        let by_fiat = side == Side::Buy && !self.compensate;
        let (needed, name, other, other_name, asset) = if by_fiat {
            (
                &self.fiat_amount,
                "/fiat_amount",
                &self.crypto_amount,
                "/crypto_amount",
                self.currency,
            )
        } else {
            (
                &self.crypto_amount,
                "/crypto_amount",
                &self.fiat_amount,
                "/fiat_amount",
                self.asset,
            )
        };
        let what = if by_fiat {
            "a buy is limited by the fiat it may cost"
        } else {
            "a sell, and the undoing of a buy, is limited by the crypto that is sold"
        };
        let Some(text) = needed else {
            return Err(Problem::invalid(name, format!("required: {what}")));
        };
        if other.is_some() {
            return Err(Problem::invalid(other_name, format!("to be left out: {what}")));
        }
        let amount = text
            .amount(asset)
            .map_err(|error| Problem::invalid(name, error.to_string()))?;
        if !amount.is_positive() {
            return Err(Problem::invalid(name, "it must be greater than zero"));
        }
        Ok(ExchangeCommand {
            order_id: self.order_id,
            acquirer_user_id: self.acquirer_user_id,
            side,
            asset: self.asset,
            currency: self.currency,
            amount,
            compensate: self.compensate,
        })
    }
}
