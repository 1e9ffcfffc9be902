//! What traces say of deliveries: a span says that it failed when its row did not arrive.

use std::sync::{Arc, Mutex};

use contracts::traces::{Attribute, Collector, Ended, collect};
use transport::dispatcher::Delivered;

use crate::couriers::{all, courier};
use crate::given::{TO_WALLET, a_fresh_store, entropy};

/// Keeps every span.
struct Kept(Arc<Mutex<Vec<Ended>>>);

impl Collector for Kept {
    fn take(&self, span: Ended) {
        self.0.lock().unwrap().push(span);
    }
}

#[tokio::test]
async fn what_a_broken_courier_does_not_deliver_is_traced_as_failed() {
    let (given, rows) = a_fresh_store();
    let kept = Arc::new(Mutex::new(Vec::new()));
    assert!(collect(Kept(Arc::clone(&kept)), given.clock.clone(), entropy()));
    // Of no other test, should they share its process.
    let (poison, sound) = (9_000_001, 9_000_002);
    given
        .put(
            TO_WALLET,
            [poison, sound].map(|order| format!(r#"{{"order_id": {order}}}"#)),
        )
        .await;
    let (panicking, _seen) = courier(move |rows| async move {
        assert!(
            !rows.iter().any(|row| row.payload.contains("9000001")),
            "panics as arranged"
        );
        all(&rows, &Delivered::Yes)
    });
    let running = given.dispatch(rows, [(TO_WALLET, panicking)]);
    running.outbox.settled(2).await;
    running.end().await;
    let spans = kept.lock().unwrap();
    let failed = |order: i64| -> Vec<bool> {
        let of = ("order_id", Attribute::Number(order));
        let spans = spans.iter().filter(|span| span.attributes.contains(&of));
        spans.map(|span| span.failed).collect()
    };
    assert_eq!((failed(poison), failed(sound)), (vec![true], vec![false]));
}
