//! What stands between this user and environments on an existing daemon, with the command that mends each. Pure; who
//! can ask the daemon looks.

use std::path::PathBuf;

use super::{
    Finding, Grade,
    judge::{bad, good},
};

/// The oldest libvirt everything here was tried with.
const OLDEST: (u32, u32) = (9, 0);

/// What was seen of the daemon and of what an environment on it needs.
#[derive(Debug, Clone)]
pub struct DaemonSeen {
    /// Name of the user.
    pub user: String,
    /// Where the daemon should be.
    pub uri: String,
    /// Its version (major, minor), or why it does not answer.
    pub version: Result<(u32, u32), String>,
    /// Name of the user whom it runs emulators as, when that is not us.
    pub emulator: Option<String>,
    /// The folder below which environments live, and the folders on the way there that the emulator's user may not
    /// pass.
    pub closed: (PathBuf, Vec<PathBuf>),
    /// The folder of subnet leases, and how many subnets are free, or why it cannot be used.
    pub subnets: (PathBuf, Result<usize, String>),
}

/// Judges everything, the good included.
#[must_use]
pub fn judge_daemon(seen: &DaemonSeen) -> Vec<Finding> {
    let (leases, subnets) = &seen.subnets;
    let leases = leases.display();
    vec![
        daemon(seen),
        emulator(seen),
        match subnets {
            Ok(0) => bad(
                "every subnet is leased or in use",
                Some("`polder gc` gives back what nobody uses any more".into()),
            ),
            Ok(free) => good(&format!("{free} subnets are free (leases are kept in {leases})")),
            Err(why) => bad(
                &format!("subnets cannot be leased in {leases}: {why}"),
                Some(format!("as root: mkdir -p {leases} && chown {} {leases}; or set lease_dir", seen.user)),
            ),
        },
    ]
}

/// Whether the daemon at `uri` is one that every user has of his own.
#[must_use]
pub fn is_session(uri: &str) -> bool {
    uri.split('?').next().is_some_and(|place| place.ends_with("/session"))
}

fn daemon(seen: &DaemonSeen) -> Finding {
    let DaemonSeen { uri, user, .. } = seen;
    match &seen.version {
        Ok(version) if *version < OLDEST => Finding {
            grade: Grade::Note,
            text: format!(
                "libvirt {}.{} answers at {uri}; nothing was tried with one that old",
                version.0, version.1
            ),
            fix: Some(format!("use {}.{} or later", OLDEST.0, OLDEST.1)),
        },
        // Tried: `error creating bridge interface virbr0: Operation not permitted`. For root it is the system's daemon.
        Ok(_) if is_session(uri) && user != "root" => bad(
            &format!(
                "the daemon at {uri} runs as {user} and may not make networks: only for machines without NICs"
            ),
            Some(
                "set lab = \"hermetic\", which needs no root either, or libvirt_url = \"qemu:///system\""
                    .into(),
            ),
        ),
        Ok((major, minor)) => good(&format!("libvirt {major}.{minor} answers at {uri}")),
        Err(why) => {
            let fix = match why.contains("ermission denied") || why.contains("uthentication") {
                true => format!("as root: usermod --append --groups libvirt {user}; then log in again"),
                false => "as root: apt-get install libvirt-daemon-system; systemctl start libvirtd; or set libvirt_url".into(),
            };
            bad(&format!("no libvirt answers at {uri}: {why}"), Some(fix))
        }
    }
}

fn emulator(seen: &DaemonSeen) -> Finding {
    let (folder, closed) = &seen.closed;
    let folder = folder.display();
    match (&seen.emulator, closed.as_slice()) {
        (None, _) => good("emulators run as this user"),
        (Some(name), []) => good(&format!("emulators run as {name}, who can reach {folder}")),
        (Some(name), closed) => {
            let closed: Vec<_> = closed.iter().map(|dir| dir.display().to_string()).collect();
            let text = format!(
                "emulators run as {name}, who cannot reach {folder}: no search permission on {}",
                closed.join(", ")
            );
            bad(&text, Some(format!("chmod o+x {}", closed.join(" "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> DaemonSeen {
        DaemonSeen {
            user: "ada".into(),
            uri: "qemu:///system".into(),
            version: Ok((9, 0)),
            emulator: Some("libvirt-qemu".into()),
            closed: ("/srv/env".into(), vec![]),
            subnets: ("/var/lib/lago/subnets".into(), Ok(54)),
        }
    }

    #[test]
    fn a_healthy_daemon_leaves_nothing_to_mend() {
        assert!(judge_daemon(&healthy()).iter().all(|f| f.grade == Grade::Good && f.fix.is_none()));
        let own = DaemonSeen { emulator: None, closed: ("/x".into(), vec!["/x".into()]), ..healthy() };
        assert!(judge_daemon(&own).iter().all(|f| f.grade == Grade::Good));
        let root = DaemonSeen { uri: "qemu:///session".into(), user: "root".into(), ..healthy() };
        assert!(judge_daemon(&root).iter().all(|f| f.grade == Grade::Good));
    }

    #[rstest::rstest]
    #[case(|s: &mut DaemonSeen| s.version = Err("Failed to connect socket: Permission denied".into()), Grade::Bad, "--groups libvirt ada")]
    #[case(|s: &mut DaemonSeen| s.version = Err("No such file or directory".into()), Grade::Bad, "systemctl start libvirtd")]
    #[case(|s: &mut DaemonSeen| s.version = Ok((8, 9)), Grade::Note, "9.0")]
    #[case(|s: &mut DaemonSeen| s.uri = "qemu:///session?x=y".into(), Grade::Bad, "lab = \"hermetic\"")]
    #[case(|s: &mut DaemonSeen| s.closed.1 = vec!["/home/ada".into(), "/home/ada/x".into()], Grade::Bad, "chmod o+x /home/ada /home/ada/x")]
    #[case(|s: &mut DaemonSeen| s.subnets.1 = Ok(0), Grade::Bad, "polder gc")]
    #[case(|s: &mut DaemonSeen| s.subnets.1 = Err("Permission denied".into()), Grade::Bad, "chown ada /var/lib/lago/subnets")]
    fn each_lack_has_its_fix(#[case] damage: fn(&mut DaemonSeen), #[case] grade: Grade, #[case] fix: &str) {
        let mut seen = healthy();
        damage(&mut seen);
        let found: Vec<_> = judge_daemon(&seen).into_iter().filter(|f| f.grade != Grade::Good).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].grade == grade && found[0].fix.as_ref().unwrap().contains(fix), "{found:?}");
    }
}
