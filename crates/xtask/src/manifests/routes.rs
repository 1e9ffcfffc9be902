//! Where the Ingress leads, decided as its controllers decide it: an exact path before a prefix, a long prefix before a short
//! one, and a prefix ends where a part of the path ends.

use super::objects::{Objects, list, text};

/// A rule: what asks for this path goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route<T> {
    pub(crate) path: String,
    /// Whether what lies below the path goes there as well.
    pub(crate) is_prefix: bool,
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
                is_prefix: path["pathType"] == "Prefix",
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
    let fits = |route: &&Route<T>| {
        let below = asked.strip_prefix(route.path.trim_end_matches('/'));
        asked == route.path || route.is_prefix && below.is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
    };
    let best = routes
        .iter()
        .filter(fits)
        .max_by_key(|route| (!route.is_prefix, route.path.len()));
    best.map(|route| &route.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_where_the_most_exact_rule_says() {
        let route = |path: &str, is_prefix, to| Route {
            path: path.to_owned(),
            is_prefix,
            to,
        };
        let routes = [
            route("/orders", true, 1),
            route("/orders/old", true, 2),
            route("/login", false, 3),
        ];
        let led = |path| leads(&routes, path).copied();
        assert_eq!(led("/orders"), Some(1));
        assert_eq!(led("/orders/2"), Some(1));
        assert_eq!(led("/orders/old/2"), Some(2));
        assert_eq!(led("/ordersx"), None);
        assert_eq!(led("/login"), Some(3));
        assert_eq!(led("/login/2"), None);
        assert_eq!(led("/user/2"), None);
    }
}
