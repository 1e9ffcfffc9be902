//! `GET /wallet/{user_id}/transactions`: the statement, every booking of a user, newest first, as JSON or CSV.
//!
//! Both are the same pages: `next_cursor` in JSON is the `Link` to the next page (RFC 8288) in both.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK, VARY};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use contracts::ledger::{Leg, Origin, Owner, StatementLine};
use contracts::{Amount, DepositId, OrderId};
use jiff::Timestamp;
use serde::Serialize;
use service_kit::auth::AuthenticatedUser;
use service_kit::extract::{Page, PageQuery, accepted};
use service_kit::openapi::answers;
use service_kit::problem::Problem;

use super::{csv, problems};
use crate::use_cases::Wallet;
use crate::use_cases::read_transactions::read_transactions;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

/// Read the statement, the newest booking first.
///
/// As JSON, or as CSV with `Accept: text/csv`. The header `Link` names the next page.
#[utoipa::path(get, path = "/wallet/{user_id}/transactions", operation_id = "list_transactions", tag = "wallet",
    params(PageQuery),
    responses(
        (status = 200, description = "A page.",
            content((Page<TransactionBody> = "application/json"), (String = "text/csv")),
            headers(("Link" = Option<String>, description = "`rel=\"next\"`: the next page (RFC 8288), if there is one."))),
        answers::NotFound, answers::NotAcceptable,
    ))]
pub(super) async fn list(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user): AuthenticatedUser,
    query: PageQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = accepted(&headers, &[JSON, CSV])?;
    let page = read_transactions(&wallet, user, query)
        .await?
        .ok_or_else(problems::no_wallet)?
        .map(TransactionBody::from);
    let link = next_page(&page, query);
    // Caches that keep it anyhow must not give the one for the other.
    let headers = (AppendHeaders([(VARY, "accept")]), AppendHeaders(link));
    if wanted == CSV {
        let kind = (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned());
        let name = format!("attachment; filename=\"cambist-user-{user}-transactions.csv\"");
        let file = [kind, (CONTENT_DISPOSITION, name)];
        let text = csv::render(&page.items).map_err(Problem::internal)?;
        return Ok((headers, file, text).into_response());
    }
    Ok((headers, Json(page)).into_response())
}

/// Relative to this page (RFC 3986, section 5.2.2: a query alone), so that it holds behind any proxy.
fn next_page(page: &Page<TransactionBody>, query: PageQuery) -> Option<(HeaderName, String)> {
    let cursor = page.next_cursor?;
    let limit = query.limit.get();
    Some((LINK, format!("<?limit={limit}&cursor={cursor}>; rel=\"next\"")))
}

/// A booking in a user's statement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Transaction, examples(json!({"entry_id": 7, "time": "2026-01-02T03:04:05Z", "kind": "order", "order_id": 1,
    "deposit_id": null, "adjustment_id": null, "leg": "hold", "amount": {"amount": "-30", "asset": "USD"},
    "counter_account": "hot_wallet", "balance_after": {"amount": "570", "asset": "USD"}, "reason": "buy"})))]
pub(super) struct TransactionBody {
    #[schema(minimum = 1)]
    pub(super) entry_id: i64,
    pub(super) time: Timestamp,
    /// What it belongs to: `order`, `deposit`, `adjustment` (a correction by an operator), or `funding`.
    #[schema(pattern = "^(order|deposit|adjustment|funding)$")]
    pub(super) kind: &'static str,
    #[schema(required)]
    pub(super) order_id: Option<OrderId>,
    #[schema(required)]
    pub(super) deposit_id: Option<DepositId>,
    #[schema(required)]
    pub(super) adjustment_id: Option<i64>,
    pub(super) leg: Leg,
    /// Negative when money left.
    pub(super) amount: Amount,
    pub(super) counter_account: Owner,
    pub(super) balance_after: Amount,
    pub(super) reason: String,
}

impl From<StatementLine> for TransactionBody {
    fn from(line: StatementLine) -> Self {
        let StatementLine {
            entry_id,
            time,
            origin,
            leg,
            amount,
            counter_account,
            balance_after,
            reason,
        } = line;
        let (kind, _) = origin.parts();
        let (mut order_id, mut deposit_id, mut adjustment_id) = (None, None, None);
        match origin {
            Origin::Order(id) => order_id = Some(id),
            Origin::Deposit(id) => deposit_id = Some(id),
            Origin::Adjustment(id) => adjustment_id = Some(id),
            Origin::Funding => {}
        }
        Self {
            entry_id,
            time,
            kind,
            order_id,
            deposit_id,
            adjustment_id,
            leg,
            amount,
            counter_account,
            balance_after,
            reason,
        }
    }
}
