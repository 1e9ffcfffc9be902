//! Figures that stand in tables: read when somebody looks, remembered for a while.
//!
//! Whoever scrapes often, or from several places, or while a read is slow, gets what was read last and causes no second
//! read: there is at most one of each survey under way, also when nobody waits for it any more. A survey that takes long
//! is made seldom: it has a twentieth of the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use contracts::Clock;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::exposition::{Sample, Value};
use super::family::Family;

/// How long a survey is remembered at least.
const REMEMBERED: Duration = Duration::from_secs(1);
/// A survey is remembered for so many times the time it took.
const SELDOM: u32 = 20;

/// Reads figures from tables.
#[async_trait]
pub trait Survey: Send + Sync {
    /// What it is called in its own figures.
    fn name(&self) -> &'static str;

    /// What it fills in. Of a family that several surveys fill in, each has label values of its own.
    fn families(&self) -> &'static [&'static Family];

    /// Reads, in few bounded queries on connections that only read; `now` is what ages are reckoned from.
    ///
    /// # Errors
    /// Why there are no figures, for the log.
    async fn read(&self, now: Timestamp) -> Result<Figures, String>;
}

/// What a survey has found.
#[derive(Debug, Default)]
pub struct Figures(Vec<(&'static Family, Sample)>);

impl Figures {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the figure with these values of the family's labels stands.
    pub fn put(&mut self, family: &'static Family, labels: &[&str], value: impl Into<i128>) {
        let sample = Sample {
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            value: Value::Whole(value.into()),
        };
        self.0.push((family, sample));
    }

    /// How long something has been there at `now`, of a family in seconds; zero where there is nothing.
    pub fn put_age(&mut self, family: &'static Family, labels: &[&str], now: Timestamp, since: Option<Timestamp>) {
        // A clock that was set back makes nobody younger than new.
        let age = since.map_or(0, |since| {
            now.as_microsecond().saturating_sub(since.as_microsecond()).max(0)
        });
        self.put(family, labels, age);
    }

    pub(super) fn of(&self, family: &Family) -> impl Iterator<Item = Sample> {
        let name = family.name;
        let found = self.0.iter().filter(move |(of, _)| of.name == name);
        found.map(|(_, sample)| sample.clone())
    }
}

/// What came of a survey.
pub(super) struct Outcome {
    /// What was found, unless it failed.
    pub(super) figures: Option<Figures>,
    pub(super) took: Duration,
    at: Instant,
}

/// A survey and what came of it last.
pub(super) struct Remembered {
    pub(super) survey: Arc<dyn Survey>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Arc<Outcome>>,
    under_way: Option<JoinHandle<Outcome>>,
}

impl Remembered {
    pub(super) fn new(survey: Arc<dyn Survey>) -> Self {
        Self {
            survey,
            state: Mutex::default(),
        }
    }

    /// What is remembered while that is fresh, or else what is read now. `None` when that is not there by `deadline`; the
    /// read goes on, for who asks next.
    pub(super) async fn look(&self, clock: &dyn Clock, deadline: tokio::time::Instant) -> Option<Arc<Outcome>> {
        // Who comes meanwhile waits here, and finds it fresh.
        let mut state = timeout_at(deadline, self.state.lock()).await.ok()?;
        if let Some(last) = state.last.as_ref().filter(|last| last.is_fresh()) {
            return Some(Arc::clone(last));
        }
        let survey = &self.survey;
        let reading = state
            .under_way
            .get_or_insert_with(|| tokio::spawn(read(Arc::clone(survey), clock.now())));
        let ended = timeout_at(deadline, reading).await.ok()?;
        state.under_way = None;
        state.last = Some(Arc::new(ended.unwrap_or_else(|panic| {
            tracing::warn!(survey = self.survey.name(), %panic, "figures for /metrics could not be read");
            Outcome::failed(Instant::now())
        })));
        state.last.clone()
    }
}

async fn read(survey: Arc<dyn Survey>, now: Timestamp) -> Outcome {
    let began = Instant::now();
    match survey.read(now).await {
        Ok(figures) => Outcome {
            figures: Some(figures),
            took: began.elapsed(),
            at: Instant::now(),
        },
        Err(reason) => {
            tracing::warn!(survey = survey.name(), reason, "figures for /metrics could not be read");
            Outcome::failed(began)
        }
    }
}

impl Outcome {
    fn failed(began: Instant) -> Self {
        Self {
            figures: None,
            took: began.elapsed(),
            at: Instant::now(),
        }
    }

    fn is_fresh(&self) -> bool {
        self.at.elapsed() < REMEMBERED.max(self.took.saturating_mul(SELDOM))
    }
}
