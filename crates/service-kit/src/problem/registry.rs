//! The closed registry of problems: every refusal a client can meet, in one table.
//!
//! A code is a promise: clients branch on it, so one that has been published keeps its meaning and its status.

use std::fmt::Write as _;

use ::http::StatusCode;

/// What the registry says about one problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) when: &'static str,
    pub(super) advice: &'static str,
}

macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:ident, $title:literal, $advice:literal;)+) => {
        /// Every problem there is. The documentation of a variant says when it occurs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ProblemCode {
            /// All of them, in the order of their status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub(super) const fn entry(self) -> Entry {
                match self {
                    $(Self::$variant => Entry {
                        code: $code,
                        status: StatusCode::$status,
                        title: $title,
                        when: concat!($($doc),+),
                        advice: $advice,
                    },)+
                }
            }
        }

        /// The problems as types, for what a route declares: `responses((status = 200, …), answers::NotFound)`.
        pub mod answers {
            use std::collections::BTreeMap;

            use utoipa::IntoResponses;
            use utoipa::openapi::{RefOr, Response};

            $(
                $(#[doc = $doc])+
                #[derive(Debug, Clone, Copy)]
                pub enum $variant {}

                impl IntoResponses for $variant {
                    fn responses() -> BTreeMap<String, RefOr<Response>> {
                        let place = crate::openapi::mark(super::ProblemCode::$variant);
                        BTreeMap::from([(place, RefOr::T(Response::default()))])
                    }
                }
            )+
        }
    };
}

problems! {
    /// The body is not UTF-8, not JSON, nested too deeply, or there is something after the JSON.
    MalformedJson = "malformed_json", BAD_REQUEST, "The body is not JSON",
        "Send one JSON document in UTF-8.";
    /// A part of the path is not the number it should be.
    MalformedPath = "malformed_path", BAD_REQUEST, "The path is malformed",
        "Ids are whole numbers from 1, without sign or leading zeros.";
    /// A query parameter is unknown, or has a value it cannot have.
    MalformedQuery = "malformed_query", BAD_REQUEST, "The query is malformed",
        "Lists take `limit` (1 to 100) and `cursor` (the `next_cursor` of the page before).";
    /// A header has a value it cannot have.
    MalformedHeader = "malformed_header", BAD_REQUEST, "A header is malformed",
        "An `Idempotency-Key` has 1 to 128 visible ASCII characters, a `Last-Event-ID` is the `id` of an event that was \
         received; each is sent once.";
    /// The `Authorization` header is missing, or its token is not valid: broken, expired, or signed by somebody else.
    Unauthorized = "unauthorized", UNAUTHORIZED, "Who you are is not proven",
        "Log in, and send `Authorization: Bearer <token>`.";
    /// User name and password do not belong together. The answer is the same for a user who does not exist.
    WrongCredentials = "wrong_credentials", UNAUTHORIZED, "Wrong user name or password",
        "Check both. After too many failures an account is closed for a while.";
    /// The token is valid, but not for this: another user's path, or a caller this route is not for.
    Forbidden = "forbidden", FORBIDDEN, "This is not yours",
        "Use the path of the user the token belongs to.";
    /// An operator has frozen this user.
    UserFrozen = "user_frozen", FORBIDDEN, "The account is frozen",
        "Ask support; nothing was changed.";
    /// Users may not book their own deposits here (setting `deposits`).
    DepositsClosed = "deposits_closed", FORBIDDEN, "Deposits are booked by the operator",
        "Pay in by the agreed way; the operator books it.";
    /// There is nothing at this path, or the thing it names does not exist.
    NotFound = "not_found", NOT_FOUND, "Not found",
        "Check the path and the id.";
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed",
        "Use one of the methods in the `Allow` header.";
    /// What is here cannot be had in any of the media types that the `Accept` header names.
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE, "Not available in that media type",
        "Send an `Accept` header with one of the media types in `detail`, or none.";
    /// The rest of the body did not arrive in time. Nothing was done; the connection is closed.
    SlowBody = "slow_body", REQUEST_TIMEOUT, "The body took too long to arrive",
        "Send it at once, on a new connection.";
    /// What should be created exists already; it was not changed.
    AlreadyExists = "already_exists", CONFLICT, "It exists already",
        "Use the one that exists, or choose another name.";
    /// The request contradicts the present state or an earlier request; nothing was changed.
    Conflict = "conflict", CONFLICT, "It contradicts the present state",
        "Read the present state, then decide again.";
    /// The body is larger than this route accepts (16 KiB, unless its description says otherwise).
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "Send less at once.";
    /// The body's `Content-Type` is missing or not JSON in UTF-8.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON",
        "Send `Content-Type: application/json`.";
    /// The body is JSON, but a field is missing, unknown, given twice, or has a value it cannot have.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "The request makes no sense",
        "`errors` names each field with a JSON pointer and says what is wrong with it.";
    /// This `Idempotency-Key` came before with another request.
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request",
        "Use a new key for a new request; repeat a request exactly.";
    /// The balance does not cover the amount. An order that is refused for this is listed as failed.
    InsufficientFunds = "insufficient_funds", LOCKED, "Insufficient funds",
        "Deposit first, or ask for less.";
    /// This address, or this account, has asked too often.
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too many requests",
        "Wait for as many seconds as `Retry-After` says.";
    /// Something went wrong inside. The cause is in the log, not in the answer.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong inside",
        "Repeat the request with the same `Idempotency-Key`; it is safe.";
    /// More requests are being worked on than this process accepts. This one was not looked at.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Overloaded",
        "Wait for as many seconds as `Retry-After` says, then repeat.";
    /// Something this service depends on does not answer.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable",
        "Wait for as many seconds as `Retry-After` says, then repeat with the same `Idempotency-Key`.";
    /// The request took too long. Whether it had an effect is unknown.
    Timeout = "timeout", SERVICE_UNAVAILABLE, "It took too long",
        "Repeat with the same `Idempotency-Key`: an effect happens once.";
}

impl ProblemCode {
    /// The stable name, `insufficient_funds`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.entry().code
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.entry().status
    }

    /// One line for people; the same for every occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.entry().title
    }

    /// When it occurs.
    #[must_use]
    pub const fn when(self) -> &'static str {
        self.entry().when.trim_ascii()
    }

    /// What a client can do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.entry().advice
    }

    /// The problem's type: `urn:cambist:problem:insufficient_funds`.
    #[must_use]
    pub fn urn(self) -> String {
        format!("urn:cambist:problem:{}", self.code())
    }
}

/// The reference of all problems, as kept in `docs/PROBLEMS.md`.
#[must_use]
pub fn problems_markdown() -> String {
    let mut page = String::from(
        "# Problems\n\nGenerated from `crates/service-kit/src/problem/registry.rs`; change it there.\n\n\
         Every refusal is an `application/problem+json` document (RFC 9457): `type` (`urn:cambist:problem:` and the \
         code), `title`, `status`, `detail` where there is something to add, `code`, and `errors` where fields are to \
         blame. 401 comes with `WWW-Authenticate`, 405 with `Allow`, 429 and 503 with `Retry-After`.\n\n\
         | status | code | when | what to do |\n|---|---|---|---|\n",
    );
    for code in ProblemCode::ALL {
        writeln!(
            page,
            "| {} | `{}` | {} | {} |",
            code.status().as_u16(),
            code.code(),
            code.when(),
            code.advice()
        )
        .expect("writing to a string cannot fail");
    }
    page
}
