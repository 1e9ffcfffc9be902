//! What operators do to a command: say what became of an attempt, have a step tried again, look.
//!
//! What it keeps true: a word about an attempt counts only where the venue, asked at that moment, says nothing against it.

use contracts::clients::ClientError;
use contracts::messages::Step;
use contracts::operators::{Instruction, Retried, RulingOutcome, StepView, VenueRuling, VenueVerdict};
use contracts::{Clock, OrderId};
use storage::commands::{Amendment, CommandKey, CommandStore, Intervention, Standing, State};

use super::ask::bounded;
use super::submit::Submit;
use crate::domain::progress::Progress;
use crate::domain::ruling::{attempt_of, forgiven, is_the_venues_to_know, objection, rule as ruled};
use crate::ports::{Answer, ClientOrderId};

/// The most fills of a ruling; a venue's answer has no more either.
const MAX_FILLS: usize = 1_000;
/// The most characters of a venue's own number.
const MAX_VENUE_REFERENCE: usize = 128;

/// Records what became of an attempt; see [`contracts::clients::Exchanger::rule`].
pub(super) async fn rule(exchanger: &Submit, ruling: VenueRuling) -> Result<RulingOutcome, ClientError> {
    let VenueRuling {
        order_id,
        attempt,
        verdict,
        instruction,
    } = ruling;
    let attempt: ClientOrderId = match attempt.parse() {
        Ok(attempt) => attempt,
        Err(error) => return Ok(invalid(format!("attempt: {error}"))),
    };
    if attempt.order_id != order_id {
        return Ok(invalid("the attempt is of another order".to_owned()));
    }
    if let Some(flaw) = flaw(&verdict) {
        return Ok(invalid(flaw.to_owned()));
    }
    let key = key(order_id, attempt.step);
    let Some(seen) = exchanger.store.standing(key).await? else {
        return Ok(RulingOutcome::Unknown);
    };
    let possible = ruled(&seen, attempt, &verdict).map(drop);
    // What is refused anyway, or was said before, needs no question: the store knows the answer.
    if possible.is_ok()
        && is_the_venues_to_know(&seen)
        && let Some(detail) = objection_of_the_venue(exchanger, &seen, attempt, &verdict).await
    {
        return Ok(RulingOutcome::Contradicted { detail });
    }
    let content = encode(&verdict)?;
    let intervention = Intervention {
        key,
        verb: "resolve",
        once: Some((format!("resolve:{attempt}"), content)),
        instruction,
        decide: Box::new(move |standing| match possible {
            Err(detail) => Amendment::Refuse { detail },
            Ok(()) if standing.record == seen.record => amend(ruled(standing, attempt, &verdict)),
            // What was asked about is not what it is about any more.
            Ok(()) => Amendment::Refuse {
                detail: "the step has moved on at this moment; look at it again".to_owned(),
            },
        }),
    };
    let amended = exchanger.store.intervene(exchanger.clock.now(), intervention).await?;
    Ok(amended.into_ruling_outcome())
}

/// What the venue itself says against the ruling. It is asked before anything is stored: an answer that comes later, to a
/// worker that asks at the same time, is fenced off.
async fn objection_of_the_venue(
    exchanger: &Submit,
    standing: &Standing,
    attempt: ClientOrderId,
    verdict: &VenueVerdict,
) -> Option<String> {
    let found = exchanger.venue.find(&attempt);
    let answer = bounded(exchanger.venue_timeout, found, &exchanger.metrics.find).await;
    if let Answer::Unknown { reason } = &answer {
        tracing::warn!(%attempt, reason, "what became of an order at the venue rests on an operator's word alone");
    }
    objection(standing, verdict, answer, &exchanger.rules)
}

/// Has a step tried again at once; see [`contracts::clients::Exchanger::retry`].
pub(super) async fn retry(
    store: &dyn CommandStore,
    clock: &dyn Clock,
    key: CommandKey,
    instruction: Instruction,
) -> Result<Retried, ClientError> {
    let intervention = Intervention {
        key,
        verb: "retry",
        once: None,
        instruction,
        decide: Box::new(again),
    };
    let amended = store.intervene(clock.now(), intervention).await?;
    Ok(amended.into_retried())
}

/// The step as it stands.
pub(super) async fn view(store: &dyn CommandStore, key: CommandKey) -> Result<Option<StepView>, ClientError> {
    let standing = store.standing(key).await?;
    Ok(standing.map(|standing| {
        let attempt = attempt_of(&standing);
        standing.into_view(attempt)
    }))
}

/// A failed trade stays failed, as its order ends by it. A reversal must succeed some day.
fn again(standing: &Standing) -> Amendment {
    let record = &standing.record;
    match (record.state, record.key.step) {
        (State::Dead, _) => Amendment::Reopen {
            progress: record.progress.clone(),
        },
        (State::Failed, Step::Reverse) => forgiven(standing)
            .ok()
            .and_then(|progress| encode(&progress).ok())
            .map_or(Amendment::Nudge, |progress| Amendment::Reopen { progress }),
        (State::Open | State::Done | State::Failed, _) => Amendment::Nudge,
    }
}

fn amend(ruled: Result<Progress, String>) -> Amendment {
    let progress = ruled.and_then(|progress| serde_json::to_string(&progress).map_err(|error| error.to_string()));
    match progress {
        Ok(progress) => Amendment::Reopen { progress },
        Err(detail) => Amendment::Refuse { detail },
    }
}

/// What is wrong with a verdict, whatever it is about.
fn flaw(verdict: &VenueVerdict) -> Option<&'static str> {
    let VenueVerdict::Executed { fills, venue_reference } = verdict else {
        return None;
    };
    let length = venue_reference.chars().count();
    if fills.is_empty() {
        Some("fills: an executed attempt has at least one; without any it was not executed")
    } else if fills.len() > MAX_FILLS {
        Some("fills: at most 1,000")
    } else if !(1..=MAX_VENUE_REFERENCE).contains(&length) || venue_reference.chars().any(char::is_control) {
        Some("venue_reference: 1 to 128 printable characters")
    } else {
        None
    }
}

const fn invalid(detail: String) -> RulingOutcome {
    RulingOutcome::Invalid { detail }
}

fn encode(value: &impl serde::Serialize) -> Result<String, ClientError> {
    serde_json::to_string(value).map_err(|error| ClientError::Unavailable(format!("not writable as JSON: {error}")))
}

/// The step's command.
pub(super) const fn key(order_id: OrderId, step: Step) -> CommandKey {
    CommandKey { order_id, step }
}
