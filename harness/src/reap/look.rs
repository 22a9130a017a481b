//! Looks for what is marked as ours, and whether its owners are there. Decides nothing.

use std::{
    fs,
    io::{self, Read, Seek},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ReapError,
    plan::{Lab, Lease, Mark, Owner, Seen, Standing, Thing},
};
use crate::{
    base::owner,
    lab::{self, Hermetic, Lab as _, LabFolder, paths::INSIDE_ENV},
    net::LeaseStore,
    provider::{
        libvirt::{Connection, xml::label_of},
        spec::Label,
    },
};

/// For one call or command.
const LIMIT: Duration = Duration::from_secs(10);

/// Where leftovers may be.
#[derive(Debug)]
pub struct Ground {
    /// The folder of hermetic labs.
    pub labs: PathBuf,
    /// The system's daemon, where there is one.
    pub daemon: Option<Connection>,
    /// Leases of subnets.
    pub leases: LeaseStore,
}

/// Looks at everything; what could not be looked at is told besides.
pub async fn look(ground: &Ground) -> (Seen, Vec<ReapError>) {
    let mut errors = Vec::new();
    let mut seen = Seen { host: owner::host_name(), ..Seen::default() };
    match lab::labs(&ground.labs) {
        Ok(labs) => {
            for lab in labs {
                seen.labs.push(standing(lab).await);
            }
        }
        Err(error) => errors.push(error.into()),
    }
    if let Some(daemon) = &ground.daemon {
        let thing = |name: String, label: Option<Label>| Thing { name, mark: label.map(mark) };
        match daemon.list_domains(LIMIT).await {
            Ok(domains) => seen.domains.extend(domains.into_iter().map(|d| thing(d.name, d.label))),
            Err(error) => errors.push(error.into()),
        }
        match daemon.networks(LIMIT).await {
            Ok(nets) => seen.networks.extend(nets.into_iter().map(|(name, xml)| thing(name, label_of(&xml)))),
            Err(error) => errors.push(error.into()),
        }
    }
    match ground.leases.list() {
        Ok(leases) => seen.leases.extend(leases.into_iter().map(|lease| Lease {
            octet: lease.octet,
            ours: lease.owner.is_some(),
            holds: lease.holds,
            uuid_file: lease.uuid_file,
        })),
        Err(error) => errors.push(error.into()),
    }
    (seen, errors)
}

async fn standing(lab: LabFolder) -> Lab {
    let LabFolder { folder, env, abandoned } = lab;
    let standing = match (abandoned, &env) {
        (true, _) => Standing::Abandoned,
        (false, Some(_)) if bereft(&folder).await.unwrap_or(false) => Standing::Bereft,
        (false, _) => Standing::InUse,
    };
    Lab { folder, env, standing }
}

/// Whether the folder bound into a lab has been removed, seen from inside: outside it may have another name by now.
async fn bereft(folder: &Path) -> io::Result<bool> {
    let lab = Hermetic::join(folder).map_err(io::Error::other)?;
    let null = || fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let mut out = tempfile::tempfile()?;
    let streams = [null()?, out.try_clone()?.into(), null()?];
    // A folder that was removed has no links left.
    let status = lab.exec(&["stat", "--format=%h", INSIDE_ENV], streams, vec![], LIMIT).await;
    let mut links = String::new();
    out.rewind()?;
    out.read_to_string(&mut links)?;
    Ok(status.map_err(io::Error::other)? == 0 && links.trim() == "0")
}

fn mark(label: Label) -> Mark {
    let now = now(&label.prefix, &label.uuid);
    let maker = owner::Owner {
        pid: i32::try_from(label.pid).unwrap_or(0),
        started: label.start_time,
        boot: label.boot_id,
        host: label.host.clone(),
    };
    let busy = (label.host == owner::host_name() && maker.is_alive()).then_some(maker.pid);
    Mark { prefix: label.prefix, uuid: label.uuid, host: label.host, busy, now }
}

fn now(prefix: &Path, uuid: &str) -> Owner {
    match fs::read_to_string(prefix.join("uuid")) {
        Ok(text) if text.trim() == uuid => Owner::There,
        Ok(_) => Owner::Another,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !prefix.exists() => Owner::Gone,
        Err(e) => Owner::Hidden(format!("its file `uuid`: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_known_by_its_id_and_a_damaged_one_is_not_gone() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("p");
        assert_eq!(now(&prefix, "1"), Owner::Gone);
        fs::create_dir(&prefix).unwrap();
        assert!(matches!(now(&prefix, "1"), Owner::Hidden(_)));
        fs::write(prefix.join("uuid"), "1\n").unwrap();
        assert_eq!((now(&prefix, "1"), now(&prefix, "2")), (Owner::There, Owner::Another));
    }
}
