//! Pods at work: started in their order, watched until they are ready, tried out, and ended.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifests::objects::{Objects, list, text};
use crate::manifests::routes::{INSIDE, Route, routes};
use crate::{processes, tools};

use super::plan::{Container, Pod, Probe, Volume};
use super::podman::{self, NETWORK, Podman};
use super::policy::{self, Around};
use super::{arguments, router};

/// How long a pod may take to be ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much of a log is shown where something failed; the whole is kept.
const LAST_LINES: usize = 20;

/// The pod that the router runs in.
const OUTSIDER: &str = "ingress";

/// Prints which of the doors it is given as `ADDRESS:PORT` can be opened.
const KNOCK: &str = "for door; do if timeout 3 bash -c \": </dev/tcp/${door%:*}/${door#*:}\" 2>/dev/null; then echo \"$door\"; fi; done";

/// All pods, those that run and those that will.
pub(super) struct Running<'a> {
    root: &'a Path,
    podman: &'a Podman,
    objects: &'a Objects,
    pods: &'a [Pod],
    around: Around,
    volumes: PathBuf,
    router: Option<Child>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(router) = &mut self.router {
            let _ = router.kill();
            let _ = router.wait();
        }
    }
}

impl<'a> Running<'a> {
    /// Nothing runs yet.
    pub(super) fn new(
        root: &'a Path,
        podman: &'a Podman,
        objects: &'a Objects,
        pods: &'a [Pod],
        around: Around,
    ) -> Result<Self> {
        let volumes = podman.folder("volumes");
        fs::create_dir_all(volumes.join("claims"))?;
        fs::set_permissions(&volumes, fs::Permissions::from_mode(0o700))?;
        Ok(Self {
            root,
            podman,
            objects,
            pods,
            around,
            volumes,
            router: None,
        })
    }

    /// Starts what belongs to a phase and waits until all of it is ready.
    pub(super) fn start(&self, phase: &str) -> Result<()> {
        let pods: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|pod| pod.phase == phase && pod.stays())
            .collect();
        for pod in &pods {
            self.make(pod)?;
            for container in &pod.containers {
                self.run(pod, container, &["--detach"])?;
            }
        }
        for pod in &pods {
            self.ready(pod)?;
        }
        let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
        println!("ready: {}", names.join(" "));
        Ok(())
    }

    /// The Job, twice: it may be run again at any time.
    pub(super) fn migrate(&self) -> Result<()> {
        self.turn("migrate").and_then(|_| self.turn("migrate")).map(|_| ())
    }

    /// `cambist audit` as the cluster runs it.
    pub(super) fn audit(&self) -> Result<()> {
        let said = self.turn("audit")?;
        println!("{}", said.lines().last().unwrap_or_default());
        Ok(())
    }

    /// Runs a pod that comes to an end: its containers one after the other. What the last one said.
    fn turn(&self, name: &str) -> Result<String> {
        let pod = self
            .pods
            .iter()
            .find(|pod| pod.name == name)
            .with_context(|| format!("there is no {name}"))?;
        self.make(pod)?;
        let mut said = String::new();
        for container in pod.first.iter().chain(&pod.containers) {
            said = self.run(pod, container, &[])?;
        }
        self.podman.output(&["pod", "rm", "--force", &pod.name])?;
        Ok(said)
    }

    /// Makes a pod with its volumes and its rules: they hold before anything runs in it.
    fn make(&self, pod: &Pod) -> Result<()> {
        self.podman.go_on()?;
        for (name, volume) in &pod.volumes {
            self.lay_out(pod, name, volume)?;
        }
        let words = arguments::of_pod(pod, NETWORK);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.podman.output(&words)?;
        self.podman.output(&["pod", "start", &pod.name])?;
        let rules = self.volumes.join("rules");
        fs::write(&rules, policy::rules(self.objects, self.pods, pod, self.around))?;
        let restore = tools::find("iptables-restore", self.root).context("iptables-restore is missing")?;
        let mut command = self.podman.inside(&self.podman.holder(&pod.name)?, &restore);
        let output = command.stdin(fs::File::open(&rules)?).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: iptables-restore: {error}", pod.name);
        Ok(())
    }

    /// A volume as a node hands it to a pod: its group may write.
    fn lay_out(&self, pod: &Pod, name: &str, volume: &Volume) -> Result<()> {
        let place = arguments::place(pod, name, volume, &self.volumes);
        match volume {
            Volume::Memory(_) => {}
            Volume::Files(files) => {
                fs::create_dir_all(&place)?;
                for (file, content) in files {
                    fs::write(place.join(file), content)?;
                    fs::set_permissions(place.join(file), fs::Permissions::from_mode(0o644))?;
                }
            }
            Volume::Empty | Volume::Claim(_) => {
                fs::create_dir_all(&place)?;
                chown(&place, None, Some(pod.group))?;
                fs::set_permissions(&place, fs::Permissions::from_mode(0o2775))?;
            }
        }
        Ok(())
    }

    fn run(&self, pod: &Pod, container: &Container, options: &[&str]) -> Result<String> {
        self.podman.go_on()?;
        let mut words = arguments::of_container(pod, container, &self.volumes);
        words.splice(1..1, options.iter().map(|option| (*option).to_owned()));
        let mut command = self.podman.command(&words);
        let output = command.envs(&container.environment).output();
        podman::said(&["run", &pod.name, &container.name], output)
    }

    /// Waits until every probe is content.
    fn ready(&self, pod: &Pod) -> Result<()> {
        let started = Instant::now();
        for container in &pod.containers {
            let name = format!("{}-{}", pod.name, container.name);
            for probe in &container.probes {
                while !self.is_content(pod, &name, probe) {
                    let state = self.podman.output(&["inspect", "--format={{.State.Status}}", &name])?;
                    if state.trim() != "running" || started.elapsed() > PATIENCE {
                        bail!(
                            "{name} is {}, and {probe:?} is not content:\n{}",
                            state.trim(),
                            self.last_words(&name)?
                        );
                    }
                    self.podman.pause()?;
                }
            }
        }
        Ok(())
    }

    fn is_content(&self, pod: &Pod, container: &str, probe: &Probe) -> bool {
        match probe {
            Probe::Http { port, path } => processes::is_fine(&format!("{}:{port}", pod.address), path),
            Probe::Command(words) => {
                let mut call = vec!["exec", container];
                call.extend(words.iter().map(String::as_str));
                self.podman.output(&call).is_ok()
            }
        }
    }

    /// Both streams of a container.
    fn log(&self, container: &str) -> Result<String> {
        let output = self.podman.command(&["logs", container]).output()?;
        let parts = [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned());
        Ok(parts.concat())
    }

    /// The last that a container said, for whoever has to mend it.
    fn last_words(&self, container: &str) -> Result<String> {
        let log = self.log(container)?;
        let lines: Vec<&str> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }

    /// Starts the router, in a pod that is nobody's, with the rules of the Ingress.
    pub(super) fn route(&mut self) -> Result<()> {
        let place = format!("{NETWORK}:ip={}", self.around.outsider);
        self.podman
            .output(&["pod", "create", "--name", OUTSIDER, "--network", &place])?;
        self.podman.output(&["pod", "start", OUTSIDER])?;
        let file = self.volumes.join("routes");
        fs::write(&file, router::written(&self.endpoints()?))?;
        let ours = std::env::current_exe().context("this program is nowhere")?;
        let mut command = self.podman.inside(&self.podman.holder(OUTSIDER)?, Path::new("setpriv"));
        command.args(["--pdeathsig", "KILL", "--"]).arg(ours);
        let address = format!("{}:80", self.around.outsider);
        self.router = Some(
            command
                .arg("route")
                .arg(&address)
                .arg(&file)
                .stdin(Stdio::null())
                .spawn()?,
        );
        let started = Instant::now();
        while TcpStream::connect(&address).is_err() {
            ensure!(started.elapsed() < PATIENCE, "the router does not listen at {address}");
            self.podman.pause()?;
        }
        println!("http://{}", self.around.outsider);
        Ok(())
    }

    /// The rules of the Ingress, with the pods behind each Service.
    fn endpoints(&self) -> Result<Vec<Route<Vec<String>>>> {
        let route = |route: Route<(String, String)>| {
            let (service, port) = &route.to;
            let known = self
                .objects
                .find("Service", service)
                .context("an Ingress leads to no Service")?;
            let mut ports = list(&known["spec"]["ports"]).filter(|known| text(&known["name"]) == port);
            let port = ports
                .next()
                .and_then(|port| port["port"].as_u64())
                .context("an Ingress leads to no port")?;
            let behind = self.pods.iter().filter(|pod| pod.names.contains(service));
            let to = behind.map(|pod| format!("{}:{port}", pod.address)).collect();
            Ok(Route {
                path: route.path,
                extent: route.extent,
                to,
            })
        };
        routes(self.objects).into_iter().map(route).collect()
    }

    /// What is for inside is not found through the Ingress.
    pub(super) fn inside(&self) -> Result<()> {
        let address = format!("{}:80", self.around.outsider);
        for path in INSIDE.split_whitespace() {
            let status = processes::status(&address, path).unwrap_or_default();
            ensure!(status == "404", "{path} is answered {status:?} through the Ingress");
        }
        println!("404 for {INSIDE}");
        Ok(())
    }

    /// Tries every door from a pod of each workload, and from one of somebody else's.
    pub(super) fn doors(&self) -> Result<()> {
        let there: BTreeMap<&str, &Pod> = self
            .pods
            .iter()
            .filter(|pod| pod.stays())
            .map(|pod| (pod.workload.as_str(), pod))
            .collect();
        // Where nothing listens there is no door; this machine may go everywhere.
        let all = policy::doors(self.objects, self.pods, None).into_iter();
        let listening: Vec<String> = all
            .map(|(door, _)| door.to_string())
            .filter(|door| TcpStream::connect(door).is_ok())
            .collect();
        let (mut open, mut closed, mut problems) = (0_u32, 0_u32, Vec::new());
        for from in there.values().copied().map(Some).chain([None]) {
            let name = from.map_or(OUTSIDER, |pod| &pod.name);
            // From a pod to itself there is nothing in between.
            let mut doors = policy::doors(self.objects, self.pods, from);
            doors.retain(|(door, _)| door.pod != name && listening.contains(&door.to_string()));
            let opened = self.knock(name, doors.iter().map(|(door, _)| door.to_string()))?;
            for (door, should) in &doors {
                let is_open = opened.contains(&door.to_string());
                *(if is_open { &mut open } else { &mut closed }) += 1;
                if is_open != *should {
                    problems.push(format!("{name} reaches {} at {}: {is_open}", door.pod, door.port));
                }
            }
        }
        ensure!(problems.is_empty(), "\n  {}", problems.join("\n  "));
        println!("{open} doors are open, {closed} are closed, as they should be");
        Ok(())
    }

    /// Which of the doors can be opened from within a pod.
    fn knock(&self, pod: &str, doors: impl Iterator<Item = String>) -> Result<Vec<String>> {
        self.podman.go_on()?;
        let mut command = self.podman.inside(&self.podman.holder(pod)?, Path::new("bash"));
        let output = command
            .args(["-c", KNOCK, "knock"])
            .args(doors)
            .stdin(Stdio::null())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let opened = String::from_utf8(output.stdout)?;
        Ok(opened.lines().map(str::to_owned).collect())
    }

    /// The public collection, through the Ingress.
    pub(super) fn newman(&self) -> Result<()> {
        let newman = tools::find("newman", self.root).context("newman is missing")?;
        let said = self.volumes.join("newman");
        let mut child = Command::new(newman)
            .args(["run", "--color", "off", "--reporter-cli-no-success-assertions"])
            .args(["--env-var", &format!("host=http://{}", self.around.outsider)])
            .arg(self.root.join("tests/prj_final.postman_collection.json"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(&said)?)
            .spawn()?;
        let status = self.podman.wait(&mut child)?;
        let said = fs::read_to_string(said)?;
        ensure!(status.success(), "newman:\n{said}");
        for line in said
            .lines()
            .filter(|line| ["requests", "assertions"].iter().any(|what| line.contains(what)))
        {
            println!(
                "{}",
                line.replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
        Ok(())
    }

    /// Tells every pod to end, whoever calls before whom it calls: each does so by itself, ours with 0.
    pub(super) fn stop(&self) -> Result<()> {
        let mut problems = Vec::new();
        for phase in ["services", "foundation"] {
            for pod in self.pods.iter().filter(|pod| pod.phase == phase && pod.stays()) {
                for container in &pod.containers {
                    self.podman.go_on()?;
                    let name = format!("{}-{}", pod.name, container.name);
                    self.podman.output(&["stop", "--time=60", &name])?;
                    let code = self
                        .podman
                        .output(&["inspect", "--format={{.State.ExitCode}}", &name])?;
                    let is_ours = container.image.contains("cambist");
                    // NATS ends with 1 when it is told to end; 137 is whoever had to be killed.
                    if is_ours && code.trim() != "0" || code.trim() == "137" {
                        problems.push(format!(
                            "{name} ended with {}:\n{}",
                            code.trim(),
                            self.last_words(&name)?
                        ));
                    }
                }
            }
        }
        ensure!(problems.is_empty(), "\n  {}", problems.join("\n  "));
        println!("each ended by itself");
        Ok(())
    }

    /// Keeps what every container said in target/pods/logs.
    pub(super) fn keep_logs(&self) -> Result<()> {
        let folder = self.podman.folder("logs");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let containers = self.podman.output(&["ps", "--all", "--format={{.Names}}"])?;
        for container in containers.lines().filter(|name| !name.ends_with("-infra")) {
            fs::write(folder.join(format!("{container}.log")), self.log(container)?)?;
        }
        println!("the logs are in {}", folder.display());
        Ok(())
    }
}
