//! Coins at addresses: every transfer on the chain is between two of them, so that none appears or disappears, and nobody
//! sends what they never got. Only the hot wallet had coins before.

use std::collections::BTreeMap;

use bc_gateway::store::audit::ExpectedCoins;
use contracts::{Asset, UserId};

use super::report::Report;
use super::snapshot::{ReadError, Snapshot};

pub(super) async fn check(snapshot: &mut dyn Snapshot, report: &mut Report) -> Result<(), ReadError> {
    for (subject, problem) in problems(&snapshot.expected_coins().await?) {
        report.find(subject, problem);
    }
    Ok(())
}

/// What is wrong, and with what.
fn problems(addresses: &[ExpectedCoins]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut sums: BTreeMap<Asset, Option<i128>> = BTreeMap::new();
    for ExpectedCoins { user_id, coins, .. } in addresses {
        let sum = sums.entry(coins.asset()).or_insert(Some(0));
        *sum = sum.and_then(|sum| sum.checked_add(coins.units()));
        if coins.is_negative() && *user_id != UserId::HOT_WALLET {
            let problem = format!("has sent more than it ever got: {coins} {}", coins.asset());
            problems.push((format!("address of user {user_id}"), problem));
        }
    }
    for (asset, sum) in sums {
        if sum != Some(0) {
            problems.push(("coins".to_owned(), format!("of {asset} do not add up to zero")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use contracts::Amount;

    use super::*;

    fn at(user: i64, units: i128) -> ExpectedCoins {
        let none = Amount::zero(Asset::BTC);
        ExpectedCoins {
            user_id: UserId::try_new(user).unwrap(),
            coins: Amount::new(units, Asset::BTC),
            arriving: none,
            leaving: none,
        }
    }

    #[test]
    fn coins_only_move_between_addresses_and_only_the_hot_wallet_had_some_before() {
        assert_eq!(problems(&[at(1, -5), at(2, 2), at(3, 3)]), []);
        let minted = problems(&[at(1, -5), at(2, 6)]);
        assert_eq!(
            minted,
            [("coins".to_owned(), "of BTC do not add up to zero".to_owned())]
        );
        let overdrawn = problems(&[at(1, 5), at(2, -5)]);
        assert_eq!(overdrawn[0].0, "address of user 2");
        assert_eq!(overdrawn.len(), 1);
        let endless = problems(&[at(1, i128::MAX), at(2, i128::MAX), at(3, 2)]);
        assert_eq!(endless.len(), 1);
    }
}
