//! Templates and exports through the command: an image becomes a template, an environment, an export, and an environment
//! again. Nothing of it runs.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Ground(tempfile::TempDir);

impl Ground {
    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// What `polder` with these words, in the folder `at`, says and complains of, and its exit code.
    fn polder(&self, at: &str, words: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(words.split(' ')).current_dir(self.path(at)).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", self.path("config")).env("POLDER_RUNTIME_DIR", self.path("labs"));
        for (key, value) in [("STORE", "store"), ("REPOS", "repos")] {
            command.env(format!("POLDER_TEMPLATE_{key}"), self.path(value));
        }
        command.env("POLDER_TEMPLATE_REPO_NAME", "local").env_remove("POLDER_TEST_PREBUILT");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn done(&self, at: &str, words: &str) -> String {
        let (code, out, error) = self.polder(at, words);
        assert_eq!(code, Some(0), "{words}: {error}{out}");
        out
    }
}

const FILE: &str = "
domains:
  a:
    memory: 64
    nics: [{net: lan}]
    disks:
      - {name: root, type: template, template_name: disk, dev: vda, format: qcow2}
      - {name: data, type: empty, size: 1M, dev: vdb, format: raw}
nets: {lan: {type: nat, management: true}}
";

#[test]
fn an_image_becomes_a_template_an_environment_and_an_export() {
    let ground = Ground(tempfile::Builder::new().prefix("pt").tempdir_in("/var/tmp").unwrap());
    for folder in ["here", "there"] {
        fs::create_dir(ground.path(folder)).unwrap();
    }
    fs::write(ground.path("here/disk.raw"), vec![7; 1 << 20]).unwrap();
    assert_eq!(ground.done("here", "templates add disk.raw --metadata distro=el9"), "local:disk:1");
    assert_eq!(ground.done("here", "templates list"), format!("{:<40} not fetched", "local:disk:1"));
    assert!(ground.done("here", "templates repo list").contains("1 templates, grows here"));
    let store = ground.path("store/local:disk:1");
    assert_eq!(Path::new(&ground.done("here", "templates fetch disk")), store);
    assert!(ground.done("here", "templates verify").ends_with(" good"));
    assert!(ground.done("here", "templates list").ends_with("unused"));

    // A copy of the repository, under its name elsewhere.
    let other = fs::read_to_string(ground.path("repos/local.json")).unwrap().replace("local", "other");
    fs::write(ground.path("other.json"), other).unwrap();
    let added = ground.done("here", "templates repo add ../other.json");
    assert!(added.starts_with("other ") && added.contains("1 templates"), "{added}");
    assert_eq!(ground.done("here", "templates repo update other"), "other: no change");
    let (code, _, error) = ground.polder("here", "templates repo update others");
    assert!(code == Some(2) && error.contains("did you mean `other`?"), "{error}");

    fs::write(ground.path("here/LagoInitFile"), FILE).unwrap();
    ground.done("here", "init");
    assert!(ground.done("here", "templates list").contains("used by "));
    assert!(ground.done("here", "templates prune").starts_with("kept local:disk:1: used by "));
    // The folder one stands in has the init file of the environment itself.
    let (code, _, error) = ground.polder("here", "export");
    assert!(code != Some(0) && error.contains("LagoInitFile is there already"), "{error}");
    assert_eq!(fs::read_to_string(ground.path("here/LagoInitFile")).unwrap(), FILE);
    let listed = ground.done("here", "export -d ../there -f flat --collect-only");
    assert_eq!(ground.done("here", "export -d ../there -f flat --compress"), listed);
    let image = ground.path("there/a+root.qcow2.xz");
    assert!(image.exists() && listed.contains("there/a+root.qcow2"), "{listed}");

    ground.done("there", "init");
    for place in ["here", "there"] {
        ground.done(place, "destroy --yes");
    }
    fs::File::options().write(true).open(&store).unwrap().write_all_at(b"other", 100).unwrap();
    let (code, out, _) = ground.polder("here", "templates verify local:disk:1");
    assert!(code == Some(1) && out.contains("DAMAGED"), "{out}");
    assert!(ground.done("here", "templates prune").starts_with("removed local:disk:1"));
    assert!(!store.exists());
}
