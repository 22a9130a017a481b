//! Scenarios that forget what they have made on the host, and some that do not.

use std::process::{Command, Stdio};

use polder::{
    lab::{Hermetic, LabHost, LabSpec, Payload},
    prelude::*,
};

/// Sleeps for a while that nobody else sleeps for.
fn sleep() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 47; true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[polder::suite]
mod tidy {
    use super::*;

    #[test]
    async fn waits_for_its_process() -> Result {
        let mut child = sleep().spawn()?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    #[test]
    async fn leaves_one_that_is_ending() -> Result {
        // Its end is not waited for, and comes a moment later.
        Command::new("sleep").arg("0.3").spawn()?;
        Ok(())
    }
}

#[polder::suite]
mod forgetful {
    use super::*;

    #[test]
    async fn does_nothing() {}

    #[test]
    async fn forgets_a_process() -> Result {
        sleep().spawn()?;
        Ok(())
    }

    #[test]
    async fn forgets_a_lab() -> Result {
        let host = LabHost::from_env(&|name| std::env::var(name).ok())?;
        let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
        let payload = Payload::Command { argv, env: vec![], log: None, offline: false };
        let lab = Hermetic::start(&host, LabSpec { payload, env: None, binds: vec![] }, secs(60)).await?;
        std::mem::forget(lab);
        Ok(())
    }

    #[test]
    async fn forgets_a_mount(artifacts: &Artifacts) -> Result {
        if std::env::var_os("FIXTURE_MOUNTS").is_none() {
            polder::skip!("not asked to");
        }
        let place = artifacts.path("a place")?;
        std::fs::create_dir(&place)?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place).status()?;
        ensure!(mounted.success());
        Ok(())
    }

    #[teardown]
    async fn ends_all_it_knows_of() -> Result {
        Ok(())
    }
}

#[polder::suite]
mod afterwards {
    #[test]
    async fn is_not_to_blame() {}
}

polder::main!();
