//! `cargo xtask test --only manifests`: what `deploy/kubernetes` renders to is valid, hardened, and says what it means.
//!
//! Three judges look at each overlay: the schemas of two versions of Kubernetes (`kubernetes-validate --strict`), a catalogue
//! of good practice (`checkov`), and checks of our own for what neither sees: names that lead nowhere, doors that nobody
//! opened, secrets in the wrong hands.
//!
//! Rendering takes kubectl 1.21 or later, which Debian 12 does not have: without one this is left out, loudly, and fails
//! where `CI` is `true`.

mod checks;
pub(crate) mod containers;
mod ingress;
pub(crate) mod network;
pub(crate) mod objects;
pub(crate) mod routes;
mod secrets;
mod shapes;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::tools;
use objects::Objects;

/// What can be installed.
pub(crate) const OVERLAYS: [&str; 3] = ["default", "ha", "external"];

/// Versions of Kubernetes whose schemas are asked: the oldest that `sleep` before an end is beyond doubt in, and a new one.
const VERSIONS: [&str; 2] = ["1.32", "1.36"];

/// What checkov wants and does not get, and why.
const SKIPPED: [(&str, &str); 4] = [
    (
        "CKV_K8S_15",
        "an image that was loaded into the cluster cannot be pulled always",
    ),
    (
        "CKV_K8S_35",
        "settings are variables; what a process has in memory anyway may be in its environment",
    ),
    ("CKV_K8S_40", "PostgreSQL's image has a user of its own, 70"),
    (
        "CKV_K8S_43",
        "which image is installed is said at the time, by install.sh --image",
    ),
];

/// A kubectl that is new enough; `None` where there is none.
pub(crate) fn kubectl(root: &Path) -> Result<Option<PathBuf>> {
    let Some(path) = tools::find("kubectl", root) else {
        return Ok(None);
    };
    let output = Command::new(&path)
        .args(["version", "--client", "--output=json"])
        .stdin(Stdio::null())
        .output()
        .context("kubectl does not run")?;
    let version: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or_default();
    let minor: u32 = minor.trim_end_matches('+').parse().unwrap_or(0);
    Ok((minor >= 21).then_some(path))
}

/// Says that something was left out because there is no kubectl; an error where that must not be.
pub(crate) fn left_out() -> Result<()> {
    let missing = "there is no kubectl of version 1.21 or later in PATH (Debian 12 has 1.20; see https://kubernetes.io/docs/tasks/tools)";
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        bail!("{missing}");
    }
    println!("!! LEFT OUT: {missing}. With CI=true this fails.");
    Ok(())
}

/// Renders every overlay and has it judged.
pub(crate) fn run(root: &Path) -> Result<()> {
    let Some(kubectl) = kubectl(root)? else {
        return left_out();
    };
    let known = Known::read(root)?;
    let (mut problems, mut files) = (Vec::new(), Vec::new());
    let overlays = OVERLAYS.map(|overlay| (overlay, root.join("deploy/kubernetes/overlays").join(overlay)));
    let measured = ("default with monitoring", with_monitoring(root)?);
    for (overlay, folder) in overlays.into_iter().chain([measured]) {
        let (file, text) = render_folder(root, &kubectl, &folder)?;
        let objects = Objects::parse(&text)?;
        let found = checks::all(&objects, &known)
            .into_iter()
            .chain(network::check(&objects))
            .chain(secrets::check(&objects, &known.secrets))
            .map(|problem| format!("{overlay}: {problem}"));
        problems.extend(found);
        println!("{overlay}: {} objects", objects.len());
        files.push(file);
    }
    // Each takes longer to start than to judge.
    schemas(root, &files)?;
    checkov(root, &files)?;
    problems.extend(network::diagram(&fs::read_to_string(
        root.join("assets/service_diagram.dot"),
    )?));
    ensure!(problems.is_empty(), "\n  {}", problems.join("\n  "));
    Ok(())
}

/// What the manifests are held against.
pub(crate) struct Known {
    /// The names of all settings' variables.
    settings: BTreeSet<String>,
    /// What `install.sh` makes: Secret, key.
    secrets: BTreeSet<(String, String)>,
    /// The paths of the public document.
    public: BTreeSet<String>,
    /// How large a body the program takes, in bytes.
    body: u64,
}

impl Known {
    fn read(root: &Path) -> Result<Self> {
        let settings = fs::read_to_string(root.join("docs/SETTINGS.md"))?;
        let settings = settings.split('`').filter(|word| word.starts_with("CAMBIST_"));
        let secrets = fs::read_to_string(root.join("deploy/secrets.txt"))?;
        let document: Value = serde_json::from_str(&fs::read_to_string(root.join("docs/openapi-public.json"))?)?;
        let public = document["paths"]
            .as_object()
            .context("the public document has no paths")?;
        Ok(Self {
            settings: settings.map(str::to_owned).collect(),
            secrets: secrets::listed(&secrets),
            public: public.keys().cloned().collect(),
            body: body_limit(&fs::read_to_string(
                root.join("crates/service-kit/src/extract/body.rs"),
            )?)
            .context("the program's bound of a body is not where it was")?,
        })
    }
}

/// The product in `BODY_LIMIT: usize = 16 * 1024;`.
fn body_limit(source: &str) -> Option<u64> {
    let (_, after) = source.split_once("const BODY_LIMIT: usize = ")?;
    let (product, _) = after.split_once(';')?;
    product
        .split('*')
        .map(|factor| factor.trim().parse::<u64>().ok())
        .product()
}

/// A folder of one's own, as an operator makes it who measures.
fn with_monitoring(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/manifests/monitored");
    fs::create_dir_all(&folder)?;
    let manifests = "../../../deploy/kubernetes";
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{manifests}/overlays/default]\n\
         components: [{manifests}/components/monitoring]\n"
    );
    fs::write(folder.join("kustomization.yaml"), text)?;
    Ok(folder)
}

/// The overlay as kubectl renders it, and the file where it is kept for a look.
pub(crate) fn render(root: &Path, kubectl: &Path, overlay: &str) -> Result<(PathBuf, String)> {
    render_folder(root, kubectl, &root.join("deploy/kubernetes/overlays").join(overlay))
}

fn render_folder(root: &Path, kubectl: &Path, folder: &Path) -> Result<(PathBuf, String)> {
    let overlay = folder.file_name().unwrap_or_default().to_string_lossy();
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .context("kubectl does not run")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the overlay {overlay} does not render: {complaint}"
    );
    let text = String::from_utf8(output.stdout)?;
    let folder = root.join("target/manifests");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{overlay}.yaml"));
    fs::write(&file, &text)?;
    Ok((file, text))
}

fn schemas(root: &Path, files: &[PathBuf]) -> Result<()> {
    for version in VERSIONS {
        judge(
            tool(root, "kubernetes-validate")?
                .args(["--strict", "--quiet", "-k", version])
                .args(files),
        )?;
    }
    Ok(())
}

fn checkov(root: &Path, files: &[PathBuf]) -> Result<()> {
    let skipped: Vec<&str> = SKIPPED.iter().map(|(check, _)| *check).collect();
    let mut checkov = tool(root, "checkov")?;
    checkov.args(["--framework", "kubernetes", "--skip-download", "--compact", "--quiet"]);
    checkov.args(["--skip-check", &skipped.join(",")]);
    for file in files {
        checkov.arg("--file").arg(file);
    }
    judge(&mut checkov)
}

fn tool(root: &Path, name: &str) -> Result<Command> {
    let path = tools::find(name, root).with_context(|| {
        format!("{name} is not there; run `cargo xtask test --only tools`, which installs what the tests call")
    })?;
    Ok(Command::new(path))
}

/// Runs a judge; its words only where it says no.
fn judge(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{program} does not run"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let erred = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}\n{said}{erred}", output.status);
    Ok(())
}
