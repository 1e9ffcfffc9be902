//! A container's command and environment as a cluster would make them of its manifest, moved to this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::manifests::objects::{Objects, list, text};

/// Where things are on this machine.
pub(super) struct Place {
    /// Each Service's `name:port`, and where that is here.
    pub(super) services: Vec<(String, String)>,
    /// The values of all Secrets, by name and key.
    pub(super) secrets: BTreeMap<(String, String), String>,
    /// For what would be volumes.
    pub(super) folder: PathBuf,
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Run {
    /// Empty: the image's own program.
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
}

impl Place {
    /// A text with addresses, as it has to be here for a process that listens at `address`.
    fn here(&self, value: &str, address: &str) -> String {
        let mut value = value.replace("0.0.0.0:", &format!("{address}:"));
        for (service, here) in &self.services {
            let mut moved = String::new();
            let mut rest = value.as_str();
            while let Some(at) = rest.find(service.as_str()) {
                let (before, after) = (&rest[..at], &rest[at + service.len()..]);
                let is_word = before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '-');
                moved.push_str(before);
                moved.push_str(if is_word { service } else { here });
                rest = after;
            }
            moved.push_str(rest);
            value = moved;
        }
        value
    }

    /// The folder for what a container of this workload mounts at `path`.
    pub(super) fn volume(&self, workload: &str, path: &str) -> PathBuf {
        self.folder.join(workload).join(path.trim_start_matches('/'))
    }

    /// What a container runs, in the order in which Kubernetes puts its environment together.
    pub(super) fn run(&self, objects: &Objects, workload: &str, container: &Value, address: &str) -> Result<Run> {
        let mut environment = BTreeMap::new();
        for from in list(&container["envFrom"]) {
            let name = text(&from["configMapRef"]["name"]);
            let map = objects.find("ConfigMap", name).context("a ConfigMap is missing")?;
            for (key, value) in map["data"].as_object().into_iter().flatten() {
                environment.insert(key.clone(), self.here(text(value), address));
            }
        }
        for variable in list(&container["env"]) {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let value = if reference.is_null() {
                Some(expanded(&self.here(text(&variable["value"]), address), &environment))
            } else {
                let key = (text(&reference["name"]).to_owned(), text(&reference["key"]).to_owned());
                let value = self.secrets.get(&key).cloned();
                anyhow::ensure!(value.is_some() || reference["optional"] == true, "{key:?} is missing");
                value
            };
            if let Some(value) = value {
                environment.insert(text(&variable["name"]).to_owned(), value);
            }
        }
        let mut arguments: Vec<String> = list(&container["args"])
            .map(|argument| expanded(text(argument), &environment))
            .collect();
        for mount in list(&container["volumeMounts"]) {
            let path = text(&mount["mountPath"]);
            let here = self.volume(workload, path).display().to_string();
            for value in environment.values_mut().filter(|value| *value == path) {
                value.clone_from(&here);
            }
            for argument in &mut arguments {
                *argument = argument.replace(&format!("{path}/"), &format!("{here}/"));
            }
        }
        Ok(Run {
            command: text(&container["command"][0]).to_owned(),
            arguments,
            environment,
        })
    }
}

/// `$(A)` as the value of A, as Kubernetes does it: what is not there stays.
fn expanded(value: &str, known: &BTreeMap<String, String>) -> String {
    let mut parts = value.split("$(");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((name, rest)) if known.contains_key(name) => {
                all.push_str(&known[name]);
                all.push_str(rest);
            }
            _ => {
                all.push_str("$(");
                all.push_str(part);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_moved_and_names_that_only_look_like_them_are_not() {
        let place = Place {
            services: vec![
                ("auth:8001".into(), "127.1.1.2:8001".into()),
                ("postgres:5432".into(), "127.0.0.1:40000".into()),
            ],
            secrets: BTreeMap::new(),
            folder: PathBuf::new(),
        };
        assert_eq!(place.here("http://auth:8001", "x"), "http://127.1.1.2:8001");
        assert_eq!(place.here("x@postgres:5432/cambist", "x"), "x@127.0.0.1:40000/cambist");
        assert_eq!(place.here("http://my-auth:8001", "x"), "http://my-auth:8001");
        assert_eq!(place.here("0.0.0.0:8000", "127.1.1.9"), "127.1.1.9:8000");
    }

    #[test]
    fn variables_are_put_in_where_they_are_known() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expanded("x$(A)y$(B)z", &known), "x1y$(B)z");
    }
}
