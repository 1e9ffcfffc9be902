//! The words that NetworkPolicies may be written in: those that [`super::network`] reads as a cluster does. Whatever else one
//! says is refused, so that nothing is open that it takes for closed.

use serde_json::Value;

use super::network::protocol;
use super::objects::{Workload, list, name, selects, text};

/// Ports outside that are tried; rules may name no other.
pub(super) const OUTSIDE: [u64; 8] = [25, 80, 443, 465, 587, 4222, 5432, 8001];
/// Ports of whoever measures that are tried; rules may name no other.
pub(super) const MONITORING: [u64; 5] = [80, 443, 4318, 8001, 9090];
/// Where names are asked for.
const NAMES: u64 = 53;

/// Who is meant by a rule.
#[derive(Clone, Copy)]
enum Meant<'a> {
    /// Pods of this namespace.
    Pods(&'a Value),
    /// All pods of another one.
    Namespace(&'a str),
    /// Addresses, or everybody.
    Anybody,
}

/// Everything that a policy says in other words.
pub(super) fn check(policies: &[&Value], workloads: &[Workload<'_>]) -> Vec<String> {
    let mut problems = Vec::new();
    for policy in policies {
        let found = of_policy(policy, workloads).err();
        problems.extend(found.map(|problem| format!("NetworkPolicy {}: {problem}", name(policy))));
    }
    problems
}

fn of_policy(policy: &Value, workloads: &[Workload<'_>]) -> Result<(), String> {
    let spec = &policy["spec"];
    only(spec, &["podSelector", "policyTypes", "ingress", "egress"])?;
    selector(&spec["podSelector"])?;
    let types: Vec<&str> = list(&spec["policyTypes"]).map(text).collect();
    if types.is_empty() || types.iter().any(|kind| !["Ingress", "Egress"].contains(kind)) {
        return Err(format!("what it governs is not read: {types:?}"));
    }
    let here: Vec<Workload<'_>> = workloads
        .iter()
        .filter(|workload| selects(&spec["podSelector"], workload.labels))
        .copied()
        .collect();
    for (direction, kind, side) in [("ingress", "Ingress", "from"), ("egress", "Egress", "to")] {
        if !spec[direction].is_null() && !types.contains(&kind) {
            return Err(format!("it has rules for {direction} and does not govern it"));
        }
        for rule in list(&spec[direction]) {
            only(rule, &[side, "ports"])?;
            for meant in peers(&rule[side])? {
                ports(rule, direction, meant, &here, workloads)?;
            }
        }
    }
    Ok(())
}

/// There are no fields but these.
fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let fields = value.as_object().ok_or_else(|| format!("it is not read: {value}"))?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(format!("{field} is not read: {value}")),
        None => Ok(()),
    }
}

/// Labels that are all asked for, or keys that are in a list.
fn selector(value: &Value) -> Result<(), String> {
    only(value, &["matchLabels", "matchExpressions"])?;
    for expression in list(&value["matchExpressions"]) {
        only(expression, &["key", "operator", "values"])?;
        if expression["operator"] != "In" {
            return Err(format!("its operator is not read: {expression}"));
        }
    }
    Ok(())
}

/// Whom a rule names; everybody where it names nobody.
fn peers(peers: &Value) -> Result<Vec<Meant<'_>>, String> {
    if peers.is_null() {
        return Ok(vec![Meant::Anybody]);
    }
    let meant: Vec<Meant<'_>> = list(peers).map(peer).collect::<Result<_, _>>()?;
    // To a cluster an empty list is everybody.
    if meant.is_empty() {
        return Err("an empty list of peers is not read".to_owned());
    }
    Ok(meant)
}

fn peer(peer: &Value) -> Result<Meant<'_>, String> {
    let fields: Vec<&str> = peer
        .as_object()
        .into_iter()
        .flatten()
        .map(|(field, _)| field.as_str())
        .collect();
    match fields.as_slice() {
        ["podSelector"] => {
            selector(&peer["podSelector"])?;
            Ok(Meant::Pods(&peer["podSelector"]))
        }
        ["namespaceSelector"] => {
            let selector = &peer["namespaceSelector"];
            only(selector, &["matchLabels"])?;
            only(&selector["matchLabels"], &["kubernetes.io/metadata.name"])?;
            match text(&selector["matchLabels"]["kubernetes.io/metadata.name"]) {
                known @ ("kube-system" | "monitoring") => Ok(Meant::Namespace(known)),
                other => Err(format!("the namespace {other:?} is not read")),
            }
        }
        ["ipBlock"] => {
            only(&peer["ipBlock"], &["cidr"])?;
            Ok(Meant::Anybody)
        }
        _ => Err(format!("a peer by {fields:?} is not read")),
    }
}

/// The ports are among those that are tried at whom the rule means.
fn ports(
    rule: &Value,
    direction: &str,
    meant: Meant<'_>,
    here: &[Workload<'_>],
    workloads: &[Workload<'_>],
) -> Result<(), String> {
    if list(&rule["ports"]).len() == 0 {
        return Err("a rule for all ports is not read".to_owned());
    }
    for port in list(&rule["ports"]) {
        only(port, &["protocol", "port"])?;
        let (wanted, number) = (&port["port"], port["port"].as_u64());
        let among = |known: &[u64]| number.is_some_and(|number| known.contains(&number));
        let declared = |workload: &Workload<'_>| {
            let known = workload.containers().flat_map(|container| list(&container["ports"]));
            known
                .into_iter()
                .any(|known| known["name"] == *wanted || known["containerPort"] == *wanted)
        };
        let is_names = direction == "egress" && matches!(meant, Meant::Namespace("kube-system"));
        let is_known = match (direction, meant) {
            ("egress", Meant::Namespace("kube-system")) => among(&[NAMES]),
            ("egress", Meant::Namespace(_)) => among(&MONITORING),
            ("egress", Meant::Anybody) => among(&OUTSIDE),
            ("egress", Meant::Pods(selector)) => workloads
                .iter()
                .any(|workload| selects(selector, workload.labels) && declared(workload)),
            (_, Meant::Namespace("kube-system")) => false,
            _ => here.iter().any(declared),
        };
        if !is_known {
            return Err(format!("a port that nobody tries is not read: {port}"));
        }
        if protocol(port) != "TCP" && !(is_names && protocol(port) == "UDP") {
            return Err(format!("its protocol is not read: {port}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifests::objects::Objects;

    use super::*;

    const POD: &str = "
---
kind: Deployment
metadata: {name: auth}
spec:
  template:
    metadata: {labels: {app.kubernetes.io/name: auth}}
    spec: {containers: [{ports: [{name: internal, containerPort: 8001}]}]}
";

    /// What is said of a policy of auth with this `spec` beside its selector.
    fn said(spec: &str) -> Vec<String> {
        let policy = format!(
            "kind: NetworkPolicy\nmetadata: {{name: x}}\nspec: {{podSelector: {{matchLabels: {{app.kubernetes.io/name: auth}}}}, {spec}}}"
        );
        let objects = Objects::parse(&(policy + POD)).unwrap();
        let policies: Vec<&Value> = objects.of("NetworkPolicy").collect();
        check(&policies, &objects.workloads())
    }

    fn ingress(rule: &str) -> Vec<String> {
        said(&format!("policyTypes: [Ingress], ingress: [{rule}]"))
    }

    fn egress(rule: &str) -> Vec<String> {
        said(&format!("policyTypes: [Egress], egress: [{rule}]"))
    }

    const AUTH: &str = "{podSelector: {matchLabels: {app.kubernetes.io/name: auth}}}";
    const SYSTEM: &str = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}";

    #[test]
    fn what_is_read_as_a_cluster_reads_it_is_fine() {
        let none = Vec::<String>::new();
        assert_eq!(
            ingress(&format!("{{from: [{AUTH}], ports: [{{port: internal}}]}}")),
            none
        );
        assert_eq!(ingress("{ports: [{protocol: TCP, port: 8001}]}"), none);
        assert_eq!(
            egress(&format!("{{to: [{SYSTEM}], ports: [{{protocol: UDP, port: 53}}]}}")),
            none
        );
        assert_eq!(
            egress("{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 5432}]}"),
            none
        );
    }

    #[test]
    fn ports_that_nobody_tries_are_refused() {
        for port in [
            "{port: 9999}",
            "{port: public}",
            "{port: 8001, endPort: 9000}",
            "{protocol: SCTP, port: 8001}",
            "{protocol: UDP, port: 8001}",
            "{protocol: TCP}",
        ] {
            assert_eq!(
                ingress(&format!("{{from: [{AUTH}], ports: [{port}]}}")).len(),
                1,
                "{port}"
            );
            assert_eq!(egress(&format!("{{to: [{AUTH}], ports: [{port}]}}")).len(), 1, "{port}");
        }
        assert_eq!(ingress(&format!("{{from: [{AUTH}]}}")).len(), 1, "all ports");
        assert_eq!(ingress(&format!("{{from: [{AUTH}], ports: []}}")).len(), 1, "all ports");
        assert_eq!(egress("{ports: [{port: 22}]}").len(), 1);
        assert_eq!(egress("{ports: [{port: internal}]}").len(), 1, "no pod is meant");
        assert_eq!(egress(&format!("{{to: [{SYSTEM}], ports: [{{port: 443}}]}}")).len(), 1);
    }

    #[test]
    fn peers_of_other_shapes_are_refused() {
        for peer in [
            "{}",
            "{namespaceSelector: {}}",
            "{namespaceSelector: {matchLabels: {team: a}}}",
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: prj}}}",
            "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, podSelector: {}}",
            "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}",
            "{podSelector: {matchExpressions: [{key: app.kubernetes.io/name, operator: NotIn, values: [wallet]}]}}",
        ] {
            let said = ingress(&format!("{{from: [{peer}], ports: [{{port: internal}}]}}"));
            assert_eq!(said.len(), 1, "{peer}: {said:?}");
        }
        assert_eq!(ingress("{from: [], ports: [{port: internal}]}").len(), 1, "everybody");
        assert_eq!(
            ingress(&format!("{{from: [{SYSTEM}], ports: [{{port: internal}}]}}")).len(),
            1
        );
    }

    #[test]
    fn a_policy_governs_what_it_has_rules_for() {
        let rule = format!("{{from: [{AUTH}], ports: [{{port: internal}}]}}");
        assert_eq!(said(&format!("ingress: [{rule}]")).len(), 1);
        assert_eq!(said(&format!("policyTypes: [Egress], ingress: [{rule}]")).len(), 1);
        assert_eq!(said("policyTypes: [Egress], extra: 1").len(), 1);
    }
}
