//! Who can reach whom by the NetworkPolicies, compared with who may: DESIGN's edges, and no others.
//!
//! A way is open when it is allowed on both sides, as a cluster decides it: whatever selects a pod forbids all that it does
//! not name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::objects::{Objects, Workload, list, name, selects, text};
use super::shapes;

/// Which service calls which, its API and its worker alike.
pub(super) const CALLS: [(&str, &str); 7] = [
    ("wallet", "auth"),
    ("wallet", "balance"),
    ("wallet", "exchanger"),
    ("wallet", "bc-gateway"),
    ("wallet", "notification"),
    ("exchanger", "balance"),
    ("bc-gateway", "balance"),
];

/// Services that speak to the queues.
const SENDING: [&str; 4] = ["wallet", "exchanger", "bc-gateway", "notification"];

/// From, to, port.
pub(crate) type Way = (String, String, u64);

/// Everything that should be open in this overlay between pods.
pub(crate) fn wanted(workloads: &[Workload<'_>]) -> BTreeSet<Way> {
    let mut ways = BTreeSet::new();
    for from in workloads {
        let service = from.label("app.kubernetes.io/name");
        let is_ours = !matches!(service, "postgres" | "nats" | "simulators");
        for to in workloads {
            let other = to.label("app.kubernetes.io/name");
            let is_api = to.label("app.kubernetes.io/component") == "api";
            let port = match other {
                "postgres" if is_ours => 5432,
                "nats" if SENDING.contains(&service) => 4222,
                "nats" if service == "nats" => 6222,
                "simulators" if matches!(service, "exchanger" | "bc-gateway") => 8001,
                _ if is_api && CALLS.contains(&(service, other)) => 8001,
                _ => continue,
            };
            ways.insert((from.role(), to.role(), port));
        }
    }
    ways
}

/// Everything that is open between pods.
fn open(policies: &[&Value], workloads: &[Workload<'_>]) -> BTreeSet<Way> {
    let mut ways = BTreeSet::new();
    for from in workloads {
        for to in workloads {
            let ports = to.containers().flat_map(|container| list(&container["ports"]));
            for port in ports.filter_map(|port| port["containerPort"].as_u64()) {
                let leaves = allows(policies, "egress", *from, Peer::Pod(*to), *to, port);
                let enters = allows(policies, "ingress", *to, Peer::Pod(*from), *to, port);
                if leaves && enters {
                    ways.insert((from.role(), to.role(), port));
                }
            }
        }
    }
    ways
}

/// Who is at the other side.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    /// A pod of ours.
    Pod(Workload<'a>),
    /// A pod in this namespace.
    Namespace(&'a str),
    /// Anybody: outside the cluster, or somebody else's pod.
    Outside,
}

/// Whether policies let traffic pass at `here` in this direction, with `peer` at the other side. Ports are those of `listener`.
pub(crate) fn allows(
    policies: &[&Value],
    direction: &str,
    here: Workload<'_>,
    peer: Peer<'_>,
    listener: Workload<'_>,
    port: u64,
) -> bool {
    let side = if direction == "egress" { "to" } else { "from" };
    let governs = |policy: &&&Value| {
        let spec = &policy["spec"];
        let typed = list(&spec["policyTypes"]).any(|kind| text(kind).eq_ignore_ascii_case(direction));
        typed && selects(&spec["podSelector"], here.labels)
    };
    let mut governed = false;
    for policy in policies.iter().filter(governs) {
        governed = true;
        for rule in list(&policy["spec"][direction]) {
            let mut ports = list(&rule["ports"]);
            let at_port = rule["ports"].is_null()
                || ports.any(|open| protocol(open) == "TCP" && listener.port(&open["port"]) == Some(port));
            let with_peer = rule[side].is_null()
                || list(&rule[side]).any(|selector| match peer {
                    // Addresses may be anybody's.
                    _ if !selector["ipBlock"].is_null() => true,
                    Peer::Pod(peer) => {
                        // Pods are meant where no namespace is named; ours is not the one that is.
                        selector["namespaceSelector"].is_null()
                            && !selector["podSelector"].is_null()
                            && selects(&selector["podSelector"], peer.labels)
                    }
                    Peer::Namespace(name) => {
                        selector["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == *name
                            && selector["podSelector"].is_null()
                    }
                    Peer::Outside => false,
                });
            if at_port && with_peer {
                return true;
            }
        }
    }
    !governed
}

/// The protocol of a port in a rule.
pub(super) fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// By which protocols a pod may ask the cluster for names, each once.
pub(crate) fn names(policies: &[&Value], workload: Workload<'_>) -> BTreeSet<String> {
    let governing = policies
        .iter()
        .filter(|policy| selects(&policy["spec"]["podSelector"], workload.labels));
    let is_names = |peer: &Value| {
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "kube-system"
            && peer["podSelector"].is_null()
    };
    let ports = governing
        .flat_map(|policy| list(&policy["spec"]["egress"]))
        .filter(|rule| list(&rule["to"]).any(is_names))
        .flat_map(|rule| list(&rule["ports"]))
        .filter(|port| port["port"] == 53);
    ports.map(|port| protocol(port).to_lowercase()).collect()
}

/// What is open and should not be, and the other way round.
pub(super) fn check(objects: &Objects) -> Vec<String> {
    let policies: Vec<&Value> = objects.of("NetworkPolicy").collect();
    let workloads = objects.workloads();
    let (wanted, open) = (wanted(&workloads), open(&policies, &workloads));
    let told = |word: &str, (from, to, port): &Way| format!("{from} {word} {to}:{port}");
    let mut problems: Vec<String> = open.difference(&wanted).map(|way| told("may reach", way)).collect();
    problems.extend(wanted.difference(&open).map(|way| told("cannot reach", way)));
    problems.extend(shapes::check(&policies, &workloads));
    for workload in &workloads {
        let names = names(&policies, *workload);
        if !names.iter().eq(["tcp", "udp"]) {
            problems.push(format!("{} asks for names by {names:?}", workload.name));
        }
    }
    problems.extend(outside(&policies, &workloads));
    problems.extend(monitoring(objects, &policies, &workloads));
    let denied = policies
        .iter()
        .any(|policy| name(policy) == "default-deny" && list(&policy["spec"]["policyTypes"]).count() == 2);
    if !denied {
        problems.push("nothing is denied by default".to_owned());
    }
    problems
}

/// From outside only the public listeners can be reached, and outside only mail servers by the workers that send mail, and
/// what is not in this cluster.
fn outside(policies: &[&Value], workloads: &[Workload<'_>]) -> Vec<String> {
    let mut problems = Vec::new();
    let is_here = |name: &str| workloads.iter().any(|workload| workload.name == name);
    for workload in workloads {
        let service = workload.label("app.kubernetes.io/name");
        let is_api = workload.label("app.kubernetes.io/component") == "api";
        let ports = workload.containers().flat_map(|container| list(&container["ports"]));
        for port in ports.filter_map(|port| port["containerPort"].as_u64()) {
            let open = allows(policies, "ingress", *workload, Peer::Outside, *workload, port);
            let wanted = port == 8000 && is_api && matches!(service, "auth" | "wallet");
            if open != wanted {
                problems.push(format!("{} is reached from outside at {port}: {open}", workload.name));
            }
        }
        for port in shapes::OUTSIDE {
            let open = allows(policies, "egress", *workload, Peer::Outside, *workload, port);
            let wanted = match port {
                25 | 465 | 587 => service == "notification" && !is_api,
                4222 => SENDING.contains(&service) && !is_here("nats"),
                5432 => !is_here("postgres") && service != "simulators",
                _ => false,
            };
            if open != wanted {
                problems.push(format!("{} reaches the outside at {port}: {open}", workload.name));
            }
        }
    }
    problems
}

/// Whoever measures may read every process of ours at its internal port where the component `monitoring` is there, and take
/// traces from each; nowhere else, and nothing where it is not. The public ports are anybody's.
fn monitoring(objects: &Objects, policies: &[&Value], workloads: &[Workload<'_>]) -> Vec<String> {
    const METRICS: u64 = 8001;
    const TRACES: u64 = 4318;
    let is_there = objects.find("NetworkPolicy", "monitoring").is_some();
    let peer = Peer::Namespace("monitoring");
    let mut problems = Vec::new();
    for workload in workloads {
        let is_ours = matches!(
            workload.label("app.kubernetes.io/component"),
            "api" | "worker" | "outside"
        );
        let ports = workload.containers().flat_map(|container| list(&container["ports"]));
        for port in ports.filter_map(|port| port["containerPort"].as_u64()) {
            let open = allows(policies, "ingress", *workload, peer, *workload, port);
            if port != 8000 && open != (is_there && is_ours && port == METRICS) {
                problems.push(format!("{} is measured at {port}: {open}", workload.name));
            }
        }
        for port in shapes::MONITORING {
            let open = allows(policies, "egress", *workload, peer, *workload, port);
            if open != (is_there && is_ours && port == TRACES) {
                problems.push(format!("{} sends traces to {port}: {open}", workload.name));
            }
        }
    }
    problems
}

/// The picture of the services shows the same calls.
pub(super) fn diagram(source: &str) -> Vec<String> {
    let mut drawn = BTreeSet::new();
    for line in source.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some((from, to)) = line.split_once(" -> ") {
            let to = to.split_whitespace().next().unwrap_or_default();
            drawn.insert((from.replace('_', "-"), to.replace('_', "-")));
        }
    }
    let real = CALLS.iter();
    let missing = real.filter(|(from, to)| !drawn.contains(&((*from).to_owned(), (*to).to_owned())));
    let mut problems: Vec<String> = missing
        .map(|(from, to)| format!("assets/service_diagram.dot does not show that {from} calls {to}"))
        .collect();
    let outside = [
        "clients",
        "ingress",
        "exchanger-worker",
        "bc-gateway-worker",
        "notification-worker",
    ];
    for (from, to) in &drawn {
        if !outside.contains(&from.as_str()) && !CALLS.contains(&(from, to)) {
            problems.push(format!(
                "assets/service_diagram.dot shows that {from} calls {to}, which it may not"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = "
kind: NetworkPolicy
metadata: {name: x}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [PEER], ports: [PORT]}], egress: [NAMES]}
---
kind: Deployment
metadata: {name: auth}
spec: {template: {metadata: {labels: {app: auth}}, spec: {containers: [{ports: [{name: internal, containerPort: 8001}]}]}}}
";

    fn enters(peer: &str, port: &str) -> bool {
        let objects = Objects::parse(&OBJECTS.replace("PEER", peer).replace("PORT", port)).unwrap();
        let policies: Vec<&Value> = objects.of("NetworkPolicy").collect();
        let auth = objects.workloads()[0];
        allows(&policies, "ingress", auth, Peer::Pod(auth), auth, 8001)
    }

    #[test]
    fn a_port_without_a_protocol_is_tcp_and_an_address_may_be_a_pod() {
        let pods = "{podSelector: {matchLabels: {app: auth}}}";
        assert!(enters(pods, "{protocol: TCP, port: internal}"));
        assert!(enters(pods, "{port: internal}"));
        assert!(!enters(pods, "{protocol: UDP, port: internal}"));
        assert!(enters("{ipBlock: {cidr: 10.0.0.0/8}}", "{port: internal}"));
        assert!(!enters(
            "{podSelector: {matchLabels: {app: wallet}}}",
            "{port: internal}"
        ));
    }

    #[test]
    fn who_cannot_ask_for_names_by_both_protocols_is_told() {
        let system = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}";
        let by = |ports: &str| {
            let text = OBJECTS.replace("NAMES", &format!("{{to: [{system}], ports: [{ports}]}}"));
            let problems = check(&Objects::parse(&text).unwrap());
            problems
                .iter()
                .any(|problem| problem.starts_with("auth asks for names"))
        };
        assert!(!by("{protocol: UDP, port: 53}, {port: 53}"));
        assert!(by("{protocol: UDP, port: 53}"));
        assert!(by("{protocol: UDP, port: 53}, {port: 443}"));
    }
}
