//! `cargo xtask pods`: the manifests run for real, on one machine without a cluster. Each pod of an overlay runs by podman from
//! the image that it names, with the command, environment, volumes, limits and rights that are rendered, found under the names
//! of its Services, kept apart by its NetworkPolicies; started in the order of install.sh. Then every door is tried from every
//! kind of pod, and newman runs against the routes of the Ingress.
//!
//! Pure are what there is ([`plan`]), who reaches whom ([`policy`]), and the words for podman ([`arguments`]).

mod arguments;
mod images;
mod plan;
mod podman;
mod policy;
mod router;
mod running;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::manifests::containers;
use crate::manifests::objects::Objects;
use crate::{image, manifests, tools};
use plan::{Pod, Volume};
use podman::Podman;
use policy::Around;
use running::Running;

pub(crate) use router::{Arguments as Route, run as route};

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// What is run: `default`, or `ha`
    #[arg(long, value_name = "OVERLAY", default_value = "default", value_parser = ["default", "ha"])]
    overlay: String,
    /// Pull the images of PostgreSQL and NATS, instead of making stand-ins of this machine's Debian packages
    #[arg(long)]
    pull: bool,
    /// Build without optimisation, which takes less time
    #[arg(long)]
    debug: bool,
}

/// Runs everything.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let is_root = std::process::Command::new("id").arg("-u").output()?.stdout == b"0\n";
    ensure!(
        is_root,
        "networks for pods take root: sudo -E env \"PATH=$PATH\" cargo xtask pods"
    );
    let kubectl = manifests::kubectl(root)?
        .context("a kubectl of version 1.21 or later is missing, which renders the manifests")?;
    let step = |words: &str| println!("==> {words} ({} s)", started.elapsed().as_secs());
    step("tools");
    let podman = Podman::begin(root)?;
    tools::ensure_all(root)?;
    step("the program, as a static binary");
    let program = image::program(root, arguments.debug)?;
    let (_, rendered) = manifests::render(root, &kubectl, &arguments.overlay)?;
    let objects = Objects::parse(&rendered)?;
    step("images");
    let names = objects
        .workloads()
        .into_iter()
        .flat_map(|it| it.containers())
        .map(|it| &it["image"]);
    let names = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    images::provide(&podman, root, &names, &program, arguments.pull)?;
    let around = around(podman.network()?)?;
    let first = Ipv4Addr::from(u32::from(around.outsider) + 1);
    let mut pods = plan::pods(&objects, &containers::secrets(root)?, first)?;
    if images::is_old_nats(root, arguments.pull)? {
        println!("this NATS is too old for sync_interval: that line of its settings is left out");
        without(&mut pods, "sync_interval");
    }
    let mut running = Running::new(root, &podman, &objects, &pods, around)?;
    let outcome = play(&mut running, &step);
    let kept = running.keep_logs();
    // What went wrong first is told, not that its logs could not be kept.
    outcome.and(kept)?;
    step("done");
    Ok(())
}

/// Everything from the first pod to the end of the last.
fn play(running: &mut Running<'_>, step: &dyn Fn(&str)) -> Result<()> {
    step("what the services stand on");
    running.start("foundation")?;
    step("schemas and logins");
    running.migrate()?;
    step("the services");
    running.start("services")?;
    step("the Ingress");
    running.route()?;
    running.inside()?;
    step("who reaches whom");
    running.doors()?;
    step("newman");
    running.newman()?;
    step("the audit");
    running.audit()?;
    step("the end");
    running.stop()
}

/// The addresses after this machine's.
fn around(node: Ipv4Addr) -> Result<Around> {
    let outsider = u32::from(node).checked_add(1).context("the network has one address")?;
    Ok(Around {
        node,
        outsider: Ipv4Addr::from(outsider),
    })
}

/// Takes the lines with this word out of every file.
fn without(pods: &mut [Pod], word: &str) {
    for volume in pods.iter_mut().flat_map(|pod| pod.volumes.values_mut()) {
        let Volume::Files(files) = volume else { continue };
        for content in files.values_mut().filter(|content| content.contains(word)) {
            let kept: Vec<&str> = content.lines().filter(|line| !line.contains(word)).collect();
            *content = kept.join("\n");
        }
    }
}
