//! The keys of one environment: one to log in with, one per machine to be known by.

use std::collections::BTreeMap;

use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use serde::{Deserialize, Serialize};

use super::EnvError;
use crate::base::id::MachineName;

/// All keys, in OpenSSH's text forms.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Keys {
    /// The private key the harness logs in with.
    pub(super) client: String,
    /// Private host keys.
    pub(super) hosts: BTreeMap<MachineName, String>,
}

impl Keys {
    /// New keys for `machines`.
    pub(super) fn generate<'a>(machines: impl Iterator<Item = &'a MachineName>) -> Result<Self, EnvError> {
        let hosts = machines.map(|name| Ok((name.clone(), generate(name.as_str())?)));
        Ok(Self { client: generate("polder")?, hosts: hosts.collect::<Result<_, EnvError>>()? })
    }

    /// The key the harness logs in with.
    pub(super) fn client_key(&self) -> Result<PrivateKey, EnvError> {
        parse(&self.client)
    }

    /// The line for `authorized_keys`.
    pub(super) fn authorized(&self) -> Result<String, EnvError> {
        self.client_key()?.public_key().to_openssh().map_err(failed("write a public key"))
    }

    /// The public key `machine` shows.
    pub(super) fn host_key(&self, machine: &MachineName) -> Result<Option<PublicKey>, EnvError> {
        self.hosts.get(machine).map(|text| parse(text).map(|key| key.public_key().clone())).transpose()
    }
}

fn failed(what: &'static str) -> impl Fn(russh::keys::ssh_key::Error) -> EnvError {
    move |error| EnvError::Key { what, error: error.to_string() }
}

fn generate(comment: &str) -> Result<String, EnvError> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| EnvError::Key { what: "get random bytes for a key", error: e.to_string() })?;
    let key =
        PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment).map_err(failed("make a key"))?;
    Ok(key.to_openssh(LineEnding::LF).map_err(failed("write a private key"))?.to_string())
}

fn parse(text: &str) -> Result<PrivateKey, EnvError> {
    PrivateKey::from_openssh(text).map_err(failed("read a private key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_read_back() {
        let names: Vec<MachineName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        let keys = Keys::generate(names.iter()).unwrap();
        assert!(keys.authorized().unwrap().starts_with("ssh-ed25519 "));
        assert_ne!(keys.host_key(&names[0]).unwrap(), keys.host_key(&names[1]).unwrap());
        assert!(keys.host_key(&"c".parse().unwrap()).unwrap().is_none());
    }
}
