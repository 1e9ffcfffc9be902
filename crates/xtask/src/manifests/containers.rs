//! What a container is told, put together from its manifest as a cluster does it: ConfigMaps, then its own variables in their
//! order, secrets among them, `$(A)` where A is known by then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::objects::{Objects, list, text};

/// The values of all Secrets, by name and key.
pub(crate) type Secrets = BTreeMap<(String, String), String>;

/// A container's variables.
pub(crate) type Environment = BTreeMap<String, String>;

/// What `install.sh` would make.
pub(crate) fn secrets(root: &Path) -> Result<Secrets> {
    let listed = fs::read_to_string(root.join("deploy/secrets.txt"))?;
    let lines = listed.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [secret, key, value @ ..] = words.as_slice() else {
                bail!("deploy/secrets.txt: {line}");
            };
            let made = random::<32>()?.map(|byte| format!("{byte:02x}")).concat();
            let value = value
                .first()
                .map_or_else(|| format!("s{made}"), |value| (*value).to_owned());
            Ok((((*secret).to_owned(), (*key).to_owned()), value))
        })
        .collect()
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The variables of a container in the pod of this name. `moved` changes what is written in the manifests, before anything
/// is put into it.
pub(crate) fn environment(
    objects: &Objects,
    secrets: &Secrets,
    pod: &str,
    container: &Value,
    moved: impl Fn(&str) -> String,
) -> Result<Environment> {
    let mut environment = Environment::new();
    for from in list(&container["envFrom"]) {
        let name = text(&from["configMapRef"]["name"]);
        let map = objects.find("ConfigMap", name).context("a ConfigMap is missing")?;
        for (key, value) in map["data"].as_object().into_iter().flatten() {
            environment.insert(key.clone(), moved(text(value)));
        }
    }
    for variable in list(&container["env"]) {
        let source = &variable["valueFrom"];
        let secret = &source["secretKeyRef"];
        let value = if source.is_null() {
            Some(expanded(&moved(text(&variable["value"])), &environment))
        } else if secret.is_null() {
            // Of fields, the manifests use one.
            let field = text(&source["fieldRef"]["fieldPath"]);
            ensure!(field == "metadata.name", "{variable} is not understood");
            Some(pod.to_owned())
        } else {
            let key = (text(&secret["name"]).to_owned(), text(&secret["key"]).to_owned());
            let value = secrets.get(&key).cloned();
            ensure!(value.is_some() || secret["optional"] == true, "{key:?} is missing");
            value
        };
        if let Some(value) = value {
            environment.insert(text(&variable["name"]).to_owned(), value);
        }
    }
    Ok(environment)
}

/// A container's arguments, with the variables that they name.
pub(crate) fn arguments(container: &Value, environment: &Environment) -> Vec<String> {
    list(&container["args"])
        .map(|argument| expanded(text(argument), environment))
        .collect()
}

/// `$(A)` as the value of A: what is not there stays.
fn expanded(value: &str, known: &Environment) -> String {
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
    fn variables_are_put_in_where_they_are_known() {
        let known = Environment::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expanded("x$(A)y$(B)z", &known), "x1y$(B)z");
    }

    #[test]
    fn a_container_is_told_its_settings_its_secrets_and_its_name() {
        let text = "
kind: ConfigMap
metadata: {name: settings}
data: {HOST: postgres}
---
kind: Deployment
metadata: {name: auth}
spec: {template: {spec: {containers: [{
  envFrom: [{configMapRef: {name: settings}}],
  args: [serve, $(WHO)],
  env: [
    {name: PASSWORD, valueFrom: {secretKeyRef: {name: auth, key: password}}},
    {name: ABSENT, valueFrom: {secretKeyRef: {name: auth, key: absent, optional: true}}},
    {name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
    {name: URL, value: $(WHO):$(PASSWORD)@$(HOST)/$(LATER)},
    {name: LATER, value: x}]}]}}}
";
        let objects = Objects::parse(text).unwrap();
        let container = &objects.workloads()[0].pod["containers"][0];
        let mut secrets = Secrets::from([(("auth".to_owned(), "password".to_owned()), "p".to_owned())]);
        let told = |secrets: &Secrets| environment(&objects, secrets, "auth-1", container, str::to_owned);
        let there = told(&secrets).unwrap();
        assert_eq!(
            there["URL"], "auth-1:p@postgres/$(LATER)",
            "in the order in which they stand"
        );
        assert!(!there.contains_key("ABSENT"));
        assert_eq!(arguments(container, &there), ["serve", "auth-1"]);
        secrets.clear();
        assert!(told(&secrets).is_err(), "a secret that nobody made");
    }
}
