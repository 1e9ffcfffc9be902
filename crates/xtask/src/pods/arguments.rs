//! The words with which podman makes what was planned. Pure.
//!
//! What it keeps true: no value of a variable stands among them, because everybody on a machine can read what a process was
//! called with; and nothing is added to what the manifest gives a container, not even a folder for temporary files.

use std::path::Path;

use super::plan::{Container, Pod, Volume};

/// Makes the pod, in the network, with its names and nothing in it.
pub(super) fn of_pod(pod: &Pod, network: &str) -> Vec<String> {
    let mut place = format!("{network}:ip={}", pod.address);
    for name in &pod.names {
        place.push_str(&format!(",alias={name}"));
    }
    let words = ["pod", "create", "--name", &pod.name, "--hostname", &pod.name];
    let shared = ["--share", "net,uts", "--network", &place];
    words.iter().chain(&shared).map(|word| (*word).to_owned()).collect()
}

/// Runs a container in its pod; its volumes lie in this folder.
pub(super) fn of_container(pod: &Pod, container: &Container, folder: &Path) -> Vec<String> {
    let mut words = vec!["run".to_owned(), format!("--pod={}", pod.name)];
    words.push(format!("--name={}-{}", pod.name, container.name));
    words.push(format!("--user={}:{}", container.user, container.group));
    words.push(format!("--group-add={}", pod.group));
    if container.is_read_only {
        words.push("--read-only".to_owned());
        words.push("--read-only-tmpfs=false".to_owned());
    }
    if !container.may_gain_rights {
        words.push("--security-opt=no-new-privileges".to_owned());
    }
    words.extend(container.dropped.iter().map(|right| format!("--cap-drop={right}")));
    let (whole, part) = (container.processor / 1000, container.processor % 1000);
    words.push(format!("--cpus={whole}.{part:03}"));
    words.push(format!("--memory={}b", container.memory));
    words.push("--http-proxy=false".to_owned());
    words.push("--pull=never".to_owned());
    words.extend(container.environment.keys().map(|name| format!("--env={name}")));
    for (path, name) in &container.mounts {
        let Some(volume) = pod.volumes.get(name) else { continue };
        words.push(mount(path, volume, &place(pod, name, volume, folder)));
    }
    if !container.command.is_empty() {
        words.push(format!("--entrypoint={}", serde_json::json!(container.command)));
    }
    words.push(container.image.clone());
    words.extend(container.arguments.iter().cloned());
    words
}

/// Where a volume lies in the folder of all.
pub(super) fn place(pod: &Pod, name: &str, volume: &Volume, folder: &Path) -> std::path::PathBuf {
    match volume {
        Volume::Claim(claim) => folder.join("claims").join(claim),
        Volume::Empty | Volume::Memory(_) | Volume::Files(_) => folder.join(&pod.name).join(name),
    }
}

fn mount(path: &str, volume: &Volume, place: &Path) -> String {
    let place = place.display();
    match volume {
        Volume::Memory(bytes) => format!("--tmpfs={path}:rw,size={bytes},mode=1777"),
        Volume::Files(_) => format!("--volume={place}:{path}:ro"),
        Volume::Empty | Volume::Claim(_) => format!("--volume={place}:{path}:rw"),
    }
}
