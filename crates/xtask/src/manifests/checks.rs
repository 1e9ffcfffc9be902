//! What schemas miss: names that lead nowhere, settings that there are not, doors that are not the public ones.

use std::collections::BTreeSet;

use super::objects::{Objects, Workload, list, name, selects, text};
use super::{Known, ingress};

/// Connections that a process keeps to PostgreSQL (`CAMBIST_DATABASE_CONNECTIONS`), and those left for people and Jobs.
const CONNECTIONS: u64 = 8;
const SPARE: u64 = 20;

/// Everything that is wrong with an overlay.
pub(super) fn all(objects: &Objects, known: &Known) -> Vec<String> {
    [
        namespaces(objects),
        selectors(objects),
        services(objects),
        references(objects),
        variables(objects, known),
        ingress::check(objects, known),
        pods(objects),
        scaling(objects),
    ]
    .concat()
}

/// Everything is in the namespace, which comes first and lets nothing run that needs rights.
fn namespaces(objects: &Objects) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let (kind, name) = (text(&object["kind"]), name(object));
        let metadata = &object["metadata"];
        if (at == 0) != (kind == "Namespace") {
            problems.push(format!("{kind} {name} stands at {at}; the Namespace comes first"));
        }
        if kind != "Namespace" && metadata["namespace"] != "prj" {
            problems.push(format!("{kind} {name} is not in the namespace prj"));
        }
        if kind == "Namespace" && metadata["labels"]["pod-security.kubernetes.io/enforce"] != "restricted" {
            problems.push(format!("{kind} {name} does not enforce restricted pods"));
        }
        let phase = text(&metadata["labels"]["cambist.phase"]);
        if kind != "Namespace" && !["foundation", "schema", "services"].contains(&phase) {
            problems.push(format!("{kind} {name} has no phase, so install.sh would not apply it"));
        }
        if kind == "Secret" {
            problems.push(format!("{kind} {name}: secrets are made at install, never here"));
        }
    }
    problems
}

/// Every selector selects something, and a workload's exactly its own pods.
fn selectors(objects: &Objects) -> Vec<String> {
    let workloads = objects.workloads();
    let mut problems = Vec::new();
    for object in objects.iter() {
        let (kind, spec) = (text(&object["kind"]), &object["spec"]);
        let selector = match kind {
            "Service" | "PodDisruptionBudget" | "Deployment" | "StatefulSet" => &spec["selector"],
            "NetworkPolicy" => &spec["podSelector"],
            _ => continue,
        };
        let of_all = kind == "NetworkPolicy" && selector.as_object().is_some_and(serde_json::Map::is_empty);
        let selected: Vec<&str> = workloads
            .iter()
            .filter(|workload| selects(selector, workload.labels))
            .map(|workload| workload.name)
            .collect();
        let fits = match kind {
            "Deployment" | "StatefulSet" | "Service" | "PodDisruptionBudget" => selected.len() == 1,
            _ => of_all || !selected.is_empty(),
        };
        let own = !matches!(kind, "Deployment" | "StatefulSet") || selected == [name(object)];
        if !(fits && own) {
            problems.push(format!("{kind} {} selects {selected:?}", name(object)));
        }
    }
    problems
}

/// A Service's ports lead to ports of the pods behind it, and its name is one that the settings use.
fn services(objects: &Objects) -> Vec<String> {
    let workloads = objects.workloads();
    let mut problems = Vec::new();
    for service in objects.of("Service") {
        let behind = |workload: &&Workload<'_>| selects(&service["spec"]["selector"], workload.labels);
        for workload in workloads.iter().filter(behind) {
            for port in list(&service["spec"]["ports"]) {
                let named = workload.containers().flat_map(|container| list(&container["ports"]));
                if !named
                    .into_iter()
                    .any(|known| known["name"] == port["targetPort"] && known["containerPort"] == port["port"])
                {
                    problems.push(format!(
                        "Service {}: {} has no such port: {port}",
                        name(service),
                        workload.name
                    ));
                }
            }
        }
    }
    problems
}

/// ConfigMaps and claims that are named exist.
fn references(objects: &Objects) -> Vec<String> {
    let mut problems = Vec::new();
    for workload in objects.workloads() {
        let mut wanted = Vec::new();
        for container in workload.containers() {
            wanted.extend(list(&container["envFrom"]).map(|from| ("ConfigMap", &from["configMapRef"]["name"])));
            for mount in list(&container["volumeMounts"]) {
                let templates = list(&workload.object["spec"]["volumeClaimTemplates"]);
                let mut known = list(&workload.pod["volumes"])
                    .map(|volume| &volume["name"])
                    .chain(templates.map(|template| &template["metadata"]["name"]));
                if !known.any(|volume| *volume == mount["name"]) {
                    problems.push(format!(
                        "{} mounts {}, which is no volume",
                        workload.name, mount["name"]
                    ));
                }
            }
        }
        for volume in list(&workload.pod["volumes"]) {
            wanted.push(("ConfigMap", &volume["configMap"]["name"]));
            wanted.push(("PersistentVolumeClaim", &volume["persistentVolumeClaim"]["claimName"]));
        }
        for (kind, name) in wanted.into_iter().filter(|(_, name)| !name.is_null()) {
            if objects.find(kind, text(name)).is_none() {
                problems.push(format!("{} names the {kind} {name}, which there is not", workload.name));
            }
        }
    }
    problems
}

/// What a process is told are settings that it knows, and what they are put together from is there.
fn variables(objects: &Objects, known: &Known) -> Vec<String> {
    let mut problems = Vec::new();
    for workload in objects.workloads() {
        for container in workload.containers() {
            let mut there: BTreeSet<String> = BTreeSet::new();
            for from in list(&container["envFrom"]) {
                let map = objects.find("ConfigMap", text(&from["configMapRef"]["name"]));
                let keys = map.and_then(|map| map["data"].as_object()).into_iter();
                there.extend(keys.flat_map(serde_json::Map::keys).cloned());
            }
            for variable in list(&container["env"]) {
                let missing = expansions(text(&variable["value"])).filter(|part| !there.contains(*part));
                problems.extend(missing.map(|part| format!("{}: {part} is not there", workload.name)));
                there.insert(text(&variable["name"]).to_owned());
            }
            let arguments = list(&container["args"]).flat_map(|argument| expansions(text(argument)));
            let missing = arguments.filter(|part| !there.contains(*part));
            problems.extend(missing.map(|part| format!("{}: {part} is not there", workload.name)));
            let unknown = there
                .iter()
                .filter(|name| name.starts_with("CAMBIST_") && !known.settings.contains(*name));
            problems.extend(unknown.map(|name| format!("{}: there is no setting {name}", workload.name)));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

/// `A` and `B` of `$(A)://$(B)`.
fn expansions(value: &str) -> impl Iterator<Item = &str> {
    value
        .split("$(")
        .skip(1)
        .filter_map(|part| part.split_once(')'))
        .map(|(name, _)| name)
}

/// Every pod is confined, watched and bounded.
fn pods(objects: &Objects) -> Vec<String> {
    let mut problems = Vec::new();
    for workload in objects.workloads() {
        let mut wants = |fine: bool, what: &str| {
            if !fine {
                problems.push(format!("{} {}: {what}", workload.kind, workload.name));
            }
        };
        let pod = workload.pod;
        wants(
            pod["enableServiceLinks"] == false,
            "variables of Services would be unknown settings",
        );
        wants(
            pod["automountServiceAccountToken"] == false,
            "it needs no token of the cluster's",
        );
        wants(pod["securityContext"]["runAsNonRoot"] == true, "it may run as root");
        for container in workload.containers() {
            let (limits, requests) = (&container["resources"]["limits"], &container["resources"]["requests"]);
            for what in ["cpu", "memory"] {
                wants(
                    limits[what].is_string() && requests[what].is_string(),
                    "it is not bounded",
                );
            }
            let context = &container["securityContext"];
            wants(context["readOnlyRootFilesystem"] == true, "its root can be written");
            wants(context["capabilities"]["drop"][0] == "ALL", "it has capabilities");
            if !matches!(workload.kind, "Job" | "CronJob") {
                for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                    wants(!container[probe].is_null(), "a probe is missing");
                }
            }
        }
    }
    problems
}

/// APIs scale; every service can lose a pod to a drained node, one at a time; and PostgreSQL takes as many connections as
/// all of them may open.
fn scaling(objects: &Objects) -> Vec<String> {
    let mut problems = Vec::new();
    let mut processes = 0;
    for workload in objects
        .workloads()
        .iter()
        .filter(|workload| workload.kind == "Deployment")
    {
        let scaler = objects.of("HorizontalPodAutoscaler").find(|scaler| {
            scaler["spec"]["scaleTargetRef"]["name"] == *workload.name
                && scaler["spec"]["scaleTargetRef"]["kind"] == "Deployment"
        });
        let is_api = workload.label("app.kubernetes.io/component") == "api";
        if is_api != scaler.is_some() || is_api != workload.object["spec"]["replicas"].is_null() {
            problems.push(format!("{}: APIs are scaled by an autoscaler alone", workload.name));
        }
        if workload.name == "simulators" {
            continue;
        }
        let most = scaler.map_or(
            &workload.object["spec"]["replicas"],
            |scaler| &scaler["spec"]["maxReplicas"],
        );
        processes += most.as_u64().unwrap_or(0);
        let budget = objects
            .of("PodDisruptionBudget")
            .any(|budget| selects(&budget["spec"]["selector"], workload.labels));
        if !budget {
            problems.push(format!("{} has no PodDisruptionBudget", workload.name));
        }
    }
    if let Some(postgres) = objects.find("StatefulSet", "postgres") {
        let arguments = list(&postgres["spec"]["template"]["spec"]["containers"][0]["args"]).map(text);
        let most = arguments.filter_map(|argument| argument.strip_prefix("max_connections=")?.parse::<u64>().ok());
        let (most, wanted): (u64, u64) = (most.sum(), processes * CONNECTIONS + SPARE);
        if most < wanted {
            problems.push(format!(
                "PostgreSQL takes {most} connections, the processes may open {wanted}"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            settings: ["CAMBIST_LISTEN".to_owned()].into(),
            secrets: BTreeSet::new(),
            public: BTreeSet::new(),
            body: 0,
        }
    }

    fn objects(text: &str) -> Objects {
        Objects::parse(text).unwrap()
    }

    #[test]
    fn a_variable_is_a_setting_and_made_from_what_is_there() {
        let text = "
kind: Deployment
metadata: {name: auth}
spec: {template: {spec: {containers: [{env: [
  {name: HOST, value: postgres},
  {name: CAMBIST_LISTEN, value: $(HOST):$(PORT)},
  {name: CAMBIST_LISTN, value: x},
]}]}}}
";
        let problems = variables(&objects(text), &known());
        assert_eq!(
            problems,
            ["auth: PORT is not there", "auth: there is no setting CAMBIST_LISTN"]
        );
    }

    #[test]
    fn a_service_leads_to_a_port_of_the_pods_that_it_selects() {
        let text = "
kind: Service
metadata: {name: auth}
spec: {selector: {app: auth}, ports: [{port: 8001, targetPort: internal}]}
---
kind: Deployment
metadata: {name: auth}
spec:
  selector: {matchLabels: {app: auth}}
  template: {metadata: {labels: {app: auth}}, spec: {containers: [{ports: [{name: PORT, containerPort: 8001}]}]}}
";
        assert!(services(&objects(&text.replace("PORT", "internal"))).is_empty());
        assert_eq!(services(&objects(&text.replace("PORT", "inside"))).len(), 1);
        assert!(selectors(&objects(text)).is_empty());
        let stray = text.replace("{selector: {app: auth}", "{selector: {app: auht}");
        assert_eq!(selectors(&objects(&stray)), ["Service auth selects []"]);
    }
}
