//! The configuration as a file again: every value with its meaning and where it came from.

use std::fmt::Write;

use super::{Setting, Settings};

/// How wide the comments are, in columns.
const WIDTH: usize = 70;

impl Settings {
    /// As an INI file; `verbose` also shows keys without a value, commented out. `resolved` tells what `auto` came to.
    #[must_use]
    pub fn to_ini(&self, verbose: bool, resolved: &dyn Fn(&str) -> Option<String>) -> String {
        self.write(
            verbose,
            resolved,
            |out, section| {
                let _ = writeln!(out, "\n[{}]", if section.is_empty() { "polder" } else { section });
            },
            |value| value.replace('%', "%%").replace('\n', "\n    "),
        )
    }

    /// As a TOML file; otherwise as [`to_ini`](Self::to_ini).
    #[must_use]
    pub fn to_toml(&self, verbose: bool, resolved: &dyn Fn(&str) -> Option<String>) -> String {
        self.write(
            verbose,
            resolved,
            |out, section| {
                let _ = if section.is_empty() { writeln!(out) } else { writeln!(out, "\n[{section}]") };
            },
            |value| {
                // What reads as a number or as true or false is written as that.
                match value.parse::<i64>().is_ok() || matches!(value, "true" | "false") {
                    true => value.to_owned(),
                    false => toml::Value::from(value).to_string(),
                }
            },
        )
    }

    fn write(
        &self,
        verbose: bool,
        resolved: &dyn Fn(&str) -> Option<String>,
        section_line: fn(&mut String, &str),
        quote: fn(&str) -> String,
    ) -> String {
        let mut out = String::new();
        let mut last = None;
        for setting in self.all.iter().filter(|s| verbose || s.text.is_some()) {
            if last != Some(&setting.key.section) {
                section_line(&mut out, &setting.key.section);
                last = Some(&setting.key.section);
            }
            out.push('\n');
            for line in wrap(&setting.key.help) {
                let _ = writeln!(out, "# {line}");
            }
            write_value(&mut out, setting, resolved, quote);
        }
        out
    }
}

fn write_value(
    out: &mut String,
    setting: &Setting,
    resolved: &dyn Fn(&str) -> Option<String>,
    quote: fn(&str) -> String,
) {
    let (name, origin) = (&setting.key.name, &setting.origin);
    let _ = match &setting.text {
        // It would end up in logs of whoever asks what is configured.
        Some(_) if name == "libvirt_password" => writeln!(out, "# from {origin}; not shown\n#{name} ="),
        Some(text) => {
            let meant = Some(text).filter(|text| *text == "auto").and_then(|_| resolved(name));
            let meant = meant.map(|meant| format!(": {meant}")).unwrap_or_default();
            writeln!(out, "# from {origin}{meant}\n{name} = {}", quote(text))
        }
        None => writeln!(out, "#{name} = None"),
    };
}

/// `text` in lines of at most [`WIDTH`] columns where words allow that.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Entry, Key, Origin, Sources};

    fn config() -> Config {
        let key = |name: &str, help: &str| Key {
            section: "export".into(),
            name: name.into(),
            help: help.into(),
            default: None,
        };
        let verbs = vec![key("dst_dir", "Where to."), key("compress", "Whether to.")];
        let variables = vec![("POLDER__EXPORT__DST_DIR".to_owned(), "100%\"".to_owned())];
        let sources = Sources { etc: "/nonexistent".into(), variables, verbs: Some(verbs) };
        let flag = |name: &str, text: &str| Entry {
            section: String::new(),
            name: name.into(),
            text: text.into(),
            origin: Origin::Flag(name.replace('_', "-")),
        };
        Config::new(sources.load(), vec![flag("logdepth", "-1"), flag("libvirt_password", "secret")]).unwrap()
    }

    fn resolved(name: &str) -> Option<String> {
        (name == "cache_dir").then(|| "/c".to_owned())
    }

    #[test]
    fn every_value_says_where_it_came_from() {
        let text = config().settings.to_ini(false, &resolved);
        for part in [
            "\n[polder]\n\n# Where environments live: `hermetic` (a boundary with a private\n# libvirt, leaves",
            "\n# from default\nlab = hermetic\n",
            "\n# from default: /c\ncache_dir = auto\n",
            "\n# from --logdepth\nlogdepth = -1\n",
            "\n[export]\n\n# Where to.\n# from $POLDER__EXPORT__DST_DIR\ndst_dir = 100%%\"\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains("secret") && !text.contains("compress"), "{text}");
        assert!(config().settings.to_ini(true, &resolved).contains("\n# Whether to.\n#compress = None\n"));
    }

    #[test]
    fn both_formats_read_back_as_the_same_values() {
        let config = config();
        let values = |file: &str, text: String| {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("polder")).unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
            let verbs = config.settings.all.iter().map(|s| s.key.clone()).filter(|k| !k.section.is_empty());
            let sources = Sources { etc: dir.path().into(), variables: vec![], verbs: Some(verbs.collect()) };
            let settings = Config::new(sources.load(), vec![]).unwrap().settings;
            settings.all.into_iter().map(|s| (s.key.name, s.text)).collect::<Vec<_>>()
        };
        let mut expected: Vec<_> =
            config.settings.all.iter().map(|s| (s.key.name.clone(), s.text.clone())).collect();
        expected.iter_mut().filter(|(name, _)| name == "libvirt_password").for_each(|(_, text)| *text = None);
        assert_eq!(values("polder/polder.conf", config.settings.to_ini(true, &resolved)), expected);
        let toml = config.settings.to_toml(false, &resolved);
        assert_eq!(values("polder/polder.toml", toml), expected);
    }
}
