//! What the functional tests of Lago ask of an environment, on two machines, each as a few lines: that it is what its file says, and
//! what is done to it from the first command to the last stop. What they ask of the command line and of prefixes is in the tests
//! of `polder` itself.

use std::fs;

use polder::{
    env::{CollectOptions, DeployOptions, Progress, Selection, SnapshotOptions},
    guest::Caps,
    prelude::*,
    provider::MachineState::{Absent, Running},
};

#[polder::suite(env = "environment.yaml", timeout = "10m")]
mod environment {
    use super::*;

    #[test]
    async fn has_what_its_file_says(env: &Env, server: &Vm, lan: &Net, wire: &Net) -> Result {
        let names = |all: Vec<Vm>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        ensure!(names(env.vms()) == ["server", "client"]);
        ensure!(names(env.with_role("web")) == ["server"]);
        ensure!(server.plan().metadata.get("floor") == Some(&3.into()));
        ensure!(server.ip_on(lan) == Some("192.168.210.10".parse()?) && server.ip_on(wire).is_none());
        ensure!(lan.gateway() == Some("192.168.210.1".parse()?));
        ensure!((lan.is_management(), wire.is_management(), wire.mtu()) == (true, false, 1400));
        ensure!(
            lan.resolve("mirror") == lan.resolve("mirror.environment.test")
                && lan.resolve("other").is_empty()
        );
        Ok(())
    }

    #[test]
    async fn is_up(env: &Env, server: &Vm, client: &Vm) -> Result {
        let status = env.status().await?.prefix;
        for vm in [server, client] {
            ensure!(vm.state().await? == Running);
            vm.wait_for_ssh(secs(20)).await?;
        }
        ensure!(status.machines.values().all(|vm| vm.status == "running"));
        ensure!(status.nets.values().all(|net| net.status == "up"));
        Ok(())
    }

    #[test(case(
        its_name = ("hostname", "server"),
        its_whole_name = ("hostname -f", "server.environment.test"),
        its_address = ("ip -o -4 addr show eth0 | grep -o '192[0-9.]*/'", "192.168.210.10/"),
        a_pipe = ("printf 'b\\na\\n' | sort | head -n 1", "a"),
    ))]
    async fn says_what_it_is_asked(#[case] asked: &(&str, &str), server: &Vm) -> Result {
        let said = server.succeed(asked.0).await?;
        ensure!(said.trim() == asked.1, "it said {said:?}");
        Ok(())
    }

    #[test(values("server", "server.environment.test", "192.168.210.10"))]
    async fn is_reached_by(#[case] name: &&str, client: &Vm) -> Result {
        client.until_ping(name).within(secs(10)).await?;
        Ok(())
    }

    #[test]
    async fn a_name_is_served_as_long_as_it_is_there(client: &Vm, lan: &Net) -> Result {
        client.succeed("nslookup mirror.environment.test").await?;
        lan.add_record("store", "192.168.210.78".parse()?).await?;
        client.wait_until_succeeds("nslookup store.environment.test", secs(10)).await?;
        lan.remove_record("store").await?;
        client.wait_until_fails("nslookup store.environment.test", secs(10)).await?;
        Ok(())
    }

    #[test]
    async fn is_deployed(env: &Env, server: &Vm) -> Result {
        let deployed = env.deploy(&DeployOptions::default(), &quiet()).await?;
        ensure!(deployed.len() == 2, "{deployed:?}");
        ensure!(server.succeed("cat /srv/site/index.txt").await? == "hello from server at 192.168.210.10\n");
        Ok(())
    }

    #[test(after(is_deployed))]
    async fn a_folder_comes_and_goes(server: &Vm, client: &Vm, artifacts: &Artifacts) -> Result {
        let here = artifacts.path("site")?;
        server.copy_from("/srv/site", &here).await?;
        client.copy_to(&here, "/srv/copy").await?;
        let all = "find . -type f | sort | xargs cat";
        let (one, other) = (format!("cd /srv/site && {all}"), format!("cd /srv/copy && {all}"));
        ensure!(server.succeed(one).await? == client.succeed(other).await?);
        Ok(())
    }

    #[test(case(nothing = "/not/there", nothing_below_a_file = "/etc/passwd/x", an_empty_path = ""))]
    async fn what_is_not_there_does_not_come(
        #[case] path: &&str,
        server: &Vm,
        artifacts: &Artifacts,
    ) -> Result {
        let here = artifacts.path("nothing")?;
        ensure!(server.copy_from(path, &here).await.is_err() && !here.exists());
        Ok(())
    }

    #[test(after(is_deployed))]
    async fn is_collected(env: &Env, artifacts: &Artifacts) -> Result {
        collect(env, artifacts).await
    }

    /// Files and what runs are as they were.
    #[test(after(is_deployed))]
    async fn goes_back_to_a_snapshot(env: &Env, server: &Vm) -> Result {
        env.snapshot("fresh", &SnapshotOptions::default(), &quiet()).await?;
        ensure!(env.snapshots().iter().any(|snapshot| snapshot.name == "fresh"));
        let machines = env.status().await?.prefix.machines;
        ensure!(machines.values().all(|vm| vm.snapshots == "fresh"));
        server.succeed("rm -r /srv/site && sync").await?;
        env.revert("fresh", &quiet()).await?;
        env.start(&Selection::All, &quiet()).await?;
        env.wait_ready(&Selection::All, &quiet()).await?;
        server.succeed("grep hello /srv/site/index.txt").await?;
        env.delete_snapshot("fresh").await?;
        Ok(())
    }

    /// One machine after the other; a net is up exactly as long as a machine needs it, and what runs may be started again.
    #[test(after(is_deployed))]
    async fn stops_and_starts_in_parts(
        env: &Env,
        server: &Vm,
        client: &Vm,
        lan: &Net,
        wire: &Net,
        artifacts: &Artifacts,
    ) -> Result {
        let client_alone = Selection::Named(vec!["client".into()]);
        env.shutdown(&client_alone, secs(20), &quiet()).await?;
        let states = (client.state().await?, server.state().await?);
        ensure!(states == (Absent, Running), "{states:?}");
        ensure!((wire.is_alive().await?, lan.is_alive().await?) == (false, true));
        env.start(&Selection::All, &quiet()).await?;
        env.start(&Selection::All, &quiet()).await?;
        env.wait_ready(&Selection::All, &quiet()).await?;
        ensure!(wire.is_alive().await?);
        client.until_ping("server").within(secs(10)).await?;

        server.succeed("sync").await?;
        server.stop().await?;
        ensure!(server.state().await? == Absent);
        collect(env, artifacts).await.context("of a machine that is off")
    }
}

/// Collects what the init file names: what is there comes, and what is not is told and stops nothing.
async fn collect(env: &Env, artifacts: &Artifacts) -> Result {
    let to = artifacts.path("collected")?;
    let machines = Selection::Named(vec!["server".into()]);
    let caps = Caps { path: 1 << 20, machine: 8 << 20 };
    let options = CollectOptions { machines, to: to.clone(), caps };
    let manifest = env.collect_to(&options, &quiet()).await?;
    ensure!(fs::read_to_string(to.join("server/_srv_greeting"))?.starts_with("hello from server"));
    ensure!(fs::read_to_string(to.join("server/_srv_site/pages/more.txt"))? == "more\n");
    ensure!(!to.join("server/_not_there").exists());
    ensure!(format!("{manifest:?}").contains("_not_there"), "{manifest:?}");
    Ok(())
}

fn quiet() -> Progress {
    Progress::new(|_| {})
}

polder::main!();
