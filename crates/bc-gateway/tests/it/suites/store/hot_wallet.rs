//! The part of the suite about the hot wallet's coins: whoever commits, and however old the chain's answer is, no more is
//! signed than there is.

use bc_gateway::ports::{Commitment, SignedCommand};
use contracts::UserId;
use contracts::messages::Step;

use super::{Suite, funds, party};
use crate::world::{btc, key, user};

impl Suite {
    /// So far the hot wallet used the nonces 40 to 46, and all of them are confirmed.
    pub(super) async fn the_hot_wallets_coins_are_promised_once(&self) {
        assert_eq!(self.store.confirmed_nonce(user(4)).await.unwrap(), None);
        assert_eq!(self.store.confirmed_nonce(UserId::HOT_WALLET).await.unwrap(), Some(47));
        let mut claims = Vec::new();
        for number in 8..=12 {
            claims.push(self.claimed(key(number, Step::Withdraw)).await);
        }
        let item = |at: usize, units, nonce, funds| SignedCommand {
            funds,
            ..Self::item(&claims[at], user(3), btc(units), nonce)
        };
        // Each of them alone would do.
        let both = vec![item(0, 6, 47, funds(10, 47)), item(1, 6, 48, funds(10, 47))];
        let outcomes = self.commit(UserId::HOT_WALLET, 47, both).await;
        assert_eq!(outcomes, [Commitment::Written, Commitment::CoinsMissing]);
        assert_eq!(
            self.store.next_nonce(&party(UserId::HOT_WALLET).address).await.unwrap(),
            Some(48)
        );
        // Whether it is known here that the first is confirmed makes no difference to an old answer.
        for known in [false, true] {
            if known {
                self.done(&claims[0]).await;
            }
            let second = vec![item(1, 6, 48, funds(10, 47))];
            let outcomes = self.commit(UserId::HOT_WALLET, 48, second).await;
            assert_eq!(outcomes, [Commitment::CoinsMissing], "{known}");
        }
        // The newest answer counts, for all of the batch; what it accounts for is not taken off again.
        let rest = vec![item(2, 1, 48, funds(10, 47)), item(3, 3, 49, funds(4, 48))];
        let outcomes = self.commit(UserId::HOT_WALLET, 48, rest).await;
        assert_eq!(outcomes, [Commitment::Written; 2]);
        let one_more = vec![item(4, 1, 50, funds(10, 47))];
        let outcomes = self.commit(UserId::HOT_WALLET, 50, one_more).await;
        assert_eq!(outcomes, [Commitment::CoinsMissing]);
        // Coins that came in since.
        let one_more = vec![item(4, 1, 50, funds(5, 48))];
        let outcomes = self.commit(UserId::HOT_WALLET, 50, one_more).await;
        assert_eq!(outcomes, [Commitment::Written]);
        assert_eq!(self.store.confirmed_nonce(UserId::HOT_WALLET).await.unwrap(), Some(48));
        for at in [2, 3, 4] {
            self.done(&claims[at]).await;
        }
        assert_eq!(self.store.confirmed_nonce(UserId::HOT_WALLET).await.unwrap(), Some(51));
    }
}
