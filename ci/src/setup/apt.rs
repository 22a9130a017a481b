//! Installing packages with apt: what to ask it for, and asking. Which packages, says `packages`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{
    Root,
    packages::{self, Package},
};
use crate::{
    command::{self, Refused},
    phases::Skip,
};

/// Read by maintainers' scripts before they start a service: 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What apt knows about one package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Known {
    installed: Option<String>,
    candidate: Option<String>,
    /// Versions, each with the releases that have it.
    versions: Vec<(String, Vec<String>)>,
}

/// One call of `apt-get install`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    packages: Vec<String>,
    release: Option<String>,
    downgrades: bool,
    /// Why this call is not a plain one.
    note: Option<String>,
}

/// Installs what is missing of `packages`; returns what could not be had although it was wished for.
pub(crate) fn install(packages: &[&'static Package]) -> Result<Vec<Skip>> {
    let missing = packages::missing(packages);
    if missing.is_empty() {
        return Ok(vec![]);
    }
    if !debian_like(&fs::read_to_string("/etc/os-release").unwrap_or_default())
        || !packages::has_program("apt-get")
    {
        return elsewhere(&missing);
    }
    println!("missing:");
    for package in &missing {
        println!("  {} ({})", package.name, package.why);
    }
    let needed: Vec<_> = missing.iter().copied().filter(|package| !package.optional).collect();
    let wished: Vec<_> = missing.iter().copied().filter(|package| package.optional).collect();
    let known = policies(packages)?;
    let had = wished.iter().any(|package| candidate(&known, package.name).is_some());
    if needed.is_empty() && !had {
        // Asking the network each time for what this distribution does not have would help nobody.
        return Ok(wished.iter().map(|package| no_package(package)).collect());
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    let by_hand = [
        "sudo apt-get update".to_owned(),
        format!("sudo apt-get install --no-install-recommends {}", names.join(" ")),
    ];
    let root = Root::get(&by_hand)?;
    command::run_quietly(&mut apt_get(root, &["update"]))?;
    let known = policies(packages)?;
    {
        let _quiet = NoServices::new(root, &missing)?;
        for call in calls(&needed, &known) {
            ask(root, &call)?;
        }
        let still: Vec<_> =
            packages::missing(packages).into_iter().filter(|package| package.split_off).collect();
        if !still.is_empty() {
            let packages = still.iter().map(|package| package.name.to_owned()).collect();
            ask(root, &Call { packages, ..Call::default() })?;
        }
    }
    let mut skips = vec![];
    for package in wished {
        if candidate(&known, package.name).is_none() {
            skips.push(no_package(package));
        } else if let Err(error) =
            ask(root, &Call { packages: vec![package.name.to_owned()], ..Call::default() })
        {
            skips.push(Skip::announce(package.name, format!("needed for {}: {error:#}", package.why)));
        }
    }
    let left: Vec<_> =
        packages::missing(packages).into_iter().filter(|package| !package.optional).map(|p| p.name).collect();
    if !left.is_empty() {
        bail!("apt installed its packages and these are still not there: {}", left.join(", "));
    }
    Ok(skips)
}

fn no_package(package: &Package) -> Skip {
    Skip::announce(package.name, format!("needed for {}: this distribution has no such package", package.why))
}

/// Another distribution: say what to install. Only what is needed stops us.
fn elsewhere(missing: &[&Package]) -> Result<Vec<Skip>> {
    let list: Vec<_> = missing.iter().map(|p| format!("{} ({})", p.name, p.why)).collect();
    if missing.iter().any(|package| !package.optional) {
        let list = list.join("\n  ");
        return Err(Refused(format!(
            "this is neither Debian nor Ubuntu; install what these packages of Debian hold:\n  {list}"
        ))
        .into());
    }
    let skip = |package: &&Package| {
        Skip::announce(package.name, format!("needed for {}: not installed", package.why))
    };
    Ok(missing.iter().map(skip).collect())
}

fn debian_like(os_release: &str) -> bool {
    let value =
        |line: &str| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")).map(str::to_owned);
    let ids: Vec<_> = os_release.lines().filter_map(value).collect();
    ids.iter().flat_map(|ids| ids.trim_matches('"').split(' ')).any(|id| id == "debian" || id == "ubuntu")
}

fn ask(root: Root, call: &Call) -> Result<()> {
    if let Some(note) = &call.note {
        println!("{note}");
    }
    let mut command = apt_get(root, &["install", "-y", "--no-install-recommends"]);
    if call.downgrades {
        command.arg("--allow-downgrades");
    }
    if let Some(release) = &call.release {
        command.args(["-t", release]);
    }
    command::run_quietly(command.args(&call.packages))
}

fn apt_get(root: Root, arguments: &[&str]) -> Command {
    // Through `env`, because sudo drops the environment.
    let mut command = root.command("env");
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    command.args(arguments);
    command
}

/// No service is started while this lives, and those of `packages` are not enabled either.
struct NoServices {
    root: Root,
    made: bool,
    services: Vec<&'static str>,
}

impl NoServices {
    fn new(root: Root, packages: &[&Package]) -> Result<Self> {
        let services: Vec<_> = packages.iter().filter_map(|package| package.service).collect();
        let made = !services.is_empty() && !Path::new(POLICY).exists();
        if made {
            let file = scratch_file(
                "#!/bin/sh\n# Made by `cargo ci setup` while it installs; removed after.\nexit 101\n",
            )?;
            command::run(root.command("install").args(["-m", "755"]).arg(&file).arg(POLICY))?;
            fs::remove_file(&file).with_context(|| format!("could not remove {}", file.display()))?;
        }
        Ok(Self { root, made, services })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let mut undo = vec![];
        if self.made {
            let mut remove = self.root.command("rm");
            remove.args(["-f", POLICY]);
            undo.push(remove);
        }
        for service in self.services.iter().filter(|_| packages::has_program("systemctl")) {
            let mut disable = self.root.command("systemctl");
            disable.args(["disable", "--quiet", service]);
            undo.push(disable);
        }
        for mut command in undo {
            if let Err(error) = command::run(&mut command) {
                println!("warning: {error:#}");
            }
        }
    }
}

fn scratch_file(text: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("polder-policy-{}", std::process::id()));
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    Ok(path)
}

/// Asks apt's local lists; no network.
fn policies(packages: &[&Package]) -> Result<BTreeMap<String, Known>> {
    let names = packages.iter().map(|package| package.name).chain(FAMILY.iter().copied());
    let text = command::output(Command::new("apt-cache").env("LC_ALL", "C").arg("policy").args(names))?;
    Ok(parse_policies(&text))
}

fn parse_policies(text: &str) -> BTreeMap<String, Known> {
    let mut all = BTreeMap::new();
    let mut current: Option<(String, Known)> = None;
    for line in text.lines() {
        if !line.starts_with(' ') {
            all.extend(current.take());
            current = line.strip_suffix(':').map(|name| (name.to_owned(), Known::default()));
            continue;
        }
        let Some((_, known)) = &mut current else { continue };
        let version = |text: &str| (text != "(none)").then(|| text.to_owned());
        if let Some(archive) = line.strip_prefix("        ") {
            // `500 URI RELEASE/COMPONENT ARCHITECTURE Packages`, or `100 /var/lib/dpkg/status`
            let release = archive.split(' ').nth(2).and_then(|place| place.split('/').next());
            if let (Some(release), Some((_, releases))) = (release, known.versions.last_mut()) {
                releases.push(release.to_owned());
            }
        } else if let Some(entry) = line.strip_prefix(" *** ").or_else(|| line.strip_prefix("     ")) {
            known.versions.extend(entry.split(' ').next().map(|version| (version.to_owned(), vec![])));
        } else if let Some(installed) = line.strip_prefix("  Installed: ") {
            known.installed = version(installed);
        } else if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            known.candidate = version(candidate);
        }
    }
    all.extend(current);
    all
}

fn candidate<'a>(known: &'a BTreeMap<String, Known>, name: &str) -> Option<&'a str> {
    known.get(name)?.candidate.as_deref()
}

/// Packages built together with QEMU, which must have one version.
const FAMILY: &[&str] = &[
    "qemu-system-x86",
    "qemu-utils",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-system-gui",
    "qemu-block-extra",
];

/// How to install `missing`: one plain call, and before it one for QEMU when half of it is there in another version.
fn calls(missing: &[&Package], known: &BTreeMap<String, Known>) -> Vec<Call> {
    let mut plain: Vec<String> = missing
        .iter()
        // Where this release does not split it off, a newer one in the sources may, and would drag itself in.
        .filter(|package| !package.split_off)
        .map(|package| package.name.to_owned())
        .collect();
    let mut calls = vec![];
    if let Some(call) = aligned_qemu(&plain, known) {
        plain.retain(|name| !FAMILY.contains(&name.as_str()));
        calls.push(call);
    }
    if !plain.is_empty() {
        calls.push(Call { packages: plain, ..Call::default() });
    }
    calls
}

/// One of emulator and disk tools is missing, the other there: both must have one version, else apt refuses.
fn aligned_qemu(missing: &[String], known: &BTreeMap<String, Known>) -> Option<Call> {
    let pair = ["qemu-system-x86", "qemu-utils"];
    let absent = pair.into_iter().find(|name| missing.iter().any(|m| m == name))?;
    let there = pair.into_iter().find(|name| *name != absent)?;
    let installed = known.get(there)?.installed.as_deref()?;
    let wanted = candidate(known, absent)?;
    if source_version(installed) == source_version(wanted) {
        return None;
    }
    let versions = &known.get(absent)?.versions;
    if let Some((version, releases)) =
        versions.iter().find(|(v, _)| source_version(v) == source_version(installed))
    {
        return Some(Call {
            packages: vec![format!("{absent}={version}")],
            release: releases.first().cloned(),
            downgrades: false,
            note: Some(format!("{there} is {installed}: taking {absent} of the same version")),
        });
    }
    let others = FAMILY.iter().filter(|name| **name != absent).filter_map(|name| {
        let known = known.get(*name)?;
        let installed = known.installed.as_deref()?;
        let (version, _) =
            known.versions.iter().find(|(v, _)| source_version(v) == source_version(wanted))?;
        (installed != version).then(|| format!("{name}={version}"))
    });
    Some(Call {
        packages: std::iter::once(format!("{absent}={wanted}")).chain(others).collect(),
        release: None,
        downgrades: true,
        note: Some(format!(
            "{there} is {installed}, which {absent} does not come in: taking both in version {wanted}"
        )),
    })
}

/// A binary package may have been rebuilt from the same source (`+b3`).
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number)) if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()) => source,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::packages::PACKAGES, *};

    const STABLE: &str = "1:7.2+dfsg-7+deb12u18+b3";
    const NEWER: &str = "1:10.0.2+ds-2+deb13u1~bpo12+1";

    fn policy(name: &str, installed: &str, candidate: &str, versions: &[(&str, &str)]) -> String {
        let mut text =
            format!("{name}:\n  Installed: {installed}\n  Candidate: {candidate}\n  Version table:\n");
        for (version, release) in versions {
            let mark = if *version == installed { " *** " } else { "     " };
            text += &format!("{mark}{version} 500\n");
            if !release.is_empty() {
                text += &format!("        500 http://mirror/debian {release}/main amd64 Packages\n");
            }
            if *version == installed {
                text += "        100 /var/lib/dpkg/status\n";
            }
        }
        text
    }

    fn plan(missing: &[&str], policies: &[String]) -> Vec<Call> {
        let missing: Vec<_> = PACKAGES.iter().filter(|package| missing.contains(&package.name)).collect();
        calls(&missing, &parse_policies(&policies.concat()))
    }

    #[test]
    fn policies_are_read() {
        let text = policy("qemu-utils", NEWER, NEWER, &[(NEWER, ""), (STABLE, "bookworm")])
            + &policy("none", "(none)", "(none)", &[]);
        let known = parse_policies(&text);
        assert_eq!(
            known["qemu-utils"],
            Known {
                installed: Some(NEWER.to_owned()),
                candidate: Some(NEWER.to_owned()),
                versions: vec![(NEWER.to_owned(), vec![]), (STABLE.to_owned(), vec!["bookworm".to_owned()])],
            }
        );
        assert_eq!(known["none"], Known::default());
        for odd in
            ["", "x:", "N: Unable to locate package x\n", "  Installed:\n", "x:\n  Installed\n     \n ***\n"]
        {
            let _ = parse_policies(odd);
        }
    }

    #[test]
    fn what_may_be_inside_another_package_is_not_asked_for_with_it() {
        let policies = [
            policy("libvirt-daemon", "(none)", "9.0", &[("9.0", "bookworm")]),
            policy("libvirt-daemon-driver-network", "(none)", "11.3", &[("11.3", "bookworm-backports")]),
            policy("qemu-system-x86", "(none)", STABLE, &[(STABLE, "bookworm")]),
            policy("qemu-utils", "(none)", STABLE, &[(STABLE, "bookworm")]),
        ];
        let names = ["libvirt-daemon", "libvirt-daemon-driver-network", "qemu-system-x86", "qemu-utils"];
        assert_eq!(
            plan(&names, &policies),
            [Call {
                packages: ["libvirt-daemon", "qemu-system-x86", "qemu-utils"].map(str::to_owned).to_vec(),
                ..Call::default()
            }]
        );
    }

    #[test]
    fn newer_disk_tools_without_their_release_go_back() {
        let policies = [
            policy("passt", "(none)", "0", &[("0", "bookworm")]),
            policy("qemu-system-x86", "(none)", STABLE, &[(STABLE, "bookworm")]),
            policy("qemu-utils", NEWER, NEWER, &[(NEWER, ""), (STABLE, "bookworm")]),
            policy("qemu-block-extra", NEWER, NEWER, &[(NEWER, ""), (STABLE, "bookworm")]),
            policy(
                "qemu-system-data",
                "(none)",
                "1:7.2+dfsg-7+deb12u18",
                &[("1:7.2+dfsg-7+deb12u18", "bookworm")],
            ),
        ];
        let calls = plan(&["qemu-system-x86", "passt"], &policies);
        let packages: Vec<_> = calls.iter().map(|call| call.packages.join(" ")).collect();
        let pinned = format!("qemu-system-x86={STABLE} qemu-utils={STABLE} qemu-block-extra={STABLE}");
        assert_eq!(packages, [pinned.as_str(), "passt"]);
        assert_eq!(
            (calls[0].downgrades, calls[0].release.as_deref(), calls[1].downgrades),
            (true, None, false)
        );
    }

    #[test]
    fn newer_disk_tools_whose_release_is_there_are_followed() {
        let both = [(NEWER, "bookworm-backports"), (STABLE, "bookworm")];
        let policies =
            [policy("qemu-system-x86", "(none)", STABLE, &both), policy("qemu-utils", NEWER, NEWER, &both)];
        let calls = plan(&["qemu-system-x86"], &policies);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].packages, [format!("qemu-system-x86={NEWER}")]);
        assert_eq!((calls[0].downgrades, calls[0].release.as_deref()), (false, Some("bookworm-backports")));
    }

    #[test]
    fn disk_tools_of_the_same_source_are_left_alone() {
        let rebuilt = "1:7.2+dfsg-7+deb12u18";
        let policies = [
            policy("qemu-system-x86", "(none)", STABLE, &[(STABLE, "bookworm")]),
            policy("qemu-utils", rebuilt, rebuilt, &[(rebuilt, "bookworm")]),
        ];
        assert_eq!(
            plan(&["qemu-system-x86"], &policies),
            [Call { packages: vec!["qemu-system-x86".to_owned()], ..Call::default() }]
        );
    }

    #[test]
    fn distributions_are_told_apart() {
        assert!(debian_like("PRETTY_NAME=\"Debian\"\nID=debian\n"));
        assert!(debian_like("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!debian_like("ID=fedora\nID_LIKE=\"rhel\"\n"));
        assert!(!debian_like(""));
    }

    #[test]
    fn elsewhere_it_says_what_to_install() {
        let missing: Vec<_> =
            PACKAGES.iter().filter(|p| p.name == "uidmap" || p.name == "chromium").collect();
        let error = elsewhere(&missing).unwrap_err();
        assert!(
            error.is::<Refused>() && error.to_string().contains("uidmap (labs of ordinary users)"),
            "{error}"
        );
        let wished: Vec<_> = missing.into_iter().filter(|p| p.optional).collect();
        assert_eq!(elsewhere(&wished).unwrap().len(), 1);
    }
}
