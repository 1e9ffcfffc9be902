//! Who may read which secret: each process its own, and of the others only the tokens by which it knows its callers.

use std::collections::BTreeSet;

use super::network::CALLS;
use super::objects::{Objects, Workload, list, text};

/// What `deploy/secrets.txt` lists: Secret and key.
pub(super) fn listed(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect()
}

/// Every secret that is read is made at install, and is for whoever reads it.
pub(super) fn check(objects: &Objects, made: &BTreeSet<(String, String)>) -> Vec<String> {
    let mut problems = Vec::new();
    for workload in objects.workloads() {
        for container in workload.containers() {
            for variable in list(&container["env"]) {
                let reference = &variable["valueFrom"]["secretKeyRef"];
                if reference.is_null() {
                    continue;
                }
                let (secret, key) = (text(&reference["name"]), text(&reference["key"]));
                let told = format!("{} {} reads {secret}/{key}", workload.kind, workload.name);
                if reference["optional"] != true && !made.contains(&(secret.to_owned(), key.to_owned())) {
                    problems.push(format!("{told}, which deploy/secrets.txt does not make"));
                }
                if !may_read(workload, secret, key) {
                    problems.push(format!("{told}, which is none of its business"));
                }
            }
        }
        let mounted = list(&workload.pod["volumes"]).any(|volume| !volume["secret"].is_null());
        let poured = workload.containers().flat_map(|container| list(&container["envFrom"]));
        if mounted || poured.into_iter().any(|source| !source["secretRef"].is_null()) {
            problems.push(format!("{} {} takes a whole Secret", workload.kind, workload.name));
        }
    }
    problems
}

fn may_read(workload: Workload<'_>, secret: &str, key: &str) -> bool {
    let name = workload.label("app.kubernetes.io/name");
    let is_api = workload.label("app.kubernetes.io/component") == "api";
    match (name, key) {
        ("migrate", "database-password") => true,
        ("migrate" | "postgres", "user" | "password") => secret == "postgres",
        ("nats", "nats-password") => true,
        // The first block of the simulated chain pays the hot wallet.
        ("simulators", "chain-seed") => secret == "bc-gateway",
        // By its token a caller is known.
        (_, "internal-token") if secret == "operator" => is_api || name == "simulators",
        (_, "internal-token") if secret != name => {
            let called = CALLS.contains(&(secret, name)) && is_api;
            called || name == "simulators" && matches!(secret, "exchanger" | "bc-gateway")
        }
        _ => secret == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "
kind: Deployment
metadata: {name: NAME}
spec:
  template:
    metadata: {labels: {app.kubernetes.io/name: NAME, app.kubernetes.io/component: api}}
    spec:
      containers:
        - name: cambist
          env:
            - {name: X, valueFrom: {secretKeyRef: {name: SECRET, key: KEY}}}
";

    fn problems(name: &str, secret: &str, key: &str) -> usize {
        let text = POD.replace("NAME", name).replace("SECRET", secret).replace("KEY", key);
        let made = listed("# made\nwallet internal-token\nbc-gateway chain-seed\npostgres user cambist\n");
        check(&Objects::parse(&text).unwrap(), &made).len()
    }

    #[test]
    fn each_reads_its_own_and_the_tokens_of_its_callers() {
        assert_eq!(problems("bc-gateway", "bc-gateway", "chain-seed"), 0);
        assert_eq!(problems("balance", "wallet", "internal-token"), 0);
        assert_eq!(problems("wallet", "bc-gateway", "chain-seed"), 1);
        assert_eq!(problems("notification", "postgres", "user"), 1);
        assert_eq!(problems("wallet", "wallet", "forgotten"), 1, "nobody makes it");
    }
}
