//! A host of its own for tests of what a system's daemon, its networks and its leases are shared for: a boundary with
//! a libvirt daemon that nobody else uses. Networks, routes and guests are all inside, and end with the test.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use polder::lab::{Bind, Hermetic, Lab, LabHost, LabSpec, Payload};

/// Where its daemon listens, seen from inside.
const URI: &str = "qemu:///system?socket=/run/polder/sock/libvirt-sock";

const UP: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(400);

/// Runs one of this binary's ignored tests on a host of its own, with the output passed on.
pub(crate) fn run(test: &str, vars: &[(&str, String)]) {
    // Nothing leads from there to where packages are.
    let mut build = Command::new(env!("CARGO_BIN_EXE_polder"));
    let built = build.args(["images", "build", "minimal"]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let dir = tempfile::Builder::new().prefix("ph").tempdir_in("/var/tmp").unwrap();
        let cache = dir.path().join("c");
        fs::create_dir(&cache).unwrap();
        let host = LabHost {
            root: dir.path().join("r"),
            cache: cache.clone(),
            launcher: std::env::current_exe().unwrap(),
        };
        let payload = Payload::Libvirtd { kvm: false, capability_cache: capabilities(), way_out: false };
        let exe = std::env::current_exe().unwrap();
        // Where programs are built may be hidden otherwise.
        let built = exe.parent().unwrap().parent().unwrap().to_owned();
        let binds = vec![Bind { from: built.clone(), to: built, writable: false }];
        let lab = Hermetic::start(&host, LabSpec { payload, env: None, binds }, UP).await.unwrap();
        let argv = [exe.to_str().unwrap(), "--ignored", "--exact", test, "--nocapture", "--quiet"];
        let mut env: Vec<(String, String)> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let soak = ["POLDER_SOAK_ROUNDS", "POLDER_SOAK_SEED"].into_iter();
        env.extend(soak.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))));
        env.push(("POLDER_TEST_ROOT".into(), dir.path().display().to_string()));
        let null = OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
        let streams = [null, own(std::io::stdout().as_fd()), own(std::io::stderr().as_fd())];
        let status = lab.exec(&argv, streams, env, LIMIT).await;
        lab.end(UP).await.unwrap();
        status.unwrap()
    });
    assert_eq!(status, 0, "{test} failed");
}

/// Emulators are asked once for what they can do, not once a host.
fn capabilities() -> PathBuf {
    let host = LabHost::from_env(&|name| std::env::var(name).ok()).unwrap();
    let cache = host.cache.join("capabilities-tcg");
    fs::create_dir_all(&cache).unwrap();
    cache
}

/// The host a test of [`run`] finds itself on.
pub(crate) struct OwnHost {
    /// Folder for its files, one that nothing hides.
    pub(crate) root: PathBuf,
    /// Its daemon.
    pub(crate) uri: &'static str,
}

impl OwnHost {
    /// The one we are on.
    pub(crate) fn here() -> Self {
        let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
        assert!(Path::new("/run/polder/sock/libvirt-sock").exists(), "not on a host of its own");
        Self { root, uri: URI }
    }

    /// Starts its daemon anew, with this added to what is said about emulators; they then get their files as on any
    /// system.
    pub(crate) fn restart_daemon(&self, emulators: &str) {
        use crate::arena;
        let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let daemon = arena::all_below(None).into_iter().find(|pid| name(*pid).trim() == "libvirtd").unwrap();
        arena::kill(daemon);
        while Path::new(&format!("/proc/{daemon}")).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let fixed = "security_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nstdio_handler = \"file\"\n";
        // What it notes down about owners only the host's own root may write.
        let ordinary = !fs::read_to_string("/proc/self/uid_map").unwrap().contains("4294967295");
        let owners = if ordinary { "remember_owner = 0\n" } else { "" };
        fs::write("/etc/libvirt/qemu.conf", format!("{fixed}{owners}{emulators}")).unwrap();
        let mut command = std::process::Command::new("libvirtd");
        command.args(["--daemon", "--config", "/etc/libvirt/libvirtd.conf"]);
        assert!(command.status().unwrap().success());
        let up = std::time::Instant::now();
        let answers = || {
            let mut virsh = std::process::Command::new("virsh");
            virsh.args(["-q", "-c", self.uri, "version"]).output().unwrap().status.success()
        };
        while !answers() {
            assert!(up.elapsed() < UP, "the new daemon does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `virsh` to success and returns what it printed.
    pub(crate) fn virsh(&self, args: &[&str]) -> String {
        let out =
            std::process::Command::new("virsh").args(["-q", "-c", self.uri]).args(args).output().unwrap();
        assert!(out.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }
}

/// A domain that waits with its first instruction, with `metadata` in it.
pub(crate) fn idle_domain(name: &str, metadata: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name>{metadata}<memory unit='MiB'>16</memory>\
         <os><type arch='x86_64'>hvm</type></os></domain>"
    )
}
