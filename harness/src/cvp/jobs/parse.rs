//! A job file's text to jobs, with everything that is wrong with it. Asks nobody: what files hold is told by a function.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::de::IgnoredAny;

use super::{
    clock,
    spec::{Action, ChangeJob, Job, Order, Start, StopOnError, Which, Word},
    table::{CHANGE, TYPES},
};
use crate::{
    base::text::did_you_mean,
    initfile::{Fields, Key, Kind, Mapping, Node, Problems, Span, items, object, shown, text, tree},
};

/// What holds where a job does not say it.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The time zone of schedules.
    pub time_zone: Option<String>,
    /// The country of that zone, which the oldest portals show.
    pub country: String,
}

/// What is around a job file.
pub(super) struct Around<'a> {
    pub(super) defaults: &'a Defaults,
    pub(super) now: SystemTime,
    /// What a file holds.
    pub(super) read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// The jobs in a text, as far as they can be understood; what is wrong is among `problems` then. `origin` is how messages
/// name the file, `folder` where its relative paths start.
pub(super) fn parse(
    origin: PathBuf,
    folder: PathBuf,
    text: &str,
    around: &Around<'_>,
    problems: &mut Problems,
) -> Vec<Job> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = problems.source(origin, folder, &without_surrogates(text));
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let help =
            text.trim().is_empty().then(|| "a job file is a list: `[{\"type\": ...}, ...]`".to_owned());
        let at = offset(text, error.line(), error.column());
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default().to_owned();
        problems.add(
            "job::syntax",
            &Span { file, start: at, end: at + 1 },
            format!("bad JSON: {what}"),
            help,
        );
        return Vec::new();
    }
    let Some(root) = tree(file, problems) else { return Vec::new() };
    if root.kind() != "a list" {
        let message = format!("a job file is a list of jobs, this is {}", root.kind());
        problems.add("job::no-list", &root.span, message, Some("put `[` and `]` around it".to_owned()));
        return Vec::new();
    }
    let jobs = items(&root).iter().enumerate();
    jobs.filter_map(|(at, node)| Reader { around, problems }.job(at, node)).collect()
}

/// Byte offset of a line and column that are counted from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = (start + column.saturating_sub(1)).min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// The same text for a reader that does not put together characters that JSON writes as two escapes.
fn without_surrogates(text: &str) -> String {
    let half = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if c != '\\' {
            out.push(c);
            at += c.len_utf8();
            continue;
        }
        match (half(at), half(at + 6)) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                out.push_str(&format!("\\U{:08X}", 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)));
                at += 12;
            }
            _ => {
                // Whatever is escaped begins nothing.
                let end = at
                    + 1
                    + text.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                out.push_str(text.get(at..end).unwrap_or_default());
                at = end;
            }
        }
    }
    out
}

struct Reader<'a, 'p> {
    around: &'a Around<'a>,
    problems: &'p mut Problems,
}

/// Of a job whose type nobody knows.
static ANY: Mapping =
    Mapping { name: "job", of: "a job", keys: &[Key::new("type", Kind::Text, "Its type.").required()] };

impl Reader<'_, '_> {
    fn job(mut self, at: usize, node: &Node) -> Option<Job> {
        let fields = Fields::of(node);
        if node.kind() != "a mapping" || fields.text("type").is_none() {
            if node.kind() == "a mapping" {
                let help = "it is `configlet`, `change-control` or `container`".to_owned();
                let place = fields.get("type").map_or(&node.span, |node| &node.span);
                self.problems.add("job::no-type", place, "a job needs the key `type`".to_owned(), Some(help));
            } else {
                object(node, &node.span, &ANY, self.problems);
            }
            return None;
        }
        let words: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let kind = self.one_of(&fields, "type", "type of job", &words)?;
        let actions = TYPES.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, actions)| actions);
        let (action, mapping) = if actions.is_empty() {
            ("", &CHANGE)
        } else {
            let words: Vec<&str> = actions.iter().map(|(name, _)| *name).collect();
            if fields.get("action").is_none() {
                let message = format!("a job of type `{kind}` needs the key `action`");
                let help = format!("it is one of {}", listed(&words));
                self.problems.add("job::no-action", &node.span, message, Some(help));
                return None;
            }
            let action = self.one_of(&fields, "action", &format!("action of a {kind}"), &words)?;
            *actions.iter().find(|(name, _)| *name == action)?
        };
        object(node, &node.span, mapping, self.problems);
        let name = fields.owned("name").filter(|name| !name.trim().is_empty());
        let apply = fields.flag("apply");
        let action = match (kind.as_str(), action) {
            ("configlet", "add") => {
                let (configlet, text) = self.file(&fields)?;
                Action::Add { configlet, text, devices: words_of(&fields, "devices") }
            }
            ("configlet", "update") => {
                let (configlet, text) = self.file(&fields)?;
                let devices = fields.get("devices").map(|_| words_of(&fields, "devices"));
                Action::Update { configlet, text, devices }
            }
            ("configlet", "delete") => Action::Delete { configlet: self.base_name(&fields)? },
            ("configlet", "add-devices") => Action::AddDevices {
                configlet: self.word(&fields, "configlet")?,
                devices: words_of(&fields, "devices"),
            },
            ("configlet", _) => Action::RemoveDevices {
                configlet: self.word(&fields, "configlet")?,
                devices: words_of(&fields, "devices"),
            },
            ("container", "create") => Action::Create {
                container: self.word(&fields, "container")?,
                parent: word_of(&fields, "parent"),
            },
            ("container", "destroy") => Action::Destroy { container: self.word(&fields, "container")? },
            ("container", _) => Action::Attach {
                container: self.word(&fields, "container")?,
                devices: words_of(&fields, "devices"),
            },
            _ => Action::Change(Box::new(self.change(&fields, name.as_deref(), apply == Some(true))?)),
        };
        let name = name.unwrap_or_else(|| format!("job {}", at + 1));
        Some(Job { name, at: node.span, action, apply })
    }

    /// The value of a key that is one of a few words.
    fn one_of(&mut self, fields: &Fields<'_>, key: &str, what: &str, words: &[&str]) -> Option<String> {
        let node = fields.get(key)?;
        let said = text(node).unwrap_or_default();
        if words.contains(&said) {
            return Some(said.to_owned());
        }
        let near = did_you_mean(said, words.iter().copied());
        let help =
            near.map_or(format!("there are {}", listed(words)), |near| format!("did you mean `{near}`?"));
        let message = format!("there is no {what} `{}`", shown(said));
        self.problems.add("job::unknown-word", &node.span, message, Some(help));
        None
    }

    /// A name, which is not empty.
    fn word(&mut self, fields: &Fields<'_>, key: &str) -> Option<Word> {
        let word = word_of(fields, key)?;
        if word.text.trim().is_empty() {
            self.problems.add("job::empty", &word.at, format!("`{key}` is empty"), None);
            return None;
        }
        Some(word)
    }

    /// The name of a configlet that is named by a file.
    fn base_name(&mut self, fields: &Fields<'_>) -> Option<Word> {
        let path = self.word(fields, "configlet")?;
        let name = Path::new(&path.text).file_name().map(|name| name.to_string_lossy().into_owned());
        if name.is_none() {
            let message = format!("`{}` names no file", shown(&path.text));
            self.problems.add("job::no-file", &path.at, message, None);
        }
        Some(Word { text: name?, at: path.at })
    }

    /// The name of a configlet, and its text, from the file.
    fn file(&mut self, fields: &Fields<'_>) -> Option<(Word, String)> {
        let name = self.base_name(fields)?;
        let said = fields.text("configlet").unwrap_or_default();
        let path = self.problems.folder(name.at.file).join(said);
        match (self.around.read)(&path) {
            Ok(text) => Some((name, text)),
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::InvalidData => "it is no text in UTF-8".to_owned(),
                    _ => error.to_string(),
                };
                let message = format!("cannot read {}: {why}", path.display());
                let folder = self.problems.folder(name.at.file).display();
                let is_lost = error.kind() == io::ErrorKind::NotFound && Path::new(said).is_relative();
                let help = is_lost.then(|| format!("a relative path starts at {folder}"));
                self.problems.add("job::no-file", &name.at, message, help);
                None
            }
        }
    }

    fn change(&mut self, fields: &Fields<'_>, name: Option<&str>, apply: bool) -> Option<ChangeJob> {
        let defaults = self.around.defaults;
        let zone = match word_of(fields, "timezone") {
            Some(said) => match clock::zone(&said.text) {
                Ok(zone) => Some(zone),
                Err(message) => {
                    self.problems.add("job::bad-zone", &said.at, message, None);
                    return None;
                }
            },
            None => defaults.time_zone.clone(),
        };
        let start = self.start(fields, zone.as_deref(), apply)?;
        let template = word_of(fields, "snapid").filter(|said| !matches!(said.text.trim(), "" | "None"));
        let order = match fields.text("mode") {
            Some("serial" | "incremental") => Order::Serial,
            _ => Order::Parallel,
        };
        let stop_on_error = match (fields.flag("stop_on_error"), fields.get("stop_on_error")) {
            (Some(false), Some(node)) => StopOnError::No(node.span),
            _ => StopOnError::Yes,
        };
        Some(ChangeJob {
            // As the uploader does it, for portals that people know by these names.
            name: name.map_or("Automated_Change_Control".to_owned(), |name| name.replace(' ', "_")),
            start,
            time_zone: zone,
            country: fields.owned("country").unwrap_or_else(|| defaults.country.clone()),
            template,
            order,
            stop_on_error,
            tasks: if fields.text("tasks") == Some("pending") { Which::Pending } else { Which::OfThisRun },
        })
    }

    fn start(&mut self, fields: &Fields<'_>, zone: Option<&str>, apply: bool) -> Option<Start> {
        let said = ["schedule_at", "schedule"].map(|key| word_of(fields, key));
        if let [Some(one), Some(other)] = &said
            && one.text != other.text
        {
            let message = "`schedule` and `schedule_at` say different times".to_owned();
            self.problems.add(
                "job::two-times",
                &other.at,
                message,
                Some("they mean the same; keep one".to_owned()),
            );
            return None;
        }
        let [one, other] = said;
        // The uploader takes an empty one for none.
        let Some(said) = one.or(other).filter(|said| !said.text.trim().is_empty()) else {
            return Some(if apply { Start::Now } else { Start::Manual });
        };
        let Some(zone) = zone else {
            let message = "a schedule means nothing without a time zone".to_owned();
            let help = Some("say `timezone`, or set CVP_TZ".to_owned());
            self.problems.add("job::no-zone", &said.at, message, help);
            return None;
        };
        let wall = clock::wall(&said.text);
        let at = wall.and_then(|wall| Ok((clock::moment(wall, zone)?, clock::shown(wall))));
        match at {
            Err(message) => self.problems.add("job::bad-time", &said.at, message, None),
            Ok((at, wall)) if at <= self.around.now => {
                let message = format!("{wall} in {zone} is over");
                self.problems.add("job::past", &said.at, message, None);
            }
            Ok(_) if !apply => {
                let message = "it is not scheduled".to_owned();
                let help = Some("with `\"apply\": true` it starts at that time".to_owned());
                self.problems.warn("job::not-applied", &said.at, message, help);
                return Some(Start::Manual);
            }
            Ok((at, wall)) => return Some(Start::At { at, wall, span: said.at }),
        }
        None
    }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn word_of(fields: &Fields<'_>, key: &str) -> Option<Word> {
    let node = fields.get(key)?;
    Some(Word { text: text(node)?.to_owned(), at: node.span })
}

fn words_of(fields: &Fields<'_>, key: &str) -> Vec<Word> {
    let word = |node: &Node| Some(Word { text: text(node)?.to_owned(), at: node.span });
    fields.list(key).iter().filter_map(word).collect()
}
