//! What the state of an environment came from, as one value: equal keys, equal states. Pure.
//!
//! A key is a list of lines `name = value`, and the digest of them. Everything an init file says of machines and nets is in
//! it, but for what stays outside of them (`OUTSIDE`); a file of the host is in it with its content and not its path.

use std::{collections::BTreeMap, fmt, fmt::Write as _, path::PathBuf};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::initfile::EnvSpec;

/// The version of this format: of keys, or machines, that are made in another way.
const FORMAT: u32 = 2;

/// Names of the lines that say what moment it is.
const LEVEL: [&str; 4] = ["level", "executable", "suite", "step"];

/// What init files say that machines never see: places in files, what is collected and for whom, how long something may
/// take, who logs in from outside.
const OUTSIDE: &[&str] = &[
    "artifacts",
    "at",
    "boot_time",
    "build_folder",
    "capabilities",
    "groups",
    "guest_agent",
    "metadata",
    "origin",
    "places",
    "roles",
    "service_provider",
    "skip_export",
    "ssh_host_key",
    "ssh_jump",
    "ssh_key",
    "timeout",
];

/// What is only told by its digest.
const SECRET: &[&str] = &["root_password", "ssh_password"];

/// What moment of an environment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level<'a> {
    /// Its machines are up, and what is deployed is deployed.
    Boot,
    /// A step of a suite has passed.
    Step {
        /// The digest of the test's executable: any change of it may have changed what the step did.
        executable: &'a str,
        /// The suite.
        suite: &'a str,
        /// The step: `setup`, or a scenario.
        step: &'a str,
    },
}

/// What goes into a state.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    /// What moment it is.
    pub level: Level<'a>,
    /// What was asked for, completed.
    pub spec: &'a EnvSpec,
    /// What was decided where nothing was said: addresses, CPUs, types of machines. By what it is about.
    pub decided: &'a BTreeMap<String, Json>,
    /// Digests of the contents of files of the host that `spec` names.
    pub files: &'a BTreeMap<PathBuf, String>,
    /// Digests of the images and templates that disks lie over, by name.
    pub templates: &'a BTreeMap<String, String>,
    /// Who makes it and on what: versions, the accelerator. By what it is about.
    pub makers: &'a BTreeMap<String, String>,
}

/// What a state came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    lines: BTreeMap<String, String>,
}

impl Key {
    /// The key of a state.
    #[must_use]
    pub fn new(of: &Ingredients<'_>) -> Self {
        let mut key = Self { lines: BTreeMap::new() };
        key.put("format", FORMAT);
        key.put_level(of.level);
        of.makers.iter().for_each(|(name, value)| key.put(&format!("made by {name}"), value));
        of.templates.iter().for_each(|(name, digest)| key.put(&format!("template {name}"), digest));
        of.decided.iter().for_each(|(name, value)| key.take(&format!("decided {name}"), value, of));
        // A value of our own; it cannot fail to become one of theirs.
        let spec = serde_json::to_value(of.spec).unwrap_or_default();
        key.take("asked", &spec, of);
        key
    }

    /// The key of another moment of what came from the same.
    #[must_use]
    pub fn at(&self, level: Level<'_>) -> Self {
        let mut key = self.clone();
        LEVEL.iter().for_each(|name| drop(key.lines.remove(*name)));
        key.put_level(level);
        key
    }

    /// Its digest, by which things are called that have it.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.to_string().as_bytes())
    }

    /// All that went into it, by name.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn put_level(&mut self, level: Level<'_>) {
        let [name, executable_of, suite_of, step_of] = LEVEL;
        match level {
            Level::Boot => self.put(name, "boot"),
            Level::Step { executable, suite, step } => {
                self.put(name, "step");
                self.put(executable_of, executable);
                self.put(suite_of, suite);
                self.put(step_of, step);
            }
        }
    }

    fn put(&mut self, name: &str, value: impl fmt::Display) {
        // Names and values may be texts of people: a line is a line, and no value looks like two.
        self.lines.insert(escaped(name), escaped(&value.to_string()));
    }

    /// Takes a value apart, down to what has no parts.
    fn take(&mut self, name: &str, value: &Json, of: &Ingredients<'_>) {
        match value {
            Json::Null => {}
            Json::Object(fields) => {
                let inside = fields.iter().filter(|(field, _)| !OUTSIDE.contains(&field.as_str()));
                for (field, value) in inside {
                    let name = format!("{name}.{field}");
                    match value {
                        Json::String(secret) if SECRET.contains(&field.as_str()) => {
                            self.put(&name, format_args!("digest {}", digest(secret.as_bytes())));
                        }
                        value => self.take(&name, value, of),
                    }
                }
            }
            Json::Array(items) => {
                // Machines, nets and disks are told by name where they have one; their order counts all the same.
                for (at, item) in items.iter().enumerate() {
                    let own = item.get("name").and_then(Json::as_str).map(|own| format!(" {own}"));
                    self.take(&format!("{name}[{at}{}]", own.unwrap_or_default()), item, of);
                }
            }
            Json::String(text) => match of.files.get(std::path::Path::new(text)) {
                Some(content) => self.put(name, format_args!("file {content}")),
                None => self.put(name, format_args!("\"{text}\"")),
            },
            Json::Bool(_) | Json::Number(_) => self.put(name, value),
        }
    }
}

/// A line for each thing that went into it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|(name, value)| writeln!(f, "{name} = {value}"))
    }
}

/// SHA-256, as hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    digits(&Sha256::digest(bytes))
}

pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace(" = ", " \\= ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::initfile::{Options, load_text};

    const FILE: &str = r#"
domains:
  web:
    memory: 128
    vcpu: 1
    root-password: geheim
    roles: [server]
    artifacts: [/var/log]
    nics: [{net: lan, ip: 192.168.200.7}, {net: back}]
    disks:
      - {name: root, type: template, template_name: minimal, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 1G, dev: vdb, format: qcow2}
  db:
    memory: 256
    vcpu: 2
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
  back: {type: isolated}
"#;

    struct Kitchen {
        spec: EnvSpec,
        decided: BTreeMap<String, Json>,
        files: BTreeMap<PathBuf, String>,
        templates: BTreeMap<String, String>,
        makers: BTreeMap<String, String>,
    }

    fn kitchen(path: &str, text: &str) -> Kitchen {
        let spec = load_text(Path::new(path), text, &Options::new(&|_| None)).unwrap().spec;
        let text = |name: &str| (name.to_owned(), "1".to_owned());
        Kitchen {
            spec,
            decided: [(
                "web".to_owned(),
                json!({ "machine_type": "q35", "nics": [{ "mac": "52:54:00:00:00:01" }] }),
            )]
            .into(),
            files: BTreeMap::new(),
            templates: [text("minimal")].into(),
            makers: [text("polder"), text("emulator"), text("libvirt"), text("accelerator")].into(),
        }
    }

    impl Kitchen {
        fn key_at(&self, level: Level<'_>) -> Key {
            let Self { spec, decided, files, templates, makers } = self;
            Key::new(&Ingredients { level, spec, decided, files, templates, makers })
        }

        fn key(&self) -> Key {
            self.key_at(Level::Boot)
        }
    }

    fn usual() -> Kitchen {
        kitchen("/a/lab.yaml", FILE)
    }

    #[test]
    fn a_key_is_told_line_by_line_and_without_secrets() {
        let key = usual().key();
        let text = key.to_string();
        for line in [
            "level = boot",
            "made by emulator = 1",
            "template minimal = 1",
            "asked.machines[0 web].memory_mib = 128",
            "asked.machines[0 web].nics[0].ip = \"192.168.200.7\"",
            "decided web.machine_type = \"q35\"",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("geheim"), "{text}");
        assert!(
            key.lines().any(|(name, value)| name.ends_with("root_password") && value.starts_with("digest "))
        );
        assert_eq!(key.digest().len(), 64);
        assert_eq!(key.lines().count(), text.lines().count());
    }

    /// Changes of an init file, and whether machines come to see them.
    #[rstest::rstest]
    #[case::memory("memory: 128", "memory: 129", true)]
    #[case::vcpus("vcpu: 2", "vcpu: 1", true)]
    #[case::password("geheim", "anders", true)]
    #[case::address("192.168.200.7", "192.168.200.8", true)]
    #[case::size("1G", "2G", true)]
    #[case::device("dev: vdb", "dev: vdc", true)]
    #[case::name("db:", "db2:", true)]
    #[case::net(", {net: back}", "", true)]
    #[case::kind("type: isolated", "type: nat", true)]
    #[case::screen("vcpu: 2", "vcpu: 2\n    graphics: true", true)]
    #[case::roles("[server]", "[client]", false)]
    #[case::collected("/var/log", "/root", false)]
    #[case::comment("nets:", "# a comment\nnets:", false)]
    #[case::time("vcpu: 2", "vcpu: 2\n    boot_time_sec: 77", false)]
    fn what_machines_see_changes_the_key(#[case] this: &str, #[case] that: &str, #[case] changes: bool) {
        assert!(FILE.contains(this));
        let other = kitchen("/a/lab.yaml", &FILE.replacen(this, that, 1));
        assert_eq!(other.key().digest() != usual().key().digest(), changes, "{}", other.key());
    }

    #[test]
    fn where_a_file_lies_changes_nothing() {
        assert_eq!(kitchen("/b/c/other.yaml", FILE).key(), usual().key());
    }

    #[test]
    fn files_of_the_host_count_by_their_content() {
        let with = |path: &str, content: &str| {
            let mut kitchen = usual();
            let script = crate::initfile::spec::DeployScript { path: path.into(), ..Default::default() };
            kitchen.spec.machines[0].deploy_scripts = vec![script];
            kitchen.files.insert(path.into(), content.to_owned());
            kitchen.key().digest()
        };
        assert_eq!(with("/a/deploy.sh", "1"), with("/b/deploy.sh", "1"));
        assert_ne!(with("/a/deploy.sh", "1"), with("/a/deploy.sh", "2"));
        assert_ne!(with("/a/deploy.sh", "1"), usual().key().digest());
    }

    #[test]
    fn later_moments_depend_on_the_executable() {
        let kitchen = usual();
        let step = |executable, suite, step| kitchen.key_at(Level::Step { executable, suite, step }).digest();
        let all = [
            kitchen.key().digest(),
            step("1", "s", "setup"),
            step("2", "s", "setup"),
            step("1", "t", "setup"),
            step("1", "s", "a"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        let level = Level::Step { executable: "1", suite: "s", step: "a" };
        assert_eq!(kitchen.key().at(level), kitchen.key_at(level));
        assert_eq!(kitchen.key_at(level).at(Level::Boot), kitchen.key());
    }

    #[test]
    fn no_text_looks_like_another_line() {
        let key = |name: &str, value: &str| {
            let mut kitchen = usual();
            kitchen.makers.insert(name.to_owned(), value.to_owned());
            kitchen.key()
        };
        assert_ne!(key("x", "1\nmade by y = 2").digest(), {
            let mut both = usual();
            both.makers.insert("x".into(), "1".into());
            both.makers.insert("y".into(), "2".into());
            both.key().digest()
        });
        assert_ne!(key("x = 1", "2").digest(), key("x", "1 = 2").digest());
    }

    /// Anything that is decided or known besides.
    fn values() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[a-z =.\n\\\\]{0,6}", "[a-z =\n\\\\]{0,6}", 0..4)
    }

    proptest! {
        #[test]
        fn keys_are_equal_when_and_only_when_all_is(
            makers in values(), other_makers in values(), templates in values(), other_templates in values(),
        ) {
            let key = |makers: &BTreeMap<String, String>, templates: &BTreeMap<String, String>| {
                Kitchen { makers: makers.clone(), templates: templates.clone(), ..usual() }.key().digest()
            };
            let is_same = makers == other_makers && templates == other_templates;
            prop_assert_eq!(key(&makers, &templates) == key(&other_makers, &other_templates), is_same);
            prop_assert_eq!(key(&makers, &templates), key(&makers, &templates));
        }

        #[test]
        fn every_number_and_name_of_a_machine_is_in_its_key(
            memory in 64_u32..4096, vcpus in 1_u32..8, name in "[a-z]{1,8}", awaited in any::<bool>(),
        ) {
            let mut other = usual();
            let machine = &mut other.spec.machines[1];
            (machine.memory_mib, machine.vcpus, machine.awaited) = (memory, vcpus, awaited);
            machine.name = name.parse().unwrap();
            let is_same = other.spec == usual().spec;
            prop_assert_eq!(other.key().digest() == usual().key().digest(), is_same);
        }
    }
}
