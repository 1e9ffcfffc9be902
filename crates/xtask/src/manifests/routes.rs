//! Where the Ingress leads, decided as its controllers decide it: an exact path before a prefix, a long prefix before a short
//! one. A `Prefix` ends where a part of the path ends; what is `ImplementationSpecific` begins, to nginx, whatever begins so.

use super::objects::{Objects, list, text};

/// What of the paths that are asked for a rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The path alone.
    Exact,
    /// And what lies below it.
    Below,
    /// And whatever begins with the same letters.
    Beginning,
}

impl Extent {
    /// By the name that an Ingress gives it. What has none goes furthest: so it is judged by the worst.
    pub(crate) fn of(path_type: &str) -> Self {
        match path_type {
            "Exact" => Self::Exact,
            "Prefix" => Self::Below,
            _ => Self::Beginning,
        }
    }

    /// As an Ingress calls it.
    pub(crate) const fn path_type(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Below => "Prefix",
            Self::Beginning => "ImplementationSpecific",
        }
    }
}

/// A rule: what asks for this path goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route<T> {
    pub(crate) path: String,
    pub(crate) extent: Extent,
    pub(crate) to: T,
}

/// A Service and the name of its port.
pub(crate) type Backend = (String, String);

/// Paths that are not for outside, of every service and of none.
pub(crate) const INSIDE: &str = "/ /user/2 /transfers /withdraw/1 /send/1 /commands /sagas /sagas/1/retry /freezes/2 \
    /deposits/2 /dead_letters /retries /rulings /steps/1 /livez /readyz /health /metrics /balance/wallet/2 /walletx";

/// All rules of all Ingresses.
pub(crate) fn routes(objects: &Objects) -> Vec<Route<Backend>> {
    let rules = objects
        .of("Ingress")
        .flat_map(|ingress| list(&ingress["spec"]["rules"]));
    rules
        .flat_map(|rule| list(&rule["http"]["paths"]))
        .map(|path| {
            let service = &path["backend"]["service"];
            Route {
                path: text(&path["path"]).to_owned(),
                extent: Extent::of(text(&path["pathType"])),
                to: (
                    text(&service["name"]).to_owned(),
                    text(&service["port"]["name"]).to_owned(),
                ),
            }
        })
        .collect()
}

/// Where a path leads, if anywhere.
pub(crate) fn leads<'a, T>(routes: &'a [Route<T>], asked: &str) -> Option<&'a T> {
    let fits = |route: &&Route<T>| match route.extent {
        Extent::Exact => asked == route.path,
        Extent::Below => asked
            .strip_prefix(route.path.trim_end_matches('/'))
            .is_some_and(|rest| rest.starts_with('/') || rest.is_empty()),
        Extent::Beginning => asked.starts_with(&route.path),
    };
    let best = routes
        .iter()
        .filter(fits)
        .max_by_key(|route| (route.extent == Extent::Exact, route.path.len()));
    best.map(|route| &route.to)
}

/// Whether ingress-nginx takes a rule: since 1.12 it refuses everything in an `Exact` or a `Prefix` path but letters, digits, `-`,
/// `_` and `/`.
pub(crate) fn is_taken<T>(route: &Route<T>) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '/');
    route.path.starts_with('/') && (route.extent == Extent::Beginning || route.path.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_where_the_most_exact_rule_says() {
        let route = |path: &str, path_type, to| Route {
            path: path.to_owned(),
            extent: Extent::of(path_type),
            to,
        };
        let routes = [
            route("/orders", "Prefix", 1),
            route("/orders/old", "Prefix", 2),
            route("/login", "Exact", 3),
            route("/openapi.json", "ImplementationSpecific", 4),
        ];
        let led = |path| leads(&routes, path).copied();
        assert_eq!(led("/orders"), Some(1));
        assert_eq!(led("/orders/2"), Some(1));
        assert_eq!(led("/orders/old/2"), Some(2));
        assert_eq!(led("/ordersx"), None);
        assert_eq!(led("/login"), Some(3));
        assert_eq!(led("/login/2"), None);
        assert_eq!(led("/user/2"), None);
        assert_eq!(led("/openapi.json"), Some(4));
        assert_eq!(led("/openapi.json/2"), Some(4), "nginx reads it as a prefix");
        assert_eq!(led("/openapi.jsonx"), Some(4), "and one of letters");
        assert_eq!(led("/openapi"), None);
    }

    #[test]
    fn a_dot_is_taken_only_in_a_path_that_is_implementation_specific() {
        let taken = |path: &str, path_type| {
            is_taken(&Route {
                path: path.to_owned(),
                extent: Extent::of(path_type),
                to: (),
            })
        };
        assert!(taken("/openapi.json", "ImplementationSpecific"));
        assert!(!taken("/openapi.json", "Exact"));
        assert!(!taken("/.well-known", "Prefix"));
        assert!(taken("/dead_letters/x-1", "Prefix"));
        assert!(!taken("orders", "Prefix"));
    }
}
