//! Decides what nobody owns any more, from what was seen. Pure.
//!
//! The owner of a domain, network or lease is a prefix: its folder, and the id in the folder's `uuid` file. While the
//! folder is there with that id, everything of it stays, whether or not anything runs: `polder destroy` is for that.
//! What a process that still runs has made stays as well, because it may be about to write the rest or to remove it.
//!
//! A folder that is gone may have been removed or moved. Of an environment of which a machine runs, the files that machine
//! has open tell: those of a folder that was moved are still somewhere. Where they cannot be looked at (the emulator is
//! another user's, and we are not root), the machine and what belongs to it stays. One of which nothing runs has nothing
//! here but leases, which its next start takes again.
//!
//! The owner of what a session did at a portal, and of a run of changes, is the process that wrote its journal.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{run::Run, session::Session};

/// Everything that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Name of this host.
    pub host: String,
    /// Folders of hermetic labs.
    pub labs: Vec<Lab>,
    /// Domains of the system's daemon.
    pub domains: Vec<Thing>,
    /// Networks of the system's daemon.
    pub networks: Vec<Thing>,
    /// Rules of the host's network.
    pub rules: Vec<Rules>,
    /// Leased subnets.
    pub leases: Vec<Lease>,
    /// Sessions at portals.
    pub sessions: Vec<Session>,
    /// Files among their journals that are none.
    pub odd_journals: Vec<PathBuf>,
    /// Runs of changes that have not come to an end.
    pub runs: Vec<Run>,
}

/// A domain or network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Its name in libvirt.
    pub name: String,
    /// What its label says; absent: it is somebody else's.
    pub mark: Option<Mark>,
}

/// What a label says of the owner, and what became of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The prefix.
    pub prefix: PathBuf,
    /// Its id.
    pub uuid: String,
    /// The host it was made from.
    pub host: String,
    /// The process that made it, while that runs.
    pub busy: Option<i32>,
    /// What is there now.
    pub now: Owner,
}

/// What is in the place where an owner was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The same prefix.
    There,
    /// Nothing.
    Gone,
    /// A prefix with another id.
    Another,
    /// The same prefix, in another place: a machine that runs uses its files there.
    Moved(PathBuf),
    /// That cannot be told.
    Hidden(String),
}

/// Rules by which machines of an environment are kept apart: a process sets them back, unless it was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Name of their table.
    pub table: String,
    /// How the id of the environment begins.
    pub uuid: String,
    /// The process that asked for them, while that runs.
    pub busy: Option<i32>,
}

/// A leased subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Third octet.
    pub octet: u8,
    /// The holder's `uuid` file.
    pub uuid_file: PathBuf,
    /// The id that should be in it.
    pub uuid: String,
    /// Whether it holds.
    pub holds: bool,
    /// Whether we took it; tools that share the folder of leases do not say so.
    pub ours: bool,
}

/// The folder of a hermetic lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lab {
    /// The folder.
    pub folder: PathBuf,
    /// The folder of the environment it was made for, when that outlives it.
    pub env: Option<PathBuf>,
    /// How it stands.
    pub standing: Standing,
}

/// How a lab stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing runs in it any more.
    Abandoned,
    /// It runs, but its environment's folder was removed.
    Bereft,
    /// It runs.
    InUse,
}

/// Something to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Item {
    /// A hermetic lab with everything that runs in it.
    Lab(PathBuf),
    /// What is left of a hermetic lab.
    Folder(PathBuf),
    /// A domain of the system's daemon.
    Domain(String),
    /// A network of the system's daemon.
    Network(String),
    /// A table of rules of the host's network.
    Rules(String),
    /// The lease of a subnet, by its third octet.
    Lease(u8),
    /// What a session did at a portal, by its journal.
    Session(PathBuf),
    /// A run of changes, by its folder; none is ever removed.
    Changes(PathBuf),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab(folder) => write!(f, "lab {}", folder.display()),
            Self::Folder(folder) => write!(f, "folder {}", folder.display()),
            Self::Session(journal) => write!(f, "session {}", journal.display()),
            Self::Changes(folder) => write!(f, "run of changes {}", folder.display()),
            Self::Domain(name) => write!(f, "domain {name}"),
            Self::Network(name) => write!(f, "network {name}"),
            Self::Rules(table) => write!(f, "rules {table}"),
            Self::Lease(octet) => write!(f, "lease of 192.168.{octet}.0/24"),
        }
    }
}

/// Something and what is to be known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What it is.
    pub item: Item,
    /// Why it goes or stays.
    pub why: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.why)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReapPlan {
    /// What goes, in this order.
    pub remove: Vec<Verdict>,
    /// What is ours or could be, has no owner that is surely there, and stays all the same.
    pub keep: Vec<Verdict>,
}

impl fmt::Display for ReapPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.remove.is_empty() {
            writeln!(f, "nothing to remove")?;
        }
        self.remove.iter().try_for_each(|verdict| writeln!(f, "remove  {verdict}"))?;
        self.keep.iter().try_for_each(|verdict| writeln!(f, "keep    {verdict}"))
    }
}

/// Decides.
#[must_use]
pub fn plan(seen: &Seen) -> ReapPlan {
    let mut plan = ReapPlan::default();
    for lab in &seen.labs {
        plan.lab(lab);
    }
    // A network may go only when nothing is plugged into it, a subnet only when no network has it.
    plan.things(&seen.host, &seen.domains, Item::Domain);
    plan.things(&seen.host, &seen.networks, Item::Network);
    for rules in seen.rules.iter().filter(|rules| rules.busy.is_none()) {
        plan.rules(rules, seen);
    }
    let stay = |thing: &&Thing| plan.keep.iter().any(|kept| kept.item == Item::Network(thing.name.clone()));
    let in_use: Vec<String> =
        seen.networks.iter().filter(stay).filter_map(|net| Some(net.mark.as_ref()?.uuid.clone())).collect();
    for lease in seen.leases.iter().filter(|lease| !lease.holds) {
        plan.lease(lease, &in_use);
    }
    for session in &seen.sessions {
        plan.put(Item::Session(session.journal.clone()), session.fate(&seen.host));
    }
    for journal in &seen.odd_journals {
        let why = "no journal of a session can be read in it; look at it, and remove it";
        plan.put(Item::Session(journal.clone()), Fate::Stays(why.to_owned()));
    }
    for run in &seen.runs {
        plan.put(Item::Changes(run.folder.clone()), run.fate(&seen.host));
    }
    plan
}

pub(super) enum Fate {
    Goes(String),
    Stays(String),
    /// As it should be; not worth a word.
    Fine,
}

impl ReapPlan {
    fn lab(&mut self, lab: &Lab) {
        let of = lab.env.as_ref().map(|env| format!(" of {}", env.display())).unwrap_or_default();
        let folder = lab.folder.clone();
        match lab.standing {
            Standing::Abandoned => {
                self.put(Item::Folder(folder), Fate::Goes(format!("nothing runs in this lab{of} any more")));
            }
            Standing::Bereft => {
                self.put(Item::Lab(folder), Fate::Goes(format!("the files{of} were removed")))
            }
            Standing::InUse => {}
        }
    }

    fn things(&mut self, host: &str, things: &[Thing], item: fn(String) -> Item) {
        for thing in things {
            if let Some(mark) = &thing.mark {
                self.put(item(thing.name.clone()), fate(mark, host));
            }
        }
    }

    /// Rules without machines mean nothing; those of machines that stay are for whoever cares for these.
    fn rules(&mut self, rules: &Rules, seen: &Seen) {
        let goes =
            |domain: &Thing| self.remove.iter().any(|gone| gone.item == Item::Domain(domain.name.clone()));
        let of = |thing: &&Thing| thing.mark.as_ref().is_some_and(|mark| mark.uuid.starts_with(&rules.uuid));
        if seen.domains.iter().filter(of).all(goes) {
            let why = "whoever asked for them has ended, and no machine is left that they are for";
            self.put(Item::Rules(rules.table.clone()), Fate::Goes(why.to_owned()));
        }
    }

    fn lease(&mut self, lease: &Lease, in_use: &[String]) {
        let holder = lease.uuid_file.parent().unwrap_or(Path::new("/"));
        let prefix = holder.display();
        let fate = match lease.ours {
            true if in_use.contains(&lease.uuid) => {
                Fate::Stays(format!("its holder {prefix} is gone, but a network of it stays"))
            }
            true => Fate::Goes(format!("its holder {prefix} is gone")),
            false => Fate::Stays(format!(
                "its holder {prefix} is gone, but another tool took it; whoever needs the subnet takes it over"
            )),
        };
        self.put(Item::Lease(lease.octet), fate);
    }

    fn put(&mut self, item: Item, fate: Fate) {
        match fate {
            Fate::Goes(why) => self.remove.push(Verdict { item, why }),
            Fate::Stays(why) => self.keep.push(Verdict { item, why }),
            Fate::Fine => {}
        }
    }
}

fn fate(mark: &Mark, host: &str) -> Fate {
    let prefix = mark.prefix.display();
    if let (Some(pid), false) = (mark.busy, mark.now == Owner::There) {
        return Fate::Stays(format!("process {pid}, which made it, still runs"));
    }
    match &mark.now {
        Owner::There => Fate::Fine,
        // Its files are where we cannot look; that they are not here says nothing.
        _ if mark.host != host => Fate::Stays(format!(
            "it belongs to {prefix} on the host {}, which only that host can judge",
            mark.host
        )),
        Owner::Gone => Fate::Goes(format!("its environment {prefix} is gone")),
        Owner::Another => Fate::Goes(format!("another environment than its own is now in {prefix}")),
        Owner::Moved(to) => Fate::Stays(format!(
            "its environment {prefix} is in {} now; whatever is done there next sets that right",
            to.display()
        )),
        Owner::Hidden(why) => Fate::Stays(format!("whether {prefix} is still there cannot be told: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "here";

    fn mark() -> Mark {
        Mark {
            prefix: "/e/.polder/default".into(),
            uuid: "5f0c".into(),
            host: HERE.into(),
            busy: None,
            now: Owner::Gone,
        }
    }

    /// What becomes of a domain and a network with this mark: `-` it goes, `+` it stays with a word, nothing: it stays.
    fn check(mark: Option<Mark>, expected: &str) {
        let thing = |name: &str| Thing { name: name.into(), mark: mark.clone() };
        let seen = Seen {
            host: HERE.into(),
            domains: vec![thing("d")],
            networks: vec![thing("n")],
            ..Seen::default()
        };
        let plan = plan(&seen);
        let lines = |sign, of: &[Verdict]| of.iter().map(|v| format!("{sign}{v}\n")).collect::<String>();
        let shown = lines("-", &plan.remove) + &lines("+", &plan.keep);
        let both = |line: &str| line.replace('*', "domain d") + "\n" + &line.replace('*', "network n") + "\n";
        assert_eq!(shown, if expected.is_empty() { String::new() } else { both(expected) });
    }

    #[test]
    fn strangers_are_not_even_mentioned() {
        check(None, "");
    }

    #[test]
    fn an_owner_that_is_there_keeps_everything() {
        check(Some(Mark { now: Owner::There, ..mark() }), "");
        check(Some(Mark { now: Owner::There, busy: Some(7), ..mark() }), "");
        check(Some(Mark { now: Owner::There, host: "before it was renamed".into(), ..mark() }), "");
    }

    #[rstest::rstest]
    #[case(Owner::Gone, "-*: its environment /e/.polder/default is gone")]
    #[case(Owner::Another, "-*: another environment than its own is now in /e/.polder/default")]
    #[case(
        Owner::Hidden("Permission denied".into()),
        "+*: whether /e/.polder/default is still there cannot be told: Permission denied"
    )]
    fn an_owner_that_is_gone_loses_everything(#[case] now: Owner, #[case] expected: &str) {
        check(Some(Mark { now, ..mark() }), expected);
    }

    #[test]
    fn what_was_moved_stays() {
        let expected = "+*: its environment /e/.polder/default is in /f now; whatever is done there next sets that right";
        check(Some(Mark { now: Owner::Moved("/f".into()), ..mark() }), expected);
    }

    #[test]
    fn who_may_still_be_at_work_is_not_disturbed() {
        for now in [Owner::Gone, Owner::Another] {
            check(Some(Mark { busy: Some(7), now, ..mark() }), "+*: process 7, which made it, still runs");
        }
    }

    #[test]
    fn other_hosts_are_not_judged() {
        let expected =
            "+*: it belongs to /e/.polder/default on the host there, which only that host can judge";
        for now in [Owner::Gone, Owner::Another] {
            check(Some(Mark { host: "there".into(), now, ..mark() }), expected);
        }
    }

    #[test]
    fn rules_go_with_the_last_machine_they_are_for() {
        let rules = |busy| Rules { table: "polder-5f0c-7-0".into(), uuid: "5f0c".into(), busy };
        let goes = |mark: Option<Mark>, busy| {
            let domains = vec![Thing { name: "d".into(), mark }];
            let seen = Seen { host: HERE.into(), domains, rules: vec![rules(busy)], ..Seen::default() };
            plan(&seen).remove.iter().any(|verdict| matches!(verdict.item, Item::Rules(_)))
        };
        assert!(goes(None, None) && goes(Some(mark()), None));
        assert!(!goes(Some(Mark { now: Owner::There, ..mark() }), None), "its machine stays");
        assert!(!goes(None, Some(7)), "process 7 sets them back");
        assert!(
            goes(Some(Mark { uuid: "0000".into(), now: Owner::There, ..mark() }), None),
            "another's machine"
        );
    }

    #[test]
    fn a_subnet_stays_leased_while_its_network_stays() {
        // Of one that was moved, the network still has the old place.
        let lease = Lease {
            octet: 201,
            uuid_file: "/moved/uuid".into(),
            uuid: "5f0c".into(),
            holds: false,
            ours: true,
        };
        let net = Thing { name: "n".into(), mark: Some(Mark { busy: Some(7), ..mark() }) };
        let seen = Seen { host: HERE.into(), networks: vec![net], leases: vec![lease], ..Seen::default() };
        insta::assert_snapshot!(plan(&seen), @r"
        nothing to remove
        keep    network n: process 7, which made it, still runs
        keep    lease of 192.168.201.0/24: its holder /moved is gone, but a network of it stays
        ");
    }

    #[test]
    fn labs_then_domains_then_networks_then_leases() {
        let lab = |folder: &str, standing| Lab {
            folder: folder.into(),
            env: (folder == "/l/2").then(|| "/e/.polder/default".into()),
            standing,
        };
        let lease = |octet, holds, ours| Lease {
            octet,
            uuid_file: "/e/.polder/default/uuid".into(),
            uuid: "5f0c".into(),
            holds,
            ours,
        };
        let thing = |name: &str, mark| Thing { name: name.into(), mark };
        let seen = Seen {
            host: HERE.into(),
            labs: vec![
                lab("/l/1", Standing::Abandoned),
                lab("/l/2", Standing::Bereft),
                lab("/l/3", Standing::InUse),
            ],
            domains: vec![thing("5f0c-web", Some(mark())), thing("mine", None)],
            networks: vec![thing("default", None), thing("5f0c-lan", Some(mark()))],
            rules: vec![Rules { table: "polder-5f0c-7-0".into(), uuid: "5f0c".into(), busy: None }],
            leases: vec![
                lease(201, false, true),
                lease(202, true, true),
                lease(203, false, false),
                lease(204, true, false),
            ],
            ..Seen::default()
        };
        insta::assert_snapshot!(plan(&seen), @r"
        remove  folder /l/1: nothing runs in this lab any more
        remove  lab /l/2: the files of /e/.polder/default were removed
        remove  domain 5f0c-web: its environment /e/.polder/default is gone
        remove  network 5f0c-lan: its environment /e/.polder/default is gone
        remove  rules polder-5f0c-7-0: whoever asked for them has ended, and no machine is left that they are for
        remove  lease of 192.168.201.0/24: its holder /e/.polder/default is gone
        keep    lease of 192.168.203.0/24: its holder /e/.polder/default is gone, but another tool took it; whoever needs the subnet takes it over
        ");
        insta::assert_snapshot!(plan(&Seen::default()), @"nothing to remove");
    }
}
