//! Customers under load: each asks for deposits, buys and sells one after the other, as a program that trusts nobody.
//!
//! What they keep true: every wish has an idempotency key of its own, and is repeated with the same key until there is a
//! definite answer, whatever happens to the connection or the process at the other end. So for each [`Deed`] the system
//! must have exactly one deposit or order, and for nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::{Amount, Asset, Entropy as _, SeededEntropy};
use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Answer, Api, User};

/// How long a wish may go without a definite answer, through any number of restarts.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a customer rests after an answer that is none.
const REST: Duration = Duration::from_millis(10);

/// What a customer wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To deposit this fiat.
    Deposit(Amount),
    /// To buy this crypto for that fiat.
    Buy(Asset, Amount),
    /// To sell this crypto.
    Sell(Amount),
}

/// A definite answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// 200: the deposit is booked.
    Booked,
    /// 202: the deposit or order is accepted.
    Accepted,
    /// 423: the balance does not cover the order.
    Refused,
}

/// A wish with its definite answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Whose it is.
    pub user_id: i64,
    /// Its idempotency key, and the client's reference of its deposit or order.
    pub key: String,
    /// What was wanted.
    pub wish: Wish,
    /// The number of its deposit or order.
    pub number: i64,
    /// What the customer was told, last.
    pub told: Told,
}

/// How the requests fared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent.
    pub requests: u64,
    /// Those with no byte of an answer.
    pub unanswered: u64,
    /// Those whose answer broke off after its first byte.
    pub cut_off: u64,
    /// Those answered with 503.
    pub unavailable: u64,
    /// Those on which the customer hung up.
    pub hung_up: u64,
    /// Wishes that were granted although their first request got no answer: that answer was lost.
    pub lost_answers: u64,
}

/// Customers at work.
#[derive(Debug)]
pub struct Crowd {
    customers: JoinSet<Vec<Deed>>,
    address: watch::Sender<Option<Api>>,
    leaving: watch::Sender<bool>,
    tally: Arc<Mutex<Tally>>,
}

impl Crowd {
    /// For each user this many customers, whose wishes follow from the seed. They begin as soon as they are told an
    /// address.
    #[must_use]
    pub fn new<'a>(users: impl IntoIterator<Item = &'a User>, sessions: u64, seed: u64) -> Self {
        let (address, _) = watch::channel(None);
        let (leaving, _) = watch::channel(false);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut customers = JoinSet::new();
        for user in users {
            for session in 0..sessions {
                let id = u64::try_from(user.id).expect("a user's id is positive");
                let customer = Customer {
                    user: user.clone(),
                    name: format!("{id}-{session}"),
                    dice: SeededEntropy::new(seed ^ (id << 32) ^ (session << 16)),
                    address: address.subscribe(),
                    leaving: leaving.subscribe(),
                    tally: Arc::clone(&tally),
                };
                customers.spawn(customer.shop());
            }
        }
        Self {
            customers,
            address,
            leaving,
            tally,
        }
    }

    /// The system is at this address from now on; `None`: it is nowhere, and whoever has no answer waits.
    pub fn find_it_at(&self, api: Option<&Api>) {
        self.address.send_replace(api.cloned());
    }

    /// Nobody wishes for anything more; what was wished for is still repeated until it is answered.
    pub fn let_leave(&self) {
        self.leaving.send_replace(true);
    }

    /// How the requests have fared so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was done, once everybody has left.
    ///
    /// # Panics
    /// When a customer met an answer that cannot be explained, or none in two minutes.
    pub async fn deeds(self) -> (Vec<Deed>, Tally) {
        self.let_leave();
        let deeds = self.customers.join_all().await;
        let tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        (deeds.into_iter().flatten().collect(), tally)
    }
}

/// One customer: a program of a user's.
struct Customer {
    user: User,
    name: String,
    dice: SeededEntropy,
    address: watch::Receiver<Option<Api>>,
    leaving: watch::Receiver<bool>,
    tally: Arc<Mutex<Tally>>,
}

/// What came of one request.
enum Reply {
    Definite { number: i64, told: Told, replayed: bool },
    NotNow,
    Nothing,
}

/// How a wish is sent until it is answered.
#[derive(Clone, Copy)]
struct Sends {
    /// The customer hangs up on the first request after this long.
    haste: Option<Duration>,
    /// Whether nothing else is, or was, sent with this key: then a replay tells of an answer that was lost.
    sole: bool,
}

impl Customer {
    async fn shop(self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while !*self.leaving.borrow() {
            let key = format!("{}-{}", self.name, deeds.len());
            let wish = self.wish(deeds.is_empty());
            let (number, told) = self.see_through(wish, &key).await;
            deeds.push(Deed {
                user_id: self.user.id,
                key,
                wish,
                number,
                told,
            });
        }
        deeds
    }

    /// A number below `bound`.
    fn roll(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn wish(&self, first: bool) -> Wish {
        let of = |most: u64, asset| Amount::new(i128::from(1 + self.roll(most)), asset);
        if first {
            return Wish::Deposit(Amount::new(50_000, Asset::USD));
        }
        // One in sixteen is tiny, so that rounding matters; one in sixteen is more than anybody has.
        let size = self.roll(16);
        let scaled = |usual: u64| match size {
            0 => 3,
            1 => usual.saturating_mul(1_000),
            _ => usual,
        };
        match self.roll(20) {
            0..3 => Wish::Deposit(of(10_000, Asset::USD)),
            3..9 => Wish::Buy(Asset::BTC, of(scaled(3_000), Asset::USD)),
            9..12 => Wish::Buy(Asset::ETH, of(scaled(3_000), Asset::USD)),
            12..17 => Wish::Sell(of(scaled(200_000_000), Asset::BTC)),
            _ => Wish::Sell(of(scaled(2_000_000_000_000_000_000), Asset::ETH)),
        }
    }

    /// Repeats the wish until it is answered; sometimes twice at once, sometimes hanging up on the first request,
    /// sometimes once more when it is answered.
    async fn see_through(&self, wish: Wish, key: &str) -> (i64, Told) {
        let (mood, haste) = (self.roll(16), Duration::from_micros(self.roll(8_000)));
        let sole = Sends {
            haste: None,
            sole: true,
        };
        let one_of_two = Sends {
            haste: None,
            sole: false,
        };
        match mood {
            0 => {
                let (one, other) = tokio::join!(self.insist(wish, key, one_of_two), self.insist(wish, key, one_of_two));
                assert_eq!(one.0, other.0, "{key}: two orders for one key");
                one
            }
            1 => {
                let first = self.insist(wish, key, sole).await;
                let again = self.insist(wish, key, one_of_two).await;
                assert_eq!(first.0, again.0, "{key}: a replay names another order");
                // What was not decided yet may be decided by now; what was decided stays.
                assert!(
                    first.1 == again.1 || first.1 == Told::Accepted,
                    "{key}: {first:?}, then {again:?}"
                );
                again
            }
            2 => {
                let hasty = Sends {
                    haste: Some(haste),
                    sole: false,
                };
                self.insist(wish, key, hasty).await
            }
            _ => self.insist(wish, key, sole).await,
        }
    }

    async fn insist(&self, wish: Wish, key: &str, Sends { mut haste, sole }: Sends) -> (i64, Told) {
        let give_up = Instant::now() + PATIENCE;
        let mut nothing_came = false;
        loop {
            let mut address = self.address.clone();
            let found = address.wait_for(Option::is_some).await.map(|api| api.clone());
            let api = found.ok().flatten().expect("the crowd outlives its customers");
            let request = self.ask(&api, wish, key);
            let reply = match haste.take() {
                None => request.await,
                Some(haste) => timeout(haste, request).await.unwrap_or_else(|_| {
                    self.count(|tally| tally.hung_up += 1);
                    Reply::NotNow
                }),
            };
            match reply {
                Reply::Definite { number, told, replayed } => {
                    if sole && nothing_came && replayed {
                        self.count(|tally| tally.lost_answers += 1);
                    }
                    return (number, told);
                }
                Reply::Nothing => nothing_came = true,
                Reply::NotNow => {}
            }
            assert!(
                Instant::now() < give_up,
                "{key}: no definite answer to {wish:?} in {PATIENCE:?}"
            );
            // sleep: a client backs off before it tries again.
            sleep(REST).await;
        }
    }

    /// One request, and what it means.
    async fn ask(&self, api: &Api, wish: Wish, key: &str) -> Reply {
        self.count(|tally| tally.requests += 1);
        let id = self.user.id;
        let (method, path, body) = match wish {
            Wish::Deposit(fiat) => (
                Method::PATCH,
                format!("/wallet/{id}"),
                format!(r#"{{"fiat_amount": {fiat}, "client_reference": "{key}"}}"#),
            ),
            Wish::Buy(asset, fiat) => (
                Method::POST,
                format!("/buy/{id}"),
                format!(r#"{{"fiat_amount": {fiat}, "asset": "{asset}", "client_reference": "{key}"}}"#),
            ),
            Wish::Sell(crypto) => (
                Method::POST,
                format!("/sell/{id}"),
                format!(
                    r#"{{"crypto_amount": {crypto}, "asset": "{}", "client_reference": "{key}"}}"#,
                    crypto.asset()
                ),
            ),
        };
        let request = api
            .request(method, &path)
            .bearer_auth(&self.user.token)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body);
        let Ok(response) = request.send().await else {
            self.count(|tally| tally.unanswered += 1);
            return Reply::Nothing;
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let Ok(text) = response.text().await else {
            self.count(|tally| tally.cut_off += 1);
            return Reply::Nothing;
        };
        let body = serde_json::from_str(&text).unwrap_or_default();
        let answer = Answer {
            status,
            headers,
            text,
            body,
        };
        self.meaning(wish, key, &answer)
    }

    fn meaning(&self, wish: Wish, key: &str, answer: &Answer) -> Reply {
        let (told, number) = match (answer.status, wish) {
            (503, _) => {
                assert!(answer.headers.contains_key("retry-after"), "{key}: {answer:?}");
                self.count(|tally| tally.unavailable += 1);
                return Reply::NotNow;
            }
            (200, Wish::Deposit(_)) => (Told::Booked, "deposit_id"),
            (202, Wish::Deposit(_)) => (Told::Accepted, "deposit_id"),
            (202, Wish::Buy(..) | Wish::Sell(_)) => (Told::Accepted, "order_id"),
            (423, Wish::Buy(..) | Wish::Sell(_)) => (Told::Refused, "order_id"),
            _ => panic!("{key}: {wish:?} was answered {answer:?}"),
        };
        let number = answer.body[number].as_i64();
        Reply::Definite {
            number: number.unwrap_or_else(|| panic!("{key}: an answer without a number: {answer:?}")),
            told,
            replayed: answer.replayed(),
        }
    }

    fn count(&self, how: impl FnOnce(&mut Tally)) {
        how(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
