//! The users of the load: registered, logged in, with money and crypto of their own, all of it before the clock runs.

use std::sync::Arc;

use anyhow::Context as _;
use contracts::{Entropy as _, SystemEntropy};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{HeaderValue, Method, Uri};
use serde_json::{Value, json};

use super::client::{Address, Connection};

/// What each deposits, in fiat, and what of it is turned into crypto first, so that no later order lacks funds.
const DEPOSIT: u64 = 1_000_000;
const FIRST_BUY: u64 = 500_000;
/// How many are set up at the same time.
const AT_ONCE: usize = 8;

/// Somebody who is logged in.
pub(super) struct Customer {
    pub(super) id: i64,
    pub(super) token: HeaderValue,
    pub(super) buy: Uri,
    pub(super) sell: Uri,
    /// The order of the preparation; those of the load are newer.
    pub(super) first_order: i64,
}

/// All of them.
pub(super) type Customers = Arc<[Customer]>;

/// Sets up so many users. Each has placed one order when this returns, which need not be completed yet.
pub(super) async fn prepare(address: &Address, users: usize, tell: &dyn Fn(&str)) -> anyhow::Result<Customers> {
    tell(&format!("registering {users} users and logging them in"));
    // A running instance may have been measured before.
    let run = SystemEntropy.next_id();
    let customers: Vec<Customer> = stream::iter(0..users)
        .map(|number| one(address, format!("bench-{run:.16}-{number}")))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(customers.into())
}

async fn one(address: &Address, name: String) -> anyhow::Result<Customer> {
    let mut connection = Connection::open(address).await?;
    let registration = json!({
        "username": name, "first_name": "Ben", "last_name": "Mark", "email": format!("{name}@example.com"),
        "password": "a password of the benchmark"
    });
    let registered = connection
        .ask(Method::POST, "/register", None, registration, 201)
        .await?;
    let id = registered["id"]
        .as_i64()
        .context("registering was answered without an id")?;
    let login = json!({"username": name, "password": "a password of the benchmark"});
    let login = connection.ask(Method::POST, "/login", None, login, 200).await?;
    let token = login["token"]
        .as_str()
        .context("logging in was answered without a token")?;
    let token = HeaderValue::from_str(&format!("Bearer {token}"))?;
    let wallet = format!("/wallet/{id}");
    connection
        .ask(Method::POST, &wallet, Some(&token), Value::Null, 201)
        .await?;
    let deposit = json!({"fiat_amount": DEPOSIT});
    connection
        .ask(Method::PATCH, &wallet, Some(&token), deposit, 200)
        .await
        .context("the users of the benchmark must be allowed to book deposits (deposits = self)")?;
    let (buy, sell) = (format!("/buy/{id}"), format!("/sell/{id}"));
    let first = json!({"fiat_amount": FIRST_BUY});
    let first = connection.ask(Method::POST, &buy, Some(&token), first, 202).await?;
    Ok(Customer {
        id,
        token,
        buy: buy.parse()?,
        sell: sell.parse()?,
        first_order: first["order_id"]
            .as_i64()
            .context("an order was accepted without an id")?,
    })
}
