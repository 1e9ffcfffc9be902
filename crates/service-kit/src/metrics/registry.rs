//! Everything one process shows, and the page it makes of that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::extract::State;
use axum::http::HeaderName;
use contracts::Clock;
use contracts::metrics::Distribution;
use prometheus::TEXT_FORMAT;

use super::exposition::{Sample, Value, page};
use super::family::{Family, Kind};
use super::survey::{Remembered, Survey};
use crate::openapi::{Routes, answers, routes};
use crate::problem::Problem;

/// How long a page waits for its surveys, all together: less than the 10 s after which Prometheus gives up.
const PATIENCE: Duration = Duration::from_secs(5);

const SUCCESS: Family = Family::gauge(
    "cambist_survey_success",
    &["survey"],
    "Whether the figures of this survey could be read from the tables; 0 means that they are missing here.",
);
const DURATION: Family = Family::gauge(
    "cambist_survey_duration_seconds",
    &["survey"],
    "How long the last read of this survey took. It is repeated after 1 s at the earliest, and after 20 times as long.",
)
.in_seconds();

type Source = Box<dyn Fn(&mut Vec<Sample>) + Send + Sync>;

/// What is shown, before it is shown: every figure is registered once, while the system is put together.
#[derive(Default)]
pub struct Registry {
    families: BTreeMap<&'static str, (&'static Family, Vec<Source>)>,
    surveys: Vec<Remembered>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.families.keys()).finish()
    }
}

impl Registry {
    /// Nothing registered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows the figure of `family` with these values of its labels; `value` is asked at every look, and must not block.
    ///
    /// # Panics
    /// When the values are not one for each label, or when another family has the name: a mistake in the program that its
    /// first start shows.
    pub fn value<V: Into<i128>>(
        &mut self,
        family: &'static Family,
        labels: &[&str],
        value: impl Fn() -> V + Send + Sync + 'static,
    ) {
        let labels = values(family, labels);
        self.source(family, move |samples| {
            let (labels, value) = (labels.clone(), Value::Whole(value().into()));
            samples.push(Sample { labels, value });
        });
    }

    /// The same of a histogram.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn distribution(
        &mut self,
        family: &'static Family,
        labels: &[&str],
        distribution: impl Fn() -> Distribution + Send + Sync + 'static,
    ) {
        let labels = values(family, labels);
        self.source(family, move |samples| {
            let (labels, value) = (labels.clone(), Value::Distribution(distribution()));
            samples.push(Sample { labels, value });
        });
    }

    /// Shows what `survey` reads.
    ///
    /// # Panics
    /// When another family has the name of one of its own.
    pub fn survey(&mut self, survey: Arc<dyn Survey>) {
        for family in survey.families() {
            self.family(family);
        }
        self.family(&SUCCESS);
        self.family(&DURATION);
        self.surveys.push(Remembered::new(survey));
    }

    /// The families, by name.
    pub(super) fn families(&self) -> impl Iterator<Item = &'static Family> {
        self.families.values().map(|(family, _)| *family)
    }

    pub(super) fn source(
        &mut self,
        family: &'static Family,
        source: impl Fn(&mut Vec<Sample>) + Send + Sync + 'static,
    ) {
        self.family(family).push(Box::new(source));
    }

    fn family(&mut self, family: &'static Family) -> &mut Vec<Source> {
        let (known, sources) = self.families.entry(family.name).or_insert((family, Vec::new()));
        assert!(*known == family, "{} stands for two metrics", family.name);
        let total = family.name.ends_with("_total");
        assert!(
            total == (family.kind == Kind::Counter),
            "{}: counters end in _total",
            family.name
        );
        sources
    }

    /// What is registered by now, for good, ready to be shown. Ages are reckoned by `clock`.
    #[must_use]
    pub fn into_scrape(self, clock: Arc<dyn Clock>) -> Scrape {
        Scrape(Arc::new((self, clock)))
    }
}

fn values(family: &Family, labels: &[&str]) -> Vec<String> {
    assert_eq!(family.labels.len(), labels.len(), "the labels of {}", family.name);
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// The page of one process. Clones are the same.
#[derive(Clone)]
pub struct Scrape(Arc<(Registry, Arc<dyn Clock>)>);

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.0.fmt(f)
    }
}

impl Scrape {
    /// `GET /metrics`. To be merged beside the probes: who looks at a process that is full must see that it is.
    pub fn into_routes(self) -> Routes {
        Routes::new().with(routes!(metrics)).with_state(self)
    }

    /// The page, in the text format 0.0.4. Takes five seconds at most; what is not read by then is left out.
    ///
    /// # Errors
    /// A family that cannot be written.
    pub async fn text(&self) -> Result<String, String> {
        let (registry, clock) = &*self.0;
        let mut shown: BTreeMap<&str, (&'static Family, Vec<Sample>)> = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // One after the other, so that they never take more than one of the connections that users read by.
        for remembered in &registry.surveys {
            let outcome = remembered.look(clock.as_ref(), deadline).await;
            let labels = vec![remembered.survey.name().to_owned()];
            let figures = outcome.as_ref().and_then(|outcome| outcome.figures.as_ref());
            for family in remembered.survey.families() {
                let samples = figures.into_iter().flat_map(|figures| figures.of(family));
                shown
                    .entry(family.name)
                    .or_insert((family, Vec::new()))
                    .1
                    .extend(samples);
            }
            let mut own = |family: &'static Family, whole| {
                let (labels, value) = (labels.clone(), Value::Whole(whole));
                let (_, samples) = shown.entry(family.name).or_insert((family, Vec::new()));
                samples.push(Sample { labels, value });
            };
            own(&SUCCESS, i128::from(figures.is_some()));
            if let Some(outcome) = &outcome {
                own(&DURATION, i128::try_from(outcome.took.as_micros()).unwrap_or(i128::MAX));
            }
        }
        for (name, (family, sources)) in &registry.families {
            let (_, samples) = shown.entry(name).or_insert((family, Vec::new()));
            for source in sources {
                source(samples);
            }
        }
        page(shown.into_values())
    }
}

/// The metrics, for Prometheus.
///
/// The text format 0.0.4.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "probes", responses(
    (status = 200, description = "Every family.", content_type = "text/plain", body = String,
        example = "# TYPE cambist_orders_total counter\n"),
    answers::Internal,
))]
async fn metrics(State(scrape): State<Scrape>) -> Result<([(HeaderName, &'static str); 2], String), Problem> {
    let text = scrape.text().await.map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, TEXT_FORMAT), (CACHE_CONTROL, "no-store")], text))
}
