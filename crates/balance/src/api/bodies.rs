//! What the routes read and write. Amounts that are JSON numbers are read and written digit by digit.

use contracts::clients::WalletBalances;
use contracts::ledger::MAX_REASON;
use contracts::money::{DecimalText, JsonNumber};
use contracts::{Amount, Asset, AssetKind, UserId};
use serde::{Deserialize, Serialize};
use service_kit::internal::Caller;
use service_kit::problem::Problem;
use utoipa::ToSchema;

use crate::domain::{Adjustment, RequestKey};
use crate::use_cases::Corrected;

/// A wallet: `crypto_amount` is its BTC, `fiat_amount` its USD; `balances` has every asset.
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
        let of = |asset| {
            let found = wallet.balances.iter().copied().find(|balance| balance.asset() == asset);
            JsonNumber(found.unwrap_or_else(|| Amount::zero(asset)))
        };
        Self {
            user_id: wallet.user_id,
            crypto_amount: of(Asset::BTC),
            fiat_amount: of(Asset::USD),
            balances: wallet.balances,
        }
    }
}

/// A corrected wallet, as it was right after the correction.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdjustedWallet, examples(json!({"adjustment_id": 1, "user_id": 2, "crypto_amount": 1.5, "fiat_amount": 585,
    "balances": [{"amount": "1.5", "asset": "BTC"}, {"amount": "585", "asset": "USD"}]})))]
pub(super) struct AdjustedBody {
    #[schema(minimum = 1)]
    adjustment_id: i64,
    user_id: UserId,
    crypto_amount: JsonNumber,
    fiat_amount: JsonNumber,
    balances: Vec<Amount>,
}

impl From<Corrected> for AdjustedBody {
    fn from(corrected: Corrected) -> Self {
        let WalletBody {
            user_id,
            crypto_amount,
            fiat_amount,
            balances,
        } = corrected.wallet.into();
        Self {
            adjustment_id: corrected.id,
            user_id,
            crypto_amount,
            fiat_amount,
            balances,
        }
    }
}

/// A correction: either amount may be left out or negative.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Adjustment, examples(json!({"fiat_amount": -0.5, "reason": "a deposit that was booked by mistake"})))]
pub(super) struct AdjustBody {
    crypto_amount: Option<DecimalText>,
    fiat_amount: Option<DecimalText>,
    /// Why; not blank, at most 200 bytes.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// Of `crypto_amount`; BTC unless said.
    asset: Option<Asset>,
    /// Of `fiat_amount`; USD unless said.
    currency: Option<Asset>,
}

impl AdjustBody {
    /// The correction it asks for; 422 with the field to blame.
    pub(super) fn adjustment(
        &self,
        user: UserId,
        caller: &Caller,
        request: Option<RequestKey>,
    ) -> Result<Adjustment, Problem> {
        let asset = of_kind(self.asset, Asset::BTC, AssetKind::Crypto, "/asset")?;
        let currency = of_kind(self.currency, Asset::USD, AssetKind::Fiat, "/currency")?;
        let crypto = change(self.crypto_amount.as_ref(), asset, "/crypto_amount")?;
        let fiat = change(self.fiat_amount.as_ref(), currency, "/fiat_amount")?;
        if crypto.is_none() && fiat.is_none() {
            return Err(Problem::invalid("", "one of crypto_amount and fiat_amount is needed"));
        }
        if self.reason.trim().is_empty() || self.reason.len() > MAX_REASON {
            return Err(Problem::invalid(
                "/reason",
                format!("a reason has 1 to {MAX_REASON} bytes"),
            ));
        }
        Ok(Adjustment {
            user,
            fiat,
            crypto,
            reason: self.reason.clone(),
            actor: caller.to_string(),
            request,
        })
    }
}

fn of_kind(given: Option<Asset>, default: Asset, kind: AssetKind, pointer: &str) -> Result<Asset, Problem> {
    let asset = given.unwrap_or(default);
    if asset.kind() == kind {
        return Ok(asset);
    }
    let wanted = match kind {
        AssetKind::Crypto => "a coin is wanted here",
        AssetKind::Fiat => "a currency is wanted here",
    };
    Err(Problem::invalid(pointer, wanted))
}

fn change(text: Option<&DecimalText>, asset: Asset, pointer: &str) -> Result<Option<Amount>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let amount = text
        .amount(asset)
        .map_err(|error| Problem::invalid(pointer, error.to_string()))?;
    if amount.is_zero() {
        return Err(Problem::invalid(pointer, "a change is not zero"));
    }
    Ok(Some(amount))
}
