//! A machine of a CI service, new, with a clone of a repository. Its shells have the variables of the service and nothing of ours.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(super) struct Machine {
    place: PathBuf,
    variables: Vec<(String, String)>,
}

impl Machine {
    pub(super) fn new(place: PathBuf, programs: &Path, tested: &Path) -> Self {
        for name in ["home", "tmp"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        let path = std::env::var("PATH").unwrap();
        let mut machine = Self { place, variables: vec![] };
        let own = [
            ("PATH", format!("{}:{path}", programs.display())),
            ("HOME", machine.home().display().to_string()),
            ("TMPDIR", machine.place.join("tmp").display().to_string()),
            ("CALLS", machine.place.join("calls").display().to_string()),
            ("TESTED", tested.display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("CI", "true".to_owned()),
        ];
        own.into_iter().for_each(|(name, value)| machine.set(name, value));
        machine
    }

    pub(super) fn home(&self) -> PathBuf {
        self.place.join("home")
    }

    /// Where the clone is.
    pub(super) fn workspace(&self) -> PathBuf {
        self.place.join("clone")
    }

    /// Sets a variable for all shells to come.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    pub(super) fn variable(&self, name: &str) -> &str {
        &self.variables.iter().rev().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// Runs a script with a shell, in a folder of the clone; whether it went well, and what it said.
    pub(super) fn shell(&self, shell: &[&str], folder: &str, script: &str) -> (bool, String) {
        let file = self.place.join("script");
        fs::write(&file, format!("exec 2>&1\n{script}")).unwrap();
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(&file).current_dir(self.workspace().join(folder)).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a pattern means in the clone: files, and all that is in folders, by their paths behind what comes before the
    /// pattern's first `*`. Links are not followed.
    pub(super) fn found(&self, pattern: &str) -> BTreeMap<String, PathBuf> {
        let (before, _) = pattern.split_once('*').unwrap();
        let root = self.workspace().join(before.rsplit_once('/').map_or("", |(folder, _)| folder));
        let mut left: Vec<PathBuf> = glob::glob(self.workspace().join(pattern).to_str().unwrap())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let mut files = BTreeMap::new();
        while let Some(path) = left.pop() {
            if path.is_symlink() {
                continue;
            } else if path.is_dir() {
                left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.insert(path.strip_prefix(&root).unwrap().display().to_string(), path);
            }
        }
        files
    }

    /// What the host was changed with.
    pub(super) fn calls(&self) -> String {
        fs::read_to_string(self.variable("CALLS")).unwrap_or_default()
    }
}
