//! Couriers that do as they are told, and tell what they carry.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use storage::outbox::OutboxRow;
use tokio::sync::mpsc;
use transport::dispatcher::{Courier, Delivered};

use crate::given::soon;

type Script = Box<dyn Fn(Vec<OutboxRow>) -> BoxFuture<'static, Vec<Delivered>> + Send + Sync>;

pub(crate) struct Scripted {
    seen: mpsc::Sender<Vec<String>>,
    script: Script,
}

/// What a courier was given, delivery by delivery.
pub(crate) struct Seen(mpsc::Receiver<Vec<String>>);

impl Seen {
    /// The payloads of the next delivery.
    pub(crate) async fn next(&mut self) -> Vec<String> {
        soon(self.0.recv()).await.unwrap()
    }

    /// The payloads of the next delivery, for tests whose clock runs ahead of every patience.
    pub(crate) async fn next_without_end(&mut self) -> Vec<String> {
        self.0.recv().await.unwrap()
    }

    /// The payloads of the next deliveries, until there are so many.
    pub(crate) async fn next_rows(&mut self, rows: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < rows {
            seen.extend(self.next().await);
        }
        seen
    }

    /// The payloads of all deliveries that nobody has looked at.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Ok(payloads) = self.0.try_recv() {
            rest.extend(payloads);
        }
        rest
    }
}

/// A courier that does what `script` says.
pub(crate) fn courier<F, Fut>(script: F) -> (Arc<dyn Courier>, Seen)
where
    F: Fn(Vec<OutboxRow>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Delivered>> + Send + 'static,
{
    let (seen, deliveries) = mpsc::channel(10_000);
    let script: Script = Box::new(move |rows| Box::pin(script(rows)));
    (Arc::new(Scripted { seen, script }), Seen(deliveries))
}

/// A courier that delivers everything.
pub(crate) fn a_good_courier() -> (Arc<dyn Courier>, Seen) {
    courier(|rows| async move { all(&rows, &Delivered::Yes) })
}

/// The same for every row.
pub(crate) fn all(rows: &[OutboxRow], outcome: &Delivered) -> Vec<Delivered> {
    rows.iter().map(|_| outcome.clone()).collect()
}

#[async_trait]
impl Courier for Scripted {
    async fn deliver(&self, rows: &[OutboxRow]) -> Vec<Delivered> {
        let payloads = rows.iter().map(|row| row.payload.clone()).collect();
        // A test may have seen enough.
        let _ = self.seen.try_send(payloads);
        (self.script)(rows.to_vec()).await
    }
}
