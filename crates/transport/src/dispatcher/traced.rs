//! The spans of rows on their way: one for each, below what caused its row. Where nothing is traced, nothing is read.

use contracts::ledger::{Origin, TransferId};
use contracts::messages::Step;
use contracts::traces::{self, Span, TraceContext};
use contracts::{OrderId, ServiceName};
use serde::Deserialize;
use storage::outbox::{Destination, OutboxRow};

use super::Delivered;

/// The spans of a delivery, one for each row; none where nothing is traced.
pub(super) struct Spans(Vec<Option<Span>>);

/// What a row says of its order: as a message, as a command, or as a posting.
#[derive(Deserialize)]
struct Named {
    order_id: Option<OrderId>,
    step: Option<Step>,
    traceparent: Option<String>,
    #[serde(default)]
    compensate: bool,
    #[serde(default)]
    transfers: Vec<NamedTransfer>,
}

#[derive(Deserialize)]
struct NamedTransfer {
    id: TransferId,
}

impl Spans {
    pub(super) fn begin(rows: &[OutboxRow]) -> Self {
        if !traces::are_collected() {
            return Self(Vec::new());
        }
        Self(rows.iter().map(begin).collect())
    }

    /// The row at `place` has this fate.
    pub(super) fn end(&mut self, place: usize, outcome: &Delivered) {
        if let Some(mut span) = self.0.get_mut(place).and_then(Option::take)
            && *outcome != Delivered::Yes
        {
            span.fail();
        }
    }
}

fn begin(row: &OutboxRow) -> Option<Span> {
    // What cannot be read becomes a dead letter, and that is another's business.
    let named: Named = serde_json::from_str(&row.payload).ok()?;
    let order = named.order_id.or_else(|| named.transfers.first().and_then(order_of))?;
    match row.destination {
        Destination::Queue(queue) => {
            let stored = named.traceparent.as_deref().and_then(TraceContext::parse);
            Span::publishing(queue, order, named.step, stored)
        }
        Destination::Service(service) => Span::calling(service, order, asked_of(service, &named)),
    }
}

fn order_of(transfer: &NamedTransfer) -> Option<OrderId> {
    match transfer.id.origin {
        Origin::Order(order) => Some(order),
        Origin::Deposit(_) | Origin::Adjustment(_) | Origin::Funding => None,
    }
}

/// The step that a command to `service` is of.
fn asked_of(service: ServiceName, named: &Named) -> Option<Step> {
    match service {
        ServiceName::Exchanger if named.compensate => Some(Step::Reverse),
        ServiceName::Exchanger => Some(Step::Exchange),
        ServiceName::BcGateway => Some(Step::Withdraw),
        ServiceName::Notification => Some(Step::Notify),
        ServiceName::Balance => named.transfers.first()?.id.leg.as_str().parse().ok(),
        ServiceName::Auth | ServiceName::Wallet => None,
    }
}
