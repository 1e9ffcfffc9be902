//! Carries commands to the services that carry them out, in arrays, and takes the ledger's answers home.
//!
//! Both the dispatcher (from the outbox) and the sweep (from the orders' rows) come through here. The ledger answers at
//! once, and its answers are events; the others only accept, and their results come by the queue. Whatever has no answer
//! is carried again: every receiver knows what it has seen.

use async_trait::async_trait;
use contracts::clients::{ClientError, ExchangeCommand, NotifyCommand, Submission, WithdrawCommand};
use contracts::ledger::{Leg, Origin, Posting, PostingOutcome, Refusal};
use contracts::messages::Step;
use contracts::{DepositId, OrderId, ServiceName, UserId};
use futures::future::join_all;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use storage::outbox::OutboxRow;
use transport::dispatcher::{Courier, Delivered};

use super::Wallet;
use super::apply::apply;
use crate::domain::{Command, Event, Fact, Notice};

/// The dispatcher's way to one service. Rows hold complete commands as JSON.
pub(crate) struct ServiceCourier {
    pub(crate) wallet: Arc<Wallet>,
    pub(crate) service: ServiceName,
}

#[async_trait]
impl Courier for ServiceCourier {
    async fn deliver(&self, rows: &[OutboxRow]) -> Vec<Delivered> {
        let wallet = &*self.wallet;
        match self.service {
            ServiceName::Balance => {
                let (commands, failures) = parse(rows);
                merge(failures, post(wallet, commands).await)
            }
            ServiceName::Exchanger => {
                let (commands, failures) = parse(rows);
                merge(failures, exchange(wallet, commands).await)
            }
            ServiceName::BcGateway => {
                let (commands, failures) = parse(rows);
                merge(failures, withdraw(wallet, commands).await)
            }
            ServiceName::Notification => {
                let (commands, failures) = parse(rows);
                merge(failures, notify(wallet, commands).await)
            }
            service @ (ServiceName::Auth | ServiceName::Wallet) => {
                let error = format!("nothing is ever sent to {service}");
                vec![Delivered::Never { error }; rows.len()]
            }
        }
    }
}

/// Carries commands of any kind, at most [`contracts::clients::MAX_COMMANDS`] of each. What cannot be delivered is told
/// in the log; its order stays due.
pub(crate) async fn carry(wallet: &Wallet, commands: Vec<Command>) {
    let (mut postings, mut exchanges, mut withdrawals, mut notices) = (vec![], vec![], vec![], vec![]);
    for command in commands {
        match command {
            Command::Post(posting) => postings.push(posting),
            Command::Exchange(command) => exchanges.push(command),
            Command::Withdraw(command) => withdrawals.push(command),
            Command::Notify(notice) => notices.push(notice),
        }
    }
    let (posted, exchanged, withdrawn, notified) = tokio::join!(
        post(wallet, postings),
        exchange(wallet, exchanges),
        withdraw(wallet, withdrawals),
        notify(wallet, notices),
    );
    let mut not_yet = 0_usize;
    let mut last = String::new();
    for delivered in [posted, exchanged, withdrawn, notified].into_iter().flatten() {
        match delivered {
            Delivered::Yes => {}
            Delivered::NotYet { reason } => {
                not_yet += 1;
                last = reason;
            }
            Delivered::Never { error } => tracing::error!(error, "a command that was issued again is refused"),
        }
    }
    if not_yet > 0 {
        tracing::warn!(
            commands = not_yet,
            reason = last,
            "commands could not be issued again yet"
        );
    }
}

/// Books holds, releases and deposits, and applies what the ledger says of them.
pub(crate) async fn post(wallet: &Wallet, postings: Vec<Posting>) -> Vec<Delivered> {
    if postings.is_empty() {
        return Vec::new();
    }
    let kinds: Vec<Option<Kind>> = postings.iter().map(Kind::of).collect();
    let outcomes = match wallet.ports.balance.post(postings).await {
        Ok(outcomes) => outcomes,
        Err(error) => return not_yet(kinds.len(), &error),
    };
    let mut delivered = Vec::with_capacity(kinds.len());
    let (mut events, mut booked) = (Vec::new(), Vec::new());
    let mut outcomes = outcomes.into_iter();
    for kind in kinds {
        delivered.push(match (kind, outcomes.next()) {
            (Some(kind), Some(outcome)) => kind.settle(outcome, &mut events, &mut booked),
            (None, _) => Delivered::Never {
                error: "neither a hold, nor a release, nor a deposit".to_owned(),
            },
            (Some(_), None) => unanswered(),
        });
    }
    // The postings are booked, so whatever cannot be recorded now is asked of the ledger again, and answered alike.
    let (applied, recorded) = tokio::join!(apply(wallet, events), record(wallet, booked));
    if let Some(error) = applied.err().or(recorded.err()) {
        let reason = format!("the ledger's answers could not be recorded: {error}");
        for one in delivered.iter_mut().filter(|one| **one == Delivered::Yes) {
            *one = Delivered::NotYet { reason: reason.clone() };
        }
    }
    delivered
}

async fn record(wallet: &Wallet, booked: Vec<DepositId>) -> Result<(), storage::StoreError> {
    if booked.is_empty() {
        return Ok(());
    }
    wallet
        .ports
        .deposits
        .book_deposits(wallet.now(), booked.clone())
        .await?;
    for id in booked {
        wallet.bookings.decide(id, ());
    }
    Ok(())
}

/// Which of the wallet's three postings it is.
#[derive(Clone, Copy)]
enum Kind {
    Hold(OrderId),
    Release(OrderId),
    Deposit(DepositId),
}

impl Kind {
    fn of(posting: &Posting) -> Option<Self> {
        let [transfer] = posting.transfers.as_slice() else {
            return None;
        };
        match (transfer.id.origin, transfer.id.leg) {
            (Origin::Order(id), Leg::Hold) => Some(Self::Hold(id)),
            (Origin::Order(id), Leg::Release) => Some(Self::Release(id)),
            (Origin::Deposit(id), Leg::Deposit) => Some(Self::Deposit(id)),
            _ => None,
        }
    }

    fn settle(
        self,
        outcome: PostingOutcome,
        events: &mut Vec<(OrderId, Event)>,
        booked: &mut Vec<DepositId>,
    ) -> Delivered {
        match (self, outcome) {
            (Self::Hold(id), PostingOutcome::Posted { .. }) => {
                events.push((id, event(Fact::Held, "the hold is booked".to_owned())));
                Delivered::Yes
            }
            (Self::Release(id), PostingOutcome::Posted { .. }) => {
                events.push((id, event(Fact::Released, "the release is booked".to_owned())));
                Delivered::Yes
            }
            (Self::Deposit(id), PostingOutcome::Posted { .. }) => {
                booked.push(id);
                Delivered::Yes
            }
            // Recorded by the ledger and final, so the order may end on it.
            (
                Self::Hold(id),
                PostingOutcome::Refused {
                    refusal: refusal @ Refusal::InsufficientFunds { .. },
                },
            ) => {
                events.push((id, event(Fact::HoldRefused, refusal.to_string())));
                Delivered::Yes
            }
            // Whatever the reason: the money is not back, and an operator must see that if it lasts.
            (Self::Release(id), PostingOutcome::Refused { refusal }) => {
                events.push((id, event(Fact::ReleaseRefused, refusal.to_string())));
                Delivered::Yes
            }
            // Recorded nowhere: the next try may succeed, so this is no answer to end anything on.
            (
                Self::Hold(_) | Self::Deposit(_),
                PostingOutcome::Refused {
                    refusal: refusal @ Refusal::NoWallet { .. },
                },
            )
            | (
                Self::Deposit(_),
                PostingOutcome::Refused {
                    refusal: refusal @ Refusal::InsufficientFunds { .. },
                },
            ) => Delivered::NotYet {
                reason: refusal.to_string(),
            },
            (
                Self::Hold(_) | Self::Deposit(_),
                PostingOutcome::Refused {
                    refusal: refusal @ (Refusal::Conflict { .. } | Refusal::Invalid { .. }),
                },
            ) => Delivered::Never {
                error: refusal.to_string(),
            },
        }
    }
}

fn event(fact: Fact, cause: String) -> Event {
    Event {
        fact,
        cause,
        actor: ServiceName::Balance.to_string(),
    }
}

async fn exchange(wallet: &Wallet, commands: Vec<ExchangeCommand>) -> Vec<Delivered> {
    if commands.is_empty() {
        return Vec::new();
    }
    let step = |command: &ExchangeCommand| {
        if command.compensate {
            Step::Reverse
        } else {
            Step::Exchange
        }
    };
    let steps: Vec<_> = commands
        .iter()
        .map(|command| (command.order_id, step(command)))
        .collect();
    let delivered = submitted(wallet.ports.exchanger.submit(commands).await, steps.len());
    report_refused(wallet, ServiceName::Exchanger, &steps, delivered).await
}

async fn withdraw(wallet: &Wallet, commands: Vec<WithdrawCommand>) -> Vec<Delivered> {
    if commands.is_empty() {
        return Vec::new();
    }
    let steps: Vec<_> = commands
        .iter()
        .map(|command| (command.order_id, Step::Withdraw))
        .collect();
    let delivered = submitted(wallet.ports.bc_gateway.submit(commands).await, steps.len());
    report_refused(wallet, ServiceName::BcGateway, &steps, delivered).await
}

/// An order whose command will never be taken waits for nobody but an operator: it is stuck, and an alert says so.
async fn report_refused(
    wallet: &Wallet,
    service: ServiceName,
    steps: &[(OrderId, Step)],
    mut delivered: Vec<Delivered>,
) -> Vec<Delivered> {
    let mut events = Vec::new();
    for ((order_id, step), outcome) in steps.iter().zip(&delivered) {
        if let Delivered::Never { error } = outcome {
            let event = Event {
                fact: Fact::Unresolved { step: *step },
                cause: format!("{service} refused the command: {error}"),
                actor: ServiceName::Wallet.to_string(),
            };
            events.push((*order_id, event));
        }
    }
    if let Err(error) = apply(wallet, events).await {
        let reason = format!("a refusal could not be recorded: {error}");
        for one in delivered
            .iter_mut()
            .filter(|one| matches!(one, Delivered::Never { .. }))
        {
            *one = Delivered::NotYet { reason: reason.clone() };
        }
    }
    delivered
}

/// Sends notices whose receivers' addresses can be found.
async fn notify(wallet: &Wallet, notices: Vec<Notice>) -> Vec<Delivered> {
    let addresses = join_all(notices.iter().map(|notice| address(wallet, notice.user_id))).await;
    let mut commands = Vec::with_capacity(notices.len());
    let mut failures = Vec::with_capacity(notices.len());
    for (notice, address) in notices.into_iter().zip(addresses) {
        match address {
            Ok(Some(email)) => {
                let Notice { order_id, payload, .. } = notice;
                commands.push(NotifyCommand {
                    order_id,
                    email,
                    payload,
                });
                failures.push(None);
            }
            Ok(None) => failures.push(Some(Delivered::Never {
                error: format!("auth knows no user {}", notice.user_id),
            })),
            Err(error) => failures.push(Some(Delivered::NotYet {
                reason: error.to_string(),
            })),
        }
    }
    if commands.is_empty() {
        return merge(failures, Vec::new());
    }
    let orders: Vec<OrderId> = commands.iter().map(|command| command.order_id).collect();
    let mut submissions = wallet.ports.notification.submit(commands).await;
    for (order_id, submission) in orders.iter().zip(submissions.iter_mut().flatten()) {
        // The text is fixed, so only the address can differ: the order has its one notification already.
        if *submission == Submission::Conflict {
            tracing::warn!(%order_id, "an order's notification was sent to the user's former address");
            *submission = Submission::Accepted { replayed: true };
        }
    }
    merge(failures, submitted(submissions, orders.len()))
}

async fn address(wallet: &Wallet, user: UserId) -> Result<Option<String>, ClientError> {
    if let Some(known) = wallet.addresses.get(&user) {
        return Ok(Some(known));
    }
    let found = wallet.ports.auth.user(user).await?.map(|user| user.email);
    if let Some(email) = &found {
        wallet.addresses.insert(user, email.clone());
    }
    Ok(found)
}

fn submitted(answer: Result<Vec<Submission>, ClientError>, count: usize) -> Vec<Delivered> {
    let submissions = match answer {
        Ok(submissions) => submissions,
        Err(error) => return not_yet(count, &error),
    };
    let mut submissions = submissions.into_iter();
    (0..count)
        .map(|_| match submissions.next() {
            Some(Submission::Accepted { .. }) => Delivered::Yes,
            Some(Submission::Conflict) => Delivered::Never {
                error: "the other side has a command of this order and step with other content".to_owned(),
            },
            Some(Submission::Invalid { detail }) => Delivered::Never { error: detail },
            None => unanswered(),
        })
        .collect()
}

fn not_yet(count: usize, error: &ClientError) -> Vec<Delivered> {
    let reason = error.to_string();
    vec![Delivered::NotYet { reason }; count]
}

fn unanswered() -> Delivered {
    Delivered::NotYet {
        reason: "the other side answered fewer commands than it was given".to_owned(),
    }
}

/// The rows' commands, and for each row what is wrong with it, if anything is.
fn parse<C: DeserializeOwned>(rows: &[OutboxRow]) -> (Vec<C>, Vec<Option<Delivered>>) {
    let mut commands = Vec::with_capacity(rows.len());
    let mut failures = Vec::with_capacity(rows.len());
    for row in rows {
        match serde_json::from_str(&row.payload) {
            Ok(command) => {
                commands.push(command);
                failures.push(None);
            }
            Err(error) => failures.push(Some(Delivered::Never {
                error: format!("not a command: {error}"),
            })),
        }
    }
    (commands, failures)
}

/// The outcomes of all, from the failures of some and the outcomes of the others.
fn merge(failures: Vec<Option<Delivered>>, delivered: Vec<Delivered>) -> Vec<Delivered> {
    let mut delivered = delivered.into_iter();
    let one = |failure: Option<Delivered>| failure.or_else(|| delivered.next()).unwrap_or_else(unanswered);
    failures.into_iter().map(one).collect()
}
