//! Taking what comes together as one batch.
//!
//! A receiver is woken by the first item, and the runtime lets whoever was woken last run next: it would take that one
//! item, store it, and wait for the disk while all the others come in. So it lets every task run that is ready to before
//! it takes the rest. What it keeps true: nothing is waited for; where nobody else is ready it goes on at once.

use tokio::sync::mpsc;

/// Waits for an item, and takes it with all that have come by the time every ready task has had its turn: at most `max`.
/// Returns how many; none only when the channel is closed for good.
///
/// Whoever stops waiting finds in `batch` what was taken.
pub(crate) async fn receive_together<T>(items: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, max: usize) -> usize {
    let mut taken = items.recv_many(batch, max).await;
    if taken == 0 {
        return 0;
    }
    tokio::task::yield_now().await;
    while taken < max
        && let Ok(item) = items.try_recv()
    {
        batch.push(item);
        taken += 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the batches in which so many items are taken that as many tasks send.
    async fn batches_of(items: usize, max: usize) -> Vec<usize> {
        let (sender, mut receiver) = mpsc::channel(items);
        let taking = tokio::spawn(async move {
            let (mut batch, mut sizes) = (Vec::new(), Vec::new());
            while receive_together(&mut receiver, &mut batch, max).await > 0 {
                sizes.push(batch.len());
                batch.clear();
            }
            sizes
        });
        // It waits by now; and the others come from a task, as they do where it matters.
        tokio::task::yield_now().await;
        let sending = tokio::spawn(async move {
            for item in 0..items {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(item).await });
            }
        });
        sending.await.unwrap();
        taking.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_many_tasks_send_at_once_is_taken_at_once() {
        let sizes = batches_of(40, 1_000).await;
        assert_eq!(sizes.iter().sum::<usize>(), 40);
        assert!(sizes.len() < 4, "{sizes:?}");
    }

    #[tokio::test]
    async fn no_batch_is_larger_than_it_may_be() {
        let sizes = batches_of(10, 4).await;
        assert_eq!(sizes, [4, 4, 2]);
    }
}
