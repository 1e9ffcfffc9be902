//! The exceptions to the rules, all in one list, each with its reason.
//!
//! An entry is for one module or folder and one rule. An entry whose place is gone is itself a violation, so
//! the list only holds what is needed.

use super::Violation;
use super::tree::{Tree, is_at};

/// A place where a rule does not hold, and why that is right.
pub(crate) struct Exemption {
    pub(crate) rule: &'static str,
    pub(crate) place: &'static str,
    pub(crate) reason: &'static str,
}

/// All exceptions.
pub(crate) const EXEMPTIONS: &[Exemption] = &[
    Exemption {
        rule: "clock",
        place: "crates/contracts/src/time",
        reason: "the system clock: where the time that is handed in comes from",
    },
    Exemption {
        rule: "clock",
        place: "crates/service-kit/src/http/guard",
        reason: "measures how long an answer took, for its log line; nothing is decided by it",
    },
    Exemption {
        rule: "randomness",
        place: "crates/contracts/src/random",
        reason: "the system's entropy: where the randomness that is handed in comes from",
    },
    Exemption {
        rule: "sql-in-stores",
        place: "deploy/kubernetes/base/logins.sql",
        reason: "passwords of logins: a matter of the installation, which no service knows of",
    },
];

/// Whether `rule` makes an exception of the file at `path`.
pub(crate) fn is_exempt(rule: &str, path: &str) -> bool {
    EXEMPTIONS
        .iter()
        .any(|exemption| exemption.rule == rule && is_at(path, exemption.place))
}

/// Every exemption names a place that exists.
pub(crate) fn needed(tree: &Tree) -> Vec<Violation> {
    let stale = EXEMPTIONS.iter().filter(|exemption| {
        let place = exemption.place;
        !tree.files.iter().any(|file| is_at(&file.path, place))
    });
    stale
        .map(|exemption| Violation {
            path: "crates/xtask/src/rules/exempt.rs".into(),
            line: 1,
            what: format!(
                "an exemption from `{}` for {}, which does not exist",
                exemption.rule, exemption.place
            ),
            why: "an exception nobody needs hides the next one",
            remedy: "remove it, or correct its place".into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_is_for_its_place_and_its_rule() {
        assert!(is_exempt("clock", "crates/contracts/src/time.rs"));
        assert!(is_exempt("clock", "crates/contracts/src/time/system.rs"));
        assert!(!is_exempt("clock", "crates/contracts/src/times.rs"));
        assert!(!is_exempt("floats", "crates/contracts/src/time.rs"));
    }

    #[test]
    fn an_exemption_for_nothing_is_a_violation() {
        let tree = Tree::of("crates/contracts/src/time.rs", "");
        assert_eq!(needed(&tree).len(), EXEMPTIONS.len() - 1);
    }
}
