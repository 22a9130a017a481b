//! The `build` steps of a disk: from what an init file says to what `virt-customize` is told. Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The one builder there is.
const BUILDER: &str = "virt-customize";

/// Options for the program itself. All others change the disk, and are given to it where nobody else sees them.
const OWN: [&str; 21] = [
    "c",
    "connect",
    "color",
    "colours",
    "colour",
    "colors",
    "echo-keys",
    "key",
    "keys-from-stdin",
    "m",
    "memsize",
    "network",
    "no-network",
    "n",
    "dry-run",
    "q",
    "quiet",
    "smp",
    "v",
    "verbose",
    "x",
];

/// Options that say which disk, which is ours to say.
const FORBIDDEN: [&str; 5] = ["a", "add", "d", "domain", "format"];

/// One run of the builder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Words for its command line.
    pub words: Vec<String>,
    /// What it is to do, in order: names of options, and their arguments.
    pub commands: Vec<(String, Option<String>)>,
    /// Files and folders of the host that go in.
    pub files: Vec<PathBuf>,
    /// Whether it is about this environment alone, because its key goes in.
    pub own: bool,
}

/// What the texts of steps can mean.
#[derive(Debug, Clone, Copy)]
pub struct Meaning<'a> {
    /// Where relative paths begin: the init file's folder.
    pub folder: &'a Path,
    /// The public key that `ssh-inject` means when it does not say which.
    pub key: &'a str,
}

/// The steps of a `build` list, which is a list of mappings with one key each.
///
/// # Errors
/// Everything that is wrong with it.
pub fn steps(build: &[Json], meaning: Meaning<'_>) -> Result<Vec<Step>, Vec<String>> {
    let mut wrong = Vec::new();
    let mut steps = Vec::new();
    for item in build {
        match item {
            // As in Lago, where anchors of YAML may leave holes.
            Json::Null => {}
            Json::Object(map) if map.is_empty() => {}
            Json::Object(map) if map.len() == 1 => {
                for (builder, options) in map {
                    match (builder.as_str(), options) {
                        (BUILDER, Json::Object(options)) => {
                            steps.extend(step(options, meaning, &mut wrong));
                        }
                        (BUILDER, Json::Null) => {}
                        (BUILDER, _) => wrong.push(format!("`{BUILDER}` takes a mapping of options")),
                        _ => wrong.push(format!("there is no builder `{builder}`; there is `{BUILDER}`")),
                    }
                }
            }
            _ => wrong.push("a step of `build` is a mapping with one key, the builder".to_owned()),
        }
    }
    if wrong.is_empty() { Ok(steps) } else { Err(wrong) }
}

fn step(options: &Map<String, Json>, meaning: Meaning<'_>, wrong: &mut Vec<String>) -> Option<Step> {
    let mut step = Step::default();
    for (option, value) in options {
        let name = option.trim_start_matches('-');
        if FORBIDDEN.contains(&name) {
            wrong.push(format!("`{option}` is not for `build`: which disk is changed is known"));
            continue;
        }
        let Some(values) = values(value) else {
            wrong.push(format!("`{option}` takes a text, a list of texts, or nothing"));
            continue;
        };
        for value in values {
            let odd = |value: &String| value.ends_with('\\');
            if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
                wrong.push(format!("`{option}` cannot be an option of `{BUILDER}`"));
            } else if value.as_ref().is_some_and(odd) {
                wrong.push(format!("the value of `{option}` cannot end with a backslash"));
            } else if OWN.contains(&name) {
                step.words.push(if name.len() == 1 { format!("-{name}") } else { format!("--{name}") });
                step.words.extend(value);
            } else {
                step.change(name, value, meaning);
            }
        }
    }
    (!step.words.is_empty() || !step.commands.is_empty()).then_some(step)
}

/// The arguments with which an option is given, once for each.
fn values(value: &Json) -> Option<Vec<Option<String>>> {
    let scalar = |value: &Json| match value {
        Json::Null => Some(None),
        Json::String(text) if text.is_empty() => Some(None),
        Json::String(text) => Some(Some(text.clone())),
        Json::Bool(_) | Json::Number(_) => Some(Some(value.to_string())),
        Json::Array(_) | Json::Object(_) => None,
    };
    match value {
        Json::Array(items) if items.is_empty() => Some(vec![None]),
        Json::Array(items) => items.iter().map(scalar).collect(),
        value => scalar(value).map(|one| vec![one]),
    }
}

impl Step {
    fn change(&mut self, name: &str, value: Option<String>, meaning: Meaning<'_>) {
        let folder = meaning.folder.to_string_lossy();
        let value = value.map(|value| {
            let names = ["LAGO_INITFILE_PATH", "POLDER_INITFILE_PATH"];
            let forms = names.iter().flat_map(|name| [format!("${{{name}}}"), format!("${name}")]);
            forms.fold(value, |value, form| value.replace(&form, &folder))
        });
        let value = match (name, value) {
            ("ssh-inject", None) => {
                self.own = true;
                Some(format!("root:string:{}", meaning.key.trim()))
            }
            (_, value) => value.map(|value| self.placed(name, value, meaning.folder)),
        };
        self.commands.push((name.to_owned(), value));
    }

    /// The argument with the host's file in it as a whole path, which is noted.
    fn placed(&mut self, name: &str, value: String, folder: &Path) -> String {
        // What stands before the name of the file, and what behind it.
        let parts = match name {
            "copy-in" | "tar-in" | "upload" => {
                value.split_once(':').map(|(file, to)| (String::new(), file, format!(":{to}")))
            }
            "commands-from-file" | "firstboot" | "run" => {
                Some((String::new(), value.as_str(), String::new()))
            }
            "password" | "root-password" | "sm-credentials" | "ssh-inject" => value
                .split_once("file:")
                .filter(|(before, _)| before.is_empty() || before.ends_with(':'))
                .map(|(before, file)| (format!("{before}file:"), file, String::new())),
            _ => None,
        };
        let Some((before, file, after)) = parts else { return value };
        let file = folder.join(file);
        let placed = format!("{before}{}{after}", file.display());
        self.files.push(file);
        placed
    }

    /// What it is to do as the program reads it from a file: a line each; a line break in an argument stands behind a
    /// backslash.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |(name, argument): &(String, Option<String>)| match argument {
            Some(argument) => format!("{name} {}\n", argument.replace('\n', "\\\n")),
            None => format!("{name}\n"),
        };
        self.commands.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(build: Json) -> Result<Vec<Step>, Vec<String>> {
        let Json::Array(items) = build else { panic!("{build}") };
        steps(&items, Meaning { folder: Path::new("/lab"), key: "ssh-ed25519 AAAA polder\n" })
    }

    #[test]
    fn options_become_what_the_program_reads() {
        let steps = read(json!([
            {"virt-customize": {
                "ssh-inject": "",
                "m": 512,
                "install": ["vim", "less"],
                "selinux-relabel": null,
                "update": [],
                "write": "/etc/motd:two\nlines",
                "copy-in": "${LAGO_INITFILE_PATH}/a b:/etc",
                "upload": "motd:/etc/motd",
                "root-password": "file:secrets/root",
                "password": "joe:password:file:x",
                "run": "/abs/script",
                "no-network": "",
            }},
            null,
            {},
            {"virt-customize": {"touch": "/x"}},
        ]));
        let steps = steps.unwrap();
        assert_eq!((steps.len(), steps[0].own, steps[1].own), (2, true, false));
        assert_eq!(steps[0].words, ["-m", "512", "--no-network"]);
        insta::assert_snapshot!(steps[0].text(), @r"
        ssh-inject root:string:ssh-ed25519 AAAA polder
        install vim
        install less
        selinux-relabel
        update
        write /etc/motd:two\
        lines
        copy-in /lab/a b:/etc
        upload /lab/motd:/etc/motd
        root-password file:/lab/secrets/root
        password joe:password:file:/lab/x
        run /abs/script
        ");
        let files: Vec<_> = steps[0].files.iter().map(|file| file.display().to_string()).collect();
        assert_eq!(files, ["/lab/a b", "/lab/motd", "/lab/secrets/root", "/lab/x", "/abs/script"]);
    }

    #[test]
    fn everything_wrong_with_it_is_said() {
        let wrong = read(json!([
            {"virt-sysprep": {}},
            {"virt-customize": {"a": "other.img", "--format": "raw", "install": {"x": 1}, "write": "/x:\\", "b c": ""}},
            {"virt-customize": "install vim"},
            {"virt-customize": {}, "other": {}},
            "virt-customize",
        ]));
        insta::assert_snapshot!(wrong.unwrap_err().join("\n"), @r"
        there is no builder `virt-sysprep`; there is `virt-customize`
        `a` is not for `build`: which disk is changed is known
        `--format` is not for `build`: which disk is changed is known
        `install` takes a text, a list of texts, or nothing
        the value of `write` cannot end with a backslash
        `b c` cannot be an option of `virt-customize`
        `virt-customize` takes a mapping of options
        a step of `build` is a mapping with one key, the builder
        a step of `build` is a mapping with one key, the builder
        ");
    }
}
