//! A stub of the Kubernetes API: keeps what kubectl hands in, says of workloads that they are ready, and remembers what it was
//! asked to change, in order. It decides nothing that a cluster decides beside that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::http::{self, Answer, Request};

/// The kinds it knows: group and version, plural, kind, whether they lie in namespaces.
const KINDS: [(&str, &str, &str, bool); 17] = [
    ("v1", "namespaces", "Namespace", false),
    ("v1", "nodes", "Node", false),
    ("v1", "configmaps", "ConfigMap", true),
    ("v1", "secrets", "Secret", true),
    ("v1", "services", "Service", true),
    ("v1", "pods", "Pod", true),
    ("v1", "events", "Event", true),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
    ("apps/v1", "deployments", "Deployment", true),
    ("apps/v1", "statefulsets", "StatefulSet", true),
    ("apps/v1", "replicasets", "ReplicaSet", true),
    ("batch/v1", "jobs", "Job", true),
    ("batch/v1", "cronjobs", "CronJob", true),
    (
        "autoscaling/v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        true,
    ),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
    ("networking.k8s.io/v1", "ingresses", "Ingress", true),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", true),
];

/// What goes wrong in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Fine,
    /// The Job fails.
    MigrationFails,
    /// Its version is this one of Kubernetes 1.
    Version(&'static str),
    /// This workload never gets ready.
    NeverReady(&'static str),
}

/// A cluster, as far as kubectl can tell.
#[derive(Clone)]
pub(super) struct Cluster(Arc<Mutex<State>>);

struct State {
    mood: Mood,
    /// By path.
    objects: BTreeMap<String, Value>,
    /// `PATCH deployments/wallet`, …
    changes: Vec<String>,
}

impl Cluster {
    /// An empty one, and its address.
    pub(super) fn start(mood: Mood) -> Result<(Self, String)> {
        let cluster = Self(Arc::new(Mutex::new(State {
            mood,
            objects: BTreeMap::new(),
            changes: Vec::new(),
        })));
        let answering = cluster.clone();
        let address = http::serve(move |request| answering.state().answer(request))?;
        Ok((cluster, address))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every change it was asked for so far.
    pub(super) fn changes(&self) -> Vec<String> {
        self.state().changes.clone()
    }

    /// `deployments/wallet`, … of everything that is there.
    pub(super) fn names(&self) -> Vec<String> {
        self.state().objects.keys().map(|path| short(path)).collect()
    }

    /// The data of a Secret, decoded.
    pub(super) fn secret(&self, name: &str) -> BTreeMap<String, String> {
        let path = format!("/api/v1/namespaces/prj/secrets/{name}");
        let found = self.state().objects.get(&path).cloned().unwrap_or_default();
        let data = found["data"].as_object().into_iter().flatten();
        data.map(|(key, value)| (key.clone(), plain(value))).collect()
    }

    /// Takes a key out of a Secret.
    pub(super) fn forget(&self, secret: &str, key: &str) {
        let path = format!("/api/v1/namespaces/prj/secrets/{secret}");
        if let Some(data) = self
            .state()
            .objects
            .get_mut(&path)
            .and_then(|it| it["data"].as_object_mut())
        {
            data.remove(key);
        }
    }

    /// Puts an object there.
    pub(super) fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }
}

/// A value of a Secret's data; empty where a cluster would have refused it.
fn plain(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default());
    String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
}

/// `deployments/wallet` of a path.
fn short(path: &str) -> String {
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    match parts.as_slice() {
        [name, kind, _] => format!("{kind}/{name}"),
        _ => path.to_owned(),
    }
}

fn gone(path: &str) -> Answer {
    Answer {
        status: 404,
        body: json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": format!("{} not found", short(path))}),
    }
}

const fn fine(body: Value) -> Answer {
    Answer { status: 200, body }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.trim_end_matches('/');
        let minor = if let Mood::Version(minor) = self.mood {
            minor
        } else {
            "32"
        };
        if let Some(answer) = discovery(path, minor) {
            return answer;
        }
        if request.method != "GET" {
            self.changes.push(format!("{} {}", request.method, short(path)));
        }
        match request.method.as_str() {
            "GET" => self.read(path, request),
            "POST" => {
                let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("{path}/{name}");
                if let Some(change) = self.changes.last_mut() {
                    *change = format!("POST {}", short(&path));
                }
                self.write(&path, request.body.clone())
            }
            "PATCH" => {
                // Of merge patches install.sh uses one, which adds keys to a Secret.
                let mut object = self.objects.get(path).cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, &request.body);
                self.write(path, object)
            }
            "DELETE" => {
                let below = format!("{path}/");
                let there = self.objects.remove(path);
                self.objects
                    .retain(|known, _| !known.contains(&below.replace("/api/v1", "")));
                there.map_or_else(|| gone(path), fine)
            }
            _ => gone(path),
        }
    }

    fn read(&self, path: &str, request: &Request) -> Answer {
        if let Some(object) = self.objects.get(path) {
            return fine(object.clone());
        }
        let Some((group, _, kind, _)) = KINDS
            .iter()
            .find(|(_, plural, _, _)| path.ends_with(&format!("/{plural}")))
        else {
            return gone(path);
        };
        if request.parameter("watch").is_some() {
            // Whatever happens has happened when kubectl asks for the first time; it asks again if that is not enough.
            return Answer {
                status: 410,
                body: json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"}),
            };
        }
        let prefix = format!("{path}/");
        let chosen = |object: &&Value| {
            let labels = request.parameter("labelSelector").unwrap_or_default();
            let labelled = labels.split(',').filter(|part| !part.is_empty()).all(|part| {
                let label = |name: &str| {
                    object["metadata"]["labels"][name]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                };
                match part.split_once("!=") {
                    Some((name, value)) => label(name) != value,
                    None => part.split_once('=').is_some_and(|(name, value)| label(name) == value),
                }
            });
            let named = request
                .parameter("fieldSelector")
                .and_then(|field| field.strip_prefix("metadata.name="));
            labelled && named.is_none_or(|name| object["metadata"]["name"] == *name)
        };
        let items: Vec<Value> = self
            .objects
            .iter()
            .filter(|(known, _)| known.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/')))
            .map(|(_, object)| object)
            .filter(chosen)
            .cloned()
            .collect();
        fine(
            json!({"kind": format!("{kind}List"), "apiVersion": group, "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn write(&mut self, path: &str, mut object: Value) -> Answer {
        let name = short(path);
        if !path.starts_with("/api/v1/namespaces/prj") && !self.objects.contains_key("/api/v1/namespaces/prj") {
            return gone("/api/v1/namespaces/prj");
        }
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["uid"] = json!(name);
        object["metadata"]["resourceVersion"] = json!("1");
        if let Some(Value::Object(said)) = object.as_object_mut().and_then(|object| object.remove("stringData")) {
            for (key, value) in said {
                object["data"][key] = json!(STANDARD.encode(value.as_str().unwrap_or_default()));
            }
        }
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if matches!(kind.as_str(), "Deployment" | "StatefulSet") && object["spec"]["replicas"].is_null() {
            // A default of the API server's.
            object["spec"]["replicas"] = json!(1);
        }
        object["status"] = self.status(&kind, &name, &object);
        self.objects.insert(path.to_owned(), object.clone());
        fine(object)
    }

    /// What the cluster makes of an object.
    fn status(&self, kind: &str, name: &str, object: &Value) -> Value {
        let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let stands = matches!(self.mood, Mood::NeverReady(stands) if name.ends_with(&format!("/{stands}")));
        let ready = if stands { 0 } else { wanted };
        match kind {
            "Deployment" | "StatefulSet" => json!({
                "observedGeneration": 1, "replicas": wanted, "updatedReplicas": wanted, "currentReplicas": wanted,
                "readyReplicas": ready, "availableReplicas": ready, "currentRevision": "1", "updateRevision": "1",
            }),
            "Job" if self.mood == Mood::MigrationFails => json!({"conditions": [{"type": "Failed", "status": "True"}]}),
            "Job" => json!({"conditions": [{"type": "Complete", "status": "True"}]}),
            "Ingress" => json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}),
            _ => json!({}),
        }
    }
}

/// What kinds there are, and who answers.
fn discovery(path: &str, minor: &str) -> Option<Answer> {
    let group_of = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    let body = match path {
        "/version" => {
            json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0"), "platform": "linux/amd64"})
        }
        "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
        "/apis" => {
            let mut groups: Vec<Value> = Vec::new();
            for (version, ..) in KINDS {
                let Some(group) = group_of(version) else { continue };
                let short = version.rsplit('/').next();
                let this = json!({"groupVersion": version, "version": short});
                if !groups.iter().any(|known| known["name"] == *group) {
                    groups.push(json!({"name": group, "versions": [this], "preferredVersion": this}));
                }
            }
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        _ => {
            let version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
            let known: Vec<Value> = KINDS
                .iter()
                .filter(|(group, ..)| *group == version)
                .map(|(_, plural, kind, namespaced)| {
                    json!({"name": plural, "singularName": kind.to_lowercase(), "kind": kind, "namespaced": namespaced,
                        "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]})
                })
                .collect();
            if known.is_empty() {
                return None;
            }
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": known})
        }
    };
    Some(fine(body))
}

/// A merge patch (RFC 7386), which is also what a server-side apply by a single manager comes to here.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        patch.clone_into(object);
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        merge(&mut object[name], value);
    }
}
