//! What is needed from the distribution: data, and how to see that it is there. Installs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::For;

/// One package and why it is needed.
pub(crate) struct Package {
    /// Its name in Debian and Ubuntu.
    pub(crate) name: &'static str,
    /// What stops working without it.
    pub(crate) why: &'static str,
    /// Who needs it.
    pub(crate) part: Part,
    /// The first version that does, where an older one is still about.
    pub(crate) since: Option<&'static str>,
    /// What must be there; asked of the file system, so that what was installed another way counts as well.
    pub(crate) probe: Probe,
    /// Without it something is skipped, loudly, and the rest goes on.
    pub(crate) optional: bool,
    /// Older releases have it inside another package: it is asked for only when still missing after the others.
    pub(crate) split_off: bool,
    /// The service it would start and enable, which we do not want.
    pub(crate) service: Option<&'static str>,
}

/// Who needs a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Whoever uses Polder: labs do not work without it, or images cannot be built.
    Use,
    /// Whoever uses a part of Polder.
    SomeUse,
    /// Whoever builds suites.
    Build,
    /// Whoever works on Polder.
    Work,
}

/// What shows that a package is there.
pub(crate) enum Probe {
    /// One of these programs.
    Program(&'static [&'static str]),
    /// One of these files; a `*` stands for one folder of any name.
    File(&'static [&'static str]),
}

const fn needed(name: &'static str, why: &'static str, probe: Probe) -> Package {
    Package {
        name,
        why,
        part: Part::Work,
        since: None,
        probe,
        optional: false,
        split_off: false,
        service: None,
    }
}

const fn wished(name: &'static str, why: &'static str, probe: Probe) -> Package {
    Package { optional: true, ..needed(name, why, probe) }
}

impl Package {
    const fn of(self, part: Part) -> Self {
        Self { part, ..self }
    }

    const fn since(self, version: &'static str) -> Self {
        Self { since: Some(version), ..self }
    }
}

use Probe::{File, Program};

/// The table.
pub(crate) const PACKAGES: &[Package] = &[
    needed("git", "listing the files that `tidy` reads", Program(&["git"])),
    needed("gcc", "linking", Program(&["cc"])).of(Part::Build),
    needed("pkg-config", "finding libvirt's library", Program(&["pkg-config", "pkgconf"])).of(Part::Build),
    needed("libvirt-dev", "linking the harness", File(&["/usr/include/libvirt/libvirt.h"])).of(Part::Build),
    needed("libvirt-daemon", "the private daemon of a lab", Program(&["libvirtd"]))
        .of(Part::Use)
        .since("9.0"),
    needed(
        "libvirt-daemon-driver-qemu",
        "machines in a lab",
        File(&["/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so"]),
    )
    .of(Part::Use),
    Package {
        split_off: true,
        ..needed(
            "libvirt-daemon-driver-network",
            "networks in a lab",
            File(&["/usr/lib/*/libvirt/connection-driver/libvirt_driver_network.so"]),
        )
    }
    .of(Part::Use),
    // It has the folder `/etc/libvirt`, and virsh, the plain tool of the benchmarks, which is no user's.
    needed("libvirt-clients", "the folder of a private daemon's configuration", File(&["/usr/bin/virsh"]))
        .of(Part::Use),
    needed("qemu-system-x86", "machines", Program(&["qemu-system-x86_64"])).of(Part::Use).since("1:7.2"),
    needed("qemu-utils", "disks", Program(&["qemu-img"])).of(Part::Use),
    needed("dnsmasq-base", "addresses and names in a lab", Program(&["dnsmasq"])).of(Part::Use),
    needed("iproute2", "interfaces in a lab", Program(&["ip"])).of(Part::Use),
    needed("iptables", "libvirt's rules for networks", Program(&["iptables"])).of(Part::Use),
    needed("nftables", "rules for networks", Program(&["nft"])).of(Part::Use),
    needed("tcpdump", "captures of packets", Program(&["tcpdump"])).of(Part::SomeUse),
    needed("uidmap", "labs of ordinary users", Program(&["newuidmap"])).of(Part::Use),
    needed("mmdebstrap", "building guest images", Program(&["mmdebstrap"])).of(Part::Use),
    needed("lz4", "building guest images", Program(&["lz4"])).of(Part::Use),
    needed(
        "debian-archive-keyring",
        "building guest images",
        File(&["/usr/share/keyrings/debian-archive-keyring.gpg"]),
    )
    .of(Part::Use),
    needed("e2fsprogs", "building guest images", Program(&["mke2fs"])).of(Part::Use),
    needed("busybox-static", "another tar and mkpasswd to test against", Program(&["busybox"])),
    wished(
        "ovmf",
        "machines with UEFI",
        File(&["/usr/share/qemu/firmware/*.json", "/usr/share/OVMF/OVMF_CODE_4M.fd"]),
    )
    .of(Part::SomeUse),
    needed("passt", "nets with a way out", Program(&["pasta"])).of(Part::Use),
    needed("dpkg-dev", "the libraries that a package of Debian needs", Program(&["dpkg-shlibdeps"])),
    needed("openssh-client", "ssh and scp, the plain tools of the benchmarks", Program(&["ssh"])),
    Package {
        service: Some("ssh.service"),
        ..needed("openssh-server", "the server our ssh client is tested against", Program(&["sshd"]))
    },
    wished("createrepo-c", "repositories of RPMs", Program(&["createrepo_c"])).of(Part::SomeUse),
    needed("python3", "what an image has for its machines in Python", Program(&["python3"])),
    wished(
        "python3-venv",
        "clients in Python that our servers are tested with",
        File(&["/usr/lib/*/ensurepip/__init__.py"]),
    ),
    wished("libxml2-utils", "checking reports against their schema", Program(&["xmllint"])),
    wished(
        "chromium",
        "looking at reports in a browser",
        Program(&["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"]),
    ),
];

/// What that takes. Suites do without what only some of them use, if that is large or not everywhere to be had.
pub(crate) fn needed_for(what: For) -> Vec<&'static Package> {
    let taken = |p: &&Package| what == For::Tests || p.part != Part::Work && !p.optional;
    PACKAGES.iter().filter(taken).collect()
}

/// What a package of Debian needs, and what is good to have beside it.
pub(crate) fn used() -> (Vec<&'static Package>, Vec<&'static Package>) {
    let used = PACKAGES.iter().filter(|p| matches!(p.part, Part::Use | Part::SomeUse));
    used.partition(|p| p.part == Part::Use && !p.split_off)
}

/// What one campaign needs besides: more than a minute to install.
pub(crate) const LIBGUESTFS: &[Package] = &[
    needed("libguestfs-tools", "changing and reading disks of any kind", Program(&["virt-customize"])),
    needed(
        "linux-image-cloud-amd64",
        "the machines that libguestfs starts",
        File(&["/lib/modules/*/modules.dep"]),
    ),
    needed("btrfs-progs", "making file systems to be read", Program(&["mkfs.btrfs"])),
    needed("lvm2", "making volumes to be read", Program(&["lvm"])),
];

/// Those of `packages` whose probe finds nothing.
pub(crate) fn missing(packages: &[&'static Package]) -> Vec<&'static Package> {
    let folders = program_folders();
    packages.iter().copied().filter(|package| !present(&package.probe, &folders)).collect()
}

/// Whether a program can be found.
pub(crate) fn has_program(name: &str) -> bool {
    present_program(name, &program_folders())
}

fn present(probe: &Probe, folders: &[PathBuf]) -> bool {
    match probe {
        Program(names) => names.iter().any(|name| present_program(name, folders)),
        File(patterns) => patterns.iter().any(|pattern| matches(pattern)),
    }
}

fn present_program(name: &str, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| folder.join(name).is_file())
}

/// `PATH`, and where daemons live although ordinary users' `PATH` does not say so.
fn program_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(daemons).collect()
}

fn matches(pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once("/*/") else {
        return Path::new(pattern).exists();
    };
    let entries = fs::read_dir(before).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(after)).any(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::workspace;

    #[test]
    fn probes_see_what_is_there_and_nothing_else() {
        let folders = program_folders();
        assert!(present(&Program(&["no-such-program", "sh"]), &folders));
        assert!(!present(&Program(&["no-such-program"]), &folders));
        assert!(present(&File(&["/no/such/file", "/usr/*/sh"]), &folders));
        assert!(present(&File(&["/etc/passwd"]), &folders));
        assert!(!present(&File(&["/usr/*/no-such-file"]), &folders));
    }

    #[test]
    fn no_package_is_listed_twice() {
        let mut names: Vec<_> = PACKAGES.iter().map(|p| p.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len());
    }

    /// What the doctor asks for, as it stands in its source: programs and their packages.
    fn asked_by_the_doctor() -> BTreeSet<(String, String)> {
        let path = workspace::root().join(DOCTOR);
        let text = fs::read_to_string(&path).unwrap();
        let (_, tables) = text.split_once("TOOLS: ").unwrap();
        let (tables, _) = tables.split_once("/// What was seen").unwrap();
        // All texts but what is said of them.
        let mut words = tables.split('"').skip(1).step_by(2).filter(|text| !text.contains(' '));
        let mut asked = BTreeSet::new();
        while let (Some(program), Some(package)) = (words.next(), words.next()) {
            asked.insert((program.to_owned(), package.to_owned()));
        }
        asked
    }

    const DOCTOR: &str = "harness/src/lab/doctor/observe.rs";

    #[test]
    fn the_doctor_asks_for_the_programs_that_are_installed_for_users() {
        let asked = asked_by_the_doctor();
        let used = PACKAGES.iter().filter(|p| p.part == Part::Use);
        let programs = used.filter_map(|p| match p.probe {
            Program(names) => Some((names.first()?.to_string(), p.name.to_owned())),
            File(_) => None,
        });
        let installed: BTreeSet<_> = programs.collect();
        let lacking: Vec<_> = installed.difference(&asked).collect();
        assert!(
            lacking.is_empty(),
            "`polder doctor` does not look for {lacking:?}: add them to TOOLS or WISHED in {DOCTOR}"
        );
        let more: Vec<_> = asked.difference(&installed).collect();
        assert!(
            more.is_empty(),
            "`cargo ci setup` does not install {more:?}: add them to PACKAGES, `.of(Part::Use)`"
        );
    }

    #[test]
    fn who_runs_suites_need_not_wait_for_what_only_our_tests_take() {
        let names = |what| needed_for(what).iter().map(|p| p.name).collect::<BTreeSet<_>>();
        let (suites, tests) = (names(For::Suites), names(For::Tests));
        for name in ["gcc", "libvirt-dev", "libvirt-daemon", "qemu-utils", "tcpdump"] {
            assert!(suites.contains(name), "{name}");
        }
        assert_eq!(tests.len(), PACKAGES.len());
        for name in ["chromium", "openssh-server", "python3-venv", "ovmf", "createrepo-c"] {
            assert!(tests.contains(name) && !suites.contains(name), "{name}");
        }
    }

    #[test]
    fn recipes_for_ci_services_install_what_suites_take() {
        // Images for Rust have a linker.
        let build = PACKAGES.iter().filter(|p| p.part == Part::Build && p.name != "gcc").map(|p| p.name);
        let wanted: BTreeSet<&str> = build.chain(used().0.into_iter().map(|p| p.name)).collect();
        for name in ["ci/recipes/github.yml", "ci/recipes/gitlab.yml", "docs/how-to/runners.md"] {
            let path = workspace::root().join(name);
            let text = fs::read_to_string(&path).unwrap();
            let (_, list) = text.split_once("--no-install-recommends").unwrap();
            // Up to the next step.
            let words = list.split_whitespace().take_while(|word| !["-", "```", "script:"].contains(word));
            let listed: BTreeSet<&str> = words.filter(|word| *word != "\\").collect();
            assert_eq!(
                listed, wanted,
                "what {name} installs (left) is not what PACKAGES has for users (right)"
            );
        }
    }
}
