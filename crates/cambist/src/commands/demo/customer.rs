//! Ada, who uses the public API as anybody would, and the books as an auditor reads them: over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contracts::Amount;
use contracts::ledger::{Leg, Owner};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::stage::Stage;
use crate::event_stream::EventStream;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long an order may take.
const ORDER: Duration = Duration::from_secs(120);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// A booking, by the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Booking {
    pub(super) entry_id: i64,
    pub(super) debit: Owner,
    pub(super) credit: Owner,
    pub(super) amount: Amount,
    pub(super) leg: Leg,
}

/// A customer with her program, and the auditor who looks over her shoulder.
pub(super) struct Customer {
    http: Client,
    public: String,
    internal: String,
    operator: String,
    token: Option<String>,
    pub(super) id: i64,
    /// Up to which entry the books have been read.
    read: i64,
    /// Bookings that were read and not shown yet.
    bookings: BTreeMap<i64, Booking>,
}

impl Customer {
    pub(super) fn new(stage: &Stage) -> anyhow::Result<Self> {
        // No proxy: the instance is in this process.
        let http = Client::builder().no_proxy().timeout(ANSWER).build()?;
        Ok(Self {
            http,
            public: stage.public.clone(),
            internal: stage.internal.clone(),
            operator: stage.operator.clone(),
            token: None,
            id: 0,
            read: 0,
            bookings: BTreeMap::new(),
        })
    }

    /// Uses this token from now on.
    pub(super) fn log_in(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// A request to the public side.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let request = self.http.request(method, format!("{}{path}", self.public));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        send(self.signed(request)).await.with_context(|| path.to_owned())
    }

    /// The events of an order, from its beginning.
    pub(super) async fn follow(&self, order: i64) -> anyhow::Result<EventStream> {
        let url = format!("{}/orders/{}/{order}/events", self.public, self.id);
        let answer = self.signed(self.http.get(url)).timeout(ORDER).send().await?;
        ensure!(
            answer.status() == 200,
            "an order cannot be followed: {}",
            answer.status()
        );
        Ok(EventStream::new(answer))
    }

    /// What she has: (fiat, crypto), as the wallet says.
    pub(super) async fn balances(&self) -> anyhow::Result<(String, String)> {
        let wallet = self.ask(Method::GET, &format!("/wallet/{}", self.id), None).await?;
        ensure!(wallet.status == 200, "the wallet cannot be read: {}", wallet.body);
        let of = |asset: &str| {
            let balances = wallet.body["balances"].as_array().into_iter().flatten();
            let mut found = balances.filter(|amount| amount["asset"] == asset);
            let text = found.next().and_then(|amount| amount["amount"].as_str());
            text.unwrap_or("0").to_owned()
        };
        Ok((of("USD"), of("BTC")))
    }

    /// What was booked since the last time and is told by this event; the rest is kept for its own.
    pub(super) async fn booked(&mut self, told: impl Fn(Leg) -> bool) -> anyhow::Result<Vec<Booking>> {
        self.read_books().await?;
        let (shown, kept) = std::mem::take(&mut self.bookings)
            .into_iter()
            .partition(|(_, booking)| told(booking.leg));
        self.bookings = kept;
        Ok(BTreeMap::into_values(shown).collect())
    }

    /// Reads her statement, and the hot wallet's: every booking of this day is in one of them, or in both.
    async fn read_books(&mut self) -> anyhow::Result<()> {
        let mut newest = self.read;
        let hers = format!("{}/wallet/{}/transactions?limit=100", self.public, self.id);
        let house = format!("{}/balance/wallet/1/transactions?limit=100", self.internal);
        let of_hers = (Owner::wallet(self.id.try_into()?), self.signed(self.http.get(hers)));
        let of_house = (Owner::HotWallet, self.http.get(house).bearer_auth(&self.operator));
        for (owner, request) in [of_hers, of_house] {
            let page = send(request).await?;
            ensure!(
                page.status == 200,
                "the statement of {owner} cannot be read: {}",
                page.body
            );
            for line in page.body["items"].as_array().into_iter().flatten() {
                let booking = booking(&owner, line)?;
                if booking.entry_id > self.read {
                    newest = newest.max(booking.entry_id);
                    self.bookings.insert(booking.entry_id, booking);
                }
            }
        }
        self.read = newest;
        Ok(())
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn send(request: RequestBuilder) -> anyhow::Result<Answer> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text)?
    };
    Ok(Answer { status, body })
}

/// A line of a statement as the booking it is: a negative amount left its owner.
fn booking(owner: &Owner, line: &Value) -> anyhow::Result<Booking> {
    let amount: Amount = serde_json::from_value(line["amount"].clone()).context("an amount")?;
    let other: Owner = serde_json::from_value(line["counter_account"].clone()).context("an account")?;
    let (debit, credit, amount) = if amount.is_negative() {
        (owner.clone(), other, amount.checked_neg()?)
    } else {
        (other, owner.clone(), amount)
    };
    Ok(Booking {
        entry_id: line["entry_id"].as_i64().context("an entry's number")?,
        debit,
        credit,
        amount,
        leg: serde_json::from_value(line["leg"].clone()).context("a leg")?,
    })
}
