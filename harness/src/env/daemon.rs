//! Environments on an existing daemon, which others use as well: subnets are leased, what is made is marked as ours and
//! found again by its marks, and the emulator's user is let in where it must be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{EnvError, Host, error::file, host::limits, state::EnvState};
use crate::{
    base::{credentials::Credentials, owner::Owner},
    initfile::EnvSpec,
    initfile::spec::{NetKind, NetSpec},
    lab::{EmulatorUser, SystemLab, View},
    net::{
        OCTETS, PlannedNet, Scope,
        lease::{Holder, Lease, LeaseStore, Want},
        live::Live,
    },
    provider::{
        libvirt::{Connection, xml},
        spec::{Boot, DomainSpec, Label},
    },
};

/// The libvirt daemon system labs are on.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Where it is reached.
    pub uri: String,
    /// Who we are to it, if it wants to know.
    pub credentials: Option<Credentials>,
    /// The folder of subnet leases, shared by all who make networks on this host.
    pub leases: PathBuf,
}

/// The lab of an environment in `folder` on the daemon at `uri`.
pub(super) fn lab(host: &Host, uri: &str, folder: &Path) -> SystemLab {
    // Credentials are for the daemon they were configured with.
    let credentials = host.daemon.credentials.clone().filter(|_| host.daemon.uri == uri);
    SystemLab::new(uri.to_owned(), credentials, view(host, folder))
}

/// How the emulator sees the paths of an environment in `folder`.
pub(super) fn view(host: &Host, folder: &Path) -> View {
    View::host(folder, &host.images.folder(), &host.templates)
}

/// Connects to the daemon at `uri`.
pub(super) async fn connect(host: &Host, uri: &str) -> Result<Connection, EnvError> {
    let credentials = host.daemon.credentials.as_ref().filter(|_| host.daemon.uri == uri);
    Ok(Connection::open_as(uri, credentials, limits::CONNECT).await?)
}

/// An environment by what names it for good.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Its folder, without links on the way.
    pub(super) folder: PathBuf,
    pub(super) uuid: String,
}

impl Identity {
    /// The environment `uuid` in `folder`.
    pub(super) fn of(folder: &Path, uuid: &str) -> Result<Self, EnvError> {
        let folder = fs::canonicalize(folder).map_err(file("find", folder))?;
        if folder.to_str().is_none() {
            let odd = io::Error::new(io::ErrorKind::InvalidFilename, "it is not UTF-8, and libvirt's XML is");
            return Err(file("use for an environment on a daemon", &folder)(odd));
        }
        Ok(Self { folder, uuid: uuid.to_owned() })
    }

    /// The mark of the thing `name`, made by this process.
    pub(super) fn label(&self, name: &str) -> Result<Label, EnvError> {
        let owner = Owner::current().map_err(file("read", Path::new("/proc/self/stat")))?;
        Ok(Label { prefix: self.folder.clone(), uuid: self.uuid.clone(), name: name.to_owned(), owner })
    }

    fn holder(&self) -> Result<Holder, EnvError> {
        let owner = self.label("")?.owner;
        Ok(Holder { uuid_file: self.folder.join("uuid"), uuid: self.uuid.clone(), owner, lasting: true })
    }
}

/// Leases the subnets `spec` needs, and says what names and subnets its nets may have.
pub(super) async fn lease(host: &Host, who: &Identity, spec: &EnvSpec) -> Result<Scope, EnvError> {
    let wants: Vec<Want> = spec.nets.iter().filter_map(want).collect();
    let live = Live::look().await?;
    let octets = acquire(host, who, wants.clone(), live.octets()).await?;
    let any = wants.iter().zip(octets).filter(|(want, _)| **want == Want::Any).map(|(_, octet)| octet);
    Ok(Scope { pool: any.collect(), uuid: Some(who.uuid.clone()), bridges: live.bridges })
}

/// Makes sure of the leases of an environment that was made before: it may have been moved, or others have taken what
/// they thought free.
pub(super) async fn renew(host: &Host, who: &Identity, nets: &[PlannedNet]) -> Result<(), EnvError> {
    let wants = nets.iter().filter_map(|net| leased(net.gateway?, net.prefix)).map(Want::Octet).collect();
    // Its own networks may run: what is live says nothing here.
    acquire(host, who, wants, BTreeMap::new()).await.map(drop)
}

async fn acquire(
    host: &Host,
    who: &Identity,
    wants: Vec<Want>,
    used: BTreeMap<u8, String>,
) -> Result<Vec<u8>, EnvError> {
    if wants.is_empty() {
        return Ok(Vec::new());
    }
    let (store, holder) = (LeaseStore::new(host.daemon.leases.clone()), who.holder()?);
    let acquired = tokio::task::spawn_blocking(move || store.acquire(&wants, &holder, &used)).await;
    match acquired {
        Ok(octets) => Ok(octets?),
        Err(error) => Err(file("lease a subnet in", &host.daemon.leases)(io::Error::other(error))),
    }
}

/// What a net needs a lease of.
fn want(net: &NetSpec) -> Option<Want> {
    match (net.kind, net.gateway) {
        (NetKind::Bridge, _) => None,
        _ if !net.ipv4 => None,
        (_, None) => Some(Want::Any),
        (_, Some(gateway)) => leased(gateway, net.prefix_len).map(Want::Octet),
    }
}

/// The third octet, of subnets that are leased.
fn leased(gateway: std::net::Ipv4Addr, prefix: u8) -> Option<u8> {
    match gateway.octets() {
        [192, 168, octet, _] if prefix == 24 && OCTETS.contains(&octet) => Some(octet),
        _ => None,
    }
}

/// The domain of a machine as it is made now: marked with who makes it, and with its paths below the folder as that is
/// called now.
pub(super) fn marked(
    spec: DomainSpec,
    who: &Identity,
    planned: &Path,
    name: &str,
) -> Result<DomainSpec, EnvError> {
    let here = |path: &mut PathBuf| {
        if let Ok(rest) = path.strip_prefix(planned) {
            *path = who.folder.join(rest);
        }
    };
    let mut spec = DomainSpec { label: Some(who.label(name)?), ..spec };
    spec.disks.iter_mut().for_each(|disk| here(&mut disk.path));
    here(&mut spec.console);
    if let Boot::Uefi { nvram } = &mut spec.boot {
        here(nvram);
    }
    Ok(spec)
}

/// Lets the daemon's emulators use the files of a machine: writes what is missing into access lists below the
/// environment's folder, and says which command opens what is above it.
pub(super) async fn admit(
    connection: &Connection,
    who: &Identity,
    spec: &DomainSpec,
) -> Result<(), EnvError> {
    let Some((uid, gid)) = connection.describe(limits::COMMAND).await?.emulator else { return Ok(()) };
    let emulator = EmulatorUser::new(uid, gid);
    let mut closed = BTreeSet::new();
    let mut pass = |path: &Path| -> Result<(), EnvError> {
        for folder in emulator.kept_out_by(path)? {
            match folder.starts_with(&who.folder) {
                true => emulator.let_pass(&folder)?,
                false => drop(closed.insert(folder)),
            }
        }
        Ok(())
    };
    for disk in &spec.disks {
        pass(&disk.path)?;
    }
    if let Boot::Kernel { kernel, initrd, .. } = &spec.boot {
        pass(kernel)?;
        initrd.iter().try_for_each(|initrd| pass(initrd))?;
    }
    if !closed.is_empty() {
        return Err(EnvError::Unreachable { uid, folders: closed.into_iter().collect() });
    }
    for disk in spec.disks.iter().filter(|disk| disk.path.starts_with(&who.folder)) {
        emulator.admit(&disk.path)?;
    }
    Ok(())
}

/// What runs on a daemon for an environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) domains: Vec<String>,
    pub(super) networks: Vec<String>,
}

/// What on the daemon is marked as that of the environment in `folder`, or of one of `ids`, wherever that was.
pub(super) async fn find(
    connection: &Connection,
    folder: &Path,
    ids: &BTreeSet<String>,
) -> Result<Running, EnvError> {
    let ours = |label: &Option<Label>| label.as_ref().is_some_and(|label| is_ours(label, folder, ids));
    let domains = connection.list_domains(limits::COMMAND).await?;
    let networks = connection.networks(limits::COMMAND).await?;
    Ok(Running {
        domains: domains.into_iter().filter(|d| ours(&d.label)).map(|d| d.name).collect(),
        networks: networks
            .into_iter()
            .filter(|(_, xml)| ours(&xml::label_of(xml)))
            .map(|(name, _)| name)
            .collect(),
    })
}

/// An environment that was moved is known by its id; one that was copied is not the one it was copied from.
fn is_ours(label: &Label, folder: &Path, ids: &BTreeSet<String>) -> bool {
    let lives_elsewhere = || {
        let uuid = fs::read_to_string(label.prefix.join("uuid")).unwrap_or_default();
        uuid.trim() == label.uuid
    };
    label.prefix == folder || (ids.contains(&label.uuid) && !lives_elsewhere())
}

/// Gives back the leases of the environment in `folder`, and those of its ids that nobody holds any more; returns their
/// third octets.
pub(super) fn give_back(
    store: &LeaseStore,
    folder: &Path,
    ids: &BTreeSet<String>,
) -> Result<Vec<u8>, EnvError> {
    let uuid_file = folder.join("uuid");
    let ours = |lease: &Lease| lease.uuid_file == uuid_file || (ids.contains(&lease.uuid) && !lease.holds);
    Ok(store.release(ours)?)
}

/// Every id the environment in `folder` is or was known by.
pub(super) fn ids(folder: &Path, state: Option<&EnvState>) -> BTreeSet<String> {
    let uuid = fs::read_to_string(folder.join("uuid")).ok().map(|text| text.trim().to_owned());
    let ids = uuid.into_iter().chain(state.map(|state| state.uuid.clone()));
    ids.filter(|id| !id.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(prefix: &Path, uuid: &str) -> Label {
        Label {
            prefix: prefix.to_owned(),
            uuid: uuid.into(),
            name: "web".into(),
            owner: Owner::current().unwrap(),
        }
    }

    #[test]
    fn moved_environments_keep_what_is_theirs_and_copies_get_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        fs::create_dir(&there).unwrap();
        fs::write(there.join("uuid"), "1").unwrap();
        let ids = BTreeSet::from(["1".to_owned()]);
        assert!(is_ours(&label(&here, "other"), &here, &BTreeSet::new()), "by its place alone");
        assert!(!is_ours(&label(&there, "1"), &here, &ids), "a copy of what lives there");
        fs::remove_file(there.join("uuid")).unwrap();
        assert!(is_ours(&label(&there, "1"), &here, &ids), "moved from there");
        assert!(!is_ours(&label(&there, "2"), &here, &ids), "somebody else's");
    }

    #[rstest::rstest]
    #[case("192.168.203.1", 24, Some(203))]
    #[case("192.168.255.1", 24, Some(255))]
    #[case("192.168.199.1", 24, None)]
    #[case("192.168.203.1", 25, None)]
    #[case("10.0.203.1", 24, None)]
    fn only_what_is_shared_is_leased(#[case] gateway: &str, #[case] prefix: u8, #[case] octet: Option<u8>) {
        assert_eq!(leased(gateway.parse().unwrap(), prefix), octet);
    }
}
