//! What an operator may say of a withdrawal, by what the chain shows: never against it, and never of bytes that could still
//! be confirmed.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bc_gateway::chain::simulated::{Manner, SimulatedChain};
use bc_gateway::ports::{BroadcastAnswer, Chain, FindAnswer, NonceAnswer, SendCheck, SignedTransfer, TransferDraft};
use bc_gateway::{Address, Keys, Service};
use contracts::clients::BcGateway;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{ChainRuling, ChainVerdict, Instruction, RulingOutcome};
use contracts::{Clock as _, UserId};
use storage::commands::State;

use crate::world::{COIN, World, btc, key, order, purpose, taken_back, user, withdrawal};

/// How the withdrawal stands when the operator speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    NotSigned,
    NonceFree,
    NonceTakenShallow,
    NonceTakenDeep,
    LaterNonceWaits,
    ChainSilent,
    Pending,
    ConfirmedShallow,
    Confirmed,
}

pub(crate) const RECORDED: RulingOutcome = RulingOutcome::Recorded { replayed: false };

async fn rule(gateway: &dyn BcGateway, verdict: ChainVerdict) -> RulingOutcome {
    rule_on(gateway, Step::Withdraw, verdict).await
}

/// An operator's word about a step of order 1.
pub(crate) async fn rule_on(gateway: &dyn BcGateway, step: Step, verdict: ChainVerdict) -> RulingOutcome {
    let ruling = ChainRuling {
        order_id: order(1),
        step,
        verdict,
        instruction: Instruction {
            operator: "operator:ann".to_owned(),
            reason: "seen in two explorers".to_owned(),
        },
    };
    gateway.rule(ruling).await.unwrap()
}

/// Another transfer from the hot wallet's address, which this service knows nothing of.
fn rival(world: &World, nonce: u64) -> SignedTransfer {
    let draft = TransferDraft {
        from: world.service.address(UserId::HOT_WALLET),
        to: world.service.address(user(3)),
        amount: btc(COIN),
        purpose: purpose(99, Step::Withdraw),
    };
    let keys = world.custody.keys(SimulatedChain::NAME, UserId::HOT_WALLET);
    world.chain.sign(&keys, &draft, nonce)
}

/// Our transfer's bytes, signed anew: signing is deterministic.
fn ours(world: &World) -> SignedTransfer {
    let draft = TransferDraft {
        to: world.service.address(user(2)),
        amount: btc(3 * COIN),
        purpose: purpose(1, Step::Withdraw),
        from: world.service.address(UserId::HOT_WALLET),
    };
    let keys = world.custody.keys(SimulatedChain::NAME, UserId::HOT_WALLET);
    world.chain.sign(&keys, &draft, 0)
}

async fn is_in_doubt(world: &World) -> bool {
    let standing = world.commands.standing(key(1, Step::Withdraw)).await.unwrap();
    standing.unwrap().is_in_doubt()
}

/// A withdrawal whose answer is missing for so long that the sagas were told, and signed or not, every broadcast lost.
async fn in_doubt(signed: bool) -> World {
    let world = World::new();
    world.manners.silence(!signed);
    world.manners.otherwise(Manner::LostBroadcast);
    world.accept(withdrawal(1)).await;
    for _ in 0..30 {
        if is_in_doubt(&world).await {
            break;
        }
        world.try_all().await;
        world.clock.advance(Duration::from_secs(7));
    }
    assert!(is_in_doubt(&world).await);
    world.manners.silence(false);
    world.manners.otherwise(Manner::Confirm);
    let signed_hash = world.transfers.transfer(key(1, Step::Withdraw)).await.unwrap();
    assert_eq!(signed_hash.map(|stored| stored.hash), signed.then(|| ours(&world).hash));
    world
}

async fn given(case: Case) -> World {
    let world = in_doubt(case != Case::NotSigned).await;
    let manner = |number, manner| {
        world.manners.next_broadcasts(purpose(number, Step::Withdraw), [manner]);
    };
    let sent = match case {
        Case::NotSigned | Case::NonceFree => None,
        Case::NonceTakenShallow => {
            manner(99, Manner::Reorganise);
            Some(rival(&world, 0))
        }
        Case::NonceTakenDeep => Some(rival(&world, 0)),
        Case::LaterNonceWaits => Some(rival(&world, 1)),
        Case::Pending => {
            manner(1, Manner::LateConfirmation(Duration::from_secs(60)));
            Some(ours(&world))
        }
        Case::ConfirmedShallow => {
            manner(1, Manner::Reorganise);
            Some(ours(&world))
        }
        Case::ChainSilent | Case::Confirmed => Some(ours(&world)),
    };
    if let Some(sent) = sent {
        assert_eq!(world.chain.broadcast(&sent).await, BroadcastAnswer::Taken);
    }
    world.manners.silence(case == Case::ChainSilent);
    world
}

/// The withdrawal took effect, once, and the books say so.
async fn assert_transferred(world: &World) {
    world.finish().await;
    assert_eq!(world.record(1, Step::Withdraw).await.state, State::Done);
    assert_eq!(world.confirmed(1, Step::Withdraw).await, 1);
    assert_eq!(world.coins_of(user(2)).await, 3 * COIN);
    assert_eq!((world.ledger.balance(user(2)), world.ledger.count()), (3 * COIN, 1));
    world.assert_coins_conserved().await;
}

/// The withdrawal failed for good: no coins, no booking, nothing to take back, and the next one is not held up.
async fn assert_void(world: &World, next_nonce: u64) {
    let failure = world.result(1, Step::Withdraw).await;
    let refused = |code| code == FailureCode::WithdrawalRefused;
    assert!(matches!(failure, Some(StepResult::Failure { code, .. }) if refused(code)));
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    assert_eq!(world.result(1, Step::WithdrawBack).await, Some(StepResult::Reversed));
    assert_eq!((world.coins_of(user(2)).await, world.ledger.count()), (0, 0));
    for counted in world.transfers.count_coins(world.clock.now(), 10).await.unwrap() {
        assert!(counted.coins.is_zero() && counted.settled, "{counted:?}");
    }
    world.accept(withdrawal(2)).await;
    world.finish().await;
    assert_eq!(world.confirmed(2, Step::Withdraw).await, 1);
    assert_eq!(world.next_hot_nonce().await, Some(next_nonce + 1));
    assert_eq!((world.coins_of(user(2)).await, world.ledger.count()), (3 * COIN, 1));
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn never_confirms_counts_only_of_what_is_not_signed_or_whose_nonce_is_anothers_for_good() {
    for (case, accepted) in [
        (Case::NotSigned, true),
        (Case::NonceFree, false),
        (Case::NonceTakenShallow, false),
        (Case::NonceTakenDeep, true),
        (Case::LaterNonceWaits, false),
        (Case::ChainSilent, false),
        (Case::Pending, false),
        (Case::ConfirmedShallow, false),
        (Case::Confirmed, false),
    ] {
        let world = given(case).await;
        let outcome = rule(world.service.client().as_ref(), ChainVerdict::NeverConfirms {}).await;
        if accepted {
            assert_eq!(outcome, RECORDED, "{case:?}");
            let again = rule(world.service.client().as_ref(), ChainVerdict::NeverConfirms {}).await;
            assert_eq!(again, RulingOutcome::Recorded { replayed: true }, "{case:?}");
            assert_void(&world, u64::from(case == Case::NonceTakenDeep)).await;
            continue;
        }
        assert!(
            matches!(outcome, RulingOutcome::Contradicted { .. }),
            "{case:?}: {outcome:?}"
        );
        assert_eq!(world.record(1, Step::Withdraw).await.state, State::Open, "{case:?}");
        world.manners.silence(false);
        // The block that holds the rival vanishes: its nonce was ours to use all along.
        world.chain.find(&rival(&world, 0).hash).await;
        assert_transferred(&world).await;
    }
}

#[tokio::test]
async fn confirmed_counts_only_where_the_chain_says_so_or_says_nothing() {
    for (case, accepted) in [
        (Case::NotSigned, false),
        (Case::NonceFree, false),
        (Case::NonceTakenShallow, false),
        (Case::NonceTakenDeep, false),
        (Case::LaterNonceWaits, false),
        (Case::ChainSilent, true),
        (Case::Pending, false),
        (Case::ConfirmedShallow, false),
        (Case::Confirmed, true),
    ] {
        let world = given(case).await;
        let wrong = ChainVerdict::Confirmed {
            transaction: rival(&world, 0).hash,
        };
        let outcome = rule(world.service.client().as_ref(), wrong).await;
        assert!(
            matches!(outcome, RulingOutcome::Contradicted { .. }),
            "{case:?}: {outcome:?}"
        );
        let transaction = ours(&world).hash;
        let outcome = rule(world.service.client().as_ref(), ChainVerdict::Confirmed { transaction }).await;
        if accepted {
            assert_eq!(outcome, RECORDED, "{case:?}");
            assert_transferred(&world).await;
            continue;
        }
        assert!(
            matches!(outcome, RulingOutcome::Contradicted { .. }),
            "{case:?}: {outcome:?}"
        );
        let record = world.record(1, Step::Withdraw).await;
        assert_eq!((record.state, world.ledger.count()), (State::Open, 0), "{case:?}");
    }
}

/// The world's chain, and what somebody else does right before it hears a certain call.
struct Interleaved {
    chain: SimulatedChain,
    before: &'static str,
    other: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

impl Interleaved {
    async fn hear(&self, call: &'static str) {
        let other = if call == self.before {
            self.other.lock().unwrap().take()
        } else {
            None
        };
        if let Some(other) = other {
            other.await;
        }
    }
}

/// A process on `world`'s databases into whose `call` of the chain `other` comes.
fn interleaved(world: &World, before: &'static str, other: impl Future<Output = ()> + Send + 'static) -> Service {
    let chain = Interleaved {
        chain: world.chain.clone(),
        before,
        other: Mutex::new(Some(Box::pin(other))),
    };
    world.service_with(
        Arc::new(chain),
        Arc::clone(&world.transfers) as _,
        Arc::clone(&world.commands) as _,
        Arc::clone(&world.ledger) as _,
    )
}

#[async_trait]
impl Chain for Interleaved {
    fn name(&self) -> &'static str {
        self.chain.name()
    }

    fn address(&self, keys: &Keys) -> Address {
        self.chain.address(keys)
    }

    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        self.chain.sign(keys, draft, nonce)
    }

    async fn can_send(&self, draft: &TransferDraft) -> SendCheck {
        self.chain.can_send(draft).await
    }

    async fn next_nonce(&self, address: &Address) -> NonceAnswer {
        self.chain.next_nonce(address).await
    }

    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer {
        self.hear("confirmed_nonce").await;
        self.chain.confirmed_nonce(address, depth).await
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        self.hear("broadcast").await;
        self.chain.broadcast(transfer).await
    }

    async fn find(&self, hash: &str) -> FindAnswer {
        self.hear("find").await;
        self.chain.find(hash).await
    }
}

#[tokio::test]
async fn bytes_that_are_confirmed_while_the_chain_is_asked_about_them_are_not_given_up() {
    for question in ["confirmed_nonce", "find"] {
        let world = given(Case::NonceFree).await;
        let (chain, bytes) = (world.chain.clone(), ours(&world));
        let worker = async move {
            chain.broadcast(&bytes).await;
        };
        let service = interleaved(&world, question, worker);
        let outcome = rule(service.client().as_ref(), ChainVerdict::NeverConfirms {}).await;
        assert!(
            matches!(outcome, RulingOutcome::Contradicted { .. }),
            "{question}: {outcome:?}"
        );
        assert_eq!(world.confirmed(1, Step::Withdraw).await, u64::from(question != "find"));
        assert_transferred(&world).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_about_to_send_while_an_operator_speaks_makes_no_difference() {
    for (case, expected) in [(Case::NonceFree, None), (Case::NonceTakenDeep, Some(RECORDED))] {
        let world = given(case).await;
        let claimed = world.claim(key(1, Step::Withdraw)).await;
        let epoch = claimed.epoch;
        let (gateway, said) = (world.service.client(), Arc::new(Mutex::new(None)));
        let heard = Arc::clone(&said);
        // It has asked, and heard that the chain does not have the bytes; then the operator comes in between.
        let operator = async move {
            let outcome = rule(gateway.as_ref(), ChainVerdict::NeverConfirms {}).await;
            *heard.lock().unwrap() = Some(outcome);
        };
        let worker = interleaved(&world, "broadcast", operator);
        let settlement = worker.handler().handle(claimed).await;
        let settled = vec![(key(1, Step::Withdraw), epoch, settlement)];
        world.commands.settle(world.clock.now(), settled).await.unwrap();
        let said = said.lock().unwrap().take().unwrap();
        match expected {
            Some(expected) => {
                assert_eq!(said, expected);
                assert_void(&world, 1).await;
            }
            None => {
                assert!(matches!(said, RulingOutcome::Contradicted { .. }), "{said:?}");
                assert_transferred(&world).await;
            }
        }
    }
}
