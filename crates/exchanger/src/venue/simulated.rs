//! A venue of our own: a real component behind the same port as a real venue, with books of its own.
//!
//! It exists so that Cambist can be run, shown and broken without anybody's money. It keeps its orders in a database file
//! of its own, as a real venue keeps them on its own computers: when Cambist dies between an execution and its answer,
//! the order is here to be found. What it keeps true, like the venues it stands for:
//!
//! - a name is executed at most once; a repeated name is answered with the order that has it, as Coinbase does
//!   ("if the ID provided is not unique, the order will not be created, and the order corresponding to that ID will be
//!   returned", Coinbase Advanced Trade, Create Order);
//! - an order is executed immediately or cancelled, never beyond its limit, never at or after its expiry;
//! - an execution is one transaction: it is there with all its fills, or not at all.
//!
//! How it misbehaves is decided elsewhere: by [`Manners`].

mod book;
mod course;
mod manners;
mod market;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{BasisPoints, Clock, ServiceName};
use storage::StoreError;
use storage::migrations::{Migrations, SchemaError};
use storage::sqlite::{Database, OpenError, Options, migrate};
use thiserror::Error;

pub use self::book::Execution;
use self::book::{Arrival, Book, Entry};
pub use self::course::Course;
pub use self::manners::{Conduct, Manners, RandomManners, Rates, RatesTooHigh, ScriptedManners};
pub use self::market::Market;
use crate::ports::{Answer, ClientOrderId, Venue, VenueName, VenueOrder};

/// The longest the venue takes to answer, whatever its manners say.
const LONGEST_LATENCY: Duration = Duration::from_secs(60);

/// How much of its books it keeps in memory: a venue elsewhere would take none of ours.
const CACHE_KIB: u32 = 8 * 1_024;

/// Why the venue's books could not be opened.
#[derive(Debug, Error)]
pub enum OpenVenueError {
    /// The file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its schema is not ours.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// The simulated venue. Clones are the same one.
#[derive(Clone)]
pub struct SimulatedVenue {
    name: Arc<VenueName>,
    book: Book,
    market: Arc<Mutex<Market>>,
    manners: Arc<dyn Manners>,
    clock: Arc<dyn Clock>,
}

impl SimulatedVenue {
    /// The venue whose books are the SQLite file at `path`; made where absent. One process at a time.
    ///
    /// # Errors
    /// [`OpenVenueError`].
    pub fn try_open(
        path: &Path,
        name: VenueName,
        market: Market,
        manners: Arc<dyn Manners>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenVenueError> {
        let now = clock.now();
        let options = Options {
            cache_kib: CACHE_KIB,
            ..Options::default()
        };
        let database = Database::open(path, options, |connection| {
            // Numbered as exchanger's, but in a file of its own: these are not exchanger's tables.
            let schema = Migrations::new(ServiceName::Exchanger)
                .then("simulated_venue", book::SCHEMA)
                .then("numbered by itself", book::NUMBERED_BY_ITSELF);
            migrate(connection, &[schema], now)
                .map(drop)
                .map_err(OpenVenueError::Schema)
        })?;
        Ok(Self {
            name: Arc::new(name),
            book: Book::new(database, Arc::clone(&clock)),
            market: Arc::new(Mutex::new(market)),
            manners,
            clock,
        })
    }

    /// Its books: when they fail, there is no venue any more.
    #[must_use]
    pub const fn database(&self) -> &Database {
        self.book.database()
    }

    /// Moves the market; orders that come from now on trade at it.
    pub fn set_market(&self, market: Market) {
        *self.market.lock().unwrap_or_else(PoisonError::into_inner) = market;
    }

    /// The market as it is.
    #[must_use]
    pub fn market(&self) -> Market {
        *self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The venue's own statement: what it executed after number `after` (0 for the beginning), in order, at most
    /// `limit` (1 … 1,000) orders. With this the books of both sides can be compared.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn executions(&self, after: i64, limit: usize) -> Result<Vec<Execution>, StoreError> {
        self.book.executions(after, limit.clamp(1, 1_000)).await
    }

    /// Executes the order as `share` of what is possible, unless its name is taken; answers with what the books say.
    async fn execute(&self, order: &VenueOrder, share: BasisPoints, hidden_for: Duration) -> Answer {
        let moved = self.market().moved(self.manners.price_shift(&order.client_order_id));
        let filled = moved
            .map_err(|error| error.to_string())
            .and_then(|market| market.execute(order, share));
        let entry = filled.map_or_else(Entry::Rejected, Entry::Done);
        self.enter(*order, entry, hidden_for).await
    }

    async fn enter(&self, order: VenueOrder, entry: Entry, hidden_for: Duration) -> Answer {
        let arrival = Arrival {
            order,
            entry,
            hidden_for,
        };
        let entered = self.book.enter(arrival).await;
        entered.unwrap_or_else(|error| Answer::Unknown {
            reason: error.to_string(),
        })
    }

    /// Treats an order as the manners say.
    async fn meet(&self, order: &VenueOrder) -> Answer {
        let whole = BasisPoints::MAX;
        match self.manners.conduct(&order.client_order_id) {
            Conduct::Fill => self.execute(order, whole, Duration::ZERO).await,
            Conduct::Partial(share) => self.execute(order, share, Duration::ZERO).await,
            Conduct::FillNothing => self.execute(order, BasisPoints::ZERO, Duration::ZERO).await,
            Conduct::Refuse => {
                let refused = Entry::Rejected("the venue does not want this order".to_owned());
                self.enter(*order, refused, Duration::ZERO).await
            }
            Conduct::ExecuteThenTimeOut => {
                self.execute(order, whole, Duration::ZERO).await;
                timed_out()
            }
            Conduct::TimeOutWithoutExecuting => timed_out(),
            Conduct::NotYetVisible(hidden_for) => {
                self.execute(order, whole, hidden_for).await;
                timed_out()
            }
            Conduct::Slow(by) => {
                let answer = self.execute(order, whole, Duration::ZERO).await;
                take_time(by).await;
                answer
            }
        }
    }
}

/// The way of an answer. What is answered has happened before it, as it would have at a real venue.
async fn take_time(latency: Duration) {
    let latency = latency.min(LONGEST_LATENCY);
    if !latency.is_zero() {
        // sleep: the simulated way to the venue and back; nothing could be waited for instead
        tokio::time::sleep(latency).await;
    }
}

fn timed_out() -> Answer {
    Answer::Unknown {
        reason: "the venue timed out".to_owned(),
    }
}

#[async_trait]
impl Venue for SimulatedVenue {
    fn name(&self) -> &VenueName {
        &self.name
    }

    async fn place(&self, order: &VenueOrder) -> Answer {
        if self.manners.silent() {
            return timed_out();
        }
        let answer = self.meet(order).await;
        take_time(self.manners.latency()).await;
        answer
    }

    async fn find(&self, id: &ClientOrderId) -> Answer {
        if self.manners.silent() || self.manners.mute() {
            return timed_out();
        }
        let found = self.book.find(*id, self.clock.now()).await;
        take_time(self.manners.latency()).await;
        found.unwrap_or_else(|error| Answer::Unknown {
            reason: error.to_string(),
        })
    }
}
