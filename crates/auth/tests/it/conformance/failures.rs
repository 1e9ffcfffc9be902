//! What every store of failed logins must do.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use auth::domain::logins::{Account, FailurePolicy, Verdict};
use auth::ports::LoginFailureStore;
use contracts::time::later;
use futures::future::join_all;

use crate::given::noon;

const WINDOW: Duration = Duration::from_secs(900);
const POLICY: FailurePolicy = FailurePolicy {
    limit: NonZeroU32::new(3).unwrap(),
    window: WINDOW,
};

async fn conclude(store: &dyn LoginFailureStore, after: Duration, name: &str, right: bool) -> Verdict {
    let now = later(noon(), after);
    store.conclude(now, Account::of(name), right, POLICY).await.unwrap()
}

pub(super) async fn the_account_closes_at_the_limit_and_opens_after_the_window(store: Arc<dyn LoginFailureStore>) {
    let at = Duration::from_secs;
    let grace = Account::of("grace");
    for second in [0, 10, 20] {
        assert_eq!(store.closed_until(noon(), grace, POLICY).await.unwrap(), None);
        assert_eq!(conclude(&*store, at(second), "grace", false).await, Verdict::Wrong);
    }
    let until = later(noon(), at(20) + WINDOW);
    let now = later(noon(), at(20));
    assert_eq!(store.closed_until(now, grace, POLICY).await.unwrap(), Some(until));
    assert_eq!(
        conclude(&*store, at(30), "grace", true).await,
        Verdict::Closed { until }
    );
    let last = at(20) + WINDOW - Duration::from_micros(1);
    assert_eq!(conclude(&*store, last, "grace", false).await, Verdict::Closed { until });
    assert_eq!(conclude(&*store, at(20) + WINDOW, "grace", false).await, Verdict::Wrong);
    assert_eq!(conclude(&*store, at(21) + WINDOW, "grace", true).await, Verdict::Right);
}

pub(super) async fn a_success_forgets_failures_and_accounts_do_not_share_them(store: Arc<dyn LoginFailureStore>) {
    for _ in 0..3 {
        conclude(&*store, Duration::ZERO, "ada", false).await;
    }
    for _ in 0..5 {
        for _ in 0..2 {
            assert_eq!(conclude(&*store, Duration::ZERO, "grace", false).await, Verdict::Wrong);
        }
        assert_eq!(conclude(&*store, Duration::ZERO, "GRACE", true).await, Verdict::Right);
    }
    let now = noon();
    let ada = store.closed_until(now, Account::of("Ada"), POLICY).await.unwrap();
    assert_eq!(ada, Some(later(now, WINDOW)));
}

pub(super) async fn at_once_no_more_than_the_limit_are_told(store: Arc<dyn LoginFailureStore>) {
    let guesses = (0..50).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { conclude(&*store, Duration::ZERO, "grace", false).await })
    });
    let told: Vec<_> = join_all(guesses).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.iter().filter(|verdict| **verdict == Verdict::Wrong).count(), 3);
}
