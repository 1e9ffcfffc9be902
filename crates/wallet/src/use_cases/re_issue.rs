//! The sweep: issues again the current step of every order, and the booking of every deposit, of which nothing was
//! heard for too long. So whatever gets lost between services costs time and nothing else.
//!
//! The command goes out directly and not through the outbox: while another service is down, rows would pile up there,
//! and the order's own row is the intent already.

use contracts::clients::MAX_COMMANDS;
use storage::StoreError;

use super::Wallet;
use super::carry::carry;
use crate::domain::effects::deposit_posting;
use crate::domain::{Command, command};

/// The most rounds in one sweep; what is left is due for the next one.
const MAX_ROUNDS: usize = 1_000;

/// Issues again whatever is due, in rounds of at most [`MAX_COMMANDS`]. Claims what it takes, so that sweeps of several
/// processes share the work. Returns how many it issued.
pub(crate) async fn re_issue(wallet: &Wallet) -> Result<usize, StoreError> {
    let mut issued = 0;
    for _ in 0..MAX_ROUNDS {
        let round = one_round(wallet).await?;
        issued += round;
        if round < MAX_COMMANDS {
            break;
        }
    }
    if issued > 0 {
        tracing::debug!(issued, "steps of which nothing was heard were issued again");
    }
    Ok(issued)
}

async fn one_round(wallet: &Wallet) -> Result<usize, StoreError> {
    let ports = &wallet.ports;
    let orders = ports
        .orders
        .claim_due(wallet.now(), MAX_COMMANDS, wallet.pauses())
        .await?;
    let room = MAX_COMMANDS - orders.len();
    let deposits = if room == 0 {
        Vec::new()
    } else {
        ports.deposits.claim_due(wallet.now(), room, wallet.pauses()).await?
    };
    let mut commands = Vec::with_capacity(orders.len() + deposits.len());
    for order in &orders {
        match order.saga.current_effect().and_then(|effect| command(order, effect)) {
            Some(command) => commands.push(command),
            None => tracing::error!(order_id = %order.id, state = %order.saga.state, "an order's row asks for nothing"),
        }
    }
    commands.extend(deposits.iter().map(|deposit| Command::Post(deposit_posting(deposit))));
    carry(wallet, commands).await;
    Ok(orders.len() + deposits.len())
}

/// After a crash of the only process there is, nobody is at work on anything: all of it is due at once.
pub(crate) async fn recover(wallet: &Wallet) -> Result<(), StoreError> {
    let under_way = make_due(wallet).await?;
    if under_way > 0 {
        tracing::info!(under_way, "taking up what was under way when the last process ended");
    }
    Ok(())
}

/// Makes every order and deposit under way due now; returns how many there are. To issue a step too early is harmless.
pub(crate) async fn make_due(wallet: &Wallet) -> Result<u64, StoreError> {
    let now = wallet.now();
    let orders = wallet.ports.orders.make_due(now).await?;
    let deposits = wallet.ports.deposits.make_due(now).await?;
    Ok(orders.saturating_add(deposits))
}
