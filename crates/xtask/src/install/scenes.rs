//! What is tried: each scene starts with an empty cluster.

use anyhow::{Result, ensure};
use serde_json::json;

use super::api::Mood;
use super::{Said, Scene};

/// Something to try; what it says of it is an error.
pub(super) type Play = fn(&Scene) -> Result<()>;

/// All scenes.
pub(super) const ALL: [(&str, Play); 12] = [
    ("it installs everything, in order", installs),
    ("the second time keeps every secret", keeps_secrets),
    ("a key that is missing is made, and no other", adds_a_key),
    (
        "without an Ingress there is none, and one that was there goes",
        without_ingress,
    ),
    ("a migration that fails ends it before the services", failed_migration),
    ("what never gets ready is named", never_ready),
    ("what cannot work is said before anything is applied", refusals),
    ("the image that was built here goes into a local cluster", local_image),
    ("sourced in bash, zsh and dash it leaves the shell as it was", sourced),
    ("uninstalling asks, and leaves nothing", uninstalls),
    ("a namespace of somebody else's stays", foreign),
    ("a cluster that is too old is told so, and nothing is applied", too_old),
];

/// Where a change stands in the order of all.
fn at(changes: &[String], change: &str) -> Result<usize> {
    let found = changes.iter().position(|made| made == change);
    found.ok_or_else(|| anyhow::anyhow!("{change} was not asked for: {changes:?}"))
}

fn installs(scene: &Scene) -> Result<()> {
    let said = scene.install("")?;
    said.expect(0, "address    http://203.0.113.7")?;
    let changes = scene.cluster.changes();
    ensure!(at(&changes, "PATCH namespaces/prj")? == 0, "{changes:?}");
    let order = [
        "POST secrets/wallet",
        "PATCH statefulsets/postgres",
        "PATCH jobs/migrate",
        "PATCH deployments/wallet-worker",
    ];
    let places = order
        .iter()
        .map(|change| at(&changes, change))
        .collect::<Result<Vec<_>>>()?;
    ensure!(places.is_sorted(), "{changes:?}");
    let services = changes.iter().filter(|change| change.starts_with("PATCH deployments/"));
    ensure!(services.count() == 11, "ten processes and the simulators: {changes:?}");
    at(&changes, "PATCH ingresses/wallet")?;
    let mut values = Vec::new();
    for secret in ["postgres", "auth", "wallet", "bc-gateway", "operator"] {
        for (key, value) in scene.cluster.secret(secret) {
            ensure!(key == "user" || value.len() == 65, "{secret}/{key} is no secret");
            ensure!(key == "user" || !said.text.contains(&value), "{secret}/{key} was shown");
            values.push(value);
        }
    }
    let made = values.len();
    values.sort();
    values.dedup();
    ensure!(values.len() == made && made > 8, "each secret is its own");
    ensure!(scene.leftovers()? == 0, "files were left behind");
    Ok(())
}

fn keeps_secrets(scene: &Scene) -> Result<()> {
    scene.install("")?.expect(0, "Cambist is running")?;
    let first = scene.cluster.secret("bc-gateway");
    let before = scene.cluster.changes().len();
    scene.install("")?.expect(0, "secret/bc-gateway kept")?;
    ensure!(scene.cluster.secret("bc-gateway") == first, "the seed changed");
    let changes = scene.cluster.changes().split_off(before);
    ensure!(!changes.iter().any(|change| change.contains("secrets/")), "{changes:?}");
    ensure!(
        at(&changes, "DELETE jobs/migrate")? < at(&changes, "PATCH jobs/migrate")?,
        "a Job is made anew"
    );
    Ok(())
}

fn adds_a_key(scene: &Scene) -> Result<()> {
    scene.install("")?.expect(0, "Cambist is running")?;
    let before = scene.cluster.secret("wallet");
    scene.cluster.forget("wallet", "nats-password");
    scene.install("")?.expect(0, "Cambist is running")?;
    let after = scene.cluster.secret("wallet");
    ensure!(
        after["internal-token"] == before["internal-token"],
        "a key that was there changed"
    );
    ensure!(
        after["nats-password"] != before["nats-password"],
        "the key was not made"
    );
    Ok(())
}

fn without_ingress(scene: &Scene) -> Result<()> {
    let has = |scene: &Scene| scene.cluster.names().iter().any(|name| name.contains("ingress"));
    scene
        .install("--no-ingress")?
        .expect(0, "port-forward service/wallet")?;
    ensure!(!has(scene), "{:?}", scene.cluster.names());
    scene.install("")?.expect(0, "http://203.0.113.7")?;
    ensure!(has(scene), "the Ingress did not come");
    scene
        .install("--no-ingress")?
        .expect(0, "port-forward service/wallet")?;
    ensure!(!has(scene), "{:?}", scene.cluster.names());
    Ok(())
}

fn failed_migration(scene: &Scene) -> Result<()> {
    let scene = scene.in_mood(Mood::MigrationFails)?;
    scene
        .install("")?
        .expect(1, "the migration failed; nothing that needs it was started")?;
    let changes = scene.cluster.changes();
    ensure!(at(&changes, "PATCH deployments/wallet").is_err(), "{changes:?}");
    Ok(())
}

fn never_ready(scene: &Scene) -> Result<()> {
    let scene = scene.in_mood(Mood::NeverReady("exchanger-worker"))?;
    scene
        .install("--timeout 1")?
        .expect(1, "not ready after 1 s: exchanger-worker.")
}

fn refusals(scene: &Scene) -> Result<()> {
    let refused = |line: &str, words: &str| -> Result<Said> {
        let said = scene.shell("dash", line, "")?;
        said.expect(1, words)?;
        Ok(said)
    };
    refused("./install.sh --nonsense", "there is no --nonsense")?;
    refused("./install.sh --image", "--image takes a value")?;
    refused("./install.sh --image 'a b'", "is no image")?;
    refused("./install.sh --timeout soon", "--timeout takes seconds")?;
    refused("./install.sh --overlay nowhere", "there is no overlay nowhere")?;
    refused("./uninstall.sh --timeout soon", "--timeout takes seconds")?;
    refused(
        "./install.sh --image example.com/cambist:2",
        "there is no image example.com/cambist:2",
    )?;
    refused("./install.sh", "this cluster is not on this machine")?;
    scene.context("kind-here")?;
    refused(
        "./install.sh",
        "there is no image cambist:local here; build it: cargo xtask image",
    )?;
    refused("KUBECONFIG=/nowhere ./install.sh", "does not answer")?;
    scene
        .shell("dash", "./install.sh --help", "")?
        .expect(0, "--no-ingress")?;
    scene.shell("dash", "./uninstall.sh --help", "")?.expect(0, "--yes")?;
    ensure!(scene.cluster.changes().is_empty(), "{:?}", scene.cluster.changes());
    Ok(())
}

fn local_image(scene: &Scene) -> Result<()> {
    scene.context("kind-here")?;
    scene.program(
        "docker",
        "case \"$1 $2\" in 'image inspect') echo sha256:0123456789abcdef ;; tag*) [ \"$2\" = cambist:local ] ;; save*) : >\"${2#--output=}\" ;; *) exit 1 ;; esac",
    )?;
    scene.program(
        "kind",
        "[ \"$1 $2 $4\" = 'load image-archive --name=here' ] && [ -f \"$3\" ]",
    )?;
    let said = scene.shell("dash", "./install.sh --timeout 5", "")?;
    said.expect(
        0,
        "cambist:local is loaded into kind as docker.io/library/cambist:0123456789ab",
    )?;
    scene.program("kind", "exit 1")?;
    let before = scene.cluster.changes().len();
    scene
        .shell("dash", "./install.sh --timeout 5", "")?
        .expect(1, "could not be loaded into kind")?;
    ensure!(scene.cluster.changes().len() == before, "something was applied");
    Ok(())
}

fn sourced(scene: &Scene) -> Result<()> {
    for shell in ["bash", "zsh", "dash"] {
        // What follows shows that the shell lives, and that nothing was left in it.
        let after = "echo status=$? here=${here-unset} folder=${folder-unset} program=${program-unset} $(umask)";
        let mask = "umask 022";
        // dash hands no arguments to what it sources.
        let arguments = if shell == "dash" { "" } else { "--nonsense" };
        scene
            .shell(shell, &format!("{mask}; . ./install.sh {arguments}; {after}"), "")?
            .expect(0, "status=1 here=unset folder=unset program=unset")?;
    }
    // By its bare name, as bash finds it.
    scene
        .shell("bash", ". install.sh --help", "")?
        .expect(0, "Usage: . install.sh")?;
    for shell in ["bash", "zsh", "dash"] {
        // As --help says it for a shell that hands no options over.
        let told = |script: &str, options: &str| match shell {
            "dash" => format!("set -- {options}; . ./{script}; echo status=$?"),
            _ => format!(". ./{script} {options}; echo status=$?"),
        };
        let line = told("install.sh", "--image example.com/cambist:1 --timeout 5");
        let said = scene.shell(shell, &line, "")?;
        said.expect(0, "Cambist is running")?;
        said.expect(0, "status=0")?;
        let line = told("uninstall.sh", "--yes --timeout 5");
        scene.shell(shell, &line, "")?.expect(0, "status=0")?;
        ensure!(scene.cluster.names().is_empty(), "{:?}", scene.cluster.names());
    }
    // From another folder, and executed.
    let line = "cd / && \"$OLDPWD/install.sh\" --image example.com/cambist:1 --timeout 5";
    for shell in ["bash", "zsh", "dash"] {
        scene.shell(shell, line, "")?.expect(0, "Cambist is running")?;
    }
    let line = "root=$PWD; cd / && . \"$root/uninstall.sh\" --yes";
    for shell in ["bash", "zsh"] {
        scene.shell(shell, line, "")?.expect(0, "")?;
    }
    Ok(())
}

fn uninstalls(scene: &Scene) -> Result<()> {
    scene.install("")?.expect(0, "Cambist is running")?;
    let there = scene.cluster.names();
    for answer in ["", "no\n", "yes\n"] {
        scene
            .shell("dash", "./uninstall.sh", answer)?
            .expect(1, "nothing was removed")?;
    }
    ensure!(scene.cluster.names() == there, "it was told not to");
    scene
        .shell("dash", "./uninstall.sh", "delete\n")?
        .expect(0, "Cambist is gone")?;
    ensure!(scene.cluster.names().is_empty(), "{:?}", scene.cluster.names());
    scene
        .shell("dash", "./uninstall.sh --yes", "")?
        .expect(0, "nothing is left to remove")?;
    scene.install("")?.expect(0, "Cambist is running")
}

fn foreign(scene: &Scene) -> Result<()> {
    let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "prj"}});
    scene.cluster.put("/api/v1/namespaces/prj", namespace);
    scene
        .shell("dash", "./uninstall.sh --yes", "")?
        .expect(1, "is not Cambist's; nothing was done to it")?;
    scene.install("")?.expect(1, "is not Cambist's")?;
    ensure!(scene.cluster.changes().is_empty(), "{:?}", scene.cluster.changes());
    Ok(())
}

fn too_old(scene: &Scene) -> Result<()> {
    let old = scene.in_mood(Mood::Version("29+"))?;
    old.install("")?
        .expect(1, "the cluster has Kubernetes 1.29; 1.30 or later is needed")?;
    ensure!(old.cluster.changes().is_empty(), "{:?}", old.cluster.changes());
    old.shell("dash", "./uninstall.sh --yes", "")?
        .expect(0, "nothing is left to remove")?;
    let young = scene.in_mood(Mood::Version("30+"))?;
    young.install("")?.expect(0, "Cambist is running")
}
