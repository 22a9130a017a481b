//! `cargo ci deb`: a package of Debian with the command, its manual and its completions. What it depends on is what set-up
//! installs for who uses Polder, and the libraries that the binary is linked with.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, cargo},
    setup::packages::{self, Package},
    workspace,
};

/// What the verb is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The command to pack, instead of one that is built for it, optimized.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where the package is put [default: target/debian].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Completions, each with the folder and name that its shell looks for.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/polder"),
    ("zsh", "usr/share/zsh/vendor-completions/_polder"),
    ("fish", "usr/share/fish/vendor_completions.d/polder.fish"),
];

/// The folder of what is to be read about a package.
const DOC: &str = "usr/share/doc/polder";

/// The verb.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let target = workspace::metadata()?.target_directory;
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => {
            let build = ["build", "--release", "--package", "polder", "--bin", "polder"];
            command::run(cargo(&build).current_dir(workspace::root()))?;
            target.join("release/polder")
        }
    };
    let output = args.output.clone().unwrap_or_else(|| target.join("debian"));
    let package = pack(&binary, &output, "xz")?;
    println!("{}", package.display());
    Ok(ExitCode::SUCCESS)
}

/// Packs `binary`; the package is whole or not there.
fn pack(binary: &Path, output: &Path, compression: &str) -> Result<PathBuf> {
    let binary = fs::canonicalize(binary).with_context(|| format!("no command at {}", binary.display()))?;
    fs::create_dir_all(output).with_context(|| format!("could not make {}", output.display()))?;
    let output = &fs::canonicalize(output)?;
    // One name, so that what one who was killed left is found by the next.
    let work = output.join(".polder-deb");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("could not remove {}", work.display()))?;
    }
    let made = in_folder(&binary, &work, output, compression);
    let removed = fs::remove_dir_all(&work).with_context(|| format!("could not remove {}", work.display()));
    let made = made?;
    removed.map(|()| made)
}

fn in_folder(binary: &Path, work: &Path, output: &Path, compression: &str) -> Result<PathBuf> {
    let tree = work.join("tree");
    let own = tree.join("usr/bin/polder");
    make_folder_of(&own)?;
    fs::copy(binary, &own).with_context(|| format!("could not copy {}", binary.display()))?;
    mode(&own, 0o755)?;
    let said = command::output(Command::new(&own).arg("--version"))?;
    let version = said.trim().strip_prefix("polder ").context("it does not say its version")?.to_owned();
    command::output(Command::new("strip").arg("--strip-unneeded").arg(&own))?;
    pages(&own, &tree)?;
    documents(&tree, &version)?;

    let architecture = command::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let libraries = libraries(&own, work)?;
    let sums = sums(&tree)?;
    let size = command::output(Command::new("du").args(["-sk", "--apparent-size"]).arg(&tree))?;
    let size = size.split_whitespace().next().unwrap_or("0");
    let control = tree.join("DEBIAN/control");
    write(&control, &fields(&version, &architecture, size, &libraries))?;
    write(&tree.join("DEBIAN/md5sums"), &sums)?;

    let name = format!("polder_{version}_{architecture}.deb");
    let partial = work.join(&name);
    let mut build = command::command(&["dpkg-deb", "--root-owner-group", "-Z", compression, "--build"]);
    command::output(build.arg(&tree).arg(&partial).env("SOURCE_DATE_EPOCH", committed("%ct")?))?;
    let package = output.join(name);
    fs::rename(&partial, &package).with_context(|| format!("could not make {}", package.display()))?;
    Ok(package)
}

/// Manual pages and completions, as the command itself makes them.
fn pages(command: &Path, tree: &Path) -> Result<()> {
    let manual = tree.join("usr/share/man/man1");
    command::output(Command::new(command).arg("man").arg(&manual))?;
    let entries = fs::read_dir(&manual).with_context(|| format!("could not read {}", manual.display()))?;
    let pages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for page in &pages {
        mode(page, 0o644)?;
    }
    command::output(Command::new("gzip").args(["-9", "--no-name"]).args(&pages))?;
    for (shell, path) in COMPLETIONS {
        let text = command::output(Command::new(command).args(["completions", shell]))?;
        write(&tree.join(path), &text)?;
    }
    Ok(())
}

/// Licences, what has changed, and the crates that the command is made of.
fn documents(tree: &Path, version: &str) -> Result<()> {
    let root = workspace::root();
    let read =
        |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("could not read {name}"));
    let doc = tree.join(DOC);
    let mit: String = read("LICENSE-MIT")?
        .lines()
        .map(|line| if line.trim().is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect();
    let copyright = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: polder\nComment: crates.txt has \
         the crates that are linked into the command, and their licences.\n\nFiles: *\nCopyright: the authors of polder\nLicense: \
         Expat or Apache-2.0\n\nLicense: Expat\n{mit}\nLicense: Apache-2.0\n The text is in /usr/share/common-licenses/Apache-2.0.\n"
    );
    write(&doc.join("copyright"), &copyright)?;
    let date = committed("%cD")?;
    let changes = format!(
        "polder ({version}) unstable; urgency=medium\n\n  * NEWS.gz has what changed.\n\n -- {}  {date}\n",
        maintainer()
    );
    write(&doc.join("changelog"), &changes)?;
    write(&doc.join("NEWS"), &read("CHANGELOG.md")?)?;
    let zipped = ["changelog", "NEWS"].map(|name| doc.join(name));
    command::output(Command::new("gzip").args(["-9", "--no-name"]).args(zipped))?;
    let list = [
        "tree",
        "--package",
        "polder",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}: {l}",
        "--offline",
    ];
    let listed = command::output(cargo(&list).current_dir(root))?;
    // Ours are named with their folders, and what is listed before with a mark.
    let mut crates: Vec<&str> = listed
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.contains(" (/"))
        .collect();
    crates.sort_unstable();
    crates.dedup();
    write(&doc.join("crates.txt"), &(crates.join("\n") + "\n"))
}

/// The packages of the libraries that a binary is linked with, as `Depends` has them.
fn libraries(binary: &Path, work: &Path) -> Result<String> {
    // It wants to see a source package.
    write(&work.join("debian/control"), "Source: polder\n\nPackage: polder\nArchitecture: any\n")?;
    let mut find = command::command(&["dpkg-shlibdeps", "-O"]);
    let said = command::output(find.arg(binary).current_dir(work))?;
    let line = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    line.map(str::to_owned).context("dpkg-shlibdeps names no libraries")
}

fn fields(version: &str, architecture: &str, size: &str, libraries: &str) -> String {
    let (must, may) = packages::used();
    format!(
        "Package: polder\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\nInstalled-Size: {size}\nDepends: \
         {libraries}, {}\nRecommends: {}\nSection: devel\nPriority: optional\nDescription: virtual machines and networks for system \
         tests\n Polder makes virtual machines and networks from an init file, in a private libvirt\n inside namespaces that nothing \
         leaks through, without root and without a system\n daemon. This is its command; suites are tests of Rust crates that use \
         the library\n of the same name, and `polder new` makes one.\n",
        maintainer(),
        named(&must),
        named(&may),
    )
}

/// Packages as `Depends` has them.
fn named(packages: &[&Package]) -> String {
    let named = |package: &&Package| match package.since {
        Some(version) => format!("{} (>= {version})", package.name),
        None => package.name.to_owned(),
    };
    packages.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// As Debian's tools have it.
fn maintainer() -> String {
    let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = own("DEBFULLNAME").unwrap_or_else(|| "The authors of polder".to_owned());
    format!("{name} <{}>", own("DEBEMAIL").unwrap_or_else(|| "polder@localhost".to_owned()))
}

/// When what is packed was committed, in one of git's formats: the same commit is the same package.
fn committed(format: &str) -> Result<String> {
    let mut log = command::command(&["git", "log", "-1"]);
    let said = command::output(log.arg(format!("--format={format}")).current_dir(workspace::root()))?;
    Ok(said.trim().to_owned())
}

/// Sums of all files, as dpkg checks them.
fn sums(tree: &Path) -> Result<String> {
    let find = ["usr", "-type", "f", "-exec", "md5sum", "{}", "+"];
    let said = command::output(Command::new("find").args(find).current_dir(tree))?;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable_by_key(|line| line.split_whitespace().nth(1));
    Ok(lines.join("\n") + "\n")
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_folder_of(path)?;
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))?;
    mode(path, 0o644)
}

/// Folders are for everybody, whatever the umask is.
fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { bail!("{} is in no folder", path.display()) };
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))
}

fn mode(path: &Path, mode: u32) -> Result<()> {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).with_context(|| format!("could not change {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command that is built with the tests; where they are built alone, it is made.
    fn command() -> PathBuf {
        let own = std::env::current_exe().unwrap();
        let polder = own.parent().unwrap().parent().unwrap().join("polder");
        if !polder.is_file() {
            let build = ["build", "--workspace", "--bin", "polder"];
            command::output(cargo(&build).current_dir(workspace::root())).unwrap();
        }
        polder
    }

    #[test]
    fn a_package_of_debian_has_the_command_and_all_around_it() {
        let folder = std::env::temp_dir().join(format!("polder-deb-{}", std::process::id()));
        let package = pack(&command(), &folder, "none").unwrap();
        let entries: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries, [fs::canonicalize(&package).unwrap()], "it leaves the package alone");

        let dpkg = |what: &str| command::output(Command::new("dpkg-deb").arg(what).arg(&package)).unwrap();
        let info = dpkg("--info");
        for part in [
            "Package: polder\n",
            "Version: 0.",
            "Installed-Size: ",
            "libvirt0 (>= ",
            ", libvirt-daemon (>= 9.0), libvirt-daemon-driver-qemu, libvirt-clients, qemu-system-x86 (>= 1:7.2), ",
            ", uidmap, ",
            "Recommends: libvirt-daemon-driver-network, tcpdump, ovmf, createrepo-c\n",
        ] {
            assert!(info.contains(part), "no {part:?} in\n{info}");
        }
        assert!(!info.contains("libvirt-dev") && !info.contains("chromium"), "{info}");
        let contents = dpkg("--contents");
        let files = contents.lines().filter(|line| line.starts_with('-'));
        for line in files {
            let fine = if line.ends_with("/usr/bin/polder") {
                "-rwxr-xr-x root/root"
            } else {
                "-rw-r--r-- root/root"
            };
            assert!(line.starts_with(fine), "{line}");
        }

        let out = folder.join("out");
        command::output(Command::new("dpkg").arg("-x").args([&package, &out])).unwrap();
        let polder = out.join("usr/bin/polder");
        assert!(command::output(Command::new(&polder).arg("--version")).unwrap().starts_with("polder "));
        for page in ["polder.1.gz", "polder-new.1.gz", "polder-start.1.gz"] {
            let page = out.join("usr/share/man/man1").join(page);
            let mut unpack = command::command(&["gzip", "--decompress", "--stdout"]);
            assert!(command::output(unpack.arg(&page)).unwrap().contains("\n.SH SYNOPSIS\n"));
            if packages::has_program("man") {
                let mut man = command::command(&["man", "--warnings", "--local-file"]);
                command::output(man.arg(&page)).unwrap();
            }
        }
        for (shell, path) in COMPLETIONS {
            let script = out.join(path);
            assert!(fs::metadata(&script).unwrap().len() > 1000);
            if packages::has_program(shell) {
                command::output(Command::new(shell).arg("-n").arg(&script)).unwrap();
            }
        }
        for name in ["copyright", "changelog.gz", "NEWS.gz", "crates.txt"] {
            assert!(out.join(DOC).join(name).is_file(), "{name}");
        }
        let crates = fs::read_to_string(out.join(DOC).join("crates.txt")).unwrap();
        assert!(
            crates.contains("\ntokio v1") && !crates.contains("polder") && !crates.contains("(/"),
            "{crates}"
        );
        let sums = command::command(&["dpkg-deb", "--info"]).arg(&package).arg("md5sums").output().unwrap();
        fs::write(out.join("sums"), sums.stdout).unwrap();
        command::output(Command::new("md5sum").args(["--check", "--quiet", "sums"]).current_dir(&out))
            .unwrap();
        if packages::has_program("lintian") {
            println!("{}", command::output(Command::new("lintian").arg(&package)).unwrap_or_default());
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_command_is_not_packed() {
        let folder = std::env::temp_dir().join(format!("polder-deb-not-{}", std::process::id()));
        let error = format!("{:#}", pack(Path::new("/no/polder"), &folder, "none").unwrap_err());
        assert!(error.contains("no command at /no/polder") && !folder.exists(), "{error}");
        // As one leaves it who is killed.
        write(&folder.join(".polder-deb/tree/usr/bin/polder"), "half").unwrap();
        let error = format!("{:#}", pack(Path::new("/bin/true"), &folder, "none").unwrap_err());
        assert!(error.contains("does not say its version"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(&folder).unwrap();
    }
}
