//! What the neighbours say to operators about a step.

use contracts::messages::{Step, StepResult};
use contracts::operators::{RulingOutcome, StepView};

/// The answer to a ruling on a step that is not open.
pub(super) fn answered(known: bool) -> RulingOutcome {
    if known {
        let detail = "its outcome is known".to_owned();
        RulingOutcome::Contradicted { detail }
    } else {
        RulingOutcome::Unknown
    }
}

/// A step as it stands.
pub(super) fn view(step: Step, result: Option<StepResult>) -> StepView {
    let state = match result {
        None => "open",
        Some(StepResult::Failure { .. }) => "failed",
        Some(_) => "done",
    };
    StepView {
        step,
        state: state.to_owned(),
        attempt: Some("the attempt".to_owned()),
        tries: 0,
        last_reason: None,
        answer_missing_since: None,
        next_attempt_at: None,
        result,
        acts: Vec::new(),
    }
}
