//! A container's command and environment as a cluster would make them of its manifest, moved to this machine.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use crate::manifests::containers::{self, Environment, Secrets};
use crate::manifests::objects::{Objects, list, text};

/// Where things are on this machine.
pub(super) struct Place {
    /// Each Service's `name:port`, and where that is here.
    pub(super) services: Vec<(String, String)>,
    /// The values of all Secrets, by name and key.
    pub(super) secrets: Secrets,
    /// For what would be volumes.
    pub(super) folder: PathBuf,
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Run {
    /// Empty: the image's own program.
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Environment,
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

    /// What a container runs.
    pub(super) fn run(&self, objects: &Objects, workload: &str, container: &Value, address: &str) -> Result<Run> {
        let moved = |value: &str| self.here(value, address);
        let mut environment = containers::environment(objects, &self.secrets, workload, container, moved)?;
        let mut arguments = containers::arguments(container, &environment);
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
            secrets: Secrets::new(),
            folder: PathBuf::new(),
        };
        assert_eq!(place.here("http://auth:8001", "x"), "http://127.1.1.2:8001");
        assert_eq!(place.here("x@postgres:5432/cambist", "x"), "x@127.0.0.1:40000/cambist");
        assert_eq!(place.here("http://my-auth:8001", "x"), "http://my-auth:8001");
        assert_eq!(place.here("0.0.0.0:8000", "127.1.1.9"), "127.1.1.9:8000");
    }
}
