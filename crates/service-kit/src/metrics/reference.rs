//! The reference of metrics, written from what is registered.

use std::fmt::Write as _;

use super::family::Family;
use super::registry::Registry;

impl Registry {
    /// The reference of all metrics, as kept in `docs/METRICS.md`: those registered here, and those that only other processes
    /// of the same program show.
    #[must_use]
    pub fn reference_markdown(&self, elsewhere: &[&'static Family]) -> String {
        let mut page = String::from(
            "# Metrics\n\nGenerated from what `cambist up` registers, and services that run apart beside that; each metric is \
             named in the `metrics` room of the crate it is of.\n\n\
             `GET /metrics` on the internal listener shows them in the text format of Prometheus, without a token, like \
             the probes. Counters begin at zero with the process. What is read from tables is at most a few seconds \
             old, and where a table cannot be read its metrics are missing and `cambist_survey_success` is 0. \
             No label ever holds an id, a name or a path of a user. Alert rules on them, each with what to do, are in \
             [alerts/rules.yml](alerts/rules.yml).\n\n\
             | metric | type | labels | what it says |\n|---|---|---|---|\n",
        );
        let mut families: Vec<&Family> = self.families().chain(elsewhere.iter().copied()).collect();
        families.sort_by_key(|family| family.name);
        for family in families {
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                family.name,
                family.kind.as_str(),
                labels.join(", "),
                family.help.replace('|', "\\|"),
            )
            .expect("writing to a string cannot fail");
        }
        page
    }
}
