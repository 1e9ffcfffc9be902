//! The exchanger and the gateway: each does what its test tells it to, once per command, and publishes its result again
//! when it is asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::{BcGateway, ClientError, ExchangeCommand, Exchanger, Side, Submission, WithdrawCommand};
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Transfer, TransferId};
use contracts::messages::{FailureCode, Message, Queue, SCHEMA_VERSION, Status, Step, StepResult, Trade};
use contracts::operators::{
    ChainRuling, ChainVerdict, Instruction, Retried, RulingOutcome, StepView, VenueRuling, VenueVerdict,
};
use contracts::{Amount, OrderId, Price, UserId};
use jiff::Timestamp;
use transport::local::LocalTransport;
use transport::queue::Transport as _;

use super::{Ledger, rulings, seen};

/// What becomes of trades. Prices are 10 USD for 1 BTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Venue {
    Fills,
    /// Half of the order, for a fee of 0.10 USD.
    FillsHalf,
    Fails(FailureCode),
    /// Nobody hears of the order for now; [`Trader::resolve`] does it then.
    IsSilent,
    /// The same, and the saga is told so.
    IsUnresolved,
    /// Claims to have spent more than it may.
    Lies,
    /// The service is away.
    IsUnreachable,
}

/// What becomes of reversals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reversal {
    /// Sold back at 9 USD: a loss.
    AtALoss,
    Refused,
}

/// A message with its order's and step's names.
pub(crate) fn message(order_id: OrderId, step: Step, status: Status, result: Option<StepResult>) -> Message {
    Message {
        message_id: format!("{order_id}-{step}"),
        order_id,
        step,
        status,
        schema_version: SCHEMA_VERSION,
        occurred_at: Timestamp::UNIX_EPOCH,
        traceparent: None,
        result,
    }
}

async fn publish(transport: &LocalTransport, order_id: OrderId, step: Step, result: Option<StepResult>) {
    let status = match &result {
        Some(StepResult::Failure { .. }) => Status::Failed,
        Some(_) => Status::Done,
        None => Status::Unresolved,
    };
    let message = message(order_id, step, status, result);
    let twice = vec![message.clone(), message];
    transport.publish(Queue::SagaSteps, twice).await.unwrap();
}

fn failure(code: FailureCode) -> StepResult {
    StepResult::Failure {
        code,
        detail: "as the test wants it".to_owned(),
    }
}

fn transfer(order: OrderId, leg: Leg, debit: Owner, credit: Owner, amount: Amount) -> Option<Transfer> {
    let origin = Origin::Order(order);
    amount.is_positive().then(|| Transfer {
        id: TransferId { origin, leg },
        debit,
        credit,
        amount,
        reason: String::new(),
        actor: "test".to_owned(),
    })
}

fn book(ledger: &Ledger, transfers: Vec<Option<Transfer>>) {
    let transfers = transfers.into_iter().flatten().collect();
    let outcome = ledger.book(Posting { transfers });
    assert!(matches!(outcome, PostingOutcome::Posted { .. }), "{outcome:?}");
}

type Commands<C, K> = Mutex<BTreeMap<K, (C, Option<StepResult>)>>;

pub(crate) struct Trader {
    transport: Arc<LocalTransport>,
    ledger: Arc<Ledger>,
    pub(crate) venue: Mutex<Venue>,
    pub(crate) reversal: Mutex<Reversal>,
    /// How many results get lost on their way.
    pub(crate) lose: Mutex<usize>,
    /// Whether it has no room for what operators want.
    pub(crate) is_full: Mutex<bool>,
    /// What operators said.
    pub(crate) rulings: Mutex<Vec<VenueRuling>>,
    commands: Commands<ExchangeCommand, (OrderId, bool)>,
}

impl Trader {
    pub(crate) fn new(transport: Arc<LocalTransport>, ledger: Arc<Ledger>) -> Self {
        Self {
            transport,
            ledger,
            venue: Mutex::new(Venue::Fills),
            reversal: Mutex::new(Reversal::AtALoss),
            lose: Mutex::default(),
            is_full: Mutex::default(),
            rulings: Mutex::default(),
            commands: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, venue: Venue) {
        *self.venue.lock().unwrap() = venue;
    }

    /// What the venue is asked to do for an order, once it has heard of it.
    pub(crate) async fn hears_of(&self, id: OrderId) -> ExchangeCommand {
        seen(|| Some(self.commands.lock().unwrap().get(&(id, false))?.0.clone())).await
    }

    /// The silent venue answers at last, in the way it is set to now.
    pub(crate) async fn resolve(&self, id: OrderId) {
        let command = self.hears_of(id).await;
        self.carry_out(command).await;
    }

    async fn carry_out(&self, command: ExchangeCommand) {
        let (step, result) = if command.compensate {
            (Step::Reverse, Some(self.reverse(&command)))
        } else {
            match *self.venue.lock().unwrap() {
                Venue::Fills => (Step::Exchange, Some(self.trade(&command, 1))),
                Venue::FillsHalf => (Step::Exchange, Some(self.trade(&command, 2))),
                Venue::Fails(code) => (Step::Exchange, Some(failure(code))),
                Venue::IsSilent | Venue::IsUnreachable => return,
                Venue::IsUnresolved => (Step::Exchange, None),
                Venue::Lies => (Step::Exchange, Some(lie(&command))),
            }
        };
        let key = (command.order_id, command.compensate);
        let order_id = command.order_id;
        self.commands.lock().unwrap().insert(key, (command, result.clone()));
        self.tell(order_id, step, result).await;
    }

    async fn tell(&self, order_id: OrderId, step: Step, result: Option<StepResult>) {
        {
            let mut lose = self.lose.lock().unwrap();
            if *lose > 0 {
                *lose -= 1;
                return;
            }
        }
        publish(&self.transport, order_id, step, result).await;
    }

    fn trade(&self, command: &ExchangeCommand, share: i128) -> StepResult {
        let (asset, currency) = (command.asset, command.currency);
        // Ten dollars a coin: as many satoshi as a thousandth of the cents has, times a hundred million.
        let fee = Amount::new(if share == 1 { 0 } else { 10 }, currency);
        let (filled, value) = match command.side {
            Side::Buy => {
                let value = command.amount.units() / share - fee.units();
                (value * 100_000, value)
            }
            Side::Sell => {
                let filled = command.amount.units() / share;
                (filled, filled / 100_000)
            }
        };
        let (filled, value) = (Amount::new(filled, asset), Amount::new(value, currency));
        let used = match command.side {
            Side::Buy => value.checked_add(fee).unwrap(),
            Side::Sell => filled,
        };
        let returned = command.amount.checked_sub(used).unwrap();
        let (id, venue) = (command.order_id, Owner::Venue("test".to_owned()));
        let user = Owner::wallet(command.acquirer_user_id);
        let hot = Owner::HotWallet;
        let legs = match command.side {
            Side::Buy => vec![
                transfer(id, Leg::TradePay, hot.clone(), venue.clone(), value),
                transfer(id, Leg::TradeReceive, venue, hot.clone(), filled),
                transfer(id, Leg::TradeFee, hot.clone(), Owner::Fees, fee),
                transfer(id, Leg::TradeReturn, hot, user, returned),
            ],
            Side::Sell => vec![
                transfer(id, Leg::TradePay, hot.clone(), venue.clone(), filled),
                transfer(id, Leg::TradeReceive, venue, user.clone(), value),
                transfer(id, Leg::TradeFee, user.clone(), Owner::Fees, fee),
                transfer(id, Leg::TradeReturn, hot, user, returned),
            ],
        };
        book(&self.ledger, legs);
        StepResult::Traded(Trade {
            filled,
            value,
            fee,
            returned,
            price: Price::parse("10").unwrap(),
        })
    }

    fn reverse(&self, command: &ExchangeCommand) -> StepResult {
        if *self.reversal.lock().unwrap() == Reversal::Refused {
            return failure(FailureCode::NotExecuted);
        }
        let id = command.order_id;
        let trade = match &self.commands.lock().unwrap()[&(id, false)].1 {
            Some(StepResult::Traded(trade)) => trade.clone(),
            other => panic!("reversed without a trade: {other:?}"),
        };
        assert_eq!(command.amount, trade.filled, "exactly what was filled is sold back");
        let brought = Amount::new(trade.value.units() * 9 / 10, command.currency);
        let owed = trade.value.checked_add(trade.fee).unwrap();
        let loss = owed.checked_sub(brought).unwrap();
        let (hot, venue) = (Owner::HotWallet, Owner::Venue("test".to_owned()));
        let legs = vec![
            transfer(id, Leg::ReversePay, hot.clone(), venue.clone(), trade.filled),
            transfer(id, Leg::ReverseReceive, venue, hot.clone(), brought),
            transfer(id, Leg::ReverseResult, Owner::Treasury, hot, loss),
        ];
        book(&self.ledger, legs);
        StepResult::Reversed
    }
}

fn lie(command: &ExchangeCommand) -> StepResult {
    StepResult::Traded(Trade {
        filled: Amount::new(1, command.asset),
        value: Amount::new(command.amount.units() + 1, command.currency),
        fee: Amount::zero(command.currency),
        returned: Amount::zero(command.amount.asset()),
        price: Price::parse("10").unwrap(),
    })
}

#[async_trait]
impl Exchanger for Trader {
    async fn submit(&self, commands: Vec<ExchangeCommand>) -> Result<Vec<Submission>, ClientError> {
        assert!((1..=100).contains(&commands.len()));
        if *self.venue.lock().unwrap() == Venue::IsUnreachable {
            return Err(ClientError::Unavailable("the exchanger is away".to_owned()));
        }
        let mut submissions = Vec::new();
        for command in commands {
            let key = (command.order_id, command.compensate);
            let known = self.commands.lock().unwrap().get(&key).cloned();
            let step = if command.compensate {
                Step::Reverse
            } else {
                Step::Exchange
            };
            let replayed = known.is_some();
            match known {
                Some((stored, _)) if stored != command => {
                    submissions.push(Submission::Conflict);
                    continue;
                }
                Some((_, Some(result))) => self.tell(command.order_id, step, Some(result)).await,
                // Still open: it is queued again, and does not begin anew.
                Some((_, None)) => {}
                None => {
                    self.commands.lock().unwrap().insert(key, (command.clone(), None));
                    self.carry_out(command).await;
                }
            }
            submissions.push(Submission::Accepted { replayed });
        }
        Ok(submissions)
    }

    async fn rule(&self, ruling: VenueRuling) -> Result<RulingOutcome, ClientError> {
        let known = self.commands.lock().unwrap().get(&(ruling.order_id, false)).cloned();
        let Some((command, None)) = known else {
            return Ok(rulings::answered(known.is_some()));
        };
        self.set(match &ruling.verdict {
            VenueVerdict::Executed { .. } => Venue::Fills,
            VenueVerdict::NotExecuted {} => Venue::Fails(FailureCode::NotExecuted),
        });
        self.rulings.lock().unwrap().push(ruling);
        self.carry_out(command).await;
        Ok(RulingOutcome::Recorded { replayed: false })
    }

    async fn retry(&self, id: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError> {
        assert_eq!(instruction.operator, "operator:ann");
        if *self.is_full.lock().unwrap() {
            let retry_after = Duration::from_secs(1);
            return Err(ClientError::Overloaded { retry_after });
        }
        let known = self.commands.lock().unwrap().get(&(id, step == Step::Reverse)).cloned();
        match known {
            None => Ok(Retried::Unknown),
            Some((command, Some(StepResult::Failure { .. }))) if step == Step::Reverse => {
                self.carry_out(command).await;
                Ok(Retried::Reopened)
            }
            Some(_) => Ok(Retried::Nudged),
        }
    }

    async fn view(&self, id: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        let known = self.commands.lock().unwrap().get(&(id, step == Step::Reverse)).cloned();
        Ok(known.map(|(_, result)| rulings::view(step, result)))
    }
}

/// What becomes of withdrawals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    Confirms,
    Refuses,
    IsUnresolved,
}

pub(crate) struct Gateway {
    transport: Arc<LocalTransport>,
    ledger: Arc<Ledger>,
    pub(crate) chain: Mutex<Chain>,
    commands: Commands<WithdrawCommand, OrderId>,
}

impl Gateway {
    pub(crate) fn new(transport: Arc<LocalTransport>, ledger: Arc<Ledger>) -> Self {
        Self {
            transport,
            ledger,
            chain: Mutex::new(Chain::Confirms),
            commands: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, chain: Chain) {
        *self.chain.lock().unwrap() = chain;
    }

    /// The unresolved withdrawal comes to its end, in the way the chain is set to now.
    pub(crate) async fn resolve(&self, id: OrderId) {
        let command = self.commands.lock().unwrap()[&id].0.clone();
        self.carry_out(command).await;
    }

    async fn carry_out(&self, command: WithdrawCommand) {
        assert_eq!(command.source_user_id, UserId::HOT_WALLET);
        let id = command.order_id;
        let result = match *self.chain.lock().unwrap() {
            Chain::Confirms => {
                let user = Owner::wallet(command.acquirer_user_id);
                let leg = transfer(id, Leg::Withdraw, Owner::HotWallet, user, command.amount);
                book(&self.ledger, vec![leg]);
                let transaction = format!("0x{id}");
                Some(StepResult::Transferred { transaction })
            }
            Chain::Refuses => Some(failure(FailureCode::WithdrawalRefused)),
            Chain::IsUnresolved => None,
        };
        self.commands.lock().unwrap().insert(id, (command, result.clone()));
        publish(&self.transport, id, Step::Withdraw, result).await;
    }
}

#[async_trait]
impl BcGateway for Gateway {
    async fn submit(&self, commands: Vec<WithdrawCommand>) -> Result<Vec<Submission>, ClientError> {
        assert!((1..=100).contains(&commands.len()));
        let mut submissions = Vec::new();
        for command in commands {
            let known = self.commands.lock().unwrap().get(&command.order_id).cloned();
            let replayed = known.is_some();
            match known {
                Some((stored, _)) if stored != command => {
                    submissions.push(Submission::Conflict);
                    continue;
                }
                Some((_, Some(result))) => {
                    publish(&self.transport, command.order_id, Step::Withdraw, Some(result)).await;
                }
                Some((_, None)) => {}
                None => self.carry_out(command).await,
            }
            submissions.push(Submission::Accepted { replayed });
        }
        Ok(submissions)
    }

    async fn rule(&self, ruling: ChainRuling) -> Result<RulingOutcome, ClientError> {
        let known = self.commands.lock().unwrap().get(&ruling.order_id).cloned();
        let Some((command, None)) = known else {
            return Ok(rulings::answered(known.is_some()));
        };
        self.set(match ruling.verdict {
            ChainVerdict::Confirmed { .. } => Chain::Confirms,
            ChainVerdict::NeverConfirms {} => Chain::Refuses,
        });
        self.carry_out(command).await;
        Ok(RulingOutcome::Recorded { replayed: false })
    }

    async fn retry(&self, id: OrderId, step: Step, _: Instruction) -> Result<Retried, ClientError> {
        let known = step == Step::Withdraw && self.commands.lock().unwrap().contains_key(&id);
        Ok(if known { Retried::Nudged } else { Retried::Unknown })
    }

    async fn view(&self, id: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        let known = self.commands.lock().unwrap().get(&id).cloned();
        Ok(known
            .filter(|_| step == Step::Withdraw)
            .map(|(_, result)| rulings::view(step, result)))
    }
}
