//! Environments on an existing daemon, which others use as well: subnets are leased, what is made is marked as ours and
//! found again by its marks, and the emulator's user is let in where it must be.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Destroyed, Env, EnvError, Host, Progress, Vm,
    error::{chain, file},
    fault,
    host::limits,
    lago, lease, network,
    plan::Made,
    select::made,
    site::{Ground, Running},
    state::{EnvState, LabState},
};
use crate::{
    base::{credentials::Credentials, owner::Owner},
    lab::{EmulatorUser, Lab, LabKind, SystemLab, View},
    net::lease::{Holder, Lease, LeaseStore},
    provider::{
        libvirt::{Connection, DomainState, xml},
        spec::{Boot, DomainSpec, Label},
    },
    workdir::{Kind, Prefix, Thing},
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
fn lab(host: &Host, uri: &str, folder: &Path) -> SystemLab {
    // Credentials are for the daemon they were configured with.
    let credentials = host.daemon.credentials.clone().filter(|_| host.daemon.uri == uri);
    SystemLab::new(uri.to_owned(), credentials, view(host, folder))
}

/// How the emulator sees the paths of an environment in `folder`.
pub(super) fn view(host: &Host, folder: &Path) -> View {
    View::host(folder, &host.images.folder(), host.templates.store_dir(), &host.checkpoint_folder)
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

    /// All its leases, for the journal.
    pub(super) fn lease_of(&self, daemon: &Daemon) -> Thing {
        let name = self.folder.join("uuid").display().to_string();
        Thing { kind: Kind::Lease, name, place: daemon.leases.display().to_string() }
    }

    /// It as the holder of leases, which outlive this process or not.
    pub(super) fn holder(&self, lasting: bool) -> Result<Holder, EnvError> {
        let owner = self.label("")?.owner;
        Ok(Holder { uuid_file: self.folder.join("uuid"), uuid: self.uuid.clone(), owner, lasting })
    }
}

/// What there is of an environment on the daemon at `uri`.
pub(super) async fn ground(env: &Env, uri: &str) -> Ground {
    let lab: Arc<dyn Lab> = Arc::new(lab(env.host(), uri, env.folder()));
    let running = match env.site().ground() {
        Ground::Up(running) => Ok(running),
        Ground::Down | Ground::Broken { .. } => Running::connect(Arc::clone(&lab)).await.map(Arc::new),
    };
    let runs = match &running {
        Ok(running) => runs(env, running).await,
        Err(_) => Ok(false),
    };
    match (running, runs) {
        (Ok(running), Ok(true)) => Ground::Up(running),
        (Ok(_), Ok(false)) => Ground::Down,
        (Err(error), _) | (_, Err(error)) => Ground::Broken { lab, why: chain(&error) },
    }
}

/// Whether any machine or network of an environment is there.
async fn runs(env: &Env, running: &Running) -> Result<bool, EnvError> {
    for vm in made(env.vms()) {
        if running.connection.domain_state(vm.domain(), limits::COMMAND).await? != DomainState::Absent {
            return Ok(true);
        }
    }
    Ok(!network::active(running, &env.plan().nets).await?.is_empty())
}

/// Goes along with an environment that was moved while it runs: its subnets and machines are marked as being where it is
/// now. Its networks are not, for which libvirt has had no call for long: they are known by its id.
pub(super) async fn follow(env: &Env) -> Result<(), EnvError> {
    let EnvState { lab: LabState::System { .. }, uuid, .. } = env.state() else { return Ok(()) };
    let Ground::Up(running) = env.site().ground() else { return Ok(()) };
    let who = Identity::of(env.folder(), &uuid)?;
    let mut left_behind = Vec::new();
    for vm in made(env.vms()) {
        // Those that are off are marked when they are made.
        let xml = running.connection.domain_xml(vm.domain(), limits::COMMAND).await.unwrap_or_default();
        let label = xml::label_of(&xml).filter(|label| label.prefix != who.folder);
        left_behind
            .extend(label.filter(|label| is_ours(label, &who.folder, &[uuid.clone()].into())).map(|_| vm));
    }
    if left_behind.is_empty() {
        return Ok(());
    }
    // First, so that whoever is killed in between is followed once more. Somebody may have taken one meanwhile; that must
    // not keep machines that run from being stopped.
    if let Err(error) = lease::renew(env.host(), &who, &env.plan().nets).await {
        tracing::warn!(target: "polder", "after a move, subnets cannot be leased again: {}", chain(&error));
    }
    for vm in left_behind {
        let label = who.label(vm.name().as_str())?;
        running.connection.mark_domain(vm.domain(), &label, limits::COMMAND).await?;
    }
    Ok(())
}

/// Gets an environment that is down ready to start on the daemon at `uri`.
pub(super) async fn enter(env: &Env, uri: &str) -> Result<Running, EnvError> {
    let who = Identity::of(env.folder(), &env.state().uuid)?;
    lease::renew(env.host(), &who, &env.plan().nets).await?;
    Running::connect(Arc::new(lab(env.host(), uri, env.folder()))).await
}

/// The mark of a thing of this environment, where others make things as well.
pub(super) fn mark(env: &Env, name: &str) -> Result<Option<Label>, EnvError> {
    let state = env.state();
    match state.lab {
        LabState::Hermetic { .. } => Ok(None),
        LabState::System { .. } => Ok(Some(Identity::of(env.folder(), &state.uuid)?.label(name)?)),
    }
}

/// The domain of a machine as it is made now, where others make things as well: marked with who makes it, with its paths
/// below the folder as that is called now, and its files open to the daemon's emulators.
pub(super) async fn dress(
    env: &Env,
    connection: &Connection,
    vm: &Vm,
    mut spec: DomainSpec,
) -> Result<DomainSpec, EnvError> {
    let EnvState { lab: LabState::System { folder: planned, .. }, uuid, .. } = env.state() else {
        return Ok(spec);
    };
    let who = Identity::of(env.folder(), &uuid)?;
    let here = |path: &mut PathBuf| {
        if let Ok(rest) = path.strip_prefix(&planned) {
            *path = who.folder.join(rest);
        }
    };
    spec.label = Some(who.label(vm.name().as_str())?);
    spec.disks.iter_mut().for_each(|disk| here(&mut disk.path));
    here(&mut spec.console);
    if let Boot::Uefi { nvram } = &mut spec.boot {
        here(nvram);
    }
    // Else the one who writes it would be its owner.
    let console = fs::File::options().create(true).append(true).open(&spec.console);
    console.map_err(file("make", &spec.console))?;
    if let Some(emulator) = emulator(connection).await? {
        admit(&emulator, &who, vm, &spec)?;
        spec.keep_owners = true;
    }
    Ok(spec)
}

/// Lets the daemon's emulators use files in the environment's folder that are to become disks of machines that run.
pub(super) async fn open(
    env: &Env,
    running: &Running,
    mut files: impl Iterator<Item = &Path>,
) -> Result<(), EnvError> {
    let emulator = match running.lab.kind() {
        LabKind::Hermetic => None,
        LabKind::System => emulator(&running.connection).await?,
    };
    match emulator {
        Some(emulator) => Ok(files.try_for_each(|file| emulator.admit(&env.folder().join(file)))?),
        None => Ok(()),
    }
}

/// Whom a daemon runs emulators as, where that is not somebody who may do everything here anyway.
async fn emulator(connection: &Connection) -> Result<Option<EmulatorUser>, EnvError> {
    let us = rustix::process::geteuid().as_raw();
    let emulator = connection.describe(limits::DESCRIBE).await?.emulator;
    Ok(emulator.filter(|(uid, _)| *uid != us && *uid != 0).map(|(uid, gid)| EmulatorUser::new(uid, gid)))
}

/// Lets the emulator's user in: by entries in access lists below the environment's folder; what is above it, others have
/// to open.
fn admit(emulator: &EmulatorUser, who: &Identity, vm: &Vm, spec: &DomainSpec) -> Result<(), EnvError> {
    let below = vm.plan().disks.iter().filter_map(|disk| match &disk.image.as_ref()?.made {
        Made::Over(backing) => Some(&backing.path),
        Made::Copy(_) | Made::Empty { .. } | Made::Seed(_) => None,
    });
    let layers = vm.plan().disks.iter().filter_map(|disk| Some(&disk.layer.as_ref()?.base.path));
    let below = below.chain(layers);
    let booted = match &spec.boot {
        Boot::Kernel { kernel, initrd, .. } => [Some(kernel), initrd.as_ref()],
        Boot::Bios | Boot::Uefi { .. } => [None, None],
    };
    let used = spec.disks.iter().map(|disk| &disk.path).chain(below).chain(booted.into_iter().flatten());
    let mut closed = BTreeSet::new();
    for path in used {
        for folder in emulator.kept_out_by(path)? {
            match folder.starts_with(&who.folder) {
                true => emulator.let_pass(&folder)?,
                false => drop(closed.insert(folder)),
            }
        }
    }
    if !closed.is_empty() {
        return Err(EnvError::Unreachable { uid: emulator.uid, folders: closed.into_iter().collect() });
    }
    // What a disk's image lies over is beside it, and read as well.
    let folders: BTreeSet<&Path> = spec.disks.iter().filter_map(|disk| disk.path.parent()).collect();
    for folder in folders.into_iter().filter(|folder| folder.starts_with(&who.folder)) {
        for entry in fs::read_dir(folder).map_err(file("list", folder))?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                emulator.admit(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes what an environment has on daemons, and gives back its leases: on those that its state and journal name, and
/// on the configured one when the state cannot be read.
pub(super) async fn clear(
    host: &Host,
    prefix: &Prefix,
    state: Option<&EnvState>,
    destroyed: &mut Destroyed,
    progress: &Progress,
) {
    let folder = fs::canonicalize(prefix.path()).unwrap_or_else(|_| prefix.path().to_owned());
    let ids = ids(&folder, state);
    let standing = prefix.record().unwrap_or_default().standing();
    let at = |kinds: &[Kind]| -> BTreeSet<String> {
        let there = standing.iter().filter(|thing| kinds.contains(&thing.kind) && !thing.place.is_empty());
        there.map(|thing| thing.place.clone()).collect()
    };
    let mut named = at(&[Kind::Domain, Kind::Network]);
    if let Some(EnvState { lab: LabState::System { uri, .. }, .. }) = state {
        named.insert(uri.clone());
    }
    let before = destroyed.left.len();
    for uri in &named {
        let cleared = clear_daemon(host, uri, &folder, &ids, destroyed, progress).await;
        // Whose maker was another knows its daemon by what is configured; it need not be there when nothing runs.
        if cleared.is_ok() || !lago::is_idle(prefix) {
            destroyed.try_to(cleared);
        }
    }
    let uri = &host.daemon.uri;
    if state.is_none() && !named.contains(uri) {
        match (clear_daemon(host, uri, &folder, &ids, destroyed, progress).await, host.kind) {
            (Err(error), LabKind::System) => destroyed.try_to(Err(error)),
            // Whether it was ever used nobody knows: it need not be there.
            (Err(error), LabKind::Hermetic) => destroyed.found(
                progress,
                format!(
                    "nothing that says where its machines were; {uri} cannot be asked: {}",
                    chain(&error)
                ),
            ),
            (Ok(()), _) => {}
        }
    }
    if !named.is_empty() || host.kind == LabKind::System {
        for uuid in &ids {
            match fault::clear(uuid).await {
                Ok(0) => {}
                Ok(_) => destroyed.found(progress, "rules that kept its machines apart"),
                Err(error) => destroyed.try_to(Err(error)),
            }
        }
    }
    if destroyed.left.len() > before {
        // Something may still use its subnets, and what tries again needs to find them.
        return;
    }
    let mut stores = at(&[Kind::Lease]);
    stores.insert(host.daemon.leases.display().to_string());
    for store in stores {
        let (store, folder, ids) = (LeaseStore::new(store.into()), folder.clone(), ids.clone());
        let given = tokio::task::spawn_blocking(move || give_back(&store, &folder, &ids)).await;
        match given.unwrap_or_else(|e| Err(file("give back leases of", prefix.path())(io::Error::other(e)))) {
            Ok(octets) => octets.iter().for_each(|octet| {
                destroyed.found(progress, format!("the lease of 192.168.{octet}.0/24"));
            }),
            Err(error) => destroyed.try_to(Err(error)),
        }
    }
}

async fn clear_daemon(
    host: &Host,
    uri: &str,
    folder: &Path,
    ids: &BTreeSet<String>,
    destroyed: &mut Destroyed,
    progress: &Progress,
) -> Result<(), EnvError> {
    let credentials = host.daemon.credentials.as_ref().filter(|_| host.daemon.uri == uri);
    let connection = Connection::open_as(uri, credentials, limits::CONNECT).await?;
    let Found { domains, networks } = find(&connection, folder, ids).await?;
    for name in domains {
        destroyed.found(progress, format!("the domain {name}"));
        destroyed.try_to(connection.destroy_domain(&name, limits::DOMAIN).await.map_err(EnvError::from));
    }
    for name in networks {
        destroyed.found(progress, format!("the network {name}"));
        destroyed.try_to(connection.destroy_network(&name, limits::NETWORK).await.map_err(EnvError::from));
    }
    Ok(())
}

/// What runs on a daemon for an environment.
struct Found {
    domains: Vec<String>,
    networks: Vec<String>,
}

/// What on the daemon is marked as that of the environment in `folder`, or of one of `ids`, wherever that was.
async fn find(connection: &Connection, folder: &Path, ids: &BTreeSet<String>) -> Result<Found, EnvError> {
    let ours = |label: &Option<Label>| label.as_ref().is_some_and(|label| is_ours(label, folder, ids));
    let domains = connection.list_domains(limits::COMMAND).await?;
    let networks = connection.networks(limits::COMMAND).await?;
    Ok(Found {
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
fn give_back(store: &LeaseStore, folder: &Path, ids: &BTreeSet<String>) -> Result<Vec<u8>, EnvError> {
    let uuid_file = folder.join("uuid");
    let ours = |lease: &Lease| lease.uuid_file == uuid_file || (ids.contains(&lease.uuid) && !lease.holds);
    Ok(store.release(ours)?)
}

/// Every id the environment in `folder` is or was known by.
fn ids(folder: &Path, state: Option<&EnvState>) -> BTreeSet<String> {
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
}
