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
    exec::blocking,
    plan::{Lab, Lease, Mark, Owner, Rules, Seen, Standing, Thing},
    run::Run,
    session::Session,
};
use crate::{
    base::owner,
    change::{JournalError, Recorded, run_folders},
    cvp::{self, CvpSpec, Found},
    env::partitions,
    lab::{self, Hermetic, Lab as _, LabFolder, paths::INSIDE_ENV},
    net::lease::LeaseStore,
    provider::{
        ProviderError,
        libvirt::{
            Connection,
            xml::{files_below, label_of},
        },
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
    /// The folder of journals of sessions at portals.
    pub journals: PathBuf,
    /// The folder of runs of changes.
    pub changes: PathBuf,
    /// The portal that is configured, where sessions can be set back.
    pub portal: Option<CvpSpec>,
}

/// Looks at everything; what could not be looked at is told besides.
pub async fn look(ground: &Ground) -> (Seen, Vec<ReapError>) {
    let mut errors = Vec::new();
    let mut seen = Seen { host: owner::host_name(), ..Seen::default() };
    let labs = ground.labs.clone();
    match blocking(&ground.labs, move || Ok(lab::labs(&labs)?)).await {
        Ok(labs) => {
            for lab in labs {
                seen.labs.push(standing(lab).await);
            }
        }
        Err(error) => errors.push(error),
    }
    match cvp::journals(&ground.journals) {
        Ok((found, odd)) => {
            seen.sessions = found.into_iter().map(session).collect();
            seen.odd_journals = odd;
        }
        Err(source) => {
            errors.push(ReapError::Journal { what: "look at", path: ground.journals.clone(), source });
        }
    }
    let (runs, odd) = runs(&ground.changes);
    seen.runs = runs;
    errors.extend(odd);
    if let Some(daemon) = &ground.daemon {
        let thing = |(name, xml): (String, String)| Thing { name, mark: label_of(&xml).map(mark) };
        // What of the daemon's things is used can only be told with all of them in sight: else none is touched.
        match (domains(daemon).await, daemon.networks(LIMIT).await) {
            (Ok(domains), Ok(nets)) => {
                seen.networks = follow(nets.into_iter().map(thing).collect(), &domains);
                seen.domains = domains;
                seen.rules = partitions().await.iter().filter_map(|table| rules(table)).collect();
            }
            (domains, nets) => {
                errors.extend(domains.err().into_iter().chain(nets.err()).map(ReapError::from));
                return (seen, errors);
            }
        }
    }
    match ground.leases.list() {
        Ok(leases) => seen.leases.extend(leases.into_iter().map(|lease| Lease {
            octet: lease.octet,
            ours: lease.owner.is_some(),
            holds: lease.holds,
            uuid: lease.uuid,
            uuid_file: lease.uuid_file,
        })),
        Err(error) => errors.push(error.into()),
    }
    (seen, errors)
}

/// What a journal tells of its session.
fn session(found: Found) -> Session {
    let Found { path, head, standing } = found;
    Session {
        journal: path,
        prefix: head.prefix,
        portal: head.nodes.join(", "),
        user: head.user,
        owner: head.owner.to_string(),
        is_over: !head.owner.is_alive(),
        host: head.owner.host,
        is_embedded: head.is_embedded,
        standing: standing.iter().map(|(_, undo)| undo.to_string()).collect(),
    }
}

/// The runs of changes that have not come to an end.
fn runs(folder: &Path) -> (Vec<Run>, Vec<ReapError>) {
    let (mut runs, mut errors) = (Vec::new(), Vec::new());
    let folders = run_folders(folder).unwrap_or_else(|source| {
        errors.push(ReapError::Runs { path: folder.to_owned(), source });
        Vec::new()
    });
    for folder in folders {
        // Read after that: who ends meanwhile says so.
        let seen = Recorded::read(&folder)
            .and_then(|recorded| recorded.is_busy())
            .and_then(|is_busy| Ok((is_busy, Recorded::read(&folder)?)));
        match seen {
            Ok((is_busy, recorded)) => runs.extend(Run::unfinished(&recorded, is_busy)),
            // It was ended before it did anything.
            Err(JournalError::Empty(_)) => {}
            Err(error) => errors.push(error.into()),
        }
    }
    (runs, errors)
}

/// What a table's name says.
fn rules(table: &str) -> Option<Rules> {
    let mut parts = table.strip_prefix("polder-")?.split('-');
    let (uuid, pid) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    // Ours or not, and even if it got the number of one that has ended.
    let busy = owner::start_time(pid).is_some().then_some(pid);
    Some(Rules { table: table.to_owned(), uuid, busy })
}

/// The domains of a daemon; of those whose prefix is not where it was, also where else it is.
async fn domains(daemon: &Connection) -> Result<Vec<Thing>, ProviderError> {
    let mut things = Vec::new();
    for found in daemon.list_domains(LIMIT).await? {
        let mut mark = found.label.map(mark);
        if let Some(mark) = mark.as_mut().filter(|mark| matches!(mark.now, Owner::Gone | Owner::Another)) {
            mark.now = match daemon.domain_xml(&found.name, LIMIT).await {
                Ok(xml) => {
                    let (name, sought) = (found.name.clone(), mark.clone());
                    let looked = tokio::task::spawn_blocking(move || elsewhere(&name, &xml, &sought)).await;
                    looked.unwrap_or_else(|error| Owner::Hidden(error.to_string()))
                }
                Err(error) => {
                    Owner::Hidden(format!("it may have been moved, and libvirt does not say: {error}"))
                }
            };
        }
        things.push(Thing { name: found.name, mark });
    }
    Ok(things)
}

/// What became of the prefix of a domain that runs, told from the files its emulator has open.
fn elsewhere(domain: &str, xml: &str, mark: &Mark) -> Owner {
    let files = files_below(xml, &mark.prefix);
    if files.is_empty() {
        return mark.now.clone();
    }
    let Some(emulator) = emulator(domain) else {
        return Owner::Hidden(format!(
            "it may have been moved, and the emulator of {domain} cannot be found"
        ));
    };
    let open = match fs::read_dir(format!("/proc/{emulator}/fd")) {
        Ok(open) => open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()),
        Err(error) => {
            return Owner::Hidden(format!(
                "it may have been moved, and what its emulator, process {emulator}, has open cannot be looked at: {error}"
            ));
        }
    };
    // The kernel names files as they are called now; of those that were removed it says so after the name.
    let places = open.flat_map(|path| {
        let above = |file: &PathBuf| path.ends_with(file).then(|| path.ancestors().nth(file.iter().count()));
        files.iter().filter_map(above).flatten().map(Path::to_owned).collect::<Vec<_>>()
    });
    let here = places.into_iter().find(|place| now(place, &mark.uuid) == Owner::There);
    here.map_or_else(|| mark.now.clone(), Owner::Moved)
}

/// The process of a domain on this host.
fn emulator(domain: &str) -> Option<u32> {
    let guest = format!("guest={domain},");
    let is = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word.starts_with(guest.as_bytes()))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is)
}

/// Networks cannot be asked what they use, nor be marked anew: they are where the domains of the same environment are.
fn follow(mut networks: Vec<Thing>, domains: &[Thing]) -> Vec<Thing> {
    let marks: Vec<&Mark> = domains.iter().filter_map(|domain| domain.mark.as_ref()).collect();
    let lost = networks.iter_mut().filter_map(|net| net.mark.as_mut());
    for net in lost.filter(|net| matches!(net.now, Owner::Gone | Owner::Another)) {
        let known = marks.iter().filter(|mark| mark.uuid == net.uuid);
        let known = known.map(|mark| &mark.now).find(|now| !matches!(now, Owner::Gone | Owner::Another));
        if let Some(now) = known {
            net.now = now.clone();
        }
    }
    networks
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
    let Label { prefix, uuid, owner: maker, .. } = label;
    let now = now(&prefix, &uuid);
    // One of another host counts as alive, because it cannot be asked; that is said another way.
    let busy = (maker.host == owner::host_name() && maker.is_alive()).then_some(maker.pid);
    Mark { prefix, uuid, host: maker.host, busy, now }
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

    fn thing(uuid: &str, now: Owner) -> Thing {
        let mark = Mark { prefix: "/e".into(), uuid: uuid.into(), host: String::new(), busy: None, now };
        Thing { name: "x".into(), mark: Some(mark) }
    }

    #[test]
    fn a_network_is_where_a_domain_of_the_same_environment_is() {
        let now = |domain, of| {
            let networks = follow(vec![thing("1", Owner::Gone)], &[thing(of, domain)]);
            networks.into_iter().find_map(|net| Some(net.mark?.now)).unwrap()
        };
        assert_eq!(now(Owner::Moved("/f".into()), "1"), Owner::Moved("/f".into()));
        assert_eq!(now(Owner::There, "1"), Owner::There);
        assert_eq!(now(Owner::There, "2"), Owner::Gone);
        assert_eq!(now(Owner::Another, "1"), Owner::Gone);
    }

    #[test]
    fn a_table_says_whose_it_is() {
        let me = std::process::id();
        let ours = rules(&format!("polder-5f0c1234-{me}-0")).unwrap();
        assert_eq!((ours.uuid.as_str(), ours.busy), ("5f0c1234", i32::try_from(me).ok()));
        assert_eq!(rules("polder-5f0c1234-0-0").unwrap().busy, None);
        assert_eq!(rules("polder-x"), None);
    }

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
