//! `polder report`: the reports of a run of suites, made again from its events; a run as one file, and from one.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    base::process,
    cli::{args::Report, cmd::runs::find, context::Cx, exit::BadInput, run::Said},
    report::{
        bundle,
        run::{Written, write},
    },
};

/// What bundles end with.
const ENDING: &str = ".tar.gz";
/// A program that says which version it is.
const VERSION: Duration = Duration::from_secs(10);
/// What runs machines here, in the order in which it is told of.
const PROGRAMS: [(&str, &[&str]); 3] = [
    ("libvirt", &["libvirtd", "--version"]),
    ("qemu", &["qemu-system-x86_64", "--version"]),
    ("qemu-img", &["qemu-img", "--version"]),
];

/// Writes both reports of a run, and says where they are; or puts a run into a file, or makes one of such a file.
pub(in crate::cli) async fn run(cx: &Cx, args: &Report) -> anyhow::Result<Said> {
    let named = args.run.as_deref().map(|run| cx.absolute(Path::new(run))).transpose()?;
    if let Some(file) = named.filter(|file| file.is_file()) {
        if args.bundle.is_some() {
            return Err(BadInput(format!("{} is a bundle already", file.display())).into());
        }
        let into = match &args.into {
            Some(into) => cx.absolute(into)?,
            None => cx.cwd.join(folder_of(&file)?),
        };
        let written = bundle::open(&file, &into)?;
        return said(cx, &written);
    }
    if args.into.is_some() {
        return Err(BadInput("--into is for bundles, and none is named".to_owned()).into());
    }
    let run = find(cx, args.run.as_deref())?;
    let Some(file) = &args.bundle else {
        return said(cx, &write(&run)?);
    };
    let file = cx.absolute(file)?;
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name =
            name.into_string().ok().filter(|name| name.starts_with("POLDER_") || name.starts_with("CVP_"))?;
        Some((name, value.into_string().ok()?))
    });
    let made = bundle::write(&run, &facts().await, variables, &file)?;
    if !cx.for_people() {
        let made = json!({ "bundle": file, "files": made.files, "left_out": made.left_out });
        return Ok(cx.print(&made)?.into());
    }
    let lines = made.left_out.iter().map(|(path, why)| format!("left out: {path}: {why}\n"));
    let lines: String = lines.collect();
    Ok(format!("{lines}{}, with {} files; `polder report` opens it", file.display(), made.files).into())
}

fn said(cx: &Cx, written: &Written) -> anyhow::Result<Said> {
    if !cx.for_people() {
        let paths = json!({ "junit": written.junit, "page": written.page, "notes": written.notes });
        return Ok(cx.print(&paths)?.into());
    }
    written.notes.iter().for_each(|note| cx.warn(note));
    Ok(format!("{}\n{}", written.junit.display(), written.page.display()).into())
}

/// The folder that becomes of a bundle.
fn folder_of(file: &Path) -> Result<PathBuf, BadInput> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.strip_suffix(ENDING) {
        Some(folder) if !folder.is_empty() => Ok(folder.into()),
        _ => Err(BadInput(format!(
            "{name} does not end with {ENDING}; say with --into what its folder is called"
        ))),
    }
}

/// What this host is. Whatever cannot be found out is not told.
async fn facts() -> Value {
    let mut facts = serde_json::Map::new();
    facts.insert("polder".to_owned(), env!("CARGO_PKG_VERSION").into());
    for (name, argv) in PROGRAMS {
        let said = process::stdout(argv, VERSION).await.ok();
        let line = said.as_deref().and_then(|said| said.lines().next()).map(str::to_owned);
        facts.extend(line.map(|line| (name.to_owned(), line.into())));
    }
    let system = rustix::system::uname();
    facts.insert("kernel".to_owned(), system.release().to_string_lossy().into());
    facts.insert("machine".to_owned(), system.machine().to_string_lossy().into());
    facts.extend(entry("/etc/os-release", "PRETTY_NAME=").map(|name| ("system".to_owned(), name.into())));
    facts.extend(entry("/proc/meminfo", "MemTotal:").map(|memory| ("memory".to_owned(), memory.into())));
    let processors = std::thread::available_parallelism().ok();
    facts.extend(processors.map(|count| ("processors".to_owned(), count.get().into())));
    let kvm = match fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => "can be opened".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "is not there".to_owned(),
        Err(error) => error.to_string(),
    };
    facts.insert("/dev/kvm".to_owned(), kvm.into());
    json!({ "what": "the host on which the bundle was made", "facts": facts })
}

/// The value of a line of a file that begins like that.
fn entry(file: &str, begin: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(begin))?;
    Some(line.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_becomes_a_folder_of_its_name() {
        assert_eq!(folder_of(Path::new("/a/run-7.tar.gz")).unwrap(), Path::new("run-7"));
        for strange in ["/a/run.tgz", "/a/.tar.gz"] {
            assert!(folder_of(Path::new(strange)).unwrap_err().0.contains("--into"), "{strange}");
        }
    }

    #[test]
    fn lines_of_files_are_told_without_their_quotes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("os-release");
        fs::write(&path, "NAME=x\nPRETTY_NAME=\"Debian 12\"\n").unwrap();
        assert_eq!(entry(path.to_str().unwrap(), "PRETTY_NAME=").as_deref(), Some("Debian 12"));
        assert_eq!(entry(path.to_str().unwrap(), "VERSION="), None);
    }
}
