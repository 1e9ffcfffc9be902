//! What becomes of envelopes over a real NATS server: settled as a whole, asked for again in part, unreadable, or held for
//! long.

use std::time::Duration;

use async_nats::jetstream::Context;
use contracts::messages::Message;
use storage::letters::DeadLetterStore as _;
use storage::outbox::Destination;
use storage::sqlite::SqliteLetters;
use tokio::time::{Instant, timeout};
use transport::nats::{Bounds, Times};
use transport::queue::{Delivery, Subscription, Transport as _};

use crate::given::{a_fresh_store, noon, soon};
use crate::queues::{GivenNats, QUEUE, given_nats, impatient, order_of, orders, received, received_in_all};

const AGAIN: Duration = Duration::from_millis(300);

impl GivenNats {
    /// Waits until nothing is in the queue any more, delivered or not.
    pub(crate) async fn emptied(&self) {
        let stranger = self.stranger().await;
        soon(async { while waiting(&stranger).await > 0 {} }).await;
    }
}

/// How many envelopes the server keeps.
async fn waiting(context: &Context) -> u64 {
    let stream = context.get_stream(QUEUE.as_str()).await.unwrap();
    stream.cached_info().state.messages
}

/// So many messages, in the order of their orders, not yet settled.
async fn taken(listener: &mut Box<dyn Subscription>, messages: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < messages {
        taken.extend(soon(listener.receive(messages - taken.len())).await);
    }
    taken.sort_by_key(order_of);
    taken
}

#[tokio::test]
async fn what_is_asked_for_again_comes_alone_and_not_before_its_time() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 3)).await.unwrap();
    let [one, two, three] = taken(&mut listener, 3).await.try_into().ok().unwrap();
    let asked = Instant::now();
    two.again(AGAIN).await;
    one.done().await;
    three.done().await;
    assert_eq!(received(&mut listener, 10).await, [2]);
    assert!(asked.elapsed() >= AGAIN);
    given.emptied().await;
}

#[tokio::test]
async fn an_envelope_that_is_asked_for_again_as_a_whole_comes_again_as_a_whole() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 3)).await.unwrap();
    let asked = Instant::now();
    for delivery in taken(&mut listener, 3).await {
        delivery.again(AGAIN).await;
    }
    assert_eq!(received(&mut listener, 10).await, [1, 2, 3]);
    assert!(asked.elapsed() >= AGAIN);
    assert_eq!(given.metrics.redelivered.get(), 3);
    given.emptied().await;
}

#[tokio::test]
async fn what_is_dropped_without_a_word_comes_again() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 3)).await.unwrap();
    let mut taken = taken(&mut listener, 3).await;
    taken.remove(0).done().await;
    drop(taken);
    assert_eq!(received_in_all(&mut listener, 2).await, [2, 3]);
    given.emptied().await;
}

#[tokio::test]
async fn an_envelope_is_acknowledged_only_when_each_of_its_messages_is_done() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 2)).await.unwrap();
    let [one, two] = taken(&mut listener, 2).await.try_into().ok().unwrap();
    one.done().await;
    let stranger = given.stranger().await;
    assert_eq!(waiting(&stranger).await, 1);
    two.done().await;
    given.emptied().await;
}

#[tokio::test]
async fn what_is_worked_on_for_long_is_given_to_nobody_else() {
    let given = given_nats();
    let transport = given.transport_with(|settings| settings.times = impatient()).await;
    let mut slow = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    let held = taken(&mut slow, 1).await;
    let mut free = transport.subscribe(QUEUE).await.unwrap();
    let long = impatient().ack_wait * 2;
    assert!(timeout(long, free.receive(1)).await.is_err(), "it is in good hands");
    for delivery in held {
        delivery.done().await;
    }
    given.emptied().await;
}

#[tokio::test]
async fn a_slow_listener_holds_a_few_and_leaves_the_rest_to_others() {
    let given = given_nats();
    let bounds = Bounds {
        in_hand: 2,
        envelope_messages: 1,
        ..Bounds::default()
    };
    let transport = given.transport_with(|settings| settings.bounds = bounds).await;
    let mut slow = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 2)).await.unwrap();
    let [one, _two] = taken(&mut slow, 2).await.try_into().ok().unwrap();
    transport.publish(QUEUE, orders(3, 12)).await.unwrap();
    let short = Duration::from_millis(200);
    assert!(timeout(short, slow.receive(1)).await.is_err(), "its hands are full");
    let mut quick = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut quick, 10).await, (3..=12).collect::<Vec<_>>());
    soon(async {
        while given.metrics.in_hand() != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    one.done().await;
    drop(quick);
    transport.publish(QUEUE, orders(13, 13)).await.unwrap();
    assert_eq!(received(&mut slow, 1).await, [13], "one hand is free");
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_its_neighbours_arrive() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    let stranger = given.stranger().await;
    let good = serde_json::to_string(&orders(7, 7)[0]).unwrap();
    let newer = good.replace("\"exchange\"", "\"hedge\"");
    for payload in ["no envelope".to_owned(), format!("[{newer},{good}]")] {
        stranger
            .publish(QUEUE.as_str(), payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    assert_eq!(received(&mut listener, 10).await, [7]);
    let mut letters = given.letters.come(2).await;
    letters.sort_by_key(|(_, payload, _)| payload.clone());
    let [(source, whole, error), (_, part, _)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!((whole.as_str(), part), ("no envelope", &newer));
    assert_eq!(*source, Destination::Queue(QUEUE));
    assert!(error.contains("not an envelope"), "{error}");
    given.emptied().await;
    assert_eq!(given.metrics.dead.get(), 2);
}

#[tokio::test]
async fn a_dead_letter_that_could_not_be_stored_is_not_given_up() {
    let given = given_nats();
    *given.letters.refusals.lock().unwrap() = 2;
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    let stranger = given.stranger().await;
    let good = serde_json::to_string(&orders(7, 7)[0]).unwrap();
    for payload in ["no envelope".to_owned(), format!("[{good},8]")] {
        stranger
            .publish(QUEUE.as_str(), payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    assert_eq!(received(&mut listener, 10).await, [7]);
    let letters = given.letters.come(2).await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    given.emptied().await;
    let again = timeout(Duration::from_millis(100), listener.receive(1)).await;
    assert!(again.is_err(), "the neighbour came once");
}

#[tokio::test]
async fn what_cannot_be_read_is_buried_once_however_often_its_neighbour_comes_again() {
    let given = given_nats();
    // No room for the rest of an envelope beside it: the whole of it comes again.
    let bounds = Bounds {
        queue_envelopes: 1,
        ..Bounds::default()
    };
    let transport = given.transport_with(|settings| settings.bounds = bounds).await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    let good = serde_json::to_string(&orders(7, 7)[0]).unwrap();
    let stranger = given.stranger().await;
    let stored = stranger.publish(QUEUE.as_str(), format!("[8,{good}]").into()).await;
    stored.unwrap().await.unwrap();
    for delivery in taken(&mut listener, 1).await {
        delivery.again(Duration::ZERO).await;
    }
    assert_eq!(received(&mut listener, 10).await, [7]);
    given.emptied().await;
    assert_eq!((given.metrics.redelivered.get(), given.metrics.dead.get()), (2, 1));
}

#[tokio::test]
async fn dead_letters_lie_in_the_table_of_whoever_listens() {
    let (given, _rows) = a_fresh_store();
    let letters = SqliteLetters::new(
        contracts::ServiceName::Exchanger,
        given.database.clone(),
        given.outbox.clone(),
        None,
    );
    let (payload, error) = ("no envelope".to_owned(), "not an envelope".to_owned());
    letters
        .bury(noon(), Destination::Queue(QUEUE), payload.clone(), error.clone())
        .await
        .unwrap();
    assert_eq!(given.dead_letters().await, [(payload, error)]);
}

#[tokio::test]
async fn many_messages_travel_in_few_envelopes() {
    let given = given_nats();
    let transport = given.transport().await;
    let messages: Vec<Message> = orders(1, 250);
    transport.publish(QUEUE, messages).await.unwrap();
    assert_eq!(waiting(&given.stranger().await).await, 3);
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 250).await, (1..=250).collect::<Vec<_>>());
    let counted = [
        &given.metrics.published,
        &given.metrics.taken,
        &given.metrics.redelivered,
    ];
    assert_eq!(counted.map(contracts::metrics::Counter::get), [250, 250, 0]);
}

#[tokio::test]
async fn closing_waits_for_what_is_held_and_hands_back_what_nobody_began() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    let held = taken(&mut listener, 1).await;
    transport.publish(QUEUE, orders(2, 2)).await.unwrap();
    drop(listener);
    let settling = async {
        for delivery in held {
            delivery.done().await;
        }
    };
    let (closed, ()) = soon(async { tokio::join!(transport.close(Duration::from_secs(30)), settling) }).await;
    assert!(closed);
    let next = given.transport().await;
    let mut listener = next.subscribe(QUEUE).await.unwrap();
    assert_eq!(received(&mut listener, 10).await, [2]);
    given.emptied().await;
}

#[tokio::test]
async fn what_listeners_that_left_had_asked_for_is_given_to_others_at_once() {
    let given = given_nats();
    let transport = given.transport().await;
    let began = Instant::now();
    for order in (1..=40).step_by(2) {
        let mut leaving = transport.subscribe(QUEUE).await.unwrap();
        transport.publish(QUEUE, orders(order, order)).await.unwrap();
        assert_eq!(received(&mut leaving, 1).await, [order]);
        drop(leaving);
        // Its request still stands at the server, and comes first.
        transport.publish(QUEUE, orders(order + 1, order + 1)).await.unwrap();
        let mut staying = transport.subscribe(QUEUE).await.unwrap();
        assert_eq!(received(&mut staying, 1).await, [order + 1]);
    }
    let never_told = Times::default().ack_wait;
    assert!(began.elapsed() < never_told, "{:?}", began.elapsed());
    given.emptied().await;
}

#[tokio::test]
async fn what_comes_to_a_transport_that_closes_is_given_to_others_at_once() {
    let given = given_nats();
    let (closing, other) = (given.transport().await, given.transport().await);
    let held = closing.subscribe(QUEUE).await.unwrap();
    other.publish(QUEUE, orders(1, 1)).await.unwrap();
    let began = Instant::now();
    let mut staying = other.subscribe(QUEUE).await.unwrap();
    let (closed, _) = tokio::join!(
        closing.close(Duration::from_secs(30)),
        other.publish(QUEUE, orders(2, 30))
    );
    assert!(closed);
    drop(held);
    assert_eq!(received_in_all(&mut staying, 30).await, (1..=30).collect::<Vec<_>>());
    assert!(began.elapsed() < Times::default().ack_wait, "{:?}", began.elapsed());
    given.emptied().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let given = given_nats();
    let transport = given.transport().await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    let _held = taken(&mut listener, 1).await;
    assert!(!soon(transport.close(Duration::from_millis(100))).await);
}
