//! What follows for an operation from what it says of itself: its path's parameters, its extractors' problems, and
//! each problem's answer.

use std::collections::{BTreeMap, BTreeSet};

use ::http::StatusCode;
use contracts::clients::MAX_COMMANDS;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required};
use utoipa::{Number, openapi::example::ExampleBuilder};

use super::parameters::{be_exact, path_parameter};
use super::routes::USER;
use crate::extract::IDEMPOTENCY_KEY;
use crate::problem::{PROBLEM_JSON, Problem, ProblemCode};

/// Problems that whoever guards the routes may answer with, whatever the route.
const OF_THE_GUARD: [ProblemCode; 4] = [
    ProblemCode::Internal,
    ProblemCode::Overloaded,
    ProblemCode::Unavailable,
    ProblemCode::Timeout,
];

/// Problems of a body that must be JSON.
const OF_A_BODY: [ProblemCode; 5] = [
    ProblemCode::MalformedJson,
    ProblemCode::SlowBody,
    ProblemCode::BodyTooLarge,
    ProblemCode::UnsupportedMediaType,
    ProblemCode::Invalid,
];

/// Where a problem stands among an operation's answers until [`complete`] makes an answer of it: several problems share
/// a status, and a status has one answer.
const MARK: &str = "problem:";

/// The place of a problem among the answers that a handler declares.
pub(crate) fn mark(code: ProblemCode) -> String {
    format!("{MARK}{}", code.code())
}

/// Says that the operation may answer with this problem.
pub(super) fn add_problem(operation: &mut Operation, code: ProblemCode) {
    let answers = &mut operation.responses.responses;
    answers.insert(mark(code), RefOr::T(Response::default()));
}

/// Every operation with its path.
pub(super) fn operations(api: &mut OpenApi) -> impl Iterator<Item = (&String, &mut Operation)> {
    api.paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem {
            get,
            put,
            post,
            delete,
            options,
            head,
            patch,
            trace,
            ..
        } = item;
        let all = [get, put, post, delete, options, head, patch, trace];
        all.into_iter().flatten().map(move |operation| (path, operation))
    })
}

/// Adds what the guard may answer.
pub(super) fn guarded(operation: &mut Operation) {
    for code in OF_THE_GUARD {
        add_problem(operation, code);
    }
}

/// Adds what follows, and makes answers of the problems.
pub(super) fn complete(path: &str, operation: &mut Operation) {
    let declared = operation.parameters.get_or_insert_default();
    for name in names(path) {
        if !declared.iter().any(|parameter| is(parameter, name, &ParameterIn::Path)) {
            declared.extend(path_parameter(name).map(RefOr::T));
        }
    }
    for parameter in declared.iter_mut() {
        if let RefOr::T(parameter) = parameter {
            be_exact(parameter);
        }
    }
    let declared = &*declared;
    let key = declared
        .iter()
        .any(|parameter| is(parameter, IDEMPOTENCY_KEY.as_str(), &ParameterIn::Header));
    let query = declared.iter().any(|parameter| is_in(parameter, &ParameterIn::Query));
    // Of a user's path the `{user_id}` is compared with the token's user: what is no id is 403.
    let of_users = requires(operation, USER);
    let id = names(path).any(|name| !(of_users && name == "user_id"));

    if key {
        add_problem(operation, ProblemCode::MalformedHeader);
        add_problem(operation, ProblemCode::IdempotencyKeyReused);
    }
    if query {
        add_problem(operation, ProblemCode::MalformedQuery);
    }
    if id {
        add_problem(operation, ProblemCode::MalformedPath);
    }
    if operation.request_body.is_some() {
        for code in OF_A_BODY {
            add_problem(operation, code);
        }
    }
    answer_problems(operation);
    if key {
        say_when_replayed(operation);
    }
}

/// The names between braces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn is(parameter: &RefOr<Parameter>, name: &str, place: &ParameterIn) -> bool {
    matches!(parameter, RefOr::T(it) if it.name.eq_ignore_ascii_case(name)) && is_in(parameter, place)
}

fn is_in(parameter: &RefOr<Parameter>, place: &ParameterIn) -> bool {
    matches!(parameter, RefOr::T(it) if it.parameter_in == *place)
}

pub(super) fn requires(operation: &Operation, scheme: &str) -> bool {
    let none: [&str; 0] = [];
    let wanted = utoipa::openapi::security::SecurityRequirement::new(scheme, none);
    operation.security.as_ref().is_some_and(|all| all.contains(&wanted))
}

/// One answer per status, with every problem of that status.
fn answer_problems(operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
    for (at, code) in ProblemCode::ALL.iter().enumerate() {
        if operation.responses.responses.remove(&mark(*code)).is_some() {
            by_status.entry(code.status().as_u16()).or_default().insert(at);
        }
    }
    for (status, places) in by_status {
        let codes: Vec<_> = places
            .iter()
            .filter_map(|at| ProblemCode::ALL.get(*at).copied())
            .collect();
        let answers = &mut operation.responses.responses;
        answers.insert(status.to_string(), RefOr::T(answer(&codes)));
    }
}

/// The answer with one of these problems, all of one status.
fn answer(codes: &[ProblemCode]) -> Response {
    let when: Vec<_> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.code(), code.when()))
        .collect();
    let code = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(codes.iter().map(|code| code.code())));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("code", code));
    let examples = codes.iter().map(|code| {
        let value = example(*code).to_json();
        let example = ExampleBuilder::new().summary(code.title()).value(Some(value));
        (code.code(), RefOr::T(example.build()))
    });
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples);
    let mut response = ResponseBuilder::new()
        .description(when.join("\n\n"))
        .content(PROBLEM_JSON, content.build());
    let status = codes.first().map(|code| code.status());
    if let Some((name, header)) = status.and_then(header_of) {
        response = response.header(name, header);
    }
    response.build()
}

/// The header that answers of this status come with.
fn header_of(status: StatusCode) -> Option<(&'static str, Header)> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let (name, description, schema) = match status {
        StatusCode::UNAUTHORIZED => (
            "WWW-Authenticate",
            "How to say who you are.",
            text().enum_values(Some(["Bearer"])),
        ),
        StatusCode::METHOD_NOT_ALLOWED => ("Allow", "The methods there are.", text()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer);
            (
                "Retry-After",
                "After how many seconds to come back.",
                seconds.minimum(Some(Number::Int(1))),
            )
        }
        _ => return None,
    };
    let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description));
    Some((name, header.build()))
}

/// A problem as it may look.
fn example(code: ProblemCode) -> Problem {
    let problem = Problem::new(code);
    if code == ProblemCode::Invalid {
        problem.with_error("/fiat_amount", "the number must be positive")
    } else if code == ProblemCode::InsufficientFunds {
        problem.with_extension("order_id", 1)
    } else {
        problem.with_detail(code.when())
    }
}

/// The header of an answer that was given before.
fn say_when_replayed(operation: &mut Operation) {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["true"]));
    let header = HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(
            "There when the answer is that of an earlier request with the same key.",
        ))
        .build();
    for (status, response) in &mut operation.responses.responses {
        let effect = status.starts_with('2') || status == "423";
        if let RefOr::T(response) = response
            && effect
        {
            response
                .headers
                .insert("Idempotency-Replayed".to_owned(), RefOr::T(header.clone()));
        }
    }
}

/// Whatever takes an array takes [`MAX_COMMANDS`] items.
pub(super) fn bound_arrays(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::Array(array))) = &mut content.schema
        {
            array.max_items = Some(MAX_COMMANDS);
        }
    }
}

/// A body may be left out: `Option<T>` says so, but means an absent body and never `null`.
pub(super) fn unwrap_optional_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && either.items.len() == 2
            && let Some(schema) = either.items.iter().find(|it| matches!(it, RefOr::Ref(_)))
        {
            content.schema = Some(schema.clone());
            body.required = Some(Required::False);
        }
    }
}
