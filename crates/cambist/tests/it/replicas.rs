//! One user's requests race each other over several connections and two replicas of what answers and works: nothing is spent
//! twice, nothing gets lost, and a key is one deed wherever it is shown.

use reqwest::Method;
use test_kit::api::{Answer, Api, User, placed};
use test_servers::cluster::{Node, Service};
use tokio::task::JoinSet;

use crate::black_box::world::{World, ten_processes};
use crate::faults::trial::is_full;

/// The user as seen by either replica.
struct Racer {
    at: [User; 2],
    /// In cents and in satoshis.
    fiat: i64,
    crypto: i64,
}

const SATOSHIS: i64 = 100_000_000;

/// A decimal number of so many units, as users write it.
fn decimal(units: i64, one: i64) -> String {
    let digits = one.ilog10() as usize;
    let text = format!("{}.{:0digits$}", units / one, units % one);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Racer {
    async fn balances_are_as_expected(&self) {
        let expected = (decimal(self.fiat, 100), decimal(self.crypto, SATOSHIS));
        for user in &self.at {
            assert_eq!(user.balances().await, expected);
        }
    }

    /// Two deposits at once, each shown to both replicas: two deposits.
    async fn deposit_twice(&mut self, round: usize) {
        let mut requests = JoinSet::new();
        for (user, key) in [(0, "a"), (1, "a"), (0, "b"), (1, "b")] {
            let (user, key) = (self.at[user].clone(), format!("deposit-{round}-{key}"));
            requests.spawn(async move {
                let answer = user.deposit("10", Some(&key)).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                (key, answer.body["deposit_id"].as_i64().unwrap())
            });
        }
        let mut booked = requests.join_all().await;
        booked.sort();
        booked.dedup();
        assert_eq!(booked.len(), 2, "two keys, two deposits: {booked:?}");
        self.fiat += 2_000;
        self.balances_are_as_expected().await;
    }

    /// Two buys at once, of which the balance covers one.
    async fn buy_twice(&mut self) {
        let most = self.fiat - self.fiat / 4;
        let price = decimal(most, 100);
        let answers = self.both(|user| {
            let price = price.clone();
            async move { user.buy(&price, None).await }
        });
        let answers = answers.await;
        let (accepted, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
        assert_eq!((accepted.len(), refused.len()), (1, 1), "{answers:?}");
        refused[0].assert_problem(423, "insufficient_funds");
        self.ends(accepted[0]).await;
        self.fiat -= most;
        self.crypto += most * (SATOSHIS / 100) / 10;
        self.balances_are_as_expected().await;
    }

    /// A buy and a sell at once, both covered.
    async fn buy_and_sell(&mut self) {
        let (fiat, crypto) = (self.fiat, self.crypto - self.crypto % (SATOSHIS / 10));
        let (all, most) = (decimal(fiat, 100), decimal(crypto, SATOSHIS));
        let [one, other] = self.at.clone();
        let (bought, sold) = tokio::join!(one.buy(&all, None), other.sell(&most, None));
        self.ends(&bought).await;
        self.ends(&sold).await;
        self.fiat = crypto * 10 / (SATOSHIS / 100);
        self.crypto += fiat * (SATOSHIS / 100) / 10 - crypto;
        self.balances_are_as_expected().await;
    }

    /// The same at both replicas at once.
    async fn both<F: Future<Output = Answer> + Send + 'static>(&self, ask: impl Fn(User) -> F) -> Vec<Answer> {
        let mut requests = JoinSet::new();
        for user in self.at.clone() {
            requests.spawn(ask(user));
        }
        requests.join_all().await
    }

    async fn ends(&self, answer: &Answer) {
        let order = self.at[0].order_at_its_end(placed(answer)).await;
        assert_eq!(order["status"], "completed", "{order}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_races_at_two_replicas_and_nothing_is_spent_twice_or_lost() {
    let seconds = [Service::Wallet, Service::Balance].map(|service| Node::serve(service).second());
    let workers = Service::WITH_WORKER.map(|service| Node::work(service).second());
    let _turn = crate::faults::trial::turn();
    let world = World::begin(ten_processes().and(seconds).and(workers));
    let auth = world.cluster.public(Service::Auth);
    let second = world.cluster.public_of(Node::serve(Service::Wallet).second());
    let second = Api::apart(auth, second);

    const RACERS: usize = 5;
    let rounds = if is_full() { 1_000 } else { 50 } / RACERS;
    let mut races = JoinSet::new();
    for number in 0..RACERS {
        let user = world.api().given_a_user(&format!("racer{number}")).await;
        let mut racer = Racer {
            at: [user.clone(), user.at(&second)],
            fiat: 0,
            crypto: 0,
        };
        races.spawn(async move {
            for round in 0..rounds {
                racer.deposit_twice(round).await;
                racer.buy_twice().await;
                racer.buy_and_sell().await;
            }
            racer
        });
    }
    for racer in races.join_all().await {
        let orders = racer.at[0].orders().await;
        assert_eq!(orders.len(), 4 * rounds);
        let get = racer.at[1]
            .api
            .request(Method::GET, &format!("/orders/{}", racer.at[1].id));
        let listed = racer.at[1].api.send(get.bearer_auth(&racer.at[1].token)).await.unwrap();
        assert_eq!(listed.status, 200, "{listed:?}");
    }
    let report = world.audited().await;
    assert_eq!(report["orders_in_flight"], 0, "{report:#}");
    world.assert_no_panic();
}
