//! Looks at the daemon of system labs and at what environments on it need; judges nothing.

use std::path::Path;

use super::{Host, error::chain, host::limits};
use crate::{
    lab::{EmulatorUser, doctor::DaemonSeen, user_name},
    net::{lease::LeaseStore, live::Live, spec::OCTETS},
    provider::libvirt::Connection,
};

/// Looks, for environments below `folder`.
pub async fn look_at_daemon(host: &Host, folder: &Path) -> DaemonSeen {
    let daemon = &host.daemon;
    let opened = Connection::open_as(&daemon.uri, daemon.credentials.as_ref(), limits::CONNECT).await;
    let described = match opened {
        Ok(connection) => connection.describe(limits::DESCRIBE).await,
        Err(error) => Err(error),
    };
    let us = rustix::process::geteuid().as_raw();
    let emulator =
        described.as_ref().ok().and_then(|it| it.emulator).filter(|(uid, _)| *uid != us && *uid != 0);
    // Anything in it would have to be reached; the folder itself may not be there yet.
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let closed =
        emulator.and_then(|(uid, gid)| EmulatorUser::new(uid, gid).kept_out_by(&existing.join("x")).ok());
    DaemonSeen {
        user: user_name(us),
        uri: daemon.uri.clone(),
        version: described.map(|it| it.version).map_err(|error| chain(&error)),
        emulator: emulator.map(|(uid, _)| user_name(uid)),
        closed: (folder.to_owned(), closed.unwrap_or_default()),
        subnets: (daemon.leases.clone(), free_subnets(&daemon.leases).await),
    }
}

/// How many subnets neither have a lease nor are used otherwise.
async fn free_subnets(leases: &Path) -> Result<usize, String> {
    let existing = leases.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(existing, wanted).map_err(|errno| format!("{}: {errno}", existing.display()))?;
    let leased = LeaseStore::new(leases.to_owned()).list().map_err(|error| chain(&error))?;
    let live = Live::look().await.map_err(|error| chain(&error))?.octets();
    let taken = |octet: &u8| live.contains_key(octet) || leased.iter().any(|l| l.octet == *octet && l.holds);
    Ok(OCTETS.filter(|octet| !taken(octet)).count())
}
