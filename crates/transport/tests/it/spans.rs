//! What traces say of deliveries: a span says that it failed when its row did not arrive.

use std::sync::{Arc, Mutex, OnceLock};

use contracts::SystemClock;
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

/// Every span of this process from now on. A process has one collector, and tests may share it.
pub(crate) fn collected() -> Arc<Mutex<Vec<Ended>>> {
    static SPANS: OnceLock<Arc<Mutex<Vec<Ended>>>> = OnceLock::new();
    let spans = SPANS.get_or_init(|| {
        let spans = Arc::default();
        let ours = collect(Kept(Arc::clone(&spans)), Arc::new(SystemClock), entropy());
        assert!(ours, "another test has a collector of its own");
        spans
    });
    Arc::clone(spans)
}

#[tokio::test]
async fn what_a_broken_courier_does_not_deliver_is_traced_as_failed() {
    let (given, rows) = a_fresh_store();
    let kept = collected();
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
