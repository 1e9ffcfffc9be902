//! The Ingress: public paths and no others, in words that its controller takes.

use super::Known;
use super::objects::{Objects, list, name, text};
use super::routes::{Extent, INSIDE, is_taken, leads, routes};

/// The Ingress leads to public listeners, for every public path, and for none that is only for inside.
pub(super) fn check(objects: &Objects, known: &Known) -> Vec<String> {
    let routes = routes(objects);
    let mut problems = Vec::new();
    for route in &routes {
        let (target, port) = &route.to;
        let there = objects.find("Service", target);
        let has = there.is_some_and(|there| list(&there["spec"]["ports"]).any(|known| known["name"] == *port));
        if !has || port != "public" {
            problems.push(format!("Ingress {}: leads to no public port", route.path));
        }
        if !is_taken(route) {
            problems.push(format!(
                "Ingress {}: ingress-nginx refuses this path, unless it is ImplementationSpecific",
                route.path
            ));
        }
        // So that nothing but one public path begins like it.
        if route.extent == Extent::Beginning && !known.public.contains(&route.path) {
            problems.push(format!("Ingress {}: is no public path, and too wide", route.path));
        }
    }
    let leads = |asked: &str| leads(&routes, asked).map(|(service, _)| service.as_str());
    for path in &known.public {
        let asked = path.replace("{user_id}", "2").replace("{order_id}", "1");
        let of_auth = ["/register", "/login", "/.well-known/jwks.json"].contains(&path.as_str());
        let wanted = if of_auth { "auth" } else { "wallet" };
        if leads(&asked) != Some(wanted) {
            problems.push(format!("{path} leads to {:?}", leads(&asked)));
        }
    }
    for path in INSIDE.split_whitespace().filter(|path| leads(path).is_some()) {
        problems.push(format!("{path} can be reached from outside"));
    }
    problems.extend(bodies(objects, known.body));
    problems
}

/// nginx takes larger bodies than the program, which says in words of its own that one is too large.
fn bodies(objects: &Objects, limit: u64) -> Vec<String> {
    let mut problems = Vec::new();
    for ingress in objects.of("Ingress") {
        let size = text(&ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]);
        let size = size.strip_suffix('k').and_then(|size| size.parse::<u64>().ok());
        if size.is_none_or(|size| size * 1024 <= limit) {
            problems.push(format!(
                "Ingress {}: nginx refuses bodies before the program does, which takes {limit} bytes",
                name(ingress)
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn known(public: &[&str]) -> Known {
        Known {
            settings: BTreeSet::new(),
            secrets: BTreeSet::new(),
            public: public.iter().map(|path| (*path).to_owned()).collect(),
            body: 16 * 1024,
        }
    }

    fn objects(text: &str) -> Objects {
        Objects::parse(text).unwrap()
    }

    fn route(path: &str, kind: &str, service: &str) -> String {
        format!("{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{name: public}}}}}}}}")
    }

    fn overlay(routes: &[String]) -> String {
        let service = |name: &str| {
            format!("---\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: public}}]}}\n")
        };
        let routes = routes.join(", ");
        let ingress = format!(
            "kind: Ingress\nmetadata: {{name: x, annotations: {{nginx.ingress.kubernetes.io/proxy-body-size: 64k}}}}\n\
             spec: {{rules: [{{http: {{paths: [{routes}]}}}}]}}\n"
        );
        ingress + &service("auth") + &service("wallet")
    }

    #[test]
    fn it_has_the_public_paths_and_no_others() {
        let register = route("/register", "Exact", "auth");
        let good = overlay(&[register.clone(), route("/wallet", "Prefix", "wallet")]);
        assert_eq!(
            check(&objects(&good), &known(&["/register", "/wallet/{user_id}"])),
            Vec::<String>::new()
        );
        let missing = overlay(std::slice::from_ref(&register));
        assert_eq!(
            check(&objects(&missing), &known(&["/register", "/wallet/{user_id}"])),
            ["/wallet/{user_id} leads to None"]
        );
        let wide = overlay(&[
            register,
            route("/wallet", "Prefix", "wallet"),
            route("/user", "Prefix", "auth"),
        ]);
        assert_eq!(
            check(&objects(&wide), &known(&["/register", "/wallet/{user_id}"])),
            ["/user/2 can be reached from outside"]
        );
    }

    #[test]
    fn a_dotted_path_is_implementation_specific_and_a_public_one() {
        let judged = |path_type: &str| {
            let text = overlay(&[route("/openapi.json", path_type, "wallet")]);
            check(&objects(&text), &known(&["/openapi.json"]))
        };
        assert_eq!(judged("ImplementationSpecific"), Vec::<String>::new());
        for path_type in ["Exact", "Prefix"] {
            assert_eq!(
                judged(path_type),
                ["Ingress /openapi.json: ingress-nginx refuses this path, unless it is ImplementationSpecific"]
            );
        }
        let wide = overlay(&[route("/o", "ImplementationSpecific", "wallet")]);
        assert_eq!(
            check(&objects(&wide), &known(&["/orders"])),
            ["Ingress /o: is no public path, and too wide"]
        );
    }

    #[test]
    fn bodies_that_the_program_refuses_come_to_it() {
        let text = overlay(&[]).replace("64k", "16k");
        let told = ["Ingress x: nginx refuses bodies before the program does, which takes 16384 bytes"];
        assert_eq!(check(&objects(&text), &known(&[])), told);
        let unsaid = text.replace("16k", "''");
        assert_eq!(check(&objects(&unsaid), &known(&[])), told);
    }
}
