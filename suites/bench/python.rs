//! Plain tools in Python: each in an environment of its own, installed the first time it is needed.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The folder with the programs of a package, such as `cvprac==2.3.0`.
pub(crate) fn programs_of(package: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let target = exe.ancestors().nth(3).context("not in a target folder")?;
    let venv = target.join("tmp").join(package.replace("==", "-"));
    let (programs, done) = (venv.join("bin"), venv.join("done"));
    if !done.is_file() {
        std::fs::create_dir_all(target.join("tmp"))?;
        let run = |command: &mut Command| -> Result<()> {
            ensure!(command.stdout(Stdio::null()).status()?.success(), "cannot install {package}");
            Ok(())
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(programs.join("pip")).args(["install", "--quiet", package]))?;
        std::fs::write(done, package)?;
    }
    Ok(programs)
}
