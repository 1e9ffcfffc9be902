//! What a metric is called, what it means and which labels it has: one constant each.

/// What kind of figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counts since the process began; never falls.
    Counter,
    /// Stands somewhere now.
    Gauge,
    /// How large, or how long, so far.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric: all figures of one name. Values are whole numbers; those of a family in seconds are microseconds, which are
/// shown as seconds.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) seconds: bool,
}

impl Family {
    /// A counter; its name ends in `_total`.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(Kind::Counter, name, labels, help)
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(Kind::Gauge, name, labels, help)
    }

    /// A histogram.
    #[must_use]
    pub const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::new(Kind::Histogram, name, labels, help)
    }

    const fn new(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self {
            name,
            kind,
            labels,
            help,
            seconds: false,
        }
    }

    /// The same, its values being microseconds; its name says `_seconds`.
    #[must_use]
    pub const fn in_seconds(self) -> Self {
        Self { seconds: true, ..self }
    }
}
