//! From whole numbers to the text format of Prometheus (version 0.0.4): the only file with floats.
//!
//! Prometheus keeps every value as a float of 64 bits. Whole numbers up to 2⁵³ arrive exactly (90 million BTC in satoshi,
//! 90 trillion USD in cents); greater ones are off by less than one part in 10¹⁵. That is good enough to look at and to
//! be alarmed by, and for nothing else: no figure comes back from here.

#![allow(
    clippy::float_arithmetic,
    reason = "Prometheus knows nothing but floats; what is shown here is read by nobody in this program"
)]

use contracts::metrics::Distribution;
use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::family::{Family, Kind};

/// Microseconds in a second.
const MICROS: f64 = 1_000_000.0;

/// One figure of a family: the values of its labels, in their order, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: Value,
}

/// Where a figure stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Whole(i128),
    Distribution(Distribution),
}

/// The page with these families; those without a figure are left out.
///
/// # Errors
/// What the encoder says of a name it cannot write.
pub(super) fn page(families: impl IntoIterator<Item = (&'static Family, Vec<Sample>)>) -> Result<String, String> {
    let families: Vec<MetricFamily> = families
        .into_iter()
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(family, samples)| described(family, samples))
        .collect();
    TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|error| error.to_string())
}

fn described(family: &Family, mut samples: Vec<Sample>) -> MetricFamily {
    samples.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut described = MetricFamily::default();
    described.set_name(family.name.to_owned());
    described.set_help(family.help.to_owned());
    described.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    described.set_metric(samples.into_iter().map(|sample| metric(family, sample)).collect());
    described
}

fn metric(family: &Family, sample: Sample) -> Metric {
    let names = family.labels.iter();
    let pairs = names.zip(sample.labels).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value);
        pair
    });
    let mut metric = Metric::from_label(pairs.collect());
    match sample.value {
        Value::Distribution(distribution) => metric.set_histogram(histogram(family, &distribution)),
        Value::Whole(whole) => {
            let value = shown(family, nearest(whole));
            if family.kind == Kind::Counter {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
    }
    metric
}

fn histogram(family: &Family, distribution: &Distribution) -> Histogram {
    let mut so_far = 0;
    let mut buckets = Vec::with_capacity(distribution.bounds.len());
    for (bound, count) in distribution.bounds.iter().zip(&distribution.counts) {
        so_far += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(shown(family, nearest(i128::from(*bound))));
        bucket.set_cumulative_count(so_far);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(distribution.counts.iter().sum());
    histogram.set_sample_sum(shown(family, nearest(i128::from(distribution.sum))));
    histogram
}

/// The float nearest to a whole number; only zero is shown as zero.
#[allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "the one place where a figure loses its last digits; see the head of this file"
)]
const fn nearest(whole: i128) -> f64 {
    whole as f64
}

const fn shown(family: &Family, value: f64) -> f64 {
    if family.seconds { value / MICROS } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Family = Family::gauge("held_atomic_units", &["asset"], "What is held.");
    const TOOK: Family = Family::histogram("took_seconds", &[], "How long it took.").in_seconds();

    fn held(asset: &str, units: i128) -> Sample {
        Sample {
            labels: vec![asset.to_owned()],
            value: Value::Whole(units),
        }
    }

    #[test]
    fn whole_numbers_are_shown_to_the_last_digit_up_to_two_to_the_53() {
        let samples = vec![held("USD", -((1 << 53) - 1)), held("BTC", 1 << 53), held("ETH", 0)];
        let page = page([(&HELD, samples)]).unwrap();
        let expected = "# HELP held_atomic_units What is held.\n# TYPE held_atomic_units gauge\n\
                        held_atomic_units{asset=\"BTC\"} 9007199254740992\nheld_atomic_units{asset=\"ETH\"} 0\n\
                        held_atomic_units{asset=\"USD\"} -9007199254740991\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn what_is_not_zero_is_never_shown_as_zero_however_large_or_small() {
        for units in [1, -1, i128::MAX, i128::MIN] {
            let page = page([(&HELD, vec![held("ETH", units)])]).unwrap();
            assert!(!page.ends_with(" 0\n") && !page.contains("inf"), "{page}");
        }
    }

    #[test]
    fn times_are_shown_in_seconds_and_buckets_add_up() {
        let distribution = Distribution {
            bounds: &[500, 1_000_000],
            counts: vec![2, 3, 1],
            sum: 2_500_250,
        };
        let sample = Sample {
            labels: Vec::new(),
            value: Value::Distribution(distribution),
        };
        let expected = "# HELP took_seconds How long it took.\n# TYPE took_seconds histogram\n\
                        took_seconds_bucket{le=\"0.0005\"} 2\ntook_seconds_bucket{le=\"1\"} 5\n\
                        took_seconds_bucket{le=\"+Inf\"} 6\ntook_seconds_sum 2.50025\ntook_seconds_count 6\n";
        assert_eq!(page([(&TOOK, vec![sample])]).unwrap(), expected);
    }

    #[test]
    fn a_family_without_a_figure_is_left_out() {
        assert_eq!(page([(&HELD, Vec::new())]).unwrap(), "");
    }
}
