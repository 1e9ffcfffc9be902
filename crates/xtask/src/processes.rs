//! `cargo xtask test --only processes`: what the manifests say, run on this machine.
//!
//! Every container of the overlay `default` is started with exactly its command, its environment and its ports, each pod at an
//! address of its own on the loopback (`127.x.y.z`), on a private PostgreSQL and a private NATS with the very configuration
//! that is in the ConfigMap. Then the probes are asked, the stories of the black box are told and both Postman collections run
//! ([`told`]), the books are audited, and each login is shown to reach nothing but its own schema.

mod pod;
mod told;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use test_servers::postgres::Postgres;

use crate::manifests::containers;
use crate::manifests::objects::{Objects, Workload, list, name, text};
use crate::{manifests, tools};
use pod::{Place, Run};

/// How long anything may take to be ready, and how long to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs everything, on what `build` builds; `stories` tells them in the world that it is told of.
pub(crate) fn run(root: &Path, build: &mut Command, stories: Command) -> Result<()> {
    let Some(kubectl) = manifests::kubectl(root)? else {
        return manifests::left_out();
    };
    let status = build.status().context("cargo does not run")?;
    ensure!(status.success(), "cambist does not build");
    let (_, rendered) = manifests::render(root, &kubectl, "default")?;
    let objects = Objects::parse(&rendered)?;
    let mut machine = Machine::new(root, &objects)?;
    machine.queues()?;
    println!("PostgreSQL and NATS with its configuration of the cluster");
    machine.migrate()?;
    println!("job/migrate: schemas, roles, a login for each service");
    machine.start()?;
    println!(
        "{} processes, each with its manifest's command, environment and ports",
        machine.children.len() - 1
    );
    println!("{} stories of the black box", machine.tell(stories)?);
    machine.newman()?;
    println!("both Postman collections");
    machine.audit()?;
    println!("the books balance");
    machine.logins()?;
    println!("each login may take its own role and no other");
    machine.stop()
}

/// This machine as a cluster.
struct Machine<'a> {
    root: &'a Path,
    objects: &'a Objects,
    workloads: Vec<Workload<'a>>,
    place: Place,
    /// What each workload's pod has for an address.
    addresses: BTreeMap<&'a str, String>,
    postgres: Postgres,
    children: Vec<(String, Child)>,
    /// Deleted when this is.
    folder: tempfile::TempDir,
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl<'a> Machine<'a> {
    fn new(root: &'a Path, objects: &'a Objects) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let postgres = Postgres::start().map_err(anyhow::Error::msg)?;
        let workloads = objects.workloads();
        // A network of this run's own, of the 2¹⁶ that the loopback has.
        let [a, b]: [u8; 2] = containers::random()?;
        let network = format!("127.{}.{b}", a.max(1));
        let numbered = (1..).zip(&workloads);
        let addresses: BTreeMap<&str, String> = numbered
            .map(|(number, workload)| (workload.name, format!("{network}.{number}")))
            .collect();
        let server = postgres.url();
        let server = server.rsplit(['@', '/']).find(|part| part.contains(':'));
        let mut services = vec![(
            "postgres:5432".to_owned(),
            server.context("PostgreSQL is nowhere")?.to_owned(),
        )];
        for service in objects.of("Service").filter(|service| name(service) != "postgres") {
            for port in list(&service["spec"]["ports"]) {
                if let Some(address) = addresses.get(name(service)) {
                    let port = &port["port"];
                    services.push((format!("{}:{port}", name(service)), format!("{address}:{port}")));
                }
            }
        }
        let place = Place {
            services,
            secrets: containers::secrets(root)?,
            folder: folder.path().to_owned(),
        };
        Ok(Self {
            root,
            objects,
            workloads,
            place,
            addresses,
            postgres,
            children: Vec::new(),
            folder,
        })
    }

    fn address(&self, workload: &str) -> &str {
        self.addresses.get(workload).map_or("", String::as_str)
    }

    fn find(&self, kind: &str, name: &str) -> Result<Workload<'a>> {
        let found = self.workloads.iter().find(|it| it.kind == kind && it.name == name);
        found.copied().with_context(|| format!("there is no {kind} {name}"))
    }

    /// Where a program of this machine is.
    fn program(&self, command: &str) -> Result<PathBuf> {
        if command.is_empty() {
            let ours = std::env::current_exe().context("this program is nowhere")?;
            return Ok(ours.with_file_name("cambist"));
        }
        tools::find(command, self.root).with_context(|| format!("{command} is not there"))
    }

    fn command(&self, run: &Run) -> Result<Command> {
        // Whatever becomes of us, nothing of this stays.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.program(&run.command)?)
            .args(&run.arguments)
            .env_clear()
            .envs(&run.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        Ok(command)
    }

    /// The files of a workload's ConfigMaps, where it would find them.
    fn files(&self, workload: Workload<'_>) -> Result<()> {
        for container in workload.containers() {
            for mount in list(&container["volumeMounts"]) {
                let folder = self.place.volume(workload.name, text(&mount["mountPath"]));
                fs::create_dir_all(&folder)?;
                let volume = list(&workload.pod["volumes"]).find(|volume| volume["name"] == mount["name"]);
                let map = volume.and_then(|volume| self.objects.find("ConfigMap", text(&volume["configMap"]["name"])));
                for (file, content) in map.and_then(|map| map["data"].as_object()).into_iter().flatten() {
                    fs::write(folder.join(file), text(content))?;
                }
            }
        }
        Ok(())
    }

    /// NATS with the configuration of its ConfigMap, moved here.
    fn queues(&mut self) -> Result<()> {
        let nats = self.find("StatefulSet", "nats")?;
        self.files(nats)?;
        let container = &nats.pod["containers"][0];
        let address = self.address("nats").to_owned();
        let run = self.place.run(self.objects, "nats", container, &address)?;
        let file = self.place.volume("nats", "/etc/nats").join("nats.conf");
        let store = self.place.volume("nats", "/data").display().to_string();
        let config = fs::read_to_string(&file)?
            .replace("0.0.0.0", &address)
            .replace("/data", &store);
        // Debian's server is older than this option; in the cluster it is there.
        let config: Vec<&str> = config.lines().filter(|line| !line.contains("sync_interval")).collect();
        fs::write(&file, config.join("\n"))?;
        let log = File::create(self.folder.path().join("nats.log"))?;
        let child = self.command(&run)?.stderr(log).spawn().context("NATS does not run")?;
        self.children.push(("nats".to_owned(), child));
        self.probed(nats)
    }

    /// The Job: its containers one after the other.
    fn migrate(&mut self) -> Result<()> {
        let sql = ["-c", "CREATE DATABASE cambist"];
        self.psql(&self.postgres.url(), "postgres", &sql)?;
        let job = self.find("Job", "migrate")?;
        self.files(job)?;
        // Twice: it may be run again at any time.
        for _ in 0..2 {
            for container in job.containers() {
                let mut run = self.place.run(self.objects, job.name, container, "127.0.0.1")?;
                let owner = self.postgres.url();
                as_owner(&mut run, &owner);
                let output = self.command(&run)?.output().context("the Job does not run")?;
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(
                    output.status.success(),
                    "the Job's {}: {said}",
                    text(&container["name"])
                );
            }
        }
        Ok(())
    }

    /// All Deployments, then their probes.
    fn start(&mut self) -> Result<()> {
        let workloads: Vec<Workload<'a>> = self.workloads.to_vec();
        for workload in workloads.iter().filter(|workload| workload.kind == "Deployment") {
            self.files(*workload)?;
            let container = &workload.pod["containers"][0];
            let run = self
                .place
                .run(self.objects, workload.name, container, self.address(workload.name))?;
            let log = File::create(self.folder.path().join(format!("{}.log", workload.name)))?;
            let child = self
                .command(&run)?
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .with_context(|| format!("{} does not run", workload.name))?;
            self.children.push((workload.name.to_owned(), child));
        }
        for workload in workloads.iter().filter(|workload| workload.kind == "Deployment") {
            self.probed(*workload)?;
        }
        Ok(())
    }

    /// Waits until every probe of a workload is content.
    fn probed(&mut self, workload: Workload<'_>) -> Result<()> {
        let container = &workload.pod["containers"][0];
        let address = self.address(workload.name).to_owned();
        let started = Instant::now();
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let question = &container[probe]["httpGet"];
            let port = workload.port(&question["port"]).context("a probe has no port")?;
            let path = text(&question["path"]);
            while !is_fine(&format!("{address}:{port}"), path) {
                let (_, child) = self
                    .children
                    .iter_mut()
                    .find(|(name, _)| name == workload.name)
                    .context("not started")?;
                if child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                    let log = fs::read_to_string(self.folder.path().join(format!("{}.log", workload.name)))?;
                    bail!("{}: {probe} {path} is not content:\n{log}", workload.name);
                }
                // sleep: a process says nothing when it gets ready; a cluster asks again and again as well
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// The audit as the cluster runs it, by its own login.
    fn audit(&self) -> Result<()> {
        let output = self
            .command(&self.auditor()?)?
            .output()
            .context("the audit does not run")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let erred = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cambist audit: {said}{erred}");
        Ok(())
    }

    fn auditor(&self) -> Result<Run> {
        let audit = self.find("CronJob", "audit")?;
        let container = &audit.pod["containers"][0];
        self.place
            .run(self.objects, audit.name, container, self.address(audit.name))
    }

    /// The server decides what a login may be; it is asked for each pair.
    fn logins(&self) -> Result<()> {
        let services = [
            "audit",
            "auth",
            "balance",
            "bc_gateway",
            "exchanger",
            "notification",
            "wallet",
        ];
        let owner = self.postgres.url();
        let server = owner.rsplit('@').next().unwrap_or_default().trim_end_matches('/');
        let server = server.strip_prefix("postgres://").unwrap_or(server);
        for login in services {
            let url = format!("postgres://cambist_{login}_login@{server}");
            for role in services {
                let may = self
                    .psql(&url, "cambist", &["-c", &format!("SET ROLE cambist_{role}")])
                    .is_ok();
                ensure!(
                    may == (login == role),
                    "the login of {login} may take the role of {role}: {may}"
                );
            }
        }
        Ok(())
    }

    fn psql(&self, server: &str, database: &str, arguments: &[&str]) -> Result<()> {
        let url = format!("{}/{database}", server.trim_end_matches('/'));
        let output = Command::new(self.program("psql")?)
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(arguments)
            .arg(url)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {said}");
        Ok(())
    }

    /// SIGTERM to all: each ends by itself, and well.
    fn stop(&mut self) -> Result<()> {
        for (name, child) in self.children.iter_mut().rev().filter(|(name, _)| name != "nats") {
            let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
            ensure!(told.success(), "{name} is gone already");
            let status = child.wait()?;
            ensure!(status.success(), "{name} ended with {status}");
        }
        Ok(())
    }
}

/// The user of the private server takes the place of the one in the Secret, whom it does not know.
fn as_owner(run: &mut Run, server: &str) {
    let owner = server
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split(['@', ':', '/']).next());
    let values = run.environment.values_mut().chain(&mut run.arguments);
    for value in values.filter(|value| value.starts_with("postgres://")) {
        if let (Some((_, place)), Some(owner)) = (value.split_once('@'), owner) {
            *value = format!("postgres://{owner}@{place}");
        }
    }
}

/// Whether a probe is content: GET is answered 200.
pub(crate) fn is_fine(address: &str, path: &str) -> bool {
    status(address, path).is_ok_and(|status| status == "200")
}

/// The status with which GET is answered.
pub(crate) fn status(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start[9..]).into_owned())
}
