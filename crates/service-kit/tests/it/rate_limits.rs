//! How often one address may ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use contracts::ManualClock;
use service_kit::http::{RateLimit, rate_limited};

use crate::support::{Answer, Server, client};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2025-01-31T12:00:00Z".parse().unwrap()))
}

const ANN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const BOB: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn an_address_has_60_at_once_and_then_one_a_second() {
    let clock = clock();
    let limit = RateLimit::per_minute(60, clock.clone());
    for _ in 0..60 {
        assert_eq!(limit.take(ANN), Ok(()));
    }
    assert_eq!(limit.take(ANN), Err(Duration::from_secs(1)));
    assert_eq!(
        limit.take(ANN),
        Err(Duration::from_secs(1)),
        "asking in vain costs nothing"
    );
    assert_eq!(limit.take(BOB), Ok(()), "another address has a bucket of its own");
    clock.advance(Duration::from_millis(400));
    assert_eq!(limit.take(ANN), Err(Duration::from_millis(600)));
    clock.advance(Duration::from_millis(600));
    assert_eq!(limit.take(ANN), Ok(()));
    assert_eq!(limit.take(ANN), Err(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(3600));
    let taken = (0..1000).filter(|_| limit.take(ANN).is_ok()).count();
    assert_eq!(taken, 60, "an hour of silence saves up no more than a full bucket");
}

#[test]
fn a_limit_holds_over_any_minute_however_the_requests_fall() {
    for per_minute in [1, 7, 60, 1000] {
        let clock = clock();
        let limit = RateLimit::per_minute(per_minute, clock.clone());
        let mut times = Vec::new();
        for tick in 0..3000_u64 {
            clock.advance(Duration::from_millis(tick * 7919 % 113));
            times.extend(limit.take(ANN).ok().map(|()| contracts::Clock::now(&*clock)));
        }
        // The bucket plus what flows in within a minute.
        let bound = usize::try_from(2 * per_minute).unwrap();
        let in_a_minute = |from: usize| {
            times[from..]
                .iter()
                .take_while(|time| time.duration_since(times[from]).as_secs() < 60)
                .count()
        };
        assert!((0..times.len()).all(|from| in_a_minute(from) <= bound), "{per_minute}");
    }
}

#[test]
fn zero_is_no_limit() {
    let limit = RateLimit::per_minute(0, clock());
    assert!((0..10_000).all(|_| limit.take(ANN).is_ok()));
}

#[test]
fn an_ipv6_customer_has_one_bucket_and_a_mapped_address_is_the_ipv4_one() {
    let limit = RateLimit::per_minute(1, clock());
    let in_net = |net: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host));
    assert!(limit.take(in_net(1, 1)).is_ok());
    assert!(limit.take(in_net(1, 2)).is_err());
    assert!(limit.take(in_net(2, 1)).is_ok());
    assert!(limit.take(ANN).is_ok());
    assert!(
        limit
            .take(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped()))
            .is_err()
    );
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_minute() {
    let late = ManualClock::new("2025-01-31T13:00:00Z".parse().unwrap());
    let early = clock();
    // Both clocks behind one limit: the reading jumps an hour back.
    struct Jumping(ManualClock, Arc<ManualClock>, std::sync::atomic::AtomicBool);
    impl contracts::Clock for Jumping {
        fn now(&self) -> jiff::Timestamp {
            if self.2.load(std::sync::atomic::Ordering::SeqCst) {
                self.1.now()
            } else {
                self.0.now()
            }
        }
    }
    let jumping = Arc::new(Jumping(late, early.clone(), false.into()));
    let limit = RateLimit::per_minute(60, jumping.clone());
    assert!((0..60).all(|_| limit.take(ANN).is_ok()));
    jumping.2.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(limit.take(ANN).is_err());
    early.advance(Duration::from_secs(60));
    assert!((0..60).all(|_| limit.take(ANN).is_ok()));
}

#[test]
fn a_million_addresses_take_no_more_memory_than_65536() {
    let limit = RateLimit::per_minute(1, clock());
    for number in 0..1_000_000_u32 {
        assert!(limit.take(IpAddr::V4(Ipv4Addr::from_bits(number))).is_ok());
    }
    let remembered = (0..1_000_000_u32)
        .rev()
        .take_while(|number| limit.take(IpAddr::V4(Ipv4Addr::from_bits(*number))).is_err());
    let remembered = remembered.count();
    assert!((32_768..=65_536).contains(&remembered), "{remembered}");
}

#[tokio::test]
async fn too_many_logins_from_one_address_are_told_when_to_come_back() {
    let limit = Arc::new(RateLimit::per_minute(2, clock()));
    let limited = rate_limited(Router::new().route("/login", post(|| async { "welcome" })), &limit);
    let server = Server::start(limited.route("/jwks", get(|| async { "keys" }))).await;
    let login = || async { Answer::of(client().post(server.url("/login")).send().await.unwrap()).await };
    assert_eq!(login().await.text, "welcome");
    assert_eq!(login().await.text, "welcome");
    let refused = login().await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many_requests"));
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(server.get("/jwks").await.text, "keys", "other routes are not limited");
}
