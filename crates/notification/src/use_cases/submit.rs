//! Somebody hands over what is to be sent, or asks for it to be sent once more.

use std::sync::{Arc, OnceLock};

use contracts::clients::Submission;
use contracts::messages::Step;
use contracts::{Clock, OrderId};
use storage::StoreError;
use storage::commands::{Acceptance, CommandKey, CommandStore, NewCommand};
use transport::command_worker::{Lane, accept};

use crate::domain::letter::{Field, Flaw, Letter, Progress, describe};

/// What somebody wants to be sent. What is left out is taken from the order's notification, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) order_id: OrderId,
    pub(crate) email: Option<String>,
    pub(crate) payload: Option<String>,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Stored, now or before, and on its way or over.
    Accepted { replayed: bool },
    /// The order has another notification; nothing changed.
    Conflict,
    /// It makes no sense; nothing changed.
    Invalid(Vec<Flaw>),
}

impl From<Outcome> for Submission {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted { replayed } => Self::Accepted { replayed },
            Outcome::Conflict => Self::Conflict,
            Outcome::Invalid(flaws) => Self::Invalid {
                detail: describe(&flaws),
            },
        }
    }
}

/// Accepts notifications.
#[derive(Clone)]
pub(crate) struct Submit {
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Set once a worker runs in this process: what is granted to nobody would wait for its lease to run out.
    pub(crate) lane: Arc<OnceLock<Lane>>,
}

impl Submit {
    /// Stores what makes sense, in one transaction; `outcomes[i]` answers `wishes[i]`. The caller bounds their number.
    pub(crate) async fn execute(&self, wishes: Vec<Wish>) -> Result<Vec<Outcome>, StoreError> {
        let mut letters = Vec::with_capacity(wishes.len());
        for wish in wishes {
            letters.push((wish.order_id, self.letter(wish).await?));
        }
        let progress = Progress::new(self.clock.now()).to_json();
        let sound = letters.iter().filter_map(|(order_id, letter)| {
            let letter = letter.as_ref().ok()?;
            Some(NewCommand {
                key: key(*order_id),
                content: letter.to_content(),
                progress: progress.clone(),
            })
        });
        let sound: Vec<_> = sound.collect();
        let mut acceptances = if sound.is_empty() {
            Vec::new().into_iter()
        } else {
            let store = self.commands.as_ref();
            accept(store, self.clock.as_ref(), self.lane.get(), sound)
                .await?
                .into_iter()
        };
        letters
            .into_iter()
            .map(|(_, letter)| match letter {
                Err(flaws) => Ok(Outcome::Invalid(flaws)),
                Ok(_) => match acceptances.next() {
                    Some(Acceptance::New(_)) => Ok(Outcome::Accepted { replayed: false }),
                    Some(Acceptance::Known) => Ok(Outcome::Accepted { replayed: true }),
                    Some(Acceptance::Conflict) => Ok(Outcome::Conflict),
                    None => Err(StoreError::Unavailable("the store left out an outcome".to_owned())),
                },
            })
            .collect()
    }

    /// The letter that is wished for.
    async fn letter(&self, wish: Wish) -> Result<Result<Letter, Vec<Flaw>>, StoreError> {
        let (email, payload) = match (wish.email, wish.payload) {
            (Some(email), Some(payload)) => (Some(email), Some(payload)),
            (email, payload) => {
                let known = self.known(wish.order_id).await?;
                let (known_email, known_payload) = known
                    .map(|letter| (letter.email().to_owned(), letter.payload().to_owned()))
                    .unzip();
                (email.or(known_email), payload.or(known_payload))
            }
        };
        Ok(match (email, payload) {
            (Some(email), Some(payload)) => Letter::try_new(email, payload),
            (email, payload) => {
                let missing = [(Field::Email, email.is_none()), (Field::Payload, payload.is_none())];
                let missing = missing.into_iter().filter(|(_, missing)| *missing);
                Err(missing
                    .map(|(field, _)| Flaw {
                        field,
                        detail: "this order's notification is not known yet, so this cannot be left out",
                    })
                    .collect())
            }
        })
    }

    async fn known(&self, order_id: OrderId) -> Result<Option<Letter>, StoreError> {
        let record = self.commands.record(key(order_id)).await?;
        record
            .map(|record| Letter::from_content(&record.content))
            .transpose()
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

const fn key(order_id: OrderId) -> CommandKey {
    CommandKey {
        order_id,
        step: Step::Notify,
    }
}
