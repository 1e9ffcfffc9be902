//! Rendered objects, with the questions that the checks ask of them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// All objects of an overlay, in the order in which they are rendered.
pub(crate) struct Objects(Vec<Value>);

/// What runs: a workload with the template of its pods.
#[derive(Clone, Copy)]
pub(crate) struct Workload<'a> {
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) object: &'a Value,
    /// The labels of its pods.
    pub(crate) labels: &'a Value,
    /// The `spec` of its pods.
    pub(crate) pod: &'a Value,
}

impl Objects {
    /// Reads a stream of YAML documents.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).context("what kubectl renders is no YAML")?;
        ensure!(!objects.is_empty(), "nothing was rendered");
        Ok(Self(objects))
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Value> {
        self.0.iter()
    }

    /// Those of a kind.
    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.iter().filter(move |object| text(&object["kind"]) == kind)
    }

    /// The object of this kind and name.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.iter()
            .find(|object| text(&object["kind"]) == kind && self::name(object) == name)
    }

    /// Everything that runs pods.
    pub(crate) fn workloads(&self) -> Vec<Workload<'_>> {
        let runs = |object: &&Value| matches!(text(&object["kind"]), "Deployment" | "StatefulSet" | "Job" | "CronJob");
        self.iter().filter(runs).map(Workload::new).collect()
    }
}

impl<'a> Workload<'a> {
    fn new(object: &'a Value) -> Self {
        let kind = text(&object["kind"]);
        let spec = &object["spec"];
        let template = match kind {
            "CronJob" => &spec["jobTemplate"]["spec"]["template"],
            _ => &spec["template"],
        };
        Self {
            kind,
            name: name(object),
            object,
            labels: &template["metadata"]["labels"],
            pod: &template["spec"],
        }
    }

    /// All containers, those that come first as well.
    pub(crate) fn containers(self) -> impl Iterator<Item = &'a Value> {
        list(&self.pod["initContainers"]).chain(list(&self.pod["containers"]))
    }

    /// The number of its port of this name or number, if it has one.
    pub(crate) fn port(self, port: &Value) -> Option<u64> {
        let known = self.containers().flat_map(|container| list(&container["ports"]));
        let found = known
            .filter(|known| known["name"] == *port || known["containerPort"] == *port)
            .find_map(|known| known["containerPort"].as_u64());
        found.or_else(|| port.as_u64())
    }

    /// A label of its pods.
    pub(crate) fn label(self, name: &str) -> &'a str {
        text(&self.labels[name])
    }

    /// `wallet`, or `wallet worker`: the service with what it is beside its API.
    pub(crate) fn role(self) -> String {
        let (service, component) = (
            self.label("app.kubernetes.io/name"),
            self.label("app.kubernetes.io/component"),
        );
        if component == "worker" {
            format!("{service} worker")
        } else {
            service.to_owned()
        }
    }
}

/// A text, or nothing.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An object's name.
pub(crate) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// The items of a list, none where there is no list.
pub(crate) fn list(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// Whether a selector selects what has these labels. Of a Service a bare map, of everything else `matchLabels` and
/// `matchExpressions`.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |(name, value): (&String, &Value)| labels[name] == *value;
    let all = |map: &Value| map.as_object().is_none_or(|map| map.iter().all(has));
    if selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none() {
        return all(selector);
    }
    let expressed = list(&selector["matchExpressions"]).all(|expression| {
        // Of the operators, the manifests use one.
        let one_of = text(&expression["operator"]) == "In";
        one_of && list(&expression["values"]).any(|value| labels[text(&expression["key"])] == *value)
    });
    all(&selector["matchLabels"]) && expressed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_selects_by_all_that_it_names() {
        let labels = json!({"app": "wallet", "part": "api"});
        assert!(selects(&json!({"app": "wallet"}), &labels));
        assert!(!selects(&json!({"app": "auth"}), &labels));
        assert!(selects(
            &json!({"matchLabels": {"app": "wallet", "part": "api"}}),
            &labels
        ));
        assert!(!selects(
            &json!({"matchLabels": {"app": "wallet", "part": "worker"}}),
            &labels
        ));
        let one_of = |values: Value| json!({"matchExpressions": [{"key": "app", "operator": "In", "values": values}]});
        assert!(selects(&one_of(json!(["auth", "wallet"])), &labels));
        assert!(!selects(&one_of(json!(["auth"])), &labels));
        assert!(selects(&json!({}), &labels), "an empty one selects everything");
    }
}
