//! The NetworkPolicies as rules for each pod's own network, enforced at both ends as a cluster does; and who should reach whom
//! by the design, so that it can be tried. Pure.

use std::fmt;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::manifests::network::{Peer, allows, names, wanted};
use crate::manifests::objects::{Objects, Workload, list};

use super::plan::Pod;

/// The others in the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// This machine: it asks the probes, as the node of a pod does, and answers questions for names.
    pub(super) node: Ipv4Addr,
    /// A pod of somebody else's, in which what runs the Ingress runs.
    pub(super) outsider: Ipv4Addr,
}

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) pod: String,
    pub(super) address: Ipv4Addr,
    pub(super) port: u64,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// The rules of a pod, as `iptables-restore` reads them. What is not named is refused at once, so that whoever tries hears of it.
pub(super) fn rules(objects: &Objects, pods: &[Pod], pod: &Pod, around: Around) -> String {
    let policies: Vec<&Value> = objects.of("NetworkPolicy").collect();
    let workloads = objects.workloads();
    let mut lines = vec![
        "*filter".to_owned(),
        ":INPUT DROP [0:0]".to_owned(),
        ":FORWARD DROP [0:0]".to_owned(),
        ":OUTPUT DROP [0:0]".to_owned(),
    ];
    for chain in ["INPUT", "OUTPUT"] {
        lines.push(format!(
            "-A {chain} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
        ));
    }
    lines.push("-A INPUT -i lo -j ACCEPT".to_owned());
    lines.push("-A OUTPUT -o lo -j ACCEPT".to_owned());
    lines.push(format!("-A INPUT -s {} -p tcp -j ACCEPT", around.node));
    let own = find(&workloads, pod);
    for other in pods {
        let (Some(own), Some(peer)) = (own, find(&workloads, other)) else {
            continue;
        };
        let address = other.address;
        for port in ports(own).filter(|port| allows(&policies, "ingress", own, Peer::Pod(peer), own, *port)) {
            lines.push(format!("-A INPUT -s {address} -p tcp --dport {port} -j ACCEPT"));
        }
        for port in ports(peer).filter(|port| allows(&policies, "egress", own, Peer::Pod(peer), peer, *port)) {
            lines.push(format!("-A OUTPUT -d {address} -p tcp --dport {port} -j ACCEPT"));
        }
    }
    if let Some(own) = own {
        let outsider = around.outsider;
        for port in ports(own).filter(|port| allows(&policies, "ingress", own, Peer::Outside, own, *port)) {
            lines.push(format!("-A INPUT -s {outsider} -p tcp --dport {port} -j ACCEPT"));
        }
        for protocol in names(&policies, own) {
            lines.push(format!(
                "-A OUTPUT -d {} -p {protocol} --dport 53 -j ACCEPT",
                around.node
            ));
        }
    }
    for chain in ["INPUT", "OUTPUT"] {
        // Of other answers the kernel gives one a second.
        lines.push(format!("-A {chain} -p tcp -j REJECT --reject-with tcp-reset"));
        lines.push(format!("-A {chain} -j REJECT"));
    }
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

/// Every port of every pod, and whether `from` should reach it: DESIGN's edges, not what the policies make of them. `None` is
/// the pod of somebody else's.
pub(super) fn doors(objects: &Objects, pods: &[Pod], from: Option<&Pod>) -> Vec<(Door, bool)> {
    let workloads = objects.workloads();
    let wanted = wanted(&workloads);
    let from = from.and_then(|pod| find(&workloads, pod));
    let mut doors = Vec::new();
    for pod in pods {
        let Some(to) = find(&workloads, pod) else { continue };
        for port in ports(to) {
            let is_open = match from {
                Some(from) => wanted.contains(&(from.role(), to.role(), port)),
                None => port == 8000,
            };
            let (pod, address) = (pod.name.clone(), pod.address);
            doors.push((Door { pod, address, port }, is_open));
        }
    }
    doors
}

fn find<'a>(workloads: &[Workload<'a>], pod: &Pod) -> Option<Workload<'a>> {
    workloads.iter().find(|workload| workload.name == pod.workload).copied()
}

fn ports(workload: Workload<'_>) -> impl Iterator<Item = u64> {
    let ports = workload.containers().flat_map(|container| list(&container["ports"]));
    ports.filter_map(|port| port["containerPort"].as_u64())
}

#[cfg(test)]
mod tests {
    use crate::manifests::containers::Secrets;
    use crate::pods::plan;

    use super::*;

    const OBJECTS: &str = "
kind: NetworkPolicy
metadata: {name: default-deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
kind: NetworkPolicy
metadata: {name: names}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}], ports: [{protocol: UDP, port: 53}]}]
---
kind: NetworkPolicy
metadata: {name: calls}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: wallet}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app.kubernetes.io/name: auth}}}], ports: [{protocol: TCP, port: internal}]}]
---
kind: NetworkPolicy
metadata: {name: called}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: auth}}
  policyTypes: [Ingress]
  ingress:
    - {from: [{podSelector: {matchLabels: {app.kubernetes.io/name: wallet}}}], ports: [{protocol: TCP, port: internal}]}
    - {ports: [{protocol: TCP, port: public}]}
";

    fn objects() -> Objects {
        let mut text = OBJECTS.to_owned();
        for name in ["auth", "wallet"] {
            text.push_str(&format!(
                "---\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n  template:\n    metadata: {{labels: \
                 {{app.kubernetes.io/name: {name}, app.kubernetes.io/component: api}}}}\n    spec:\n      securityContext: \
                 {{runAsUser: 1, runAsGroup: 1, fsGroup: 1}}\n      containers: [{{name: c, image: i, resources: {{limits: \
                 {{cpu: '1', memory: 1Mi}}}}, ports: [{{name: internal, containerPort: 8001}}, {{name: public, \
                 containerPort: 8000}}]}}]\n"
            ));
        }
        Objects::parse(&text).unwrap()
    }

    #[test]
    fn a_pod_takes_from_and_sends_to_whom_the_policies_name_and_refuses_everybody_else() {
        let objects = objects();
        let pods = plan::pods(&objects, &Secrets::new(), Ipv4Addr::new(10, 0, 0, 10)).unwrap();
        let around = Around {
            node: Ipv4Addr::new(10, 0, 0, 1),
            outsider: Ipv4Addr::new(10, 0, 0, 2),
        };
        let accepted = |pod: &Pod| -> Vec<String> {
            let rules = rules(&objects, &pods, pod, around);
            assert!(rules.contains(":INPUT DROP") && rules.contains(":OUTPUT DROP"));
            let lines = rules
                .lines()
                .filter(|line| line.contains("dport") && line.ends_with("ACCEPT"));
            lines
                .map(|line| line.replace(" -p tcp --dport", "").replace(" -j ACCEPT", ""))
                .collect()
        };
        let names = "-A OUTPUT -d 10.0.0.1 -p udp --dport 53";
        assert_eq!(
            accepted(&pods[0]),
            [
                "-A INPUT -s 10.0.0.10 8000",
                "-A INPUT -s 10.0.0.11 8001",
                "-A INPUT -s 10.0.0.11 8000",
                "-A INPUT -s 10.0.0.2 8000",
                names
            ]
        );
        assert_eq!(accepted(&pods[1]), ["-A OUTPUT -d 10.0.0.10 8001", names]);
        let open = |from| -> Vec<String> {
            let doors = doors(&objects, &pods, from).into_iter().filter(|(_, is_open)| *is_open);
            doors.map(|(door, _)| format!("{}:{}", door.pod, door.port)).collect()
        };
        assert_eq!(open(Some(&pods[1])), ["auth-1:8001"]);
        assert_eq!(open(Some(&pods[0])), Vec::<String>::new());
        assert_eq!(open(None), ["auth-1:8000", "wallet-1:8000"]);
    }
}
