//! Scenes of what others do or do not do: operators, clusters, registries, whoever closes the terminal.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::Scene;
use super::api::Mood;
use super::scenes::Play;

/// All of them.
pub(super) const ALL: [(&str, Play); 6] = [
    ("a managed database and NATS, as overlays/external tells it", external),
    (
        "what cannot stand in an address is refused before anything is started",
        passwords,
    ),
    ("a warning of the cluster is no answer", warned),
    (
        "an answer that gets lost is asked for again; an address that does not come, not for ever",
        lost,
    ),
    ("only a registry that does not know the image refuses it", registries),
    ("who closes the terminal leaves no secret behind", hung_up),
];

/// What is as it should be before anything is started.
fn nothing_started(scene: &Scene) -> Result<()> {
    let names = scene.cluster.names();
    let started = names.iter().filter(|name| !name.starts_with("secrets/"));
    ensure!(started.eq(["namespaces/prj"]), "{names:?}");
    Ok(())
}

/// As the comment of the overlay has it. The stub reads no protobuf, which kubectl would speak here.
const POSTGRES: &str = "kubectl -n prj create secret generic postgres --from-literal=user=own \
    --from-literal=password=p-_.~1 --dry-run=client --output=json | kubectl -n prj create --filename=-";

const NAMESPACE: &str = "kubectl apply -f deploy/kubernetes/base/namespace.yaml";

fn external(scene: &Scene) -> Result<()> {
    // Whoever skips the first steps is told them.
    let hasty = scene.in_mood(Mood::Fine)?;
    let said = hasty.install("--overlay external")?;
    said.expect(1, "Say who may make schemas")?;
    said.expect(1, "Make these users in yours")?;
    nothing_started(&hasty)?;
    // As it is written down.
    scene.shell("dash", NAMESPACE, "")?.expect(0, "namespace/prj created")?;
    scene
        .shell("dash", POSTGRES, "")?
        .expect(0, "secret/postgres created")?;
    let first = scene.install("--overlay external")?;
    first.expect(1, "Make these users in yours")?;
    nothing_started(scene)?;
    // What is told to be typed gives each password.
    let start = first.text.find("  for name in ").unwrap_or_default();
    let told = first.text.split_at(start).1;
    let end = told.find("\ninstall.sh:").unwrap_or_default();
    let passwords = scene.shell("dash", told.split_at(end).0, "")?;
    for name in ["wallet", "exchanger", "bc-gateway", "notification"] {
        let password = scene.cluster.secret(name)["nats-password"].clone();
        ensure!(password.len() == 65, "{name}: {password}");
        passwords.expect(0, &format!("{name} {password}\n"))?;
    }
    let second = scene.install("--overlay external")?;
    second.expect(0, "Cambist is running")?;
    second.expect(0, "secret/postgres is yours")?;
    let postgres = scene.cluster.secret("postgres");
    ensure!(
        postgres["password"] == "p-_.~1" && postgres["user"] == "own",
        "what is yours stays"
    );
    let names = scene.cluster.names();
    ensure!(!names.iter().any(|name| name.starts_with("statefulsets/")), "{names:?}");
    Ok(())
}

fn passwords(scene: &Scene) -> Result<()> {
    scene.shell("dash", NAMESPACE, "")?.expect(0, "created")?;
    for password in ["p@ss", "pass\n", ""] {
        let data = json!({"user": STANDARD.encode("own"), "password": STANDARD.encode(password)});
        let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "postgres"}, "data": data});
        scene.cluster.put("/api/v1/namespaces/prj/secrets/postgres", secret);
        for overlay in ["default", "external"] {
            let said = scene.install(&format!("--overlay {overlay}"))?;
            said.expect(1, "secret/postgres: its password becomes part of an address")?;
            ensure!(password.len() < 3 || !said.text.contains(password), "it was shown");
        }
    }
    nothing_started(scene)
}

fn warned(scene: &Scene) -> Result<()> {
    scene.kubectl("echo 'Warning: this cluster is tired' >&2")?;
    scene.install("")?.expect(0, "Cambist is running")?;
    let uninstall = "./uninstall.sh --yes --timeout 5";
    scene.shell("dash", uninstall, "")?.expect(0, "Cambist is gone")?;
    scene
        .shell("dash", uninstall, "")?
        .expect(0, "nothing is left to remove")?;
    scene.kubectl("case \" $* \" in *' get namespace '*) echo 'you may not' >&2; exit 1 ;; esac")?;
    let said = scene.install("")?;
    said.expect(1, "does not say whether Cambist is there")?;
    said.expect(1, "you may not")
}

/// Does this the first time that kubectl is called so, which a file of this name remembers.
fn once(name: &str, call: &str, what: &str) -> String {
    format!("case \" $* \" in *' {call} '*) [ -f \"$HOME/{name}\" ] || {{ : >\"$HOME/{name}\"; {what}; }} ;; esac")
}

fn lost(scene: &Scene) -> Result<()> {
    let job = once("job", "get job migrate", "echo 'connection reset' >&2; exit 1");
    let address = once("address", "get ingress wallet", "exit 0");
    scene.kubectl(&format!("{job}\n{address}"))?;
    let said = scene.install("")?;
    said.expect(0, "connection reset")?;
    said.expect(0, "waiting for the address of the Ingress")?;
    said.expect(0, "address    http://203.0.113.7")?;
    scene.kubectl("case \" $* \" in *' get ingress wallet '*) exit 0 ;; esac")?;
    scene
        .install("--timeout 2")?
        .expect(0, "The Ingress has no address yet")
}

fn registries(scene: &Scene) -> Result<()> {
    let says = |words: &str| format!("echo '{words}' >&2; exit 1");
    // Nothing is rendered: what comes after the image is the other scenes' matter.
    scene.kubectl("[ \"$1\" != kustomize ] || exit 1")?;
    let taken = || -> Result<String> {
        let said = scene.install("")?;
        said.expect(1, "does not render")?;
        Ok(said.text)
    };
    let unsure = "it could not be checked that this can be pulled; skopeo:";
    for unknown in ["tls: failed to verify certificate", "401 Unauthorized", "no such host"] {
        scene.program("skopeo", &says(unknown))?;
        let text = taken()?;
        ensure!(text.contains(&format!("{unsure} {unknown}")), "{text}");
    }
    scene.program(
        "docker",
        &says("exec: \"docker-credential-x\": executable file not found in $PATH"),
    )?;
    let text = taken()?;
    ensure!(text.contains(unsure), "{text}");
    for engine in ["podman", "buildah"] {
        scene.program(engine, "[ \"$*\" = 'manifest inspect docker://example.com/cambist:1' ]")?;
        let text = taken()?;
        ensure!(!text.contains(unsure), "{engine} was not asked: {text}");
        scene.program(
            engine,
            &says("reading manifest 1 in example.com/cambist: manifest unknown"),
        )?;
        scene
            .install("")?
            .expect(1, "there is no image example.com/cambist:1")?;
        scene.program(engine, "exit 1")?;
    }
    Ok(())
}

fn hung_up(scene: &Scene) -> Result<()> {
    // It is in the middle of making the Secrets.
    scene.kubectl("case \" $* \" in *' create '*) kill -HUP $PPID ;; esac")?;
    scene.install("")?.expect(129, "")?;
    ensure!(scene.leftovers()? == 0, "files were left behind");
    Ok(())
}
