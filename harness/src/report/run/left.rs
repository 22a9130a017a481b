//! What a run left in its folder beside its events: files of failures, ends of consoles, what portals were asked. Reads as much as
//! a report has room for; what cannot be read is not there.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::Value;

use super::{model::Account, packets::Packets};
use crate::{artifact::Manifest, base::text::plain, event::scenario_folder};

/// Files of one entry that are listed.
const FILES: usize = 500;
/// Captures of one entry that are read, pictures that are shown, and bytes that one of those has at most.
const CAPTURES: usize = 8;
const PICTURES: usize = 4;
const PICTURE: u64 = 256 * 1024;
/// Bytes of a console's end that are shown.
const CONSOLE: u64 = 8 * 1024;
/// Questions to a portal that are shown of a suite, and characters of what was said.
const CALLS: usize = 2_000;
const SAID: usize = 1_000;
/// An archive larger than this is only linked.
const ARCHIVE: u64 = 64 * 1024 * 1024;

/// The folder of consoles, and the archive of what a portal was asked, in a suite's folder.
const CONSOLES: &str = "consoles";
const PORTAL: &str = "cvp.har";
/// What a console is called in a machine's folder.
const CONSOLE_LOG: &str = "console.log";
const MANIFEST: &str = "manifest.json";

/// All of it, by suites.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Left(BTreeMap<String, SuiteLeft>);

/// What a suite left.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SuiteLeft {
    pub(super) consoles: Vec<ConsoleEnd>,
    pub(super) calls: Vec<Call>,
    /// The file with all of them.
    pub(super) archive: Option<String>,
    entries: BTreeMap<String, EntryLeft>,
}

/// What an entry left.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct EntryLeft {
    pub(super) files: Vec<LeftFile>,
    /// How many more there are.
    pub(super) more: usize,
    /// What could not be had, and why.
    pub(super) missing: Vec<(String, String)>,
    pub(super) consoles: Vec<ConsoleEnd>,
    pub(super) packets: Vec<Packets>,
    pub(super) pictures: Vec<Picture>,
}

/// A picture, such as of a screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Picture {
    /// Below the run's folder.
    pub(super) path: String,
    /// A PNG, as Base64.
    pub(super) data: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LeftFile {
    /// Below the run's folder.
    pub(super) path: String,
    pub(super) size: String,
    /// From where it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
}

/// The end of what a machine wrote to its console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ConsoleEnd {
    pub(super) machine: String,
    /// The file with all of it.
    pub(super) path: String,
    pub(super) text: String,
    /// Whether there is more before.
    pub(super) cut: bool,
}

/// Something a portal was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Call {
    /// Seconds after the run's begin.
    pub(super) at: f64,
    pub(super) took: f64,
    pub(super) method: String,
    pub(super) path: String,
    /// 0 if there was no answer.
    pub(super) status: u64,
    pub(super) asked: String,
    pub(super) answered: String,
}

impl Left {
    /// What the run of `account` left in `folder`.
    pub(super) fn read(account: &Account, folder: &Path) -> Self {
        let suite = |name: &str, entries: &[super::model::Entry]| {
            let place = |file: &str| scenario_folder(folder, name, file);
            let mut left = SuiteLeft { consoles: consoles(folder, &place(CONSOLES)), ..SuiteLeft::default() };
            let archive = place(PORTAL);
            if let Ok(meta) = archive.symlink_metadata()
                && meta.is_file()
            {
                left.archive = Some(below(folder, &archive));
                left.calls = if meta.len() > ARCHIVE { Vec::new() } else { calls(&archive, account.began) };
            }
            for entry in entries {
                let place = place(&entry.name);
                let mut found = EntryLeft::default();
                found.read(folder, &place);
                if found != EntryLeft::default() {
                    found.consoles = consoles(folder, &place);
                    left.entries.insert(entry.name.clone(), found);
                }
            }
            left
        };
        let suites = account.suites.iter().map(|one| (one.name.clone(), suite(&one.name, &one.entries)));
        Self(suites.collect())
    }

    /// What a suite left.
    pub(super) fn suite(&self, name: &str) -> Option<&SuiteLeft> {
        self.0.get(name)
    }

    /// What an entry of a suite left.
    pub(super) fn entry(&self, suite: &str, name: &str) -> Option<&EntryLeft> {
        self.0.get(suite)?.entries.get(name)
    }
}

impl EntryLeft {
    fn read(&mut self, run: &Path, folder: &Path) {
        let manifest: Manifest = fs::read(folder.join(MANIFEST))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let sources: BTreeMap<PathBuf, &str> =
            manifest.entries.iter().map(|entry| (folder.join(&entry.path), entry.source.as_str())).collect();
        let why = |entry: &crate::artifact::Entry| {
            Some((format!("{}: {}", entry.path.display(), entry.source), entry.missing.clone()?))
        };
        self.missing = manifest.entries.iter().filter_map(why).collect();
        let mut todo = vec![folder.to_owned()];
        while let Some(folder) = todo.pop() {
            let mut entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().collect();
            entries.sort_by_key(fs::DirEntry::file_name);
            let mut folders = Vec::new();
            for entry in entries {
                let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
                // Links may lead anywhere.
                if meta.is_dir() {
                    folders.push(path);
                } else if meta.is_file() && self.files.len() < FILES {
                    self.look_into(run, &path, meta.len());
                    let source = sources.get(&path).map(|source| (*source).to_owned());
                    let (path, size) = (below(run, &path), super::words::size(meta.len()));
                    self.files.push(LeftFile { path, size, source });
                } else if meta.is_file() {
                    self.more += 1;
                }
            }
            todo.extend(folders.into_iter().rev());
        }
    }

    /// Takes what a page shows of a file.
    fn look_into(&mut self, run: &Path, path: &Path, length: u64) {
        match path.extension().and_then(|end| end.to_str()) {
            Some("pcap") if self.packets.len() < CAPTURES => {
                self.packets.extend(Packets::read(path, below(run, path)));
            }
            Some("png") if self.pictures.len() < PICTURES && length <= PICTURE => {
                let data = fs::read(path).ok().map(|bytes| BASE64_STANDARD.encode(bytes));
                self.pictures.extend(data.map(|data| Picture { path: below(run, path), data }));
            }
            _ => {}
        }
    }
}

/// A path below a run's folder, as text.
fn below(run: &Path, path: &Path) -> String {
    path.strip_prefix(run).unwrap_or(path).to_string_lossy().into_owned()
}

/// The ends of the consoles in a folder that has one for each machine.
fn consoles(run: &Path, folder: &Path) -> Vec<ConsoleEnd> {
    let mut machines: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    machines.sort_by_key(fs::DirEntry::file_name);
    let end = |machine: fs::DirEntry| {
        machine.file_type().ok()?.is_dir().then_some(())?;
        let path = machine.path().join(CONSOLE_LOG);
        let mut file = File::open(&path).ok()?;
        let whole = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(whole.saturating_sub(CONSOLE))).ok()?;
        let mut bytes = Vec::new();
        file.take(CONSOLE).read_to_end(&mut bytes).ok()?;
        let said = String::from_utf8_lossy(&bytes);
        let text: Vec<String> = said.lines().map(plain).collect();
        let name = machine.file_name().to_string_lossy().into_owned();
        let (path, cut) = (below(run, &path), whole > CONSOLE);
        Some(ConsoleEnd { machine: name, path, text: text.join("\n").trim_end().to_owned(), cut })
    };
    machines.into_iter().filter_map(end).collect()
}

/// What an archive has of questions to a portal, in a run that began at that time.
fn calls(archive: &Path, began: f64) -> Vec<Call> {
    let read = fs::read(archive).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(read) = read else { return Vec::new() };
    let text = |value: &Value, at: &str| {
        let text = value.pointer(at).and_then(Value::as_str).unwrap_or_default();
        text.chars().take(SAID).collect::<String>()
    };
    let call = |entry: &Value| {
        let at: jiff::Timestamp = entry["startedDateTime"].as_str()?.parse().ok()?;
        let (request, response) = (&entry["request"], &entry["response"]);
        let url = request["url"].as_str()?;
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)));
        let answered = match response["_error"].as_str() {
            Some(error) => error.to_owned(),
            None => text(response, "/content/text"),
        };
        Some(Call {
            at: at.as_duration().as_secs_f64() - began,
            took: entry["time"].as_f64().unwrap_or_default() / 1_000.0,
            method: request["method"].as_str()?.to_owned(),
            path: path.unwrap_or(url).to_owned(),
            status: response["status"].as_u64().unwrap_or_default(),
            asked: text(request, "/postData/text"),
            answered,
        })
    };
    let entries = read.pointer("/log/entries").and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(call).take(CALLS).collect()
}
