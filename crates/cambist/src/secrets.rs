//! Secrets that `up` makes at its first start, each in a file of its own that only its owner may read.
//!
//! A secret is on disk before it is used: coins sent to an address whose key was lost would be gone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use contracts::Entropy;
use service_kit::settings::Secret;

/// Random bytes of a made secret, written as twice as many hexadecimal digits.
const BYTES: usize = 32;

/// The secret in `folder`/`name`, made now if there is none. Two processes that start at once agree on one.
///
/// # Errors
/// When the file can be neither read nor made, or is empty.
pub fn kept(folder: &Path, name: &str, entropy: &dyn Entropy) -> anyhow::Result<Secret> {
    let path = folder.join(name);
    let context = || format!("the secret {} can neither be read nor made", path.display());
    fs::create_dir_all(folder).with_context(context)?;
    if !path.exists() {
        make(folder, name, entropy).with_context(context)?;
    }
    let text = fs::read_to_string(&path).with_context(context)?;
    let text = text.trim();
    ensure!(
        !text.is_empty(),
        "{} is empty; put the secret back, or remove the file for a new one",
        path.display()
    );
    Ok(Secret::new(text))
}

fn make(folder: &Path, name: &str, entropy: &dyn Entropy) -> std::io::Result<()> {
    let mut bytes = [0; BYTES];
    entropy.fill(&mut bytes);
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = folder.join(format!(".{name}.{}", entropy.next_id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    // A link, not a rename: it fails where another process was first, and then that one's secret counts.
    let linked = fs::hard_link(&draft, folder.join(name));
    fs::remove_file(&draft)?;
    File::open(folder)?.sync_all()?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use contracts::SystemEntropy;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = kept(folder.path(), "token", &SystemEntropy).unwrap();
        assert_eq!(made.expose().len(), 2 * BYTES);
        assert_eq!(
            kept(folder.path(), "token", &SystemEntropy).unwrap().expose(),
            made.expose()
        );
        let mode = fs::metadata(folder.path().join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no drafts are left");
        let other = kept(folder.path(), "other", &SystemEntropy).unwrap();
        assert_ne!(other.expose(), made.expose());
    }

    #[test]
    fn an_emptied_secret_is_not_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "\n").unwrap();
        let error = kept(folder.path(), "token", &SystemEntropy).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
    }
}
