//! Everything that can stand in attributes, on a real machine; `tests/it` looks at what is told of it.

use polder::prelude::*;
use polder::{FromSuite, Need, Param, Scope, SuiteCx};

/// Something all steps share, and that is ended with the outcome of the suite.
#[derive(Debug, Clone)]
struct Client {
    machine: Vm,
}

impl FromSuite for Client {
    const NEED: Need = Need::Environment;
    const SCOPE: Scope = Scope::Suite;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        let machine = cx.env()?.vm("only").context("no machine")?;
        machine.succeed("echo client >>/root/clients").await?;
        Ok(Self { machine })
    }
    async fn teardown(self, outcome: &Outcome) -> Result {
        let clients = self.machine.succeed("wc -l </root/clients").await?;
        ensure!(clients.trim() == "1", "there were {clients} clients");
        ensure!(matches!(outcome, Outcome::Failed { .. }), "told {outcome:?}");
        Ok(())
    }
}

#[polder::suite(env = "one.yaml", timeout = "6m", tags("guests"))]
mod twelve {
    use super::*;

    #[setup]
    async fn prepare(only: &Vm) -> Result {
        only.write_file("/root/mark", "prepared").await?;
        Ok(())
    }

    #[test]
    async fn is_prepared(only: &Vm, client: &Client) -> Result {
        ensure!(only.name() == client.machine.name());
        ensure!(only.succeed("cat /root/mark").await? == "prepared");
        Ok(())
    }

    #[test(after(is_prepared))]
    fn waits_plainly(only: &Vm) -> Result {
        polder::block_on(only.wait_for_port(22, secs(30)))?;
        Ok(())
    }

    #[test(retries = 2, tags("flaky"))]
    async fn passes_at_last(only: &Vm) -> Result {
        let tried = only.succeed("echo x >>/root/tried; wc -l </root/tried").await?;
        ensure!(tried.trim() == "2", "tried {}", tried.trim());
        Ok(())
    }

    #[test(values(3, 4), after(is_prepared))]
    async fn adds(only: &Vm, #[case] number: &i32) -> Result {
        let sum = only.succeed(format!("echo $(({number}+1))")).await?;
        ensure!(sum.trim().parse::<i32>()? == number + 1);
        Ok(())
    }

    #[test(expect_fail(until = "2999-12-31", reason = "no such command yet"))]
    async fn is_known_to_fail(only: &Vm) -> Result {
        only.succeed("no-such-command").await?;
        Ok(())
    }

    #[test(needs(tool = "no-such-tool"))]
    async fn lacks_a_tool() -> Result {
        bail!("it was run")
    }

    #[test(needs(capability = "flight"))]
    async fn lacks_a_capability() -> Result {
        bail!("it was run")
    }

    #[test(after(adds), timeout = "1m")]
    async fn fails(only: &Vm, artifacts: &Artifacts) -> Result {
        artifacts.add("note.txt", "kept")?;
        only.succeed("exit 3").await?;
        Ok(())
    }

    #[test(after(fails))]
    async fn needs_what_failed() -> Result {
        bail!("it was run")
    }

    #[test(after(fails), always)]
    async fn cleans_up(only: &Vm, client: &Client) -> Result {
        ensure!(only.name() == client.machine.name());
        only.succeed("rm /root/tried").await?;
        Ok(())
    }

    #[test]
    async fn forgets_a_fault(only: &Vm) -> Result {
        std::mem::forget(only.clock_ahead(secs(1)).await?);
        Ok(())
    }

    #[test]
    async fn leaves_it() -> Result {
        polder::skip!("nothing to do at {}", "all")
    }

    #[test]
    #[ignore = "takes a day"]
    async fn is_ignored() {}

    #[teardown]
    async fn tidy(outcome: &Outcome, only: &Vm) -> Result {
        ensure!(matches!(outcome, Outcome::Failed { .. }), "told {outcome:?}");
        only.succeed("rm /root/mark").await?;
        Ok(())
    }
}

/// What a suite can have besides machines, and what cannot stand beside the above.
#[polder::suite(env = "one.yaml", cvp, changes = "debugged.yaml", stop_on_failure, timeout = "6m")]
mod rest {
    use super::*;

    #[test]
    async fn changes_it(mark: &NamedChange, only: &Vm) -> Result {
        mark.apply().await?;
        ensure!(only.succeed("cat /root/mark").await?.trim() == "only changed");
        Ok(())
    }

    #[test(after(changes_it))]
    async fn goes_on(only: &Vm, cvp: &Cvp) -> Result {
        only.succeed("echo more >>/root/mark").await?;
        cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1"]).deploy().await?;
        Ok(())
    }

    #[test(from(changes_it), case(short = 1, long = 2))]
    async fn goes_back(only: &Vm, cvp: &Cvp, #[case] lines: &usize) -> Result {
        ensure!(only.succeed("cat /root/mark").await?.trim() == "only changed");
        ensure!(cvp.client().configlets().await?.iter().all(|one| !one.name.ends_with("ntp")));
        only.succeed(format!("yes | head -n {lines} >/root/mark")).await?;
        Ok(())
    }

    #[test]
    async fn fails() -> Result {
        bail!("on purpose")
    }

    #[test]
    async fn comes_after_a_failure() -> Result {
        bail!("it was run")
    }
}

polder::main!();
