//! All configlets of a portal in a folder: for each a file with its text and one with what else is known of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::view::is_own;
use crate::{
    base::{store::replace, time::Utc},
    cvp::{Client, Configlet, ConfigletKind, CvpError, Holder, Inventory},
};

/// A configlet that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// Its name.
    pub configlet: String,
    /// The file with its text.
    pub text: PathBuf,
    /// The file with what else is known of it.
    pub facts: PathBuf,
}

/// Not all configlets could be kept.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The portal cannot be asked, or refuses.
    #[error(transparent)]
    Cvp(#[from] CvpError),
    /// A file cannot be written; those before are whole.
    #[error("cannot write {}", path.display())]
    File {
        /// The file, or the folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Bytes of a configlet's name that stand in a file's name as they are.
const LONGEST: usize = 180;

/// Writes all configlets into `folder`, which is made unless it is there. A file is replaced as a whole or stays as it was;
/// others in the folder are left alone.
///
/// # Errors
/// [`BackupError`].
pub async fn backup(client: &Client, folder: &Path) -> Result<Vec<BackedUp>, BackupError> {
    let (inventory, configlets, holders) =
        tokio::try_join!(client.inventory(), client.configlets(), client.holders())?;
    let folder = folder.to_owned();
    let error = |path: &Path, source| BackupError::File { path: path.to_owned(), source };
    let write = move || {
        fs::create_dir_all(&folder).map_err(|source| error(&folder, source))?;
        let mut kept = Vec::new();
        for one in &configlets {
            let name = file_name(&one.name);
            let (text, facts) = (folder.join(format!("{name}.cfg")), folder.join(format!("{name}.json")));
            replace(&text, one.text.as_bytes()).map_err(|source| error(&text, source))?;
            let told = format!("{:#}\n", facts_of(one, &holders, &inventory));
            replace(&facts, told.as_bytes()).map_err(|source| error(&facts, source))?;
            kept.push(BackedUp { configlet: one.name.clone(), text, facts });
        }
        Ok(kept)
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|died| {
        Err(BackupError::File { path: PathBuf::new(), source: io::Error::other(died) })
    })
}

/// What is known of a configlet besides its text.
fn facts_of(one: &Configlet, holders: &[Holder], inventory: &Inventory) -> serde_json::Value {
    let own = |kind: &str| {
        let own = holders.iter().filter(|held| held.configlet == one.key && held.kind == kind);
        own.filter(|held| is_own(held)).map(|held| held.object.as_str()).collect::<Vec<_>>()
    };
    let (macs, keys) = (own("netelement"), own("container"));
    let devices = inventory.devices.iter().filter(|device| macs.contains(&device.mac.as_str()));
    let containers = inventory.containers.iter().filter(|container| keys.contains(&container.key.as_str()));
    let digest = Sha256::digest(one.text.as_bytes());
    json!({
        "name": one.name,
        "key": one.key,
        "type": match &one.kind {
            ConfigletKind::Static => "Static",
            ConfigletKind::Builder => "Builder",
            ConfigletKind::Generated => "Generated",
            ConfigletKind::Reconciled => "Reconciled",
            ConfigletKind::Other(kind) => kind,
        },
        "user": one.user,
        "note": one.note,
        "changed": one.changed.map(|at| Utc::from(at).to_string()),
        "devices": devices.map(|device| device.name()).collect::<Vec<_>>(),
        "containers": containers.map(|container| container.name.as_str()).collect::<Vec<_>>(),
        "sha256": digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

/// A name that every file system takes, another one for each name: what is no letter, digit, `-`, `_` or `.` between them is
/// written as `%` and its number; of a long name the end is a digest.
fn file_name(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.len() > LONGEST {
        let digest: String =
            Sha256::digest(name.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        out.truncate(LONGEST);
        out = format!("{out}~{digest}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("ntp-lab", "ntp-lab")]
    #[case("base config", "base%20config")]
    #[case("../../etc/passwd", "%2E./../etc/passwd")]
    #[case(".hidden", "%2Ehidden")]
    #[case("a/b", "a%2Fb")]
    #[case("a%2Fb", "a%252Fb")]
    #[case("grün", "gr%C3%BCn")]
    #[case("", "")]
    fn names_are_those_of_files(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(file_name(name), expected.replace('/', "%2F"));
    }

    #[test]
    fn long_names_stay_different_and_short_enough() {
        let (one, other) = (file_name(&"ä".repeat(300)), file_name(&format!("{}b", "ä".repeat(300))));
        assert!(one.len() < 230 && other.len() < 230 && one != other, "{one} {other}");
    }
}
