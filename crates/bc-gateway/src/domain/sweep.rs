//! How many of an address's coins are no longer its user's.

use contracts::{Amount, clients::WalletBalances};

/// The coins at a user's address beyond what the ledger says is theirs; `None` when there are none.
///
/// A user with no balance of the asset, or without a wallet, owns none of them. Fewer coins than the balance is no fault:
/// what is missing lies at the hot wallet's address, where it came when the user sold and the sale failed.
#[must_use]
pub fn excess(coins: Amount, wallet: Option<&WalletBalances>) -> Option<Amount> {
    let owned = wallet
        .and_then(|wallet| wallet.balances.iter().find(|balance| balance.asset() == coins.asset()))
        .copied()
        .unwrap_or(Amount::zero(coins.asset()));
    coins.checked_sub(owned).ok().filter(|excess| excess.is_positive())
}

#[cfg(test)]
mod tests {
    use contracts::{Asset, UserId};

    use super::*;

    fn btc(units: i128) -> Amount {
        Amount::new(units, Asset::BTC)
    }

    #[test]
    fn only_what_is_no_longer_the_users_is_swept() {
        let wallet = |balances| WalletBalances {
            user_id: UserId::HOT_WALLET,
            balances,
        };
        assert_eq!(excess(btc(300), Some(&wallet(vec![btc(150)]))), Some(btc(150)));
        assert_eq!(excess(btc(300), Some(&wallet(vec![btc(300)]))), None);
        assert_eq!(excess(btc(300), Some(&wallet(vec![btc(400)]))), None);
        assert_eq!(
            excess(btc(300), Some(&wallet(vec![Amount::new(9, Asset::USD)]))),
            Some(btc(300))
        );
        assert_eq!(excess(btc(300), None), Some(btc(300)));
        assert_eq!(excess(btc(0), None), None);
    }
}
