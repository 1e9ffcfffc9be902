//! The images that the manifests name: ours, built from here; PostgreSQL's and NATS's pulled, where that was asked for, or made
//! of this machine's Debian packages under the very same name, so that a machine which reaches no registry has them.
//!
//! What is made of packages is a stand-in: another version, on another C library. It shows that the manifests hold together, not
//! that the pulled image runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use test_servers::postgres;

use super::podman::Podman;
use crate::{image, tools};

/// What starts the stand-in of PostgreSQL.
const START: &str = include_str!("postgres.sh");

/// What PostgreSQL is made of besides its programs: its modules and texts, the time zones, and what letters are.
const FOLDERS: [&str; 4] = [
    "/usr/lib/postgresql/VERSION/lib",
    "/usr/share/postgresql/VERSION",
    "/usr/share/zoneinfo",
    "/usr/lib/locale/C.utf8",
];

/// Makes or takes each image; what it was made of, for people.
pub(super) fn provide(
    podman: &Podman,
    root: &Path,
    names: &BTreeSet<String>,
    program: &Path,
    pull: bool,
) -> Result<()> {
    for name in names {
        podman.go_on()?;
        let made = match Known::by(name) {
            Some(Known::Cambist) => {
                image::context(root, program)?;
                build(podman, &root.join("deploy/Dockerfile"), &image::folder(root), name)?;
                "the program of this folder"
            }
            Some(_) if pull => {
                println!("pulling {name}");
                podman.output(&["pull", "--quiet", name])?;
                "pulled"
            }
            Some(known) => {
                let folder = podman.folder("context");
                if folder.exists() {
                    fs::remove_dir_all(&folder)?;
                }
                let recipe = known.lay_out(root, &folder.join("files"))?;
                fs::write(folder.join("Dockerfile"), recipe)?;
                build(podman, &folder.join("Dockerfile"), &folder.join("files"), name)?;
                fs::remove_dir_all(&folder)?;
                "a stand-in made of this machine's packages; --pull takes the real one"
            }
            None => bail!("nobody knows how to make {name}"),
        };
        let bytes = podman.output(&["image", "inspect", "--format={{.Size}}", name])?;
        let tenths = bytes.trim().parse::<u64>()? / 100_000;
        println!("{name}: {}.{} MB, {made}", tenths / 10, tenths % 10);
    }
    // Those of an earlier run that have no name any more.
    podman.output(&["image", "prune", "--force"])?;
    Ok(())
}

fn build(podman: &Podman, recipe: &Path, folder: &Path, name: &str) -> Result<()> {
    let (recipe, folder) = (recipe.display().to_string(), folder.display().to_string());
    // Nothing is run while it is built, so nothing has to be kept apart.
    podman.output(&[
        "build",
        "--quiet",
        "--isolation=chroot",
        "--file",
        &recipe,
        "--tag",
        name,
        &folder,
    ])?;
    Ok(())
}

/// Whether the NATS of these pods is this machine's, which does not know every option of the real one.
pub(super) fn is_old_nats(root: &Path, pull: bool) -> Result<bool> {
    if pull {
        return Ok(false);
    }
    let server = tools::find("nats-server", root).context("nats-server is not there")?;
    let output = Command::new(server).arg("--version").stdin(Stdio::null()).output()?;
    Ok(before_2_10(&String::from_utf8_lossy(&output.stdout)))
}

/// Of `nats-server: v2.9.10`.
fn before_2_10(version: &str) -> bool {
    let numbers = version.trim().rsplit('v').next().unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (2, 10)
}

/// Images that can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Cambist,
    Postgres,
    Nats,
}

impl Known {
    fn by(name: &str) -> Option<Self> {
        let short = name.rsplit('/').next()?.split(':').next()?;
        match short {
            "cambist" => Some(Self::Cambist),
            "postgres" => Some(Self::Postgres),
            "nats" => Some(Self::Nats),
            _ => None,
        }
    }

    /// Puts everything into the folder as it shall lie in the image; the Dockerfile.
    fn lay_out(self, root: &Path, folder: &Path) -> Result<String> {
        match self {
            Self::Cambist => bail!("this one is built"),
            Self::Nats => {
                let server = tools::find("nats-server", root).context("nats-server is not there")?;
                program(&server, &folder.join("usr/bin"))?;
                libraries(&[server], folder)?;
                Ok("FROM scratch\nCOPY . /\nENV PATH=/usr/bin\nENTRYPOINT [\"nats-server\"]\n".to_owned())
            }
            Self::Postgres => postgres(folder),
        }
    }
}

fn postgres(folder: &Path) -> Result<String> {
    let programs = postgres::programs().context("PostgreSQL is not there")?;
    let version = programs
        .parent()
        .and_then(Path::file_name)
        .context("PostgreSQL has no version")?;
    for known in FOLDERS {
        let known = known.replace("VERSION", &version.to_string_lossy());
        copy_all(Path::new(&known), folder)?;
    }
    // It finds the rest from where it lies itself.
    let place = folder.join(programs.strip_prefix("/")?);
    let mut binaries: Vec<PathBuf> = ["postgres", "initdb", "psql", "pg_isready"]
        .map(|name| programs.join(name))
        .into();
    for binary in &binaries {
        program(binary, &place)?;
    }
    let shell = PathBuf::from("/bin/sh");
    program(&shell, &folder.join("bin"))?;
    binaries.push(shell);
    let modules = fs::read_dir(folder.join(format!("usr/lib/postgresql/{}/lib", version.to_string_lossy())))?;
    binaries.extend(
        modules
            .flatten()
            .map(|it| it.path())
            .filter(|it| it.extension().is_some_and(|end| end == "so")),
    );
    libraries(&binaries, folder)?;
    let start = folder.join("start");
    fs::write(&start, START)?;
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(folder.join("etc"))?;
    fs::write(folder.join("etc/passwd"), "postgres:x:70:70::/:/bin/sh\n")?;
    let path = programs.display();
    Ok(format!(
        "FROM scratch\nCOPY . /\nENV PATH={path}:/bin LANG=C.UTF-8\nSTOPSIGNAL SIGINT\nUSER 70:70\nENTRYPOINT [\"/start\"]\n"
    ))
}

/// Copies a program, as itself where it is a link.
fn program(from: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let name = from.file_name().context("a program has a name")?;
    fs::copy(from, folder.join(name)).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}

/// Copies a folder to the same place below another one; links become what they lead to.
fn copy_all(from: &Path, below: &Path) -> Result<()> {
    let place = below.join(from.strip_prefix("/")?);
    fs::create_dir_all(&place)?;
    // Compilers for queries weigh more than the server, and are looked for only when they are wanted.
    let unwanted = ["bitcode", "llvmjit.so", "pgxs"];
    for entry in fs::read_dir(from).with_context(|| format!("{} is not there", from.display()))? {
        let entry = entry?;
        if unwanted.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let path = entry.path();
        let Ok(kind) = fs::metadata(&path) else { continue };
        if kind.is_dir() {
            copy_all(&path, below)?;
        } else {
            fs::copy(&path, place.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Copies the libraries that these need, to the same places.
fn libraries(binaries: &[PathBuf], below: &Path) -> Result<()> {
    let mut needed = BTreeSet::new();
    for binary in binaries {
        let output = Command::new("ldd")
            .arg(binary)
            .stdin(Stdio::null())
            .output()
            .context("ldd does not run")?;
        needed.extend(listed(&String::from_utf8_lossy(&output.stdout)));
    }
    for library in needed {
        let path = Path::new(&library);
        let folder = path.parent().context("a library lies somewhere")?;
        program(path, &below.join(folder.strip_prefix("/")?))?;
    }
    Ok(())
}

/// The files that `ldd` lists.
fn listed(text: &str) -> Vec<String> {
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words
        .map(|word| word.trim_end_matches(':').to_owned())
        .filter(|word| word.contains(".so"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_last_part_of_its_name() {
        assert_eq!(Known::by("docker.io/library/postgres:17-alpine"), Some(Known::Postgres));
        assert_eq!(Known::by("docker.io/library/nats:2.11-alpine"), Some(Known::Nats));
        assert_eq!(Known::by("cambist:local"), Some(Known::Cambist));
        assert_eq!(Known::by("docker.io/library/redis"), None);
    }

    #[test]
    fn libraries_are_read_off_what_the_loader_says() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n\
                    \tstatically linked\n";
        assert_eq!(
            listed(text),
            ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
    }

    #[test]
    fn the_version_tells_whether_nats_is_old() {
        assert!(before_2_10("nats-server: v2.9.10\n"));
        assert!(!before_2_10("nats-server: v2.10.1\n") && !before_2_10("nats-server: v3.0.0"));
    }
}
