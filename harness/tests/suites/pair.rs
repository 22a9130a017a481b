//! Two small machines, for tests that kill whoever runs them: a life of some seconds with all its phases.

use polder::{
    base::dial::BoxFuture, cli::Extensions, env::MachineType, initfile::spec::MachineSpec, prelude::*,
};

/// Machines that are nodes, and are told so.
#[derive(Debug)]
struct Node;

impl MachineType for Node {
    fn name(&self) -> &str {
        "node"
    }
    fn shape(&self, machine: &mut MachineSpec) -> Result {
        machine.roles.push("node".into());
        Ok(())
    }
    fn set_up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, Result> {
        Box::pin(async move { Ok(vm.write_file("/root/type", "a node").await?) })
    }
}

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

    #[test]
    async fn mistakes_are_blamed_on_their_line(left: &Vm) -> Result {
        let (user, at) = (Command::new("id").user("a b"), line!());
        let Err(error) = left.execute(user.cwd("/")).await else { bail!("it was run") };
        let told = format!("{:#}", anyhow::Error::from(error));
        let place = format!("`a b` is not a name for a user (harness/tests/suites/pair.rs:{at})");
        ensure!(told.ends_with(&place), "{told}");
        let (page, at) = (Http::get(80, "index.html"), line!());
        let Err(error) = left.wait_for_http(&page, secs(600)).await else { bail!("it was asked") };
        let place = format!("does not begin with `/` (harness/tests/suites/pair.rs:{at})");
        ensure!(error.to_string().ends_with(&place), "{error}");
        Ok(())
    }

    #[test(needs(capability = "ping", node("ping")))]
    async fn roles_are_asked_for(
        #[role("first_one")] one: &Vm,
        #[role("node")] nodes: &Vms,
        all: &Vms,
    ) -> Result {
        let names = |vms: &Vms| vms.iter().map(|vm| vm.name().to_string()).collect::<Vec<_>>();
        ensure!(one.name().as_str() == "left" && names(nodes) == ["left", "right"], "{one:?} {nodes:?}");
        ensure!(names(all) == names(nodes));
        // By its type, which set it up.
        let right = &all[1];
        ensure!(right.vm_type() == "node" && right.succeed("cat /root/type").await? == "a node");
        Ok(())
    }

    #[test(needs(first_one("ping"), capability = "fly"))]
    async fn needs_more(#[role("first_one")] one: &Vm) -> Result {
        bail!("{} cannot do that", one.name())
    }

    #[test(after(needs_more))]
    async fn comes_after_it() {}

    #[teardown]
    async fn tidy(right: &Vm) -> Result {
        right.succeed("sync").await?;
        Ok(())
    }
}

polder::main!(Extensions::default().machine_type(Node));
