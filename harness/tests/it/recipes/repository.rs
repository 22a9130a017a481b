//! A repository with a package that `polder new` made for a CI service, and what that service keeps from one job to the next.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::machine::Machine;

/// Programs that change a host: they note what they were called with.
const CHANGE_HOSTS: [&str; 2] = ["sudo", "apt-get"];

/// Stands for a cargo that has built the package already. `TESTED` is its test target.
const CARGO: &str = "#!/bin/sh\n[ \"$1 $2 $3\" = 'test --test web' ] && [ -f tests/web.rs ] && [ -f Cargo.toml ] || exit 64\n\
    touch Cargo.lock\nshift 3\n[ $# = 0 ] || shift\nexec \"$TESTED\" \"$@\"\n";

pub(super) struct Repository {
    folder: tempfile::TempDir,
    /// What the service keeps, by its key, the newest last.
    kept: Vec<(String, PathBuf)>,
    machines: usize,
}

impl Repository {
    /// One for `service`, the file of which is `recipe`.
    pub(super) fn new(service: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pr").tempdir_in("/var/tmp").unwrap();
        let path = folder.path();
        for name in ["origin", "programs", "kept"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        let program = |name: &str, script: &str| {
            let file = path.join("programs").join(name);
            fs::write(&file, script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("cargo", CARGO);
        for name in CHANGE_HOSTS {
            program(name, &format!("#!/bin/sh\necho {name} \"$@\" >> \"$CALLS\"\n"));
        }
        let repository = Self { folder, kept: vec![], machines: 0 };
        repository.git(&["init", "--quiet"]);
        let mut new = Command::new(env!("CARGO_BIN_EXE_polder"));
        new.args(["new", "web", "--ci", service, "--path", env!("CARGO_MANIFEST_DIR")]);
        let said = new.current_dir(repository.origin()).env("XDG_CONFIG_HOME", repository.origin()).output();
        assert!(said.unwrap().status.success());
        repository.commit();
        repository
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn git(&self, args: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(args);
        let said = git.current_dir(self.origin()).output().unwrap();
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
    }

    /// The text of a file.
    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.origin().join(path)).unwrap()
    }

    /// Says something else in a file, as its owner would.
    pub(super) fn change(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {path}:\n{text}");
        fs::write(self.origin().join(path), text.replace(from, to)).unwrap();
        self.commit();
    }

    /// A new machine with a clone, on which `tested` is what the package's tests are built to.
    pub(super) fn machine(&mut self, tested: &Path) -> Machine {
        self.machines += 1;
        // The same path each time, as services have it.
        let place = self.folder.path().join("machine");
        if place.exists() {
            fs::rename(&place, self.folder.path().join(format!("machine-{}", self.machines))).unwrap();
        }
        let machine = Machine::new(place, &self.folder.path().join("programs"), tested);
        let origin = self.origin();
        self.git(&["clone", "--quiet", origin.to_str().unwrap(), machine.workspace().to_str().unwrap()]);
        machine
    }

    /// Keeps a folder of a machine under a key. Modification times are those of archives, in whole seconds.
    pub(super) fn keep(&mut self, key: &str, from: &Path) {
        let archive = self.folder.path().join("kept").join(self.kept.len().to_string());
        tar(&["--create", "--format=gnu", "--file"], &archive, from);
        self.kept.push((key.to_owned(), archive));
    }

    /// The key of what is kept under one, or else of the newest that begins so.
    pub(super) fn kept(&self, key: &str, beginnings: &[String]) -> Option<&str> {
        let found = |wanted: &dyn Fn(&str) -> bool| self.kept.iter().rev().find(|(key, _)| wanted(key));
        let exact = found(&|kept| kept == key);
        let found = exact
            .or_else(|| beginnings.iter().find_map(|begin| found(&|kept| kept.starts_with(begin.as_str()))));
        found.map(|(key, _)| key.as_str())
    }

    /// Puts what is kept under a key into a folder.
    pub(super) fn bring(&self, key: &str, to: &Path) {
        let (_, archive) = self.kept.iter().rev().find(|(kept, _)| kept == key).unwrap();
        fs::create_dir_all(to).unwrap();
        tar(&["--extract", "--file"], archive, to);
    }

    /// All keys.
    pub(super) fn keys(&self) -> Vec<&str> {
        self.kept.iter().map(|(key, _)| key.as_str()).collect()
    }
}

fn tar(args: &[&str], archive: &Path, folder: &Path) {
    let mut tar = Command::new("tar");
    tar.args(args).arg(archive).arg("--directory").arg(folder);
    if args.contains(&"--create") {
        tar.arg(".");
    }
    let said = tar.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// What a job came to, as its service shows it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) green: bool,
    /// Its log.
    pub(super) log: String,
    /// Test cases in the results that the service reads, each with its suite.
    pub(super) cases: Vec<String>,
    /// The files of its artifact.
    pub(super) artifact: BTreeMap<String, PathBuf>,
    /// What the host was changed with.
    pub(super) calls: String,
}

/// The test cases of a file of results, each with its suite.
pub(super) fn cases(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let value = |case: &str, key: &str| {
        let (_, rest) = case.split_once(&format!(" {key}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let cases = text.split("<testcase").skip(1);
    cases.map(|case| format!("{}::{}", value(case, "classname"), value(case, "name"))).collect()
}
