//! The keys of one environment: one to log in with, in a file of its own so that a plain `ssh -i` works, too; and one
//! per machine to be known by.

use std::{collections::BTreeMap, fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

use super::{EnvError, error::file};
use crate::base::id::MachineName;

/// The file of the private key in the environment's folder.
const CLIENT: &str = "id_ed25519";
/// The same in a prefix that Lago made.
const LAGO: &str = "id_rsa";

/// Private host keys in OpenSSH's text form, by machine.
pub(super) type HostKeys = BTreeMap<MachineName, String>;

/// All keys.
pub(super) struct Keys {
    client: Arc<PrivateKey>,
    hosts: HostKeys,
}

impl Keys {
    /// New keys for `machines`.
    pub(super) fn generate<'a>(machines: impl Iterator<Item = &'a MachineName>) -> Result<Self, EnvError> {
        let hosts = machines.map(|name| Ok((name.clone(), text(&generate(name.as_str())?)?)));
        Ok(Self { client: Arc::new(generate("polder")?), hosts: hosts.collect::<Result<_, EnvError>>()? })
    }

    /// The environment's keys: the client's from its file in `folder`.
    pub(super) fn load(folder: &Path, hosts: HostKeys) -> Result<Self, EnvError> {
        let (ours, lago) = (folder.join(CLIENT), folder.join(LAGO));
        let path = if lago.exists() && !ours.exists() { lago } else { ours };
        Ok(Self { client: Arc::new(read(&path)?), hosts })
    }

    /// Writes the client's key pair into `folder`, the private half for this user alone.
    pub(super) fn save(&self, folder: &Path) -> Result<(), EnvError> {
        let write = |name: &str, mode, text: &str| {
            let path = folder.join(name);
            let open = fs::File::options().write(true).create(true).truncate(true).mode(mode).open(&path);
            open.and_then(|mut to| to.write_all(text.as_bytes())).map_err(file("write", &path))
        };
        write(CLIENT, 0o600, &text(&self.client)?)?;
        write(&format!("{CLIENT}.pub"), 0o644, &format!("{}\n", self.authorized()?))
    }

    /// The key the harness logs in with.
    pub(super) fn client(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.client)
    }

    /// Private host keys.
    pub(super) fn hosts(&self) -> &HostKeys {
        &self.hosts
    }

    /// The line for `authorized_keys`.
    pub(super) fn authorized(&self) -> Result<String, EnvError> {
        self.client.public_key().to_openssh().map_err(failed("write a public key"))
    }

    /// The public key `machine` shows.
    pub(super) fn host_key(&self, machine: &MachineName) -> Result<Option<PublicKey>, EnvError> {
        self.hosts.get(machine).map(|text| parse(text).map(|key| key.public_key().clone())).transpose()
    }
}

fn failed(what: &'static str) -> impl Fn(russh::keys::ssh_key::Error) -> EnvError {
    move |error| EnvError::Key { what, error: error.to_string() }
}

fn generate(comment: &str) -> Result<PrivateKey, EnvError> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| EnvError::Key { what: "get random bytes for a key", error: e.to_string() })?;
    PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment).map_err(failed("make a key"))
}

fn text(key: &PrivateKey) -> Result<String, EnvError> {
    Ok(key.to_openssh(LineEnding::LF).map_err(failed("write a private key"))?.to_string())
}

/// The private key in a file.
pub(super) fn read(path: &Path) -> Result<PrivateKey, EnvError> {
    parse(&fs::read_to_string(path).map_err(file("read", path))?)
}

/// A public key in OpenSSH's form.
pub(super) fn public(text: &str) -> Result<PublicKey, EnvError> {
    text.parse().map_err(failed("read a public key"))
}

fn parse(text: &str) -> Result<PrivateKey, EnvError> {
    // Lago's keys are in PEM, which the decoder knows, too.
    russh::keys::decode_secret_key(text, None)
        .map_err(|e| EnvError::Key { what: "read a private key", error: e.to_string() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_differ_and_read_back() {
        let names: Vec<MachineName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let keys = Keys::generate(names.iter()).unwrap();
        assert!(keys.authorized().unwrap().starts_with("ssh-ed25519 "));
        assert_ne!(keys.host_key(&names[0]).unwrap(), keys.host_key(&names[1]).unwrap());
        assert!(keys.host_key(&"c".parse().unwrap()).unwrap().is_none());
    }

    #[test]
    fn the_clients_key_is_a_file_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::generate([].into_iter()).unwrap();
        keys.save(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(CLIENT)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Keys::load(dir.path(), HostKeys::new()).unwrap();
        assert_eq!(again.authorized().unwrap(), keys.authorized().unwrap());
    }

    #[test]
    fn a_key_as_lago_made_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("ssh-keygen");
        command
            .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"])
            .arg(dir.path().join(LAGO));
        assert!(command.status().unwrap().success());
        let keys = Keys::load(dir.path(), HostKeys::new()).unwrap();
        assert!(keys.authorized().unwrap().starts_with("ssh-rsa "));
    }

    #[test]
    fn a_missing_or_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let load = || Keys::load(dir.path(), HostKeys::new()).err().unwrap().to_string();
        assert!(load().contains("id_ed25519"), "{}", load());
        fs::write(dir.path().join(CLIENT), "nonsense").unwrap();
        assert!(load().contains("cannot read a private key"), "{}", load());
    }
}
