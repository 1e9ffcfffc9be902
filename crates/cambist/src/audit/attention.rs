//! What waits for a person. None of it is wrong: no money is lost or unexplained. But nothing moves it unless somebody
//! looks.

use std::collections::BTreeMap;

use contracts::ServiceName;
use serde_json::{Value, json};

use super::snapshot::{ReadError, Snapshot};

/// The services that have an outbox, and with it dead letters.
pub(crate) const WITH_LETTERS: [ServiceName; 4] = [
    ServiceName::Wallet,
    ServiceName::Exchanger,
    ServiceName::BcGateway,
    ServiceName::Notification,
];
/// The services that are given commands.
pub(crate) const WITH_COMMANDS: [ServiceName; 3] = [
    ServiceName::Exchanger,
    ServiceName::BcGateway,
    ServiceName::Notification,
];

/// What needs an operator, beside the orders that are stuck. The same trouble may count more than once: a dead command
/// leaves a dead letter, and is why a user is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attention {
    /// Messages that nobody could make sense of; services without any are left out.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Commands that cannot be worked on; services without any are left out.
    pub dead_commands: BTreeMap<&'static str, u64>,
    /// Orders that have ended and whose users' notifications will not arrive by themselves.
    pub undelivered: u64,
}

impl Attention {
    /// What the services count. What is not delivered, only their orders can tell.
    pub(super) async fn read(snapshot: &mut dyn Snapshot) -> Result<Self, ReadError> {
        let mut attention = Self::default();
        for service in WITH_LETTERS {
            let waiting = snapshot.dead_letters(service).await?;
            note(&mut attention.dead_letters, service, waiting);
        }
        for service in WITH_COMMANDS {
            let waiting = snapshot.dead_commands(service).await?;
            note(&mut attention.dead_commands, service, waiting);
        }
        Ok(attention)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "dead_letters": self.dead_letters,
            "dead_commands": self.dead_commands,
            "notifications_not_delivered": self.undelivered,
        })
    }

    /// One line for each thing that needs an operator; none when nothing does.
    pub(super) fn lines(&self) -> Vec<String> {
        let counted = |counts: &BTreeMap<&'static str, u64>, what: &str| {
            let line = |(service, count): (&&str, &u64)| {
                format!("{count} {what} of {service} (cambist ops dead-letters {service})")
            };
            counts.iter().map(line).collect::<Vec<_>>()
        };
        let mut lines = counted(&self.dead_letters, "dead letters");
        lines.extend(counted(&self.dead_commands, "dead commands"));
        if self.undelivered > 0 {
            lines.push(format!(
                "{} notifications not delivered (cambist ops dead-letters notification)",
                self.undelivered
            ));
        }
        lines
    }
}

fn note(counts: &mut BTreeMap<&'static str, u64>, service: ServiceName, count: u64) {
    if count > 0 {
        counts.insert(service.as_str(), count);
    }
}
