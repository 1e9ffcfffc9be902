//! Every deposit is in the books exactly once when it says so, and nothing is there that no deposit explains.

use std::collections::BTreeMap;

use balance::domain::PostedTransfer;
use contracts::ledger::{Leg, Origin, Owner};
use wallet::domain::{Deposit, DepositStatus};

use super::PAGE;
use super::report::Report;
use super::snapshot::{ReadError, Snapshot};

pub(super) async fn check(snapshot: &mut dyn Snapshot, report: &mut Report) -> Result<(), ReadError> {
    let mut after = None;
    loop {
        let deposits = snapshot.deposits(after, PAGE).await?;
        let from = after.map_or(1, |id: contracts::DepositId| id.get().saturating_add(1));
        let last = deposits.last().map(|deposit| deposit.id);
        let to = last.map_or(i64::MAX, |id| id.get());
        let mut booked: BTreeMap<i64, Vec<PostedTransfer>> = BTreeMap::new();
        for transfer in snapshot.transfers_of_deposits(from, to).await? {
            let Origin::Deposit(id) = transfer.transfer.id.origin else {
                continue;
            };
            booked.entry(id.get()).or_default().push(transfer);
        }
        for deposit in &deposits {
            let transfers = booked.remove(&deposit.id.get()).unwrap_or_default();
            if let Some(problem) = problem(deposit, &transfers) {
                report.find(format!("deposit {}", deposit.id), problem);
            }
            report.deposits += 1;
        }
        for id in booked.into_keys() {
            report.find(format!("deposit {id}"), "is booked, but there is no such deposit");
        }
        if last.is_none() {
            return Ok(());
        }
        after = last;
    }
}

fn problem(deposit: &Deposit, booked: &[PostedTransfer]) -> Option<String> {
    let Deposit { user_id, amount, .. } = deposit;
    match (deposit.status, booked) {
        (DepositStatus::Pending, []) => None,
        (DepositStatus::Booked, []) => Some("says that it is booked, and is not".to_owned()),
        // Pending with its transfer: the ledger has answered, the deposit has not heard it yet.
        (_, [only]) => {
            let transfer = &only.transfer;
            let as_it_says = transfer.id.leg == Leg::Deposit
                && transfer.credit == Owner::User(*user_id)
                && transfer.debit == Owner::ExternalBank
                && transfer.amount == *amount;
            (!as_it_says).then(|| format!("is booked otherwise than it says: {transfer:?}"))
        }
        (_, several) => Some(format!("is booked {} times", several.len())),
    }
}
