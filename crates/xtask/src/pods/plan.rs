//! From rendered manifests to pods: which there are, what runs in each, with what around it. Pure: it decides, and runs nothing.
//!
//! What it keeps true: every word that a container is run with stands in the manifests, or is what a cluster makes of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::manifests::containers::{self, Environment, Secrets};
use crate::manifests::objects::{Objects, Workload, list, name, selects, text};

/// A pod as it is to be run.
#[derive(Debug)]
pub(super) struct Pod {
    /// `wallet-1`, `nats-0`, `migrate`.
    pub(super) name: String,
    /// Of its workload.
    pub(super) workload: String,
    /// `foundation`, `schema` or `services`: when install.sh would start it.
    pub(super) phase: String,
    /// The names of Services by which others find it.
    pub(super) names: Vec<String>,
    pub(super) address: Ipv4Addr,
    /// The group that its volumes belong to.
    pub(super) group: u32,
    pub(super) volumes: BTreeMap<String, Volume>,
    /// Run to their end, one after the other, before the others start.
    pub(super) first: Vec<Container>,
    pub(super) containers: Vec<Container>,
}

impl Pod {
    /// Whether it is to run until it is told to end; a Job comes to an end by itself.
    pub(super) fn stays(&self) -> bool {
        self.containers.iter().any(|container| !container.probes.is_empty())
    }
}

/// What a container finds at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Volume {
    /// An empty folder of this pod's.
    Empty,
    /// So many bytes of memory.
    Memory(u64),
    /// A folder that outlives the pod, by the name of its claim.
    Claim(String),
    /// Files to read, by their names.
    Files(BTreeMap<String, String>),
}

/// A container as it is to be run.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    /// Empty: the image's own.
    pub(super) command: Vec<String>,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Environment,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) is_read_only: bool,
    pub(super) may_gain_rights: bool,
    /// Capabilities that are taken away.
    pub(super) dropped: Vec<String>,
    /// Thousandths of a processor, and bytes.
    pub(super) processor: u64,
    pub(super) memory: u64,
    /// The volume's name, by path.
    pub(super) mounts: BTreeMap<String, String>,
    /// All that must be content before the pod counts as ready.
    pub(super) probes: Vec<Probe>,
}

/// A question whether a container is well.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// GET at this port, answered 200.
    Http { port: u64, path: String },
    /// A command inside that ends well.
    Command(Vec<String>),
}

/// All pods that the objects make, from `first` on an address each. Of a CronJob there is one, which is its turn.
pub(super) fn pods(objects: &Objects, secrets: &Secrets, first: Ipv4Addr) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    let mut addresses = (u32::from(first)..=u32::from(first) | 0xff).map(Ipv4Addr::from);
    for workload in objects.workloads() {
        for number in 0..replicas(objects, workload) {
            let name = match workload.kind {
                "StatefulSet" => format!("{}-{number}", workload.name),
                "Deployment" => format!("{}-{}", workload.name, number + 1),
                _ => workload.name.to_owned(),
            };
            let address = addresses.next().context("there are more pods than addresses")?;
            let pod = pod(objects, secrets, workload, &name, address);
            pods.push(pod.with_context(|| name)?);
        }
    }
    Ok(pods)
}

/// As many as a cluster starts: what is scaled begins with its least.
fn replicas(objects: &Objects, workload: Workload<'_>) -> u64 {
    if let Some(replicas) = workload.object["spec"]["replicas"].as_u64() {
        return replicas;
    }
    let mut scalers = objects.of("HorizontalPodAutoscaler");
    let scaler = scalers.find(|scaler| {
        let target = &scaler["spec"]["scaleTargetRef"];
        target["kind"] == *workload.kind && target["name"] == *workload.name
    });
    scaler.and_then(|it| it["spec"]["minReplicas"].as_u64()).unwrap_or(1)
}

fn pod(objects: &Objects, secrets: &Secrets, workload: Workload<'_>, name: &str, address: Ipv4Addr) -> Result<Pod> {
    let spec = workload.pod;
    let containers = |of: &Value| -> Result<Vec<Container>> {
        list(of)
            .map(|it| container(objects, secrets, workload, name, it))
            .collect()
    };
    Ok(Pod {
        name: name.to_owned(),
        workload: workload.name.to_owned(),
        phase: text(&workload.object["metadata"]["labels"]["cambist.phase"]).to_owned(),
        names: names(objects, workload, name),
        address,
        group: id(&spec["securityContext"]["fsGroup"])?,
        volumes: volumes(objects, workload, name)?,
        first: containers(&spec["initContainers"])?,
        containers: containers(&spec["containers"])?,
    })
}

/// The Services behind which a pod stands, and its own name where its set gives it one.
fn names(objects: &Objects, workload: Workload<'_>, pod: &str) -> Vec<String> {
    let behind = |service: &&Value| selects(&service["spec"]["selector"], workload.labels);
    let mut names: Vec<String> = objects
        .of("Service")
        .filter(behind)
        .map(|service| name(service).to_owned())
        .collect();
    let set = text(&workload.object["spec"]["serviceName"]);
    if !set.is_empty() {
        names.push(format!("{pod}.{set}"));
    }
    names
}

fn volumes(objects: &Objects, workload: Workload<'_>, pod: &str) -> Result<BTreeMap<String, Volume>> {
    let mut volumes = BTreeMap::new();
    for template in list(&workload.object["spec"]["volumeClaimTemplates"]) {
        let claim = format!("{}-{pod}", name(template));
        volumes.insert(name(template).to_owned(), Volume::Claim(claim));
    }
    for volume in list(&workload.pod["volumes"]) {
        let (claim, map) = (
            &volume["persistentVolumeClaim"]["claimName"],
            &volume["configMap"]["name"],
        );
        let kept = if !claim.is_null() {
            Volume::Claim(text(claim).to_owned())
        } else if !map.is_null() {
            let map = objects.find("ConfigMap", text(map)).context("a ConfigMap is missing")?;
            let files = map["data"].as_object().into_iter().flatten();
            Volume::Files(
                files
                    .map(|(file, content)| (file.clone(), text(content).to_owned()))
                    .collect(),
            )
        } else if volume["emptyDir"]["medium"] == "Memory" {
            Volume::Memory(bytes(&volume["emptyDir"]["sizeLimit"])?)
        } else if volume["emptyDir"].is_object() {
            Volume::Empty
        } else {
            bail!("{volume} is no volume that is understood");
        };
        volumes.insert(text(&volume["name"]).to_owned(), kept);
    }
    Ok(volumes)
}

fn container(
    objects: &Objects,
    secrets: &Secrets,
    workload: Workload<'_>,
    pod: &str,
    container: &Value,
) -> Result<Container> {
    let environment = containers::environment(objects, secrets, pod, container, str::to_owned)?;
    let (context, around) = (&container["securityContext"], &workload.pod["securityContext"]);
    let (user, group) = (id(&around["runAsUser"])?, id(&around["runAsGroup"])?);
    ensure!(user != 0, "it would run as root");
    let texts = |value: &Value| list(value).map(|text| self::text(text).to_owned()).collect();
    let mounts = list(&container["volumeMounts"])
        .map(|mount| (text(&mount["mountPath"]).to_owned(), text(&mount["name"]).to_owned()));
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
    let probes = probes.iter().map(|probe| &container[*probe]);
    let limits = &container["resources"]["limits"];
    Ok(Container {
        name: text(&container["name"]).to_owned(),
        image: text(&container["image"]).to_owned(),
        command: texts(&container["command"]),
        arguments: containers::arguments(container, &environment),
        environment,
        user,
        group,
        is_read_only: context["readOnlyRootFilesystem"] == true,
        may_gain_rights: context["allowPrivilegeEscalation"] != false,
        dropped: texts(&context["capabilities"]["drop"]),
        processor: thousandths(&limits["cpu"])?,
        memory: bytes(&limits["memory"])?,
        mounts: mounts.collect(),
        probes: probes
            .filter(|probe| !probe.is_null())
            .map(|probe| self::probe(workload, probe))
            .collect::<Result<_>>()?,
    })
}

fn probe(workload: Workload<'_>, probe: &Value) -> Result<Probe> {
    if let Some(command) = probe["exec"]["command"].as_array() {
        return Ok(Probe::Command(
            command.iter().map(|word| text(word).to_owned()).collect(),
        ));
    }
    let question = &probe["httpGet"];
    Ok(Probe::Http {
        port: workload.port(&question["port"]).context("a probe has no port")?,
        path: text(&question["path"]).to_owned(),
    })
}

/// The number of a user or a group.
fn id(value: &Value) -> Result<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.context("a pod names no user, or no group")
}

/// `512Mi` in bytes. Of the units, the manifests use two.
fn bytes(value: &Value) -> Result<u64> {
    let text = text(value);
    let sized = |unit, size: u64| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(size);
    let bytes = sized("Mi", 1 << 20).or_else(|| sized("Gi", 1 << 30));
    bytes.with_context(|| format!("{value} is no size"))
}

/// `250m` or `2` processors, in thousandths.
fn thousandths(value: &Value) -> Result<u64> {
    let text = text(value);
    let parsed = match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => text.parse::<u64>().ok().and_then(|whole| whole.checked_mul(1000)),
    };
    parsed.with_context(|| format!("{value} is no number of processors"))
}

#[cfg(test)]
mod tests;
