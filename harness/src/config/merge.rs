//! Layers become one configuration: later ones win key by key, and every value keeps where it came from. Pure.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Key, Problem,
    schema::{Known, Schema},
};
use crate::base::text::did_you_mean;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The shipped defaults.
    Default,
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable of this name.
    Variable(String),
    /// A flag of this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// A value as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its section as written; empty for the root section.
    pub section: String,
    /// Its key as written.
    pub name: String,
    /// The value.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

/// A key with the value that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: Key,
    /// Its value, if it has one; an empty one counts as none.
    pub text: Option<String>,
    /// Where that came from.
    pub origin: Origin,
}

/// All keys with the values that hold, and what was found wrong on the way.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every key there is: the root section's first, then verb by verb.
    pub all: Vec<Setting>,
    /// What must be put right before they can be used.
    pub problems: Vec<Problem>,
    /// What is only to be told.
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// The setting of a key.
    #[must_use]
    pub fn get(&self, section: &str, name: &str) -> Option<&Setting> {
        self.all.iter().find(|s| s.key.section == section && s.key.name == name)
    }

    /// Lays `entries` over what holds.
    pub(super) fn overlay(&mut self, schema: &Schema, entries: Vec<Entry>) {
        let mut places = BTreeMap::new();
        for (at, setting) in self.all.iter().enumerate() {
            places.insert((setting.key.section.clone(), setting.key.name.clone()), at);
        }
        for entry in entries {
            let plain = Schema::plain(&entry.section, &entry.name);
            match schema.find(&plain.0, &plain.1) {
                Known::Idle => {}
                Known::No => self.unknown(schema, &plain, entry),
                Known::Key(_) => {
                    if let Some(setting) = places.get(&plain).and_then(|&at| self.all.get_mut(at)) {
                        setting.text = Some(entry.text).filter(|text| !text.is_empty());
                        setting.origin = entry.origin;
                    }
                }
            }
        }
    }

    fn unknown(&mut self, schema: &Schema, (section, name): &(String, String), entry: Entry) {
        let place = if section.is_empty() { String::new() } else { format!(" in section `{section}`") };
        let near = schema.keys.iter().filter(|k| k.section == *section).map(|k| k.name.as_str());
        let elsewhere = schema.keys.iter().find(|k| k.name == *name);
        let help = match (did_you_mean(name, near), elsewhere) {
            (Some(near), _) => Some(format!("did you mean `{near}`?")),
            (None, Some(Key { section, .. })) if section.is_empty() => {
                Some("it belongs into the root section".into())
            }
            (None, Some(Key { section, .. })) => Some(format!("it belongs into section `{section}`")),
            (None, None) => None,
        };
        let strict = is_strict(&entry.origin);
        let problem = Problem { origin: entry.origin, message: format!("unknown key `{name}`{place}"), help };
        if strict { self.problems.push(problem) } else { self.warnings.push(problem) }
    }
}

/// An unknown key is an error in our own files. Lago takes any, and so does the environment.
fn is_strict(origin: &Origin) -> bool {
    match origin {
        Origin::File { path, .. } => path.file_name() != Some(Path::new("lago.conf").as_os_str()),
        Origin::Variable(_) => false,
        Origin::Default | Origin::Flag(_) => true,
    }
}

/// All keys of `schema`, with `layers` laid over one another, the lowest first.
pub(super) fn merge(schema: &Schema, layers: Vec<Vec<Entry>>) -> Settings {
    let setting =
        |key: &Key| Setting { text: key.default.clone(), key: key.clone(), origin: Origin::Default };
    let all = schema.keys.iter().map(setting).collect();
    let mut settings = Settings { all, problems: vec![], warnings: vec![] };
    for layer in layers {
        settings.overlay(schema, layer);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(section: &str, name: &str, text: &str, origin: Origin) -> Entry {
        Entry { section: section.into(), name: name.into(), text: text.into(), origin }
    }

    fn file(name: &str) -> Origin {
        Origin::File { path: name.into(), line: 7 }
    }

    fn schema() -> Schema {
        let key = |section: &str, name: &str| Key {
            section: section.into(),
            name: name.into(),
            help: String::new(),
            default: None,
        };
        Schema::new(&[key("export", "dst_dir")])
    }

    #[test]
    fn later_layers_win_key_by_key() {
        let settings = merge(
            &schema(),
            vec![
                vec![
                    entry("", "lab", "hermetic", Origin::Default),
                    entry("", "logdepth", "3", Origin::Default),
                ],
                vec![
                    entry("polder", "Lab", "system", file("a")),
                    entry("export", "dst-dir", "out", file("a")),
                ],
                vec![entry("lago", "lab", "", Origin::Variable("LAGO_LAB".into()))],
            ],
        );
        let get = |section: &str, name: &str| {
            let setting = settings.get(section, name).unwrap();
            (setting.text.as_deref(), setting.origin.to_string())
        };
        assert_eq!(get("", "lab"), (None, "$LAGO_LAB".into()));
        assert_eq!(get("", "logdepth"), (Some("3"), "default".into()));
        assert_eq!(get("export", "dst_dir"), (Some("out"), "a:7".into()));
        assert_eq!((settings.problems.len(), settings.warnings.len()), (0, 0));
    }

    #[rstest::rstest]
    #[case(
        "",
        "ssh_usre",
        "polder.toml",
        "polder.toml:7: unknown key `ssh_usre`; did you mean `ssh_user`?",
        true
    )]
    #[case(
        "export",
        "lab",
        "polder.conf",
        "unknown key `lab` in section `export`; it belongs into the root section",
        true
    )]
    #[case("", "dst_dir", "polder.conf", "it belongs into section `export`", true)]
    #[case("nonsense", "thing", "polder.conf", "unknown key `thing` in section `nonsense`", true)]
    #[case("ovirt", "thing", "/etc/lago/lago.conf", "/etc/lago/lago.conf:7: unknown key", false)]
    fn unknown_keys_are_named(
        #[case] section: &str,
        #[case] name: &str,
        #[case] from: &str,
        #[case] message: &str,
        #[case] error: bool,
    ) {
        let settings = merge(&schema(), vec![vec![entry(section, name, "x", file(from))]]);
        let found = if error { &settings.problems } else { &settings.warnings };
        assert!(found[0].to_string().contains(message), "{}", found[0]);
    }

    #[test]
    fn keys_of_lago_without_effect_are_taken_silently() {
        let settings = merge(&schema(), vec![vec![entry("lago", "reposync_dir", "x", file("polder.conf"))]]);
        assert_eq!((settings.problems.len(), settings.warnings.len()), (0, 0));
    }
}
