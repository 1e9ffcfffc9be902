//! An order followed as server-sent events: what a program sees that connects, loses the connection, and comes back.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use contracts::clients::Side;
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::messages::Step;
use contracts::operators::Instruction;
use contracts::{DepositId, OrderId};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use wallet::domain::{Fact, OrderState};
use wallet::ports::{FreezeStore as _, NewOrder, OrderStore as _};
use wallet::{Settings, Streams};

use crate::samples::{event, exchanged, order_id, terms, unresolved, usd, user, withdrawn};
use crate::world::{Chain, PATIENCE, World, settings};

/// One block of a stream: its `id`, its `event`, and its `data`; or a comment.
#[derive(Debug, Clone, PartialEq)]
enum Block {
    Event(Option<i64>, String, Value),
    Comment(String),
}

/// Reads a stream block by block.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next block that is not the first one, which says when to come back.
    async fn next(&mut self) -> Option<Block> {
        loop {
            let (block, rest) = match self.text.split_once("\n\n") {
                Some((block, rest)) => (block.to_owned(), rest.to_owned()),
                None => {
                    let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                        .await
                        .expect("a frame");
                    let Some(frame) = frame else {
                        assert_eq!(self.text, "", "the stream ends at the end of a block");
                        return None;
                    };
                    let bytes = frame.unwrap().into_data().unwrap();
                    self.text.push_str(std::str::from_utf8(&bytes).unwrap());
                    continue;
                }
            };
            self.text = rest;
            if !block.starts_with("retry: ") {
                return Some(read(&block));
            }
        }
    }

    async fn rest(mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(block) = self.next().await {
            blocks.push(block);
        }
        blocks
    }
}

fn read(block: &str) -> Block {
    if let Some(comment) = block.strip_prefix(':') {
        return Block::Comment(comment.trim().to_owned());
    }
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let id = field("id").map(|id| id.parse().unwrap());
    let data = serde_json::from_str(field("data").unwrap()).unwrap();
    Block::Event(id, field("event").unwrap().to_owned(), data)
}

/// (id, event, state) of the events.
fn outline(blocks: &[Block]) -> Vec<(Option<i64>, &str, &str)> {
    let events = blocks.iter().filter_map(|block| match block {
        Block::Event(id, event, data) => Some((*id, event.as_str(), data["state"].as_str().unwrap())),
        Block::Comment(_) => None,
    });
    events.collect()
}

const A_BUY: [(Option<i64>, &str, &str); 5] = [
    (Some(1), "placed", "created"),
    (Some(2), "held", "exchanging"),
    (Some(3), "exchanged", "withdrawing"),
    (Some(4), "withdrawn", "completed"),
    (None, "end", "completed"),
];

/// Streams look at the store often.
fn watchful() -> Settings {
    Settings {
        streams: Streams {
            look_again: Duration::from_millis(20),
            ..Streams::default()
        },
        ..settings()
    }
}

/// Streams trust to be woken.
fn trusting() -> Settings {
    Settings {
        streams: Streams {
            look_again: PATIENCE,
            ..Streams::default()
        },
        ..settings()
    }
}

/// A world in which nothing moves by itself, with an order in it.
async fn with_an_order_at_its_beginning(settings: Settings) -> (World, OrderId) {
    let world = World::asleep(settings).await;
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    world.ledger.book(Posting::single(Transfer {
        id: TransferId {
            origin: Origin::Deposit(DepositId::try_new(99).unwrap()),
            leg: Leg::Deposit,
        },
        debit: Owner::ExternalBank,
        credit: Owner::User(user(2)),
        amount: usd("600"),
        reason: "a deposit".to_owned(),
        actor: "test".to_owned(),
    }));
    // Stored and not asked for: a request that is answered before its hold is decided leaves a promise in the log.
    let order = NewOrder {
        user_id: user(2),
        terms: terms(Side::Buy),
        client_reference: None,
        idempotency: None,
    };
    let now = jiff::Timestamp::now();
    let placed = world.store().create_orders(now, now, vec![order], Box::new(|_| {}));
    assert_eq!(placed.await.unwrap().len(), 1);
    (world, order_id(1))
}

async fn follow(world: &World, id: OrderId) -> Reader {
    Reader::new(world.request("GET", &format!("/orders/2/{id}/events")).open().await)
}

async fn resume(world: &World, id: OrderId, after: i64) -> Reader {
    let request = world.request("GET", &format!("/orders/2/{id}/events"));
    Reader::new(request.header("last-event-id", &after.to_string()).open().await)
}

#[tokio::test]
async fn an_order_is_told_as_it_happens_with_its_amounts_and_its_end() {
    let (mut world, id) = with_an_order_at_its_beginning(trusting()).await;
    let mut reader = follow(&world, id).await;
    let first = reader.next().await.unwrap();
    assert_eq!(outline(std::slice::from_ref(&first)), A_BUY[..1]);
    world.wake();
    let mut blocks = vec![first];
    blocks.extend(reader.rest().await);
    assert_eq!(outline(&blocks), A_BUY);

    let order = world.get("/orders/2/1").await.body;
    let Block::Event(_, _, last) = &blocks[3] else { panic!() };
    for field in [
        "order_id",
        "state",
        "status",
        "requested",
        "filled",
        "price",
        "fee",
        "failure_code",
    ] {
        assert_eq!(last[field], order[field], "{field}");
    }
    assert_eq!(last["time"], order["updated_at"]);
    let Block::Event(_, _, held) = &blocks[1] else { panic!() };
    assert_eq!(
        (&held["requested"]["amount"], &held["filled"]),
        (&json!("30"), &Value::Null)
    );
    assert_eq!(held["cause"], order["events"][1]["cause"]);
    let end = json!({"order_id": 1, "state": "completed", "status": "completed"});
    assert_eq!(blocks[4], Block::Event(None, "end".to_owned(), end));
    assert_eq!(world.open_streams(), 0, "its place is free again");
}

#[tokio::test]
async fn a_failed_order_tells_how_it_was_undone_and_why() {
    let world = World::awake().await;
    world.with_600().await;
    world.gateway.set(Chain::Refuses);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let blocks = follow(&world, id).await.rest().await;
    let states: Vec<_> = outline(&blocks).into_iter().map(|(_, _, state)| state).collect();
    let path = [
        "created",
        "exchanging",
        "withdrawing",
        "reversing",
        "releasing",
        "failed",
        "failed",
    ];
    assert_eq!(states, path);
    let Block::Event(_, _, failed) = &blocks[5] else {
        panic!()
    };
    assert_eq!(failed["failure_code"], "withdrawal_refused");
    assert_eq!(failed["status"], "failed");
}

#[tokio::test]
async fn whoever_comes_back_is_told_what_follows_and_nothing_twice() {
    let world = World::awake().await;
    world.with_600().await;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(id, OrderState::Completed).await;
    for after in 0..4 {
        let blocks = resume(&world, id, after).await.rest().await;
        let missing = usize::try_from(after).unwrap();
        assert_eq!(outline(&blocks), A_BUY[missing..]);
        let Block::Event(_, _, last) = &blocks[blocks.len() - 2] else {
            panic!()
        };
        assert_eq!(
            last["filled"]["amount"], "3",
            "amounts are known whatever was received before"
        );
    }
    let request = world.request("GET", "/orders/2/1/events");
    let all_told = request.header("last-event-id", "4").send().await;
    assert_eq!((all_told.status.as_u16(), all_told.text.as_str()), (204, ""));
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_before_the_stream_begins() {
    let world = World::awake().await;
    world.with_600().await;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(id, OrderState::Completed).await;
    let path = "/orders/2/1/events";
    for id in ["", "x", "-1", "+1", "01", "1.0", " 1 2", "5", "99999999999999999999"] {
        let refused = world.request("GET", path).header("last-event-id", id).send().await;
        assert_eq!(refused.problem(), (400, "malformed_header".to_owned()), "{id}");
    }
    for (path, problem) in [
        ("/orders/2/2/events", (404, "not_found")),
        ("/orders/2/x/events", (400, "malformed_path")),
        ("/orders/3/1/events", (403, "forbidden")),
    ] {
        assert_eq!(
            world.get(path).await.problem(),
            (problem.0, problem.1.to_owned()),
            "{path}"
        );
    }
    let nobody = world.request("GET", path).without("authorization").send().await;
    assert_eq!(nobody.problem(), (401, "unauthorized".to_owned()));
    let elsewhere = world
        .request("GET", path)
        .header("accept", "application/json")
        .send()
        .await;
    assert_eq!(elsewhere.problem(), (406, "not_acceptable".to_owned()));
    let other = world
        .request("GET", path)
        .header("authorization", &world.token(user(3)));
    assert_eq!(other.send().await.problem(), (403, "forbidden".to_owned()));
    assert_eq!(world.open_streams(), 0);
}

#[tokio::test]
async fn what_another_process_commits_is_told_as_well() {
    let (world, id) = with_an_order_at_its_beginning(watchful()).await;
    let mut reader = follow(&world, id).await;
    reader.next().await.unwrap();
    // By the store alone: nobody in this process is told.
    let now = jiff::Timestamp::now();
    let facts = [Fact::Held, exchanged(Side::Buy), withdrawn()];
    for fact in facts {
        world.store().advance(now, now, vec![(id, event(fact))]).await.unwrap();
    }
    assert_eq!(outline(&reader.rest().await), A_BUY[1..]);
}

#[tokio::test]
async fn a_stuck_order_is_followed_until_an_operator_has_found_its_end() {
    let (world, id) = with_an_order_at_its_beginning(watchful()).await;
    let mut reader = follow(&world, id).await;
    let now = jiff::Timestamp::now();
    let stuck = [Fact::Held, unresolved(Step::Exchange)];
    for fact in stuck {
        world.store().advance(now, now, vec![(id, event(fact))]).await.unwrap();
    }
    for expected in ["created", "exchanging", "stuck_exchanging"] {
        let block = reader.next().await.unwrap();
        assert_eq!(outline(std::slice::from_ref(&block))[0].2, expected);
    }
    for fact in [exchanged(Side::Buy), withdrawn()] {
        world.store().advance(now, now, vec![(id, event(fact))]).await.unwrap();
    }
    assert_eq!(outline(&reader.rest().await).len(), 3, "exchanged, withdrawn, end");
}

#[tokio::test]
async fn after_a_crash_the_stream_goes_on_where_it_was() {
    let (mut world, id) = with_an_order_at_its_beginning(watchful()).await;
    let mut reader = follow(&world, id).await;
    assert_eq!(outline(&[reader.next().await.unwrap()]), A_BUY[..1]);
    world.crash(watchful()).await;
    drop(reader);
    let reader = resume(&world, id, 1).await;
    world.wake();
    assert_eq!(outline(&reader.rest().await), A_BUY[1..]);
}

#[tokio::test]
async fn a_reader_that_is_slow_is_told_everything_in_order_and_holds_up_nobody() {
    let (mut world, id) = with_an_order_at_its_beginning(trusting()).await;
    let slow = follow(&world, id).await;
    world.wake();
    world.until(id, OrderState::Completed).await;
    assert_eq!(outline(&slow.rest().await), A_BUY);
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let settings = Settings {
        streams: Streams {
            keep_alive: Duration::from_millis(10),
            ..Streams::default()
        },
        ..trusting()
    };
    let (world, id) = with_an_order_at_its_beginning(settings).await;
    let mut reader = follow(&world, id).await;
    reader.next().await.unwrap();
    for _ in 0..3 {
        assert_eq!(reader.next().await, Some(Block::Comment(String::new())));
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (world, id) = with_an_order_at_its_beginning(trusting()).await;
    let path = format!("/orders/2/{id}/events");
    let token = world.token_for(user(2), Duration::from_secs(3));
    let request = world.request("GET", &path).header("authorization", &token);
    let blocks = Reader::new(request.open().await).rest().await;
    assert_eq!(outline(&blocks), A_BUY[..1]);
    let why = Block::Comment("the token has expired".to_owned());
    assert_eq!(blocks.last(), Some(&why));
    let again = world.request("GET", &path).header("authorization", &token);
    assert_eq!(again.send().await.problem(), (401, "unauthorized".to_owned()));
    assert_eq!(world.open_streams(), 0);
}

#[tokio::test]
async fn a_stream_ends_when_its_user_is_frozen() {
    let (world, id) = with_an_order_at_its_beginning(watchful()).await;
    let mut reader = follow(&world, id).await;
    reader.next().await.unwrap();
    let instruction = Instruction {
        operator: "operator:ann".to_owned(),
        reason: "a court order".to_owned(),
    };
    let now = jiff::Timestamp::now();
    world.store().freeze(now, user(2), instruction).await.unwrap();
    let why = Block::Comment("the account is frozen".to_owned());
    assert_eq!(reader.rest().await, [why]);
}

#[tokio::test]
async fn streams_are_bounded_for_each_user_and_for_all() {
    let bounds = |most, most_per_user| Settings {
        streams: Streams {
            most: NonZeroUsize::new(most).unwrap(),
            most_per_user: NonZeroUsize::new(most_per_user).unwrap(),
            ..Streams::default()
        },
        ..trusting()
    };
    for (bounds, status, code) in [
        (bounds(8, 2), 429, "too_many_requests"),
        (bounds(2, 8), 503, "overloaded"),
    ] {
        let (world, id) = with_an_order_at_its_beginning(bounds).await;
        let path = format!("/orders/2/{id}/events");
        let (first, _second) = (follow(&world, id).await, follow(&world, id).await);
        let refused = world.get(&path).await;
        assert_eq!(refused.problem(), (status, code.to_owned()));
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(world.open_streams(), 2);
        drop(first);
        follow(&world, id).await.next().await.unwrap();
    }
}

#[tokio::test]
async fn an_order_that_is_refused_at_its_hold_is_told_too() {
    let world = World::awake().await;
    world.with_600().await;
    let refused = world.post("/buy/2", json!({"fiat_amount": 5000})).await;
    assert_eq!(refused.status, 423);
    let id = order_id(refused.body["order_id"].as_i64().unwrap());
    let blocks = follow(&world, id).await.rest().await;
    let told = [
        (Some(1), "placed", "created"),
        (Some(2), "hold_refused", "failed"),
        (None, "end", "failed"),
    ];
    assert_eq!(outline(&blocks), told);
    let Block::Event(_, _, failed) = &blocks[1] else {
        panic!()
    };
    assert_eq!(failed["failure_code"], "insufficient_funds");
}
