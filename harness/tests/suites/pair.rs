//! Two small machines, for tests that kill whoever runs them: a life of some seconds with all its phases.

use polder::prelude::*;

#[polder::suite(env = "pair.yaml", timeout = "5m")]
mod pair {
    use super::*;

    #[setup]
    async fn prepare(left: &Vm) -> Result {
        left.write_file("/root/note", "set up").await?;
        Ok(())
    }

    #[test]
    async fn they_see_each_other(left: &Vm, right: &Vm, back: &Net, artifacts: &Artifacts) -> Result {
        artifacts.add("begun", "")?;
        let there = right.ip_on(back).context("right is on the back net")?;
        left.succeed(Command::new("ping").args(["-c", "2", "-W", "5", &there.to_string()])).await?;
        Ok(())
    }

    #[test]
    async fn commands_run(left: &Vm, right: &Vm) -> Result {
        for vm in [left, right] {
            for _ in 0..5 {
                vm.succeed("uptime").await?;
            }
        }
        Ok(())
    }

    #[teardown]
    async fn tidy(right: &Vm) -> Result {
        right.succeed("sync").await?;
        Ok(())
    }
}

polder::main!();
