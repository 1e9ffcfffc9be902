//! What the internal listeners offer operators in every service alike: dead letters, and how a reason is read.
//!
//! Only people come here: an operator's name is taken from their token and never from a body, and services get 403.

use std::str::FromStr;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, StatusCode};
use axum::Json;
use axum::extract::State;
use contracts::Clock;
use contracts::operators::{DeadLetter, DeadLetters, Instruction, MAX_REASON, Replay};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{IDEMPOTENCY_REPLAYED, JsonBody, Page, PageQuery, PathId, PathParam};
use crate::internal::{Allowed, Caller, InternalTokens};
use crate::openapi::{Routes, answers, routes};
use crate::problem::{Problem, ProblemCode};

/// Only people.
const OPERATORS: &[Allowed] = &[Allowed::Operator];

/// Why an operator wants something.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason, examples(json!({"reason": "asked by the user, ticket 4711"})))]
pub struct ReasonBody {
    /// 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Who wants something, and why. `field` is the reason's JSON pointer.
///
/// # Errors
/// 422 for a reason that says nothing or too much.
pub fn instruction(caller: &Caller, field: &str, reason: &str) -> Result<Instruction, Problem> {
    let reason = reason.trim();
    let length = reason.chars().count();
    let printable = !reason
        .chars()
        .any(|character| character.is_control() && character != '\n');
    if !(1..=MAX_REASON).contains(&length) || !printable {
        return Err(Problem::invalid(
            field,
            format!("1 to {MAX_REASON} printable characters that say why; they are kept"),
        ));
    }
    Ok(Instruction {
        operator: caller.to_string(),
        reason: reason.to_owned(),
    })
}

/// Says that the answer is that of an earlier request.
#[must_use]
pub fn replayed_header(replayed: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    headers
}

/// The number of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LetterId(i64);

impl FromStr for LetterId {
    type Err = ();

    /// One spelling each: a whole number from 1, without sign or leading zeros.
    fn from_str(text: &str) -> Result<Self, ()> {
        let id: i64 = text.parse().map_err(|_| ())?;
        if id > 0 && id.to_string() == text {
            Ok(Self(id))
        } else {
            Err(())
        }
    }
}

impl PathParam for LetterId {
    const NAME: &'static str = "letter_id";
}

#[derive(Clone)]
struct Desk {
    letters: Arc<dyn DeadLetters>,
    clock: Arc<dyn Clock>,
}

/// What is said of a letter that is on its way again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayedLetter, examples(json!({"letter_id": 1, "status": "replayed"})))]
struct ReplayedBody {
    #[schema(minimum = 1)]
    letter_id: i64,
    #[schema(pattern = "^replayed$")]
    status: &'static str,
}

/// `GET /dead_letters` and `POST /dead_letters/{letter_id}/replay`.
pub fn dead_letter_routes(
    letters: Arc<dyn DeadLetters>,
    clock: Arc<dyn Clock>,
    tokens: &Arc<InternalTokens>,
) -> Routes {
    Routes::new()
        .with(routes!(list))
        .with(routes!(replay))
        .allowed(tokens, OPERATORS)
        .with_state(Desk { letters, clock })
}

/// List the dead letters that wait for a person, the oldest first.
#[utoipa::path(get, path = "/dead_letters", operation_id = "list_dead_letters", params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<DeadLetter>)))]
async fn list(State(desk): State<Desk>, query: PageQuery) -> Result<Json<Page<DeadLetter>>, Problem> {
    let letters = desk.letters.list(query.cursor, query.limit.rows()).await?;
    Ok(Json(Page::cut(letters, query.limit, |letter| letter.id)))
}

/// Put a dead letter on its way again.
#[utoipa::path(post, path = "/dead_letters/{letter_id}/replay", operation_id = "replay_dead_letter",
    params(("letter_id" = i64, Path, minimum = 1)), request_body = ReasonBody,
    responses(
        (status = 202, description = "On its way, now or before.", body = ReplayedBody),
        answers::NotFound, answers::Conflict,
    ))]
async fn replay(
    State(desk): State<Desk>,
    PathId(LetterId(letter_id)): PathId<LetterId>,
    caller: Caller,
    body: JsonBody<ReasonBody>,
) -> Result<(StatusCode, HeaderMap, Json<ReplayedBody>), Problem> {
    let instruction = instruction(&caller, "/reason", &body.value.reason)?;
    match desk.letters.replay(desk.clock.now(), letter_id, instruction).await? {
        Replay::Replayed { before } => {
            let status = "replayed";
            let body = ReplayedBody { letter_id, status };
            Ok((StatusCode::ACCEPTED, replayed_header(before), Json(body)))
        }
        Replay::Unknown => Err(Problem::not_found("there is no such dead letter")),
        Replay::Impossible { detail } => Err(Problem::new(ProblemCode::Conflict).with_detail(detail)),
    }
}
