//! `cargo xtask test --only install`: `install.sh` and `uninstall.sh` as people use them, with the real kubectl against a stub
//! of the API ([`api`]): in bash, zsh and dash, executed and sourced, once, twice, and where something is wrong.
//!
//! Where there is no kubectl this is left out as the manifests are.

mod api;
mod http;
mod scenes;
mod troubles;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{manifests, tools};
use api::{Cluster, Mood};

/// Runs every scene; the first that fails ends it.
pub(crate) fn run(root: &Path) -> Result<()> {
    lint(root)?;
    let Some(kubectl) = manifests::kubectl(root)? else {
        return manifests::left_out();
    };
    // Each has a machine and a cluster of its own, and mostly waits for kubectl.
    std::thread::scope(|scope| {
        let kubectl = &kubectl;
        let all = scenes::ALL.into_iter().chain(troubles::ALL);
        let playing: Vec<_> = all
            .map(|(name, play)| {
                let played = scope.spawn(move || play(&Scene::new(root, kubectl, Mood::Fine)?));
                (name, played)
            })
            .collect();
        let mut all = Ok(());
        for (name, played) in playing {
            match played.join() {
                Ok(Ok(())) => println!("{name}"),
                Ok(Err(error)) => all = Err(error.context(format!("scene: {name}"))),
                Err(_) => all = Err(anyhow::anyhow!("scene: {name}: a bug of the scene's own, see above")),
            }
        }
        all
    })
}

fn lint(root: &Path) -> Result<()> {
    let mut shellcheck = Command::new(tools::find("shellcheck", root).context("shellcheck is not there")?);
    shellcheck.arg("--external-sources").current_dir(root);
    shellcheck.args([
        "install.sh",
        "uninstall.sh",
        "deploy/install.sh",
        "deploy/uninstall.sh",
        "deploy/common.sh",
        "deploy/images.sh",
    ]);
    let output = shellcheck
        .stdin(Stdio::null())
        .output()
        .context("shellcheck does not run")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// A machine with a cluster: a home of its own, programs that are not really there, and the stub.
struct Scene {
    root: PathBuf,
    kubectl: PathBuf,
    cluster: Cluster,
    address: String,
    /// Home, programs, temporary files.
    folder: tempfile::TempDir,
}

/// What a command said, both streams in one, and how it ended.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Scene {
    fn new(root: &Path, kubectl: &Path, mood: Mood) -> Result<Self> {
        let (cluster, address) = Cluster::start(mood)?;
        let folder = tempfile::tempdir()?;
        for name in ["home", "programs", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let scene = Self {
            root: root.to_owned(),
            kubectl: kubectl.to_owned(),
            cluster,
            address,
            folder,
        };
        scene.kubectl("")?;
        // A registry that has the image of this name.
        scene.program(
            "skopeo",
            "[ \"$3\" = docker://example.com/cambist:1 ] || { echo 'manifest unknown' >&2; exit 1; }",
        )?;
        scene.program("docker", "exit 1")?;
        scene.program("podman", "exit 1")?;
        scene.program("buildah", "exit 1")?;
        scene.context("elsewhere")?;
        Ok(scene)
    }

    /// The same machine with a cluster of another mood.
    fn in_mood(&self, mood: Mood) -> Result<Self> {
        Self::new(&self.root, &self.kubectl, mood)
    }

    /// Names the current context.
    fn context(&self, name: &str) -> Result<()> {
        let address = &self.address;
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters: [{{name: c, cluster: {{server: '{address}'}}}}]\n\
             contexts: [{{name: {name}, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        fs::write(self.folder.path().join("home/config"), config)?;
        Ok(())
    }

    /// The real kubectl, which does this first.
    fn kubectl(&self, first: &str) -> Result<()> {
        // The stub has no schemas to validate by; everything else of kubectl is as it is.
        let kubectl = self.kubectl.display();
        self.program(
            "kubectl",
            &format!(
                "{first}\nfor word in \"$@\"; do case $word in apply | create) set -- \"$@\" --validate=false; break ;; esac; done\n\
                 exec {kubectl} \"$@\""
            ),
        )
    }

    /// Puts a shell script before all other programs of this name.
    fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = self.folder.path().join("programs").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Has a shell run a line at the root of the project, with this on standard input.
    fn shell(&self, shell: &str, line: &str, input: &str) -> Result<Said> {
        let program = tools::find(shell, &self.root).with_context(|| format!("{shell} is not there"))?;
        let mut command = Command::new(program);
        match shell {
            "zsh" => command.args(["-f", "-c", line]),
            "bash" => command.args(["--norc", "--noprofile", "-c", line]),
            _ => command.args(["-c", line]),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let folder = self.folder.path();
        let mut child = command
            .current_dir(&self.root)
            .env_clear()
            .env("PATH", format!("{}:{path}", folder.join("programs").display()))
            .env("HOME", folder.join("home"))
            .env("KUBECONFIG", folder.join("home/config"))
            .env("TMPDIR", folder.join("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the shell does not run")?;
        // A shell that has ended before it read everything is no fault of its caller.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let Output { status, stdout, stderr } = child.wait_with_output()?;
        let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Said {
            code: status.code(),
            text: text.concat(),
        })
    }

    /// `./install.sh` with a pullable image and these arguments.
    fn install(&self, arguments: &str) -> Result<Said> {
        let line = format!("./install.sh --image example.com/cambist:1 --timeout 5 {arguments}");
        self.shell("dash", &line, "")
    }

    /// What is left in the folder for temporary files.
    fn leftovers(&self) -> Result<usize> {
        Ok(fs::read_dir(self.folder.path().join("tmp"))?.count())
    }
}

impl Said {
    /// It ended so and said so.
    fn expect(&self, code: i32, words: &str) -> Result<()> {
        ensure!(
            self.code == Some(code) && self.text.contains(words),
            "ended with {:?} instead of {code}, or without saying {words:?}:\n{}",
            self.code,
            self.text
        );
        Ok(())
    }
}
