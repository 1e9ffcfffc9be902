//! Takes commands in: checks them, stores them with the intent of their first order, and hands them to this process's
//! worker if it has one.
//!
//! What it keeps true: nothing is accepted that is not on disk; the same command twice is one command; a reversal is
//! accepted only for a trade that this service itself has booked, and for exactly what that filled.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::{ClientError, ExchangeCommand, Exchanger, MAX_COMMANDS, Side, Submission};
use contracts::messages::{Step, StepResult};
use contracts::operators::{Instruction, Retried, RulingOutcome, StepView, VenueRuling};
use contracts::time::later;
use contracts::{Amount, Asset, AssetKind, Clock, OrderId, UserId};
use storage::StoreError;
use storage::commands::{Acceptance, CommandKey, CommandStore, NewCommand, Record, State};
use thiserror::Error;
use transport::command_worker::{Lane, accept};

use super::operate;
use crate::domain::decision::Rules;
use crate::domain::progress::{Progress, step_of};
use crate::metrics::Metrics;
use crate::ports::{Installation, Venue};

/// Why a command makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Invalid {
    #[error("a call carries at most {MAX_COMMANDS} commands")]
    TooMany,
    #[error("the asset must be a crypto asset; {0} is none")]
    NotCrypto(Asset),
    #[error("the currency must be a fiat currency; {0} is none")]
    NotFiat(Asset),
    #[error("the amount must be in {0}")]
    WrongAsset(Asset),
    #[error("the amount must be greater than zero")]
    NotPositive,
    #[error("the hot wallet does not trade with itself")]
    HotWallet,
    #[error("only a buy is undone: what a sell brought belongs to the user already")]
    SellUndone,
    #[error("the order has no trade that could be undone")]
    NoTrade,
    #[error("the order's trade was of another user, asset or currency")]
    OtherTrade,
    #[error("the order's trade filled {0:?}; exactly that is undone")]
    OtherAmount(Amount),
}

/// The use case; also the port that other services of this process call.
pub struct Submit {
    /// Where commands are stored.
    pub store: Arc<dyn CommandStore>,
    /// Whose names their orders have.
    pub installation: Arc<dyn Installation>,
    /// The venue, asked before an operator's word counts.
    pub venue: Arc<dyn Venue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to this process's worker, once there is one.
    pub lane: Arc<OnceLock<Lane>>,
    /// The knobs of the decision.
    pub rules: Rules,
    /// How long an answer of the venue is waited for; then it is unknown.
    pub venue_timeout: Duration,
    /// Where its calls are counted.
    pub(crate) metrics: Arc<Metrics>,
}

impl Submit {
    /// The command as it is stored. `Ok(Err(…))` for one that makes no sense.
    async fn prepare(&self, command: &ExchangeCommand) -> Result<Result<NewCommand, Invalid>, StoreError> {
        let owed = match check(command) {
            Err(invalid) => return Ok(Err(invalid)),
            Ok(()) if !command.compensate => None,
            Ok(()) => {
                let trade = CommandKey {
                    order_id: command.order_id,
                    step: Step::Exchange,
                };
                match owed_for(command, self.store.record(trade).await?.as_ref()) {
                    Err(invalid) => return Ok(Err(invalid)),
                    Ok(owed) => Some(owed),
                }
            }
        };
        let expires_at = later(self.clock.now(), self.rules.order_life);
        let progress = Progress::new(command, self.installation.id().await?, expires_at, owed);
        Ok(Ok(NewCommand {
            key: CommandKey {
                order_id: command.order_id,
                step: step_of(command),
            },
            content: encode(command)?,
            progress: encode(&progress)?,
        }))
    }
}

#[async_trait]
impl Exchanger for Submit {
    async fn submit(&self, commands: Vec<ExchangeCommand>) -> Result<Vec<Submission>, ClientError> {
        if commands.len() > MAX_COMMANDS {
            return Ok(commands.iter().map(|_| invalid(&Invalid::TooMany)).collect());
        }
        let mut checked = Vec::with_capacity(commands.len());
        let mut sound = Vec::with_capacity(commands.len());
        for command in &commands {
            checked.push(self.prepare(command).await?.map(|command| sound.push(command)));
        }
        if sound.is_empty() {
            return Ok(checked
                .iter()
                .filter_map(|check| check.as_ref().err())
                .map(invalid)
                .collect());
        }
        let accepted = accept(&*self.store, &*self.clock, self.lane.get(), sound).await?;
        let mut accepted = accepted.into_iter();
        let outcome = |check: Result<(), Invalid>| match check {
            Err(reason) => Ok(invalid(&reason)),
            Ok(()) => accepted
                .next()
                .map(|acceptance| submission(&acceptance))
                .ok_or_else(|| {
                    ClientError::Unavailable("the store answered for fewer commands than it got".to_owned())
                }),
        };
        checked.into_iter().map(outcome).collect()
    }

    async fn rule(&self, ruling: VenueRuling) -> Result<RulingOutcome, ClientError> {
        operate::rule(self, ruling).await
    }

    async fn retry(&self, order: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError> {
        operate::retry(&*self.store, &*self.clock, operate::key(order, step), instruction).await
    }

    async fn view(&self, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        operate::view(&*self.store, operate::key(order, step)).await
    }
}

fn submission(acceptance: &Acceptance) -> Submission {
    match acceptance {
        Acceptance::New(_) => Submission::Accepted { replayed: false },
        Acceptance::Known => Submission::Accepted { replayed: true },
        Acceptance::Conflict => Submission::Conflict,
    }
}

fn invalid(reason: &Invalid) -> Submission {
    Submission::Invalid {
        detail: reason.to_string(),
    }
}

fn check(command: &ExchangeCommand) -> Result<(), Invalid> {
    if command.asset.kind() != AssetKind::Crypto {
        return Err(Invalid::NotCrypto(command.asset));
    }
    if command.currency.kind() != AssetKind::Fiat {
        return Err(Invalid::NotFiat(command.currency));
    }
    if command.acquirer_user_id == UserId::HOT_WALLET {
        return Err(Invalid::HotWallet);
    }
    let expected = match (command.compensate, command.side) {
        (true, Side::Sell) => return Err(Invalid::SellUndone),
        (true, Side::Buy) | (false, Side::Sell) => command.asset,
        (false, Side::Buy) => command.currency,
    };
    if command.amount.asset() != expected {
        return Err(Invalid::WrongAsset(expected));
    }
    if !command.amount.is_positive() {
        return Err(Invalid::NotPositive);
    }
    Ok(())
}

/// What the trade had taken of the hold, which a reversal has to bring back. A finished trade never changes, so this is
/// decided once, when the reversal is accepted.
fn owed_for(reversal: &ExchangeCommand, trade: Option<&Record>) -> Result<Amount, Invalid> {
    let record = trade
        .filter(|record| record.state == State::Done)
        .ok_or(Invalid::NoTrade)?;
    let Some(StepResult::Traded(trade)) = &record.result else {
        return Err(Invalid::NoTrade);
    };
    let traded: ExchangeCommand = serde_json::from_str(&record.content).map_err(|_| Invalid::NoTrade)?;
    let same = ExchangeCommand {
        amount: reversal.amount,
        compensate: true,
        ..traded
    };
    if same != *reversal {
        return Err(Invalid::OtherTrade);
    }
    if trade.filled != reversal.amount {
        return Err(Invalid::OtherAmount(trade.filled));
    }
    traded.amount.checked_sub(trade.returned).map_err(|_| Invalid::NoTrade)
}

/// Canonical: fields in the order of their declaration, amounts as their shortest decimal.
fn encode(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(format!("not writable as JSON: {error}")))
}
