//! The day: what Ada does, what the house answers, and what the books say of it.

use anyhow::{Context as _, ensure};
use contracts::ledger::Leg;
use notification::ports::Mail;
use reqwest::Method;
use serde_json::{Value, json};

use super::customer::Customer;
use super::screen::{Line, Screen};
use super::stage::Stage;

/// From registration to the last mail.
///
/// # Errors
/// Whatever does not go as it should.
pub(super) async fn a_day(stage: &mut Stage, screen: &mut Screen) -> anyhow::Result<()> {
    screen.say(&Line::Opening { public: &stage.public })?;
    let mut ada = Customer::new(stage)?;
    arrival(&mut ada, screen).await?;
    deposit(&mut ada, screen).await?;

    screen.act("Ada buys bitcoin for 30 USD").await?;
    let buy = order(&mut ada, screen, "buy", json!({"fiat_amount": 30})).await?;
    ends(&mut ada, stage, screen, buy, "completed").await?;

    screen.act("She sells half of it").await?;
    let sell = order(&mut ada, screen, "sell", json!({"crypto_amount": "1.5"})).await?;
    ends(&mut ada, stage, screen, sell, "completed").await?;

    screen
        .act("An order fails: the chain refuses to send her coins")
        .await?;
    let before = ada.balances().await?;
    stage.let_the_chain_refuse(true);
    let failing = order(&mut ada, screen, "buy", json!({"fiat_amount": 100})).await?;
    ends(&mut ada, stage, screen, failing, "failed").await?;
    stage.let_the_chain_refuse(false);
    let after = ada.balances().await?;
    ensure!(before == after, "she had {before:?} before, and has {after:?}");
    screen.say(&Line::Remark("That is exactly what she had before."))?;

    screen.act("She asks for more than she has").await?;
    more_than_she_has(&mut ada, screen).await?;
    screen.act("The audit: is every cent where it should be?").await
}

async fn arrival(ada: &mut Customer, screen: &mut Screen) -> anyhow::Result<()> {
    screen.act("Ada registers, logs in and opens a wallet").await?;
    let who = json!({
        "username": "ada", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com",
        "password": "correct horse"
    });
    let registered = asked(ada, screen, Method::POST, "/register", Some(&who), 201).await?;
    ada.id = registered["id"].as_i64().context("a user's id")?;
    let login = json!({"username": "ada", "password": "correct horse"});
    let answer = asked(ada, screen, Method::POST, "/login", Some(&login), 200).await?;
    ada.log_in(answer["token"].as_str().context("a token")?);
    let wallet = format!("/wallet/{}", ada.id);
    asked(ada, screen, Method::POST, &wallet, None, 201).await?;
    screen.say(&Line::Remark("The house's own wallet was funded before:"))?;
    show_bookings(ada, screen, |_| true).await
}

async fn deposit(ada: &mut Customer, screen: &mut Screen) -> anyhow::Result<()> {
    screen.act("She deposits 600 USD").await?;
    let (path, body) = (format!("/wallet/{}", ada.id), json!({"fiat_amount": 600}));
    let answer = asked(ada, screen, Method::PATCH, &path, Some(&body), 200).await?;
    ensure!(answer["status"] == "booked", "the deposit is not booked: {answer}");
    show_bookings(ada, screen, |_| true).await?;
    show_balances(ada, screen).await
}

async fn more_than_she_has(ada: &mut Customer, screen: &mut Screen) -> anyhow::Result<()> {
    let (path, body) = (format!("/buy/{}", ada.id), json!({"fiat_amount": 5000}));
    asked(ada, screen, Method::POST, &path, Some(&body), 423).await?;
    let booked = ada.booked(|_| true).await?;
    ensure!(booked.is_empty(), "a refused order has booked something: {booked:?}");
    show_balances(ada, screen).await
}

/// Places an order that is accepted.
async fn order(ada: &mut Customer, screen: &mut Screen, verb: &str, body: Value) -> anyhow::Result<i64> {
    let path = format!("/{verb}/{}", ada.id);
    let answer = asked(ada, screen, Method::POST, &path, Some(&body), 202).await?;
    answer["order_id"].as_i64().context("an order's id")
}

/// Follows an order to this end: each event as it arrives with what was booked for it, the mail, and what she has.
async fn ends(
    ada: &mut Customer,
    stage: &mut Stage,
    screen: &mut Screen,
    order: i64,
    status: &str,
) -> anyhow::Result<()> {
    let mut events = ada.follow(order).await?;
    loop {
        let event = events
            .next_event()
            .await?
            .context("the stream ended before the order")?;
        let data: Value = serde_json::from_str(&event.data)?;
        if event.name == "end" {
            ensure!(data["status"] == status, "the order should have {status}: {data}");
            break;
        }
        screen.say(&Line::Event(&data))?;
        show_bookings(ada, screen, |leg| told_by(leg) == Some(event.name.as_str())).await?;
    }
    show_bookings(ada, screen, |_| true).await?;
    let mail: Mail = stage.mail().await?;
    screen.say(&Line::Mail(&mail))?;
    show_balances(ada, screen).await
}

/// The event that tells of a booking. The books may be ahead of the events; then a booking waits for its own.
fn told_by(leg: Leg) -> Option<&'static str> {
    match leg {
        Leg::Hold => Some("held"),
        Leg::TradePay | Leg::TradeReceive | Leg::TradeFee | Leg::TradeRounding | Leg::TradeReturn => Some("exchanged"),
        Leg::Withdraw => Some("withdrawn"),
        Leg::ReversePay | Leg::ReverseReceive | Leg::ReverseFee | Leg::ReverseRounding | Leg::ReverseResult => {
            Some("reversed")
        }
        Leg::Release => Some("released"),
        Leg::Deposit
        | Leg::FundFiat
        | Leg::FundCrypto
        | Leg::AdjustFiat
        | Leg::AdjustCrypto
        | Leg::WithdrawBack
        | Leg::WithdrawUndone
        | Leg::WithdrawSent
        | Leg::WithdrawBackSent
        | Leg::WithdrawBackUndone => None,
    }
}

/// A request, shown with its answer, which has this status.
async fn asked(
    ada: &Customer,
    screen: &mut Screen,
    method: Method,
    path: &str,
    body: Option<&Value>,
    status: u16,
) -> anyhow::Result<Value> {
    let answer = ada.ask(method.clone(), path, body).await?;
    screen.say(&Line::Request {
        method: method.as_str(),
        path,
        body,
        answer: &answer,
    })?;
    ensure!(
        answer.status == status,
        "{method} {path} was answered {} and not {status}: {}",
        answer.status,
        answer.body
    );
    Ok(answer.body)
}

async fn show_bookings(ada: &mut Customer, screen: &mut Screen, told: impl Fn(Leg) -> bool) -> anyhow::Result<()> {
    for booking in ada.booked(told).await? {
        screen.say(&Line::Booking(&booking))?;
    }
    Ok(())
}

async fn show_balances(ada: &Customer, screen: &mut Screen) -> anyhow::Result<()> {
    let (fiat, crypto) = ada.balances().await?;
    screen.say(&Line::Balances {
        fiat: &fiat,
        crypto: &crypto,
    })
}
