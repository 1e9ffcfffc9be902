//! What the courier to a queue says of rows that do not get there.

use std::sync::Arc;

use contracts::messages::Queue;
use storage::outbox::{Destination, OutboxStore as _, Settlement};
use transport::dispatcher::{Courier as _, Delivered, QueueCourier};
use transport::local::LocalTransport;
use transport::queue::Transport as _;

use crate::given::{a_fresh_store, noon, wake_up};

#[tokio::test(start_paused = true)]
async fn a_full_queue_leaves_its_messages_to_the_outbox() {
    let (given, mut rows) = a_fresh_store();
    let (transport, queue) = (Arc::new(LocalTransport::new(1)), Queue::ExchangeOrders);
    transport.publish(queue, vec![wake_up(1)]).await.unwrap();
    let courier = QueueCourier { transport, queue };
    let payloads = [serde_json::to_string(&wake_up(2)).unwrap(), "nonsense".to_owned()];
    given.put(Destination::Queue(queue), payloads).await;
    let rows = [rows.recv().await.unwrap(), rows.recv().await.unwrap()];
    let outcomes = courier.deliver(&rows).await;
    assert!(
        matches!(&outcomes[..], [Delivered::NotYet { .. }, Delivered::Never { .. }]),
        "{outcomes:?}"
    );
    // Recorded as the dispatcher would.
    let at = noon();
    given
        .outbox
        .settle(at, vec![(rows[0].id, Settlement::Retry { at })])
        .await
        .unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(2));
}
