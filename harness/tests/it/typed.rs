//! A project of its own and the `polder` command, typed in it as people and scripts do.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use crate::own_host::OwnHost;

/// A project with an init file.
pub(crate) struct Ground {
    path: PathBuf,
    variables: Vec<(&'static str, String)>,
    _dir: Option<tempfile::TempDir>,
}

impl Ground {
    /// One whose environments live in labs of their own.
    pub(crate) fn new(init_file: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("pc").tempdir_in("/var/tmp").unwrap();
        Self::at(dir.path().to_owned(), init_file, vec![], Some(dir))
    }

    /// One whose environments live on the daemon of `own`.
    pub(crate) fn on(own: &OwnHost, init_file: &str) -> Self {
        let variables = vec![
            ("POLDER_LAB", "system".to_owned()),
            ("POLDER_LIBVIRT_URL", own.uri.to_owned()),
            ("POLDER_LEASE_DIR", own.root.join("leases").display().to_string()),
        ];
        let path = own.root.join("project");
        std::fs::create_dir(&path).unwrap();
        Self::at(path, init_file, variables, None)
    }

    fn at(
        path: PathBuf,
        init_file: &str,
        variables: Vec<(&'static str, String)>,
        dir: Option<tempfile::TempDir>,
    ) -> Self {
        std::fs::write(path.join("LagoInitFile"), init_file).unwrap();
        Self { path, variables, _dir: dir }
    }

    /// A command that stands in the project.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(args).current_dir(&self.path).env("POLDER_RUNTIME_DIR", self.path("labs"));
        // The configuration of whoever runs the tests is not ours.
        command.env("XDG_CONFIG_HOME", self.path("config")).stdin(Stdio::null());
        // It is for these tests, not a key of the configuration.
        command.env_remove("POLDER_TEST_PREBUILT").env_remove("POLDER_TEST_ROOT");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn polder(&self, args: &[&str]) -> Said {
        Said::of(&self.command(args).output().unwrap())
    }

    /// The same, standing in a folder below.
    pub(crate) fn polder_in(&self, below: &str, args: &[&str]) -> Said {
        Said::of(&self.command(args).current_dir(self.path(below)).output().unwrap())
    }

    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.polder(&[&["-f", "json"], args].concat()).ok()).unwrap()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    pub(crate) fn labs(&self) -> usize {
        let entries = std::fs::read_dir(self.path("labs")).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).count()
    }

    /// A prefix written by hand, as Lago leaves one that is stopped.
    pub(crate) fn lagos_prefix(&self) {
        let folder = self.path(".lago/default");
        for sub in ["virt", "images"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        std::os::unix::fs::symlink("default", self.path(".lago/current")).unwrap();
        for (name, text) in [
            ("initialized", ""),
            ("uuid", "0a1b2c3d4e5f11e69d3c525400aabbcc"),
            ("virt/env", r#"{"nets": ["lab"], "vms": ["web"]}"#),
            (
                "virt/net-lab",
                r#"{"type": "nat", "management": true, "dhcp": {"start": 100, "end": 254}, "name": "lab",
                "gw": "192.168.210.1", "mapping": {"web": "192.168.210.2"}, "dns_records": {}}"#,
            ),
            (
                "virt/vm-web",
                r#"{"name": "web", "memory": 2048, "vm-type": "default", "vm-provider": "local-libvirt",
                "root-password": "123456", "nics": [{"net": "lab", "ip": "192.168.210.2"}], "disks": [{"name": "root",
                "type": "template", "template_name": "el7-base", "dev": "vda", "format": "qcow2",
                "path": "$LAGO_PREFIX_PATH/images/web_root.qcow2", "metadata": {"distro": "el7"}}],
                "metadata": {"deploy-scripts": []}, "snapshots": {}}"#,
            ),
            ("images/web_root.qcow2", ""),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let mut key = Command::new("ssh-keygen");
        key.args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"]).arg(folder.join("id_rsa"));
        assert!(key.status().unwrap().success());
    }

    /// Where a link in the project leads.
    pub(crate) fn link(&self, below: &str) -> PathBuf {
        std::fs::read_link(self.path(below)).unwrap()
    }
}

/// An environment that a failed test would leave.
impl Drop for Ground {
    fn drop(&mut self) {
        if self.path(".polder").exists() {
            self.polder(&["destroy", "--yes", "--force", "--all-prefixes"]);
        }
    }
}

/// What a command came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It went well; what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// It ended with that code and said that.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, message: &str) {
        assert!(self.code == Some(code) && self.err.contains(message), "{self:?}");
    }
}
