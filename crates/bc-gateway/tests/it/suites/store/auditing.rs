//! The part of the suite about what an auditor reads.

use bc_gateway::domain::movement::Passage;
use bc_gateway::domain::progress::{Phase, Progress};
use contracts::clients::WithdrawCommand;
use contracts::messages::Step;
use storage::commands::{NewCommand, State};

use super::{NOW, Suite};
use crate::world::{key, order, withdrawal};

impl Suite {
    pub(super) async fn an_auditor_reads_what_is_where(&self) {
        let expected = self.audit.expected_coins().await;
        let coins: Vec<_> = expected
            .iter()
            .map(|line| (line.user_id.get(), line.coins.units()))
            .collect();
        assert_eq!(coins, [(1, -17), (2, 0), (3, 17)]);
        assert!(
            expected
                .iter()
                .all(|line| line.arriving.is_zero() && line.leaving.is_zero())
        );
        let facts = self.audit.withdrawals(order(2), order(3)).await;
        let facts: Vec<_> = facts
            .iter()
            .map(|fact| {
                let withdrawal = fact.withdrawal.as_ref().unwrap();
                assert_eq!(withdrawal.movement.step, fact.key.step);
                (
                    fact.key.order_id.get(),
                    fact.key.step,
                    withdrawal.state,
                    withdrawal.phase,
                )
            })
            .collect();
        let of = |number, step| (number, step, State::Done, Phase::Signed);
        assert_eq!(
            facts,
            [
                of(2, Step::Withdraw),
                of(2, Step::WithdrawBack),
                of(3, Step::Withdraw),
                of(3, Step::WithdrawBack)
            ]
        );
    }

    /// Of each that is open how far it is and how it was begun, and what is wrong with one that nobody can read.
    pub(super) async fn an_auditor_reads_each_phase_and_goes_on_where_something_cannot_be_read(&self) {
        let content = |number, compensate| {
            let command = WithdrawCommand {
                compensate,
                ..withdrawal(number)
            };
            serde_json::to_string(&command).unwrap()
        };
        let unsigned = Progress::Unsigned.to_json();
        let paying = r#"{"phase":"booking"}"#.to_owned();
        for (number, content, progress) in [
            (41, content(41, true), unsigned.clone()),
            (42, "no command".to_owned(), unsigned),
            (43, content(43, true), paying),
            (44, content(44, true), "no record".to_owned()),
        ] {
            let key = key(number, Step::WithdrawBack);
            let command = NewCommand { key, content, progress };
            self.commands.accept(NOW, vec![command], false).await.unwrap();
        }
        let facts = self.audit.withdrawals(order(41), order(44)).await;
        let read: Vec<_> = facts
            .iter()
            .map(|fact| match &fact.withdrawal {
                Ok(withdrawal) => Ok((withdrawal.phase, withdrawal.movement.passage)),
                Err(why) => Err(why.split(':').next().unwrap()),
            })
            .collect();
        let expected = [
            Ok((Phase::Unsigned, Passage::InTransit)),
            Err("its command"),
            // Nothing is reserved: an earlier program began it.
            Ok((Phase::Paying, Passage::Direct)),
            Err("its record"),
        ];
        assert_eq!(read, expected);
        let facts: Vec<_> = facts.iter().map(|fact| fact.key).collect();
        assert_eq!(facts, [41, 42, 43, 44].map(|number| key(number, Step::WithdrawBack)));
    }
}
