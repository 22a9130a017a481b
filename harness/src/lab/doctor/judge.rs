//! Turns what was seen into findings with the command that fixes each. Pure.

use super::observe::{Observations, Sandboxed, TOOLS, WISHED};
use crate::lab::paths::DAEMON_CONFIG;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Works, but slower or with less.
    Note,
    /// Labs do not work like this.
    Bad,
}

/// One line of the doctor's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How serious.
    pub grade: Grade,
    /// What was looked at and what was seen.
    pub text: String,
    /// The command or step that mends it.
    pub fix: Option<String>,
}

/// Free space below which a lab with a few machines may fill the disk, in MiB.
const SCARCE_MIB: u64 = 4096;

/// Judges everything, the good included.
#[must_use]
pub fn judge(seen: &Observations) -> Vec<Finding> {
    let mut findings = vec![tools(seen)];
    if !seen.root {
        findings.push(subordinate(seen));
    }
    findings.extend(seen.sysctls.iter().filter_map(|(name, value)| sysctl(seen.root, name, value)));
    findings.push(match &seen.boundary {
        Sandboxed::Works => good("a boundary (namespaces) can be made"),
        Sandboxed::Fails(why) => bad(why, None),
    });
    if !seen.config_folder {
        let text = format!("there is no {DAEMON_CONFIG}, over which a lab mounts its daemon's configuration");
        findings.push(bad(&text, Some(install("libvirt-clients"))));
    }
    findings.push(match &seen.tun {
        Ok(()) => good("/dev/net/tun can be opened"),
        Err(why) => bad(
            &format!("/dev/net/tun: {why}"),
            Some("as root: modprobe tun; chmod 0666 /dev/net/tun".into()),
        ),
    });
    findings.push(match &seen.kvm {
        Ok(()) => good("/dev/kvm can be opened (whether it works is tried when machines start)"),
        Err(why) => Finding {
            grade: Grade::Note,
            text: format!("/dev/kvm: {why}; guests run under TCG, several times slower"),
            fix: Some(format!("if this host has KVM, as root: usermod --append --groups kvm {}", seen.user)),
        },
    });
    findings.extend(WISHED.iter().map(|(tool, package, [with, without])| match is_there(seen, tool) {
        true => good(with),
        false => Finding {
            grade: Grade::Note,
            text: format!("`{tool}` is not installed; {without}"),
            fix: Some(install(package)),
        },
    }));
    findings.extend(seen.free_mib.iter().map(|(dir, mib)| {
        let text = format!("{} MiB free for {}", mib, dir.display());
        if *mib >= SCARCE_MIB {
            return good(&text);
        }
        let fix =
            Some("free some space, or set POLDER_RUNTIME_DIR and POLDER_CACHE_DIR to another disk".into());
        Finding { grade: Grade::Note, text, fix }
    }));
    findings
}

pub(super) fn good(text: &str) -> Finding {
    Finding { grade: Grade::Good, text: text.to_owned(), fix: None }
}

pub(super) fn bad(text: &str, fix: Option<String>) -> Finding {
    Finding { grade: Grade::Bad, text: text.to_owned(), fix }
}

fn is_there(seen: &Observations, tool: &str) -> bool {
    matches!(seen.tools.get(tool), Some(Some(_)))
}

fn tools(seen: &Observations) -> Finding {
    let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !is_there(seen, tool)).collect();
    if missing.is_empty() {
        return good("all programs are installed");
    }
    let names: Vec<_> = missing.iter().map(|(tool, _)| *tool).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bad(&format!("not installed: {}", names.join(", ")), Some(install(&packages.join(" "))))
}

fn install(packages: &str) -> String {
    format!("on Debian or Ubuntu, as root: apt-get install --no-install-recommends {packages}")
}

fn subordinate(seen: &Observations) -> Finding {
    match seen.subordinate {
        (true, true) => good("subordinate user and group ids are there"),
        (users, _) => {
            let what = if users { "group" } else { "user" };
            let fix = format!(
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
                seen.user
            );
            bad(&format!("user {} has no subordinate {what} ids", seen.user), Some(fix))
        }
    }
}

fn sysctl(root: bool, name: &str, value: &str) -> Option<Finding> {
    let dotted = name.replace('/', ".");
    let allow = match (name, value) {
        ("kernel/unprivileged_userns_clone", "0") if !root => "1",
        ("user/max_user_namespaces", "0") if !root => "10000",
        ("kernel/apparmor_restrict_unprivileged_userns", "1") if !root => "0",
        _ => return None,
    };
    let text = format!("{dotted} is {value}, which keeps ordinary users from making user namespaces");
    Some(bad(&text, Some(format!("as root: sysctl -w {dotted}={allow}"))))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn healthy() -> Observations {
        Observations {
            user: "ada".into(),
            root: false,
            tools: TOOLS
                .iter()
                .map(|(tool, _)| tool)
                .chain(WISHED.iter().map(|(tool, ..)| tool))
                .map(|tool| ((*tool).to_owned(), Some(PathBuf::from("/usr/bin/x"))))
                .collect(),
            subordinate: (true, true),
            sysctls: [("user/max_user_namespaces".to_owned(), "5000".to_owned())].into(),
            config_folder: true,
            tun: Ok(()),
            kvm: Ok(()),
            free_mib: vec![("/var/tmp".into(), 50_000)],
            boundary: Sandboxed::Works,
        }
    }

    #[test]
    fn a_healthy_host_has_nothing_to_mend() {
        assert!(judge(&healthy()).iter().all(|f| f.grade == Grade::Good && f.fix.is_none()));
    }

    #[rstest::rstest]
    #[case(|o: &mut Observations| { o.tools.insert("dnsmasq".into(), None); }, Grade::Bad, "install --no-install-recommends dnsmasq-base")]
    #[case(|o: &mut Observations| o.subordinate = (false, true), Grade::Bad, "--add-subuids 100000-165535")]
    #[case(|o: &mut Observations| { o.sysctls.insert("kernel/apparmor_restrict_unprivileged_userns".into(), "1".into()); }, Grade::Bad, "kernel.apparmor_restrict_unprivileged_userns=0")]
    #[case(|o: &mut Observations| o.tun = Err("Permission denied".into()), Grade::Bad, "chmod 0666 /dev/net/tun")]
    #[case(|o: &mut Observations| o.kvm = Err("Permission denied".into()), Grade::Note, "--groups kvm ada")]
    #[case(|o: &mut Observations| { o.tools.insert("pasta".into(), None); }, Grade::Note, "install --no-install-recommends passt")]
    #[case(|o: &mut Observations| { o.tools.insert("nft".into(), None); }, Grade::Note, "install --no-install-recommends nftables")]
    #[case(|o: &mut Observations| o.config_folder = false, Grade::Bad, "install --no-install-recommends libvirt-clients")]
    #[case(|o: &mut Observations| o.free_mib = vec![("/x".into(), 10)], Grade::Note, "POLDER_CACHE_DIR")]
    fn each_lack_has_its_fix(#[case] damage: fn(&mut Observations), #[case] grade: Grade, #[case] fix: &str) {
        let mut seen = healthy();
        damage(&mut seen);
        let found: Vec<_> = judge(&seen).into_iter().filter(|f| f.grade != Grade::Good).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].grade == grade && found[0].fix.as_ref().unwrap().contains(fix), "{found:?}");
    }

    #[test]
    fn root_needs_no_subordinate_ids() {
        let mut seen = healthy();
        seen.root = true;
        seen.subordinate = (false, false);
        assert!(judge(&seen).iter().all(|f| f.grade == Grade::Good));
    }
}
