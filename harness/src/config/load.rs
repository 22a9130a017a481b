//! Reads the files of the configuration.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Entry, Key, Origin, Problem, Settings, ini, merge::merge, schema::Schema, toml, variables};

/// The shipped defaults.
const DEFAULTS: &str = include_str!("defaults.toml");

/// Files in one folder of configuration, lowest first.
const FILES: &[&str] = &["lago/lago.conf", "polder/polder.conf", "polder/polder.toml"];

/// Where configuration comes from, flags excepted.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The host's folder of configuration, `/etc`.
    pub etc: PathBuf,
    /// The environment variables, all of them.
    pub variables: Vec<(String, String)>,
    /// Options of verbs that may be configured; `None`: nobody looks into the sections of verbs.
    pub verbs: Option<Vec<Key>>,
}

impl Sources {
    /// Those of this process.
    #[must_use]
    pub fn of_process(verbs: Option<Vec<Key>>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { etc: "/etc".into(), variables: std::env::vars_os().filter_map(text).collect(), verbs }
    }

    /// Folders of configuration, lowest first.
    fn folders(&self) -> Vec<PathBuf> {
        let get = |name: &str| {
            self.variables.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, value)| value.as_str())
        };
        // Relative ones are to be ignored, says the specification of these variables.
        let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
        let system =
            get("XDG_CONFIG_DIRS").map_or_else(|| self.etc.join("xdg").display().to_string(), str::to_owned);
        let user = get("XDG_CONFIG_HOME").map(PathBuf::from).and_then(absolute);
        let user = user.or_else(|| get("HOME").map(|home| Path::new(home).join(".config")));
        let mut folders = vec![self.etc.clone()];
        folders.extend(system.split(':').rev().map(PathBuf::from).filter_map(absolute));
        folders.extend(user);
        folders
    }

    /// Reads and merges them. What is wrong stands beside what could be read.
    #[must_use]
    pub fn load(&self) -> Settings {
        let (mut problems, mut warnings) = (vec![], vec![]);
        let defaults = toml::parse(Path::new("defaults.toml"), DEFAULTS).unwrap_or_default();
        let defaults = defaults.into_iter().map(|entry| Entry { origin: Origin::Default, ..entry });
        let mut layers = vec![defaults.collect()];
        for path in self.folders().iter().flat_map(|folder| FILES.iter().map(|file| folder.join(file))) {
            match read(&path) {
                Ok(Ok(entries)) => layers.push(entries),
                Ok(Err(found)) => problems.extend(found),
                Err(error) => warnings.push(Problem {
                    origin: Origin::File { path, line: 1 },
                    message: format!("cannot be read: {error}"),
                    help: None,
                }),
            }
        }
        let (entries, found) = variables::parse(&self.variables);
        layers.push(entries);
        warnings.extend(found);
        if self.verbs.is_none() {
            let of_root = |entry: &Entry| Schema::plain(&entry.section, &entry.name).0.is_empty();
            layers.iter_mut().for_each(|layer: &mut Vec<Entry>| layer.retain(of_root));
        }
        let mut settings = merge(&Schema::new(self.verbs.as_deref().unwrap_or_default()), layers);
        settings.problems.splice(0..0, problems);
        settings.warnings.splice(0..0, warnings);
        settings
    }
}

/// The values of a file; none when it is not there.
fn read(path: &Path) -> io::Result<Result<Vec<Entry>, Vec<Problem>>> {
    match fs::read_to_string(path) {
        Ok(text) if path.extension().is_some_and(|e| e == "toml") => Ok(toml::parse(path, &text)),
        Ok(text) => Ok(ini::parse(path, &text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Ok(vec![]))
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn sources(root: &Path, variables: &[(&str, &str)]) -> Sources {
        let home = root.join("home").display().to_string();
        let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
        Sources {
            etc: root.join("etc"),
            variables: variables.chain([("HOME".to_owned(), home)]).collect(),
            verbs: Some(vec![]),
        }
    }

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_shipped_defaults_are_keys_and_make_a_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let settings = sources(dir.path(), &[]).load();
        assert_eq!((settings.problems.len(), settings.warnings.len()), (0, 0), "{settings:?}");
        assert_eq!(settings.all.iter().filter(|s| s.text.is_some()).count(), 26);
        let config = Config::new(settings, vec![]).unwrap();
        assert_eq!(config.checkpoint_limit, 20 << 30);
    }

    #[test]
    fn nearer_files_win_and_the_environment_wins_over_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(
            root,
            "etc/lago/lago.conf",
            "[lago]\nssh_user = lago\nssh_tries = 1\n[init]\ntemplate_store = /s\n",
        );
        write(root, "etc/polder/polder.conf", "[polder]\nssh_tries = 2\nssh_timeout = 2\n");
        write(root, "etc/xdg/polder/polder.toml", "ssh_timeout = 3\nlogdepth = 3\n");
        write(root, "home/.config/lago/lago.conf", "[lago]\nlogdepth = 4\nloglevel = debug\n");
        let settings = sources(root, &[("LAGO_LOGLEVEL", "error"), ("POLDER_LAB", "system")]).load();
        assert_eq!((settings.problems.len(), settings.warnings.len()), (0, 0), "{settings:?}");
        let get = |name: &str| {
            let setting = settings.get("", name).unwrap();
            (
                setting.text.clone().unwrap(),
                setting.origin.to_string().replace(&root.display().to_string(), ""),
            )
        };
        let is = |name: &str, text: &str, origin: &str| assert_eq!(get(name), (text.into(), origin.into()));
        is("ssh_user", "lago", "/etc/lago/lago.conf:2");
        is("ssh_tries", "2", "/etc/polder/polder.conf:2");
        is("ssh_timeout", "3", "/etc/xdg/polder/polder.toml:1");
        is("logdepth", "4", "/home/.config/lago/lago.conf:2");
        is("loglevel", "error", "$LAGO_LOGLEVEL");
        is("lab", "system", "$POLDER_LAB");
        is("template_store", "/s", "/etc/lago/lago.conf:5");
        is("accel", "auto", "default");
    }

    #[test]
    fn who_has_no_verbs_does_not_look_into_their_sections() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "etc/polder/polder.toml", "lab = \"system\"\n[shutdown]\ntimeout = 5\n");
        let with_verbs = sources(dir.path(), &[]);
        assert_eq!(with_verbs.load().problems.len(), 1);
        let settings = Sources { verbs: None, ..with_verbs }.load();
        assert_eq!((settings.problems.len(), settings.warnings.len()), (0, 0), "{settings:?}");
        assert_eq!(settings.get("", "lab").unwrap().text.as_deref(), Some("system"));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "etc/polder/polder.conf", "[polder]\nssh_usre = x\nlogdepth = deep\n");
        let toml = "lab = \"hermetik\"\nbudget_memory = 0\ncheckpoint_limit_gib = -1\n";
        write(dir.path(), "etc/polder/polder.toml", toml);
        let error = Config::new(sources(dir.path(), &[]).load(), vec![]).unwrap_err().to_string();
        for part in [
            "polder.conf:2: unknown key `ssh_usre`; did you mean `ssh_user`?",
            "polder.conf:3: `logdepth` is `deep`, which is not a whole number",
            "polder.toml:2: `budget_memory` is `0`; write a whole number above 0, `auto`, or `unlimited`",
            "polder.toml:3: `checkpoint_limit_gib` is `-1`, which is not a whole number that fits",
            "polder.toml:1: `lab` is `hermetik`; did you mean `hermetic`?",
        ] {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
    }
}
