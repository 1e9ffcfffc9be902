//! Orders followed live, over the real listener: what a customer's program sees while orders move, connections break,
//! and the process stops or dies.

use std::time::{Duration, Instant};

use cambist::event_stream::{Event, EventStream};
use test_kit::api::{User, placed};
use test_kit::following::{follow, names, told};
use test_kit::process::Program;
use test_kit::system::{Scene, TestSystem};
use tokio::task::JoinSet;

const A_BUY: [&str; 5] = ["placed", "held", "exchanged", "withdrawn", "end"];
const A_REVERSAL: [&str; 7] = [
    "placed",
    "held",
    "exchanged",
    "withdraw_failed",
    "reversed",
    "released",
    "end",
];

/// Reads events until the one of this name.
async fn until(stream: &mut EventStream, name: &str) -> Vec<Event> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Event| event.name != name) {
        let event = stream.next_event().await.expect("a stream that does not break");
        events.push(event.unwrap_or_else(|| panic!("the stream ends before {name}: {events:?}")));
    }
    events
}

/// Follows an order to its end, coming back after each event: its connection breaks all the time.
async fn follow_restlessly(user: &User, order: i64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    // The last entry says how it ended; whoever has that and comes back is not told so again, but answered 204.
    while events
        .last()
        .is_none_or(|event| event.data.contains("\"status\":\"pending\""))
    {
        let last_id = events.last().map(|event| event.last_id.as_str());
        let mut stream = follow(user, order, last_id).await;
        events.extend(stream.next_event().await.expect("a stream"));
    }
    events
}

#[tokio::test]
async fn an_order_and_its_undoing_are_told_live_and_only_once() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    let mut stream = follow(&user, buy, None).await;
    let mut events = until(&mut stream, "exchanged").await;
    // What has not happened yet is told to whoever is there already.
    system.chain_manners.refuse_all(true);
    system.chain_manners.silence(false);
    let (rest, comment) = told(stream).await;
    assert_eq!(comment, None);
    events.extend(rest);
    assert_eq!(names(&events), A_REVERSAL);
    let ids: Vec<&str> = events.iter().map(|event| event.last_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "6"], "the end has no id of its own");
    assert_eq!(follow_restlessly(&user, buy).await, events[..6]);

    let (resumed, _) = told(follow(&user, buy, Some("4")).await).await;
    assert_eq!(resumed, events[4..]);
    let path = format!("/orders/2/{buy}/events");
    let request = user.api.request(reqwest::Method::GET, &path).bearer_auth(&user.token);
    let all_told = user.api.send(request.header("last-event-id", "6")).await.unwrap();
    assert_eq!((all_told.status, all_told.text.as_str()), (204, ""));
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_all_streams_at_once_and_they_go_on_after_the_next_start() {
    let system = Scene::default().with("max_streams_per_user", "100").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    let mut streams = JoinSet::new();
    for _ in 0..50 {
        let mut stream = follow(&user, buy, None).await;
        assert_eq!(names(&until(&mut stream, "exchanged").await), A_BUY[..3]);
        streams.spawn(told(stream));
    }
    let asked = Instant::now();
    let system = system.restart().await;
    // Requests in flight have twenty seconds to end; streams must not use them.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    for (events, comment) in streams.join_all().await {
        assert_eq!((events, comment.as_deref()), (vec![], Some("the server is stopping")));
    }
    let user = user.at(&system.api);
    let (rest, _) = told(follow(&user, buy, Some("3")).await).await;
    assert_eq!(names(&rest), A_BUY[3..]);
    user.order_at_its_end(buy).await;
    system.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_many_orders_each_tell_their_own() {
    let system = Scene::default()
        .with("max_streams_per_user", "400")
        .with("max_streams", "400")
        .start()
        .await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let mut orders = Vec::new();
    for _ in 0..20 {
        orders.push(placed(&user.buy("10", None).await));
    }
    let mut streams = JoinSet::new();
    for number in 0..400 {
        let order = orders[number % orders.len()];
        let stream = follow(&user, order, None).await;
        streams.spawn(async move { (order, told(stream).await.0) });
    }
    let one_too_many = user.get(&format!("/orders/2/{}/events", orders[0])).await;
    one_too_many.assert_problem(503, "overloaded");
    system.chain_manners.silence(false);
    for (order, events) in streams.join_all().await {
        assert_eq!(names(&events), A_BUY);
        let of_this_order = format!("\"order_id\":{order},");
        assert!(
            events.iter().all(|event| event.data.contains(&of_this_order)),
            "{events:?}"
        );
    }
    let (again, _) = told(follow(&user, orders[0], None).await).await;
    assert_eq!(names(&again), A_BUY, "there is room again");
    system.assert_at_rest();
}

#[tokio::test]
async fn whoever_goes_away_leaves_the_place_to_another() {
    let system = Scene::default().with("max_streams_per_user", "2").start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    for _ in 0..3 {
        let first = follow_when_there_is_room(&user, buy).await;
        let mut second = follow_when_there_is_room(&user, buy).await;
        until(&mut second, "exchanged").await;
        let refused = user.get(&format!("/orders/2/{buy}/events")).await;
        refused.assert_problem(429, "too_many_requests");
        assert!(refused.headers.contains_key("retry-after"));
        drop((first, second));
    }
    system.chain_manners.silence(false);
    user.order_at_its_end(buy).await;
}

/// The process learns that a connection is gone a moment after its client dropped it.
async fn follow_when_there_is_room(user: &User, order: i64) -> EventStream {
    let path = format!("/orders/{}/{order}/events", user.id);
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let request = user.api.request(reqwest::Method::GET, &path).bearer_auth(&user.token);
        let answer = request.send().await.expect("an answer");
        if answer.status() == 200 {
            return EventStream::new(answer);
        }
        assert!(answer.status() == 429 && Instant::now() < give_up, "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_outlives_the_time_limit_of_requests() {
    let system = Scene::default()
        .with("hold_wait", "200ms")
        .with("request_timeout", "300ms")
        .start()
        .await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);
    let mut stream = follow(&user, buy, None).await;
    until(&mut stream, "exchanged").await;
    let quiet = tokio::time::timeout(Duration::from_secs(1), stream.next_event());
    assert!(quiet.await.is_err(), "the stream is open, and silent");
    system.chain_manners.silence(false);
    assert_eq!(names(&told(stream).await.0), A_BUY[3..]);
}

#[tokio::test]
async fn a_killed_process_costs_a_follower_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path()).with("CAMBIST_VENUE_LATENCY", "700ms");
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let mut stream = follow(&user, buy, None).await;
    let mut events = until(&mut stream, "held").await;
    running.kill().await;
    events.extend(told(stream).await.0);
    let running = program.up().await;
    let user = user.at(&running.api);
    let last_id = events.last().map(|event| event.last_id.clone());
    let (rest, comment) = told(follow(&user, buy, last_id.as_deref()).await).await;
    events.extend(rest);
    assert_eq!((names(&events), comment), (A_BUY.to_vec(), None));
    assert_eq!(running.terminate().await, Some(0));
    let (code, report, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "{report}");
}
