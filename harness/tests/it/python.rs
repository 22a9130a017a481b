//! Programs in Python that what we write must satisfy, installed beside the tests the first time they are needed.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// The folder with the programs of `package`, such as `ansible-core` or `cvprac==1.0`; `None`, after saying so, where it
/// cannot be installed. `what` is then not tested.
pub(crate) fn programs_of(package: &str, what: &str) -> Option<PathBuf> {
    /// Tests that need the same would install it over one another.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package.replace("==", "-"));
    let folder = venv.join("bin");
    let run = |program: &Path, args: &[&str]| {
        let status = Command::new(program).args(args).stdout(Stdio::null()).stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    // Written last, so that what was interrupted is done again.
    let done = venv.join("done");
    // Whoever installed it may have a Python that others may not run.
    let runs = || run(&folder.join("python3"), &["--version"]);
    let there = done.is_file() && runs()
        || run(Path::new("python3"), &["-m", "venv", &venv.display().to_string()])
            && run(&folder.join("pip"), &["install", "--quiet", "--disable-pip-version-check", package])
            && std::fs::write(&done, package).is_ok();
    if !there {
        // Past what catches the output of tests: they pass, and must not do so in silence.
        let _ = writeln!(
            std::io::stderr(),
            "SKIP {what}: {package} cannot be installed here; it needs python3 with venv that this user may run, and a package index"
        );
    }
    there.then_some(folder)
}
