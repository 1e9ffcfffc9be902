//! Accepting commands: what makes no sense is refused at once, everything else is on disk before the answer.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use contracts::clients::{BcGateway, ClientError, MAX_COMMANDS, Submission, WithdrawCommand};
use contracts::messages::Step;
use contracts::operators::{ChainRuling, Instruction, Retried, RulingOutcome, StepView};
use contracts::{Clock, OrderId};
use storage::StoreError;
use storage::commands::{Acceptance, CommandKey, CommandStore, NewCommand};
use transport::command_worker::{Lane, accept};

use super::operate;
use crate::domain::movement::{Movement, objection};
use crate::domain::progress::Progress;
use crate::ports::Chain;
use crate::use_cases::sign::SigningDesk;

/// Accepts withdrawals and their opposites. Idempotent by (order id, step) and content.
pub struct Submit {
    /// The commands.
    pub store: Arc<dyn CommandStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to this process's worker, once it is started.
    pub lane: Arc<OnceLock<Lane>>,
    /// What shows whether an operator's word can be true.
    pub(crate) chain: Arc<dyn Chain>,
    /// How many confirmations make a transfer final; at least 1.
    pub(crate) confirmations: u32,
    /// Whose address is whose.
    pub(crate) desk: Arc<SigningDesk>,
}

/// `command` as it is stored.
pub(crate) fn to_stored(command: &WithdrawCommand) -> NewCommand {
    let Movement { order_id, step, .. } = Movement::of(command);
    NewCommand {
        key: CommandKey { order_id, step },
        content: serde_json::to_string(command).expect("ids and amounts are always JSON"),
        progress: Progress::Unsigned.to_json(),
    }
}

/// The withdrawal that a compensation repeats.
pub(crate) fn withdrawal_of(compensation: &WithdrawCommand) -> WithdrawCommand {
    WithdrawCommand {
        compensate: false,
        ..compensation.clone()
    }
}

impl Submit {
    /// What speaks against a command; `None` for one that can be stored.
    async fn objection(&self, command: &WithdrawCommand) -> Result<Option<Submission>, StoreError> {
        if let Some(detail) = objection(command) {
            return Ok(Some(Submission::Invalid {
                detail: detail.to_owned(),
            }));
        }
        if !command.compensate {
            return Ok(None);
        }
        // Found now, the operator can correct it; a stored command's content stays for good.
        let key = CommandKey {
            order_id: command.order_id,
            step: Step::Withdraw,
        };
        let expected = to_stored(&withdrawal_of(command)).content;
        let other = self
            .store
            .record(key)
            .await?
            .is_some_and(|record| record.content != expected);
        Ok(other.then_some(Submission::Conflict))
    }
}

#[async_trait]
impl BcGateway for Submit {
    async fn submit(&self, commands: Vec<WithdrawCommand>) -> Result<Vec<Submission>, ClientError> {
        if commands.len() > MAX_COMMANDS {
            let detail = format!("at most {MAX_COMMANDS} commands come in one call");
            return Ok(vec![Submission::Invalid { detail }; commands.len()]);
        }
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut stored = Vec::with_capacity(commands.len());
        for command in &commands {
            let objection = self.objection(command).await?;
            if objection.is_none() {
                stored.push(to_stored(command));
            }
            outcomes.push(objection);
        }
        let acceptances = if stored.is_empty() {
            Vec::new()
        } else {
            accept(self.store.as_ref(), self.clock.as_ref(), self.lane.get(), stored).await?
        };
        let mut acceptances = acceptances.into_iter();
        outcomes
            .into_iter()
            .map(|outcome| match outcome {
                Some(objection) => Ok(objection),
                None => acceptances
                    .next()
                    .map(|acceptance| to_submission(&acceptance))
                    .ok_or_else(|| ClientError::Unavailable("the store left an outcome out".to_owned())),
            })
            .collect()
    }

    async fn rule(&self, ruling: ChainRuling) -> Result<RulingOutcome, ClientError> {
        operate::rule(self, ruling).await
    }

    async fn retry(&self, order_id: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError> {
        operate::retry(self, CommandKey { order_id, step }, instruction).await
    }

    async fn view(&self, order_id: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        operate::view(self, CommandKey { order_id, step }).await
    }
}

fn to_submission(acceptance: &Acceptance) -> Submission {
    match acceptance {
        Acceptance::New(_) => Submission::Accepted { replayed: false },
        Acceptance::Known => Submission::Accepted { replayed: true },
        Acceptance::Conflict => Submission::Conflict,
    }
}
