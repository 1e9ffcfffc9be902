//! `cambist simulate`: the outside world in a process of its own, which may be killed at any moment and remembers what it said.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bc_gateway::Custody;
use bc_gateway::chain::remote::RemoteChain;
use bc_gateway::ports::{Address, BroadcastAnswer, Chain, FindAnswer, NonceAnswer, Purpose, SendCheck, TransferDraft};
use contracts::clients::Side;
use contracts::messages::Step;
use contracts::time::later;
use contracts::{Amount, Asset, Clock, OrderId, SeededEntropy, SystemClock, UserId};
use exchanger::ports::{Answer, ClientOrderId, InstallationId, Limit, Venue, VenueName, VenueOrder};
use exchanger::venue::remote::RemoteVenue;
use exchanger::venue::simulated::{Conduct, Market, ScriptedManners, SimulatedVenue};
use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use test_kit::api::{Api, placed};
use test_kit::process::Program;
use test_kit::waiting::{PATIENCE, eventually};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::time::timeout;
use transport::http::{Options, Peer};

use crate::program::{assert_one_line, cambist};

const SEED: &str = "the seed of the keys of this test, long enough";
const EXCHANGERS: &str = "the-token-of-exchanger";
const GATEWAYS: &str = "the-token-of-bc_gateway";
const ANNS: &str = "the-token-of-operator-ann";

/// A simulator in this folder, not started yet.
fn simulator(folder: &TempDir) -> Program {
    let tokens = format!("exchanger={EXCHANGERS},bc_gateway={GATEWAYS},operator:ann={ANNS}");
    cambist(folder)
        .with("CAMBIST_INTERNAL_TOKENS", &tokens)
        .with("CAMBIST_CHAIN_SEED", SEED)
}

/// A running `cambist simulate`. Killed when dropped.
struct Simulator {
    child: Child,
    address: String,
}

impl Simulator {
    /// `None` when it ended at its start.
    async fn try_start(program: &Program) -> Option<Self> {
        let mut child = program
            .command(&["simulate"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
            if let Some(address) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                let address = address.to_owned();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Some(Self { child, address });
            }
        }
        None
    }

    async fn start(program: &Program) -> Self {
        Self::try_start(program).await.expect("it listens")
    }

    /// At an address where it was before; another test may have the port for a moment.
    async fn start_again(program: &Program, address: &str) -> Self {
        let program = program
            .clone()
            .with("CAMBIST_INTERNAL_LISTEN", &address["http://".len()..]);
        eventually(PATIENCE, "it listens where it was", async || {
            Self::try_start(&program).await.ok_or("it does not")
        })
        .await
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn peer(&self, name: &'static str, token: &str) -> Peer {
        let entropy = Arc::new(SeededEntropy::new(7));
        Peer::try_new(
            name,
            &format!("{}/{name}", self.address),
            token,
            Options::default(),
            entropy,
        )
        .unwrap()
    }

    fn venue(&self) -> RemoteVenue {
        RemoteVenue::new(VenueName::try_new("sim").unwrap(), self.peer("venue", EXCHANGERS))
    }

    fn chain(&self) -> RemoteChain {
        RemoteChain::new(&self.peer("chain", GATEWAYS))
    }
}

fn id(number: i64) -> ClientOrderId {
    ClientOrderId {
        installation: Some(InstallationId::new(7)),
        order_id: OrderId::try_new(number).unwrap(),
        step: Step::Exchange,
        attempt: 1,
    }
}

fn buy(number: i64, ceiling: &str) -> VenueOrder {
    VenueOrder {
        client_order_id: id(number),
        side: Side::Buy,
        base: Asset::BTC,
        quote: Asset::USD,
        limit: Limit::Spend(Amount::parse(ceiling, Asset::USD).unwrap()),
        expires_at: later(SystemClock.now(), Duration::from_secs(600)),
    }
}

fn is_unknown(answer: &Answer) -> bool {
    matches!(answer, Answer::Unknown { .. })
}

#[tokio::test]
async fn what_it_said_before_it_was_killed_it_says_after_it_came_back() {
    let folder = tempfile::tempdir().unwrap();
    let program = simulator(&folder);
    let running = Simulator::start(&program).await;
    let bought = running.venue().place(&buy(1, "30")).await;
    let Answer::Done(fills) = &bought else {
        panic!("{bought:?}");
    };
    assert_eq!(fills[0].quantity.to_string(), "3");
    let custody = Custody::try_new(SEED.as_bytes()).unwrap();
    let chain = running.chain();
    let keys = custody.keys(chain.name(), UserId::HOT_WALLET);
    let to = |user| chain.address(&custody.keys(chain.name(), UserId::try_new(user).unwrap()));
    let draft = TransferDraft {
        from: chain.address(&keys),
        to: to(2),
        amount: Amount::parse("3", Asset::BTC).unwrap(),
        purpose: Purpose::Order {
            order_id: OrderId::try_new(1).unwrap(),
            step: Step::Withdraw,
        },
    };
    let check = chain.can_send(&draft).await;
    assert!(
        matches!(check, SendCheck::Sendable { .. }),
        "the first coins are the hot wallet's: {check:?}"
    );
    let transfer = chain.sign(&keys, &draft, 0);
    assert_eq!(chain.broadcast(&transfer).await, BroadcastAnswer::Taken);

    let venue = running.venue();
    running.kill().await;
    assert!(is_unknown(&venue.find(&id(1)).await) && is_unknown(&venue.place(&buy(2, "30")).await));
    assert!(matches!(chain.find(&transfer.hash).await, FindAnswer::Unknown { .. }));

    let running = Simulator::start(&program).await;
    let (venue, chain) = (running.venue(), running.chain());
    assert_eq!(venue.find(&id(1)).await, bought);
    assert_eq!(venue.place(&buy(1, "600")).await, bought, "a name is one order");
    assert!(
        matches!(venue.find(&id(2)).await, Answer::NotFound { .. }),
        "nobody was there to take it"
    );
    assert!(matches!(chain.find(&transfer.hash).await, FindAnswer::Confirmed { .. }));
    let hot: Address = chain.address(&keys);
    assert_eq!(chain.next_nonce(&hot).await, NonceAnswer::Next(1));
}

#[tokio::test]
async fn killed_under_load_it_has_executed_what_it_said_and_each_order_at_most_once() {
    const ORDERS: i64 = 400;
    let folder = tempfile::tempdir().unwrap();
    let program = simulator(&folder);
    let running = Simulator::start(&program).await;
    let venue = Arc::new(running.venue());
    let orders: Vec<_> = (1..=ORDERS).map(|number| buy(number, "30")).collect();
    // The first one is answered: by then it works on the others.
    assert!(!is_unknown(&venue.place(&orders[0]).await));
    let placing = orders.clone().into_iter().map(|order| {
        let venue = Arc::clone(&venue);
        tokio::spawn(async move { venue.place(&order).await })
    });
    let placing: Vec<_> = placing.collect();
    tokio::task::yield_now().await;
    running.kill().await;
    let mut before = Vec::new();
    for answer in placing {
        before.push(answer.await.unwrap());
    }
    assert!(
        before
            .iter()
            .all(|answer| is_unknown(answer) || matches!(answer, Answer::Done(_))),
        "{before:?}"
    );

    let running = Simulator::start(&program).await;
    let venue = running.venue();
    let found = join_all(orders.iter().map(|order| venue.find(&order.client_order_id))).await;
    for (said, found) in before.iter().zip(&found) {
        if is_unknown(said) {
            assert!(matches!(found, Answer::Done(_) | Answer::NotFound { .. }), "{found:?}");
        } else {
            assert_eq!(found, said);
        }
    }
    let again = join_all(orders.iter().map(|order| venue.place(order))).await;
    assert!(
        again
            .iter()
            .all(|answer| matches!(answer, Answer::Done(fills) if fills.len() == 1)),
        "{again:?}"
    );
    running.kill().await;
    let (manners, clock) = (Arc::new(ScriptedManners::new(Conduct::Fill)), Arc::new(SystemClock));
    let books = folder.path().join("data/venue.db");
    let name = VenueName::try_new("sim").unwrap();
    let books = SimulatedVenue::try_open(&books, name, Market::default(), manners, clock).unwrap();
    let executions = books.executions(0, 1_000).await.unwrap();
    assert_eq!(executions.len(), orders.len());
}

/// A program whose outside world is at `address`, and whose orders there live for less than a second.
fn at(address: &str, folder: &TempDir) -> Program {
    cambist(folder)
        .with("CAMBIST_VENUE_URL", &format!("{address}/venue"))
        .with("CAMBIST_CHAIN_URL", &format!("{address}/chain"))
        .with("CAMBIST_INTERNAL_TOKEN", ANNS)
        .with("CAMBIST_CHAIN_SEED", SEED)
        .with("CAMBIST_SWEEP_INTERVAL", "200ms")
        .with("CAMBIST_VENUE_EXPIRY", "800ms")
        .with("CAMBIST_VENUE_TIMEOUT", "300ms")
        .with("CAMBIST_VENUE_ENGINE_TIMEOUT", "50ms")
        .with("CAMBIST_VENUE_SKEW", "50ms")
        .with("CAMBIST_CHAIN_TIMEOUT", "500ms")
        .with("CAMBIST_COMMAND_LEASE", "3s")
}

#[tokio::test]
async fn every_order_ends_and_every_cent_is_explained_though_the_world_outside_dies_in_the_middle_of_it() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outside = simulator(&theirs);
    let mut world = Simulator::start(&outside).await;
    let program = at(&world.address, &ours);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    for state in ["exchanging", "withdrawing"] {
        let mut orders = Vec::new();
        for _ in 0..5 {
            orders.push(placed(&user.buy("30", None).await));
        }
        let past = |order: &Value| order["state"] == state || order["status"] != "pending";
        user.order_when(orders[0], past).await;
        let address = world.address.clone();
        world.kill().await;
        world = Simulator::start_again(&outside, &address).await;
        for order in orders {
            let order = user.order_at_its_end(order).await;
            assert_eq!(order["status"], "completed", "{order}");
        }
    }
    assert_eq!(user.balances().await, ("300".into(), "30".into()));
    assert!(
        !ours.path().join("data/venue.db").exists(),
        "there is one venue, and it is elsewhere"
    );
    assert_eq!(running.terminate().await, Some(0), "{}", program.log());
    let (code, report, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "{report}");
    let log = program.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn what_it_needs_and_does_not_have_is_named_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    let run = program.run(&["simulate"]).await;
    assert_one_line(&run, &["internal_tokens is empty", "exchanger=TOKEN"]);
    let program = program.with("CAMBIST_INTERNAL_TOKENS", &format!("exchanger={EXCHANGERS}"));
    assert_one_line(
        &program.run(&["simulate"]).await,
        &["chain_seed is empty", "bc_gateway"],
    );
    let program = program.with("CAMBIST_CHAIN_SEED", SEED);
    let to_itself = program.clone().with("CAMBIST_VENUE_URL", "http://127.0.0.1:1");
    assert_one_line(&to_itself.run(&["simulate"]).await, &["venue_url", "leave it empty"]);
    assert!(!folder.path().join("data").exists(), "nothing was begun");
    let nameless = cambist(&folder)
        .with("CAMBIST_VENUE_URL", "http://127.0.0.1:1")
        .run(&["up"])
        .await;
    assert_one_line(&nameless, &["venue_url", "internal_token"]);

    let running = Simulator::start(&program).await;
    assert_one_line(
        &program.run(&["simulate"]).await,
        &["in use by another cambist process"],
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let taken = simulator(&elsewhere).with("CAMBIST_INTERNAL_LISTEN", &running.address["http://".len()..]);
    assert_one_line(
        &taken.run(&["simulate"]).await,
        &["cannot listen on", "--internal-listen"],
    );
}

#[tokio::test]
async fn its_doors_are_open_to_whom_they_are_for_and_its_probes_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let running = Simulator::start(&simulator(&folder)).await;
    let api = Api::new(running.address.clone());
    for (path, status) in [("/livez", "alive"), ("/readyz", "ready"), ("/health", "ok")] {
        let probe = api.send(api.request(Method::GET, path)).await.unwrap();
        assert_eq!(
            (probe.status, &probe.body["status"]),
            (200, &Value::from(status)),
            "{path}"
        );
    }
    let health = api.send(api.request(Method::GET, "/health")).await.unwrap();
    assert_eq!(
        (&health.body["checks"]["venue"], &health.body["checks"]["chain"]),
        (&"ok".into(), &"ok".into())
    );
    let metrics = reqwest::get(format!("{}/metrics", running.address)).await.unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("cambist_http_requests_in_flight")
    );
    let document = api.send(api.request(Method::GET, "/openapi.json")).await.unwrap();
    let paths = document.body["paths"].as_object().unwrap();
    for (path, own, other) in [
        ("/venue/orders", EXCHANGERS, GATEWAYS),
        ("/venue/queries", EXCHANGERS, GATEWAYS),
        ("/chain/checks", GATEWAYS, EXCHANGERS),
        ("/chain/nonces", GATEWAYS, EXCHANGERS),
        ("/chain/broadcasts", GATEWAYS, EXCHANGERS),
        ("/chain/queries", GATEWAYS, EXCHANGERS),
    ] {
        assert!(paths.contains_key(path), "{path} is documented");
        let asked = |token: &str| {
            let request = api.request(Method::POST, path).bearer_auth(token);
            api.send(request.json(&serde_json::json!([])))
        };
        let statuses = [own, ANNS, other, "nobodys"].map(asked);
        let statuses = join_all(statuses)
            .await
            .into_iter()
            .map(|answer| answer.unwrap().status);
        // An empty array makes no sense, to whomever is let in.
        assert_eq!(statuses.collect::<Vec<_>>(), [422, 422, 403, 401], "{path}");
    }
}
