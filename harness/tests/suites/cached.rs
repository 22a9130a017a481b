//! Suites whose set-ups and first scenarios leave states for later runs.

use polder::prelude::*;

#[polder::suite(env = "one.yaml", timeout = "3m")]
mod states {
    use super::*;

    async fn note(vm: &Vm, what: &str) -> Result {
        vm.succeed(format!("echo {what} >> /root/steps; echo {what} >> /run/steps; sync").as_str()).await?;
        Ok(())
    }

    async fn were(vm: &Vm, steps: &str) -> Result {
        for folder in ["/root", "/run"] {
            let found = vm.succeed(format!("cat {folder}/steps | tr '\\n' ' '").as_str()).await?;
            ensure!(found.trim() == steps, "in {folder}: {found:?}");
        }
        Ok(())
    }

    #[setup(cached)]
    async fn prepare(only: &Vm) -> Result {
        note(only, "prepare").await
    }

    #[test]
    async fn unrelated(only: &Vm) -> Result {
        only.succeed("touch /root/unrelated").await?;
        Ok(())
    }

    #[test(cached)]
    async fn first(only: &Vm) -> Result {
        were(only, "prepare").await?;
        note(only, "first").await
    }

    #[test(from(first))]
    async fn second(only: &Vm) -> Result {
        were(only, "prepare first").await?;
        note(only, "second").await
    }

    #[test(from(first))]
    async fn third(only: &Vm) -> Result {
        were(only, "prepare first").await
    }
}

/// The machine is a device of the suite's own portal.
#[polder::suite(env = "one.yaml", cvp, timeout = "3m")]
mod devices {
    use super::*;

    const NTP: [&str; 3] = ["ntp server 192.0.2.1\n", "ntp server 192.0.2.2\n", "ntp server 192.0.2.3\n"];

    /// That the machine runs this, as far as it and its portal know.
    async fn runs(only: &Vm, cvp: &Cvp, ntp: &str) -> Result {
        let file = only.succeed("cat /etc/polder/startup-config").await?;
        let known = cvp.running_config(only).await?;
        ensure!(file.trim() == ntp.trim() && known.trim() == ntp.trim(), "{file:?} and {known:?}");
        ensure!(cvp.compliance(only).await?.is_in_sync(), "it is not what is designed");
        Ok(())
    }

    #[setup(cached)]
    async fn prepare(only: &Vm, cvp: &Cvp) -> Result {
        cvp.onboard([only]).await?;
        cvp.configlet("ntp").content(NTP[0]).on([only]).deploy().await?;
        Ok(())
    }

    #[test(cached)]
    async fn first(only: &Vm, cvp: &Cvp) -> Result {
        runs(only, cvp, NTP[0]).await?;
        cvp.add_container("rack", "Tenant").await?;
        cvp.move_device(only.name().as_str(), &cvp.named("rack")).await?;
        cvp.configlet("ntp").content(NTP[1]).deploy().await?;
        Ok(())
    }

    #[test(from(first))]
    async fn second(only: &Vm, cvp: &Cvp) -> Result {
        runs(only, cvp, NTP[1]).await?;
        let (device, containers) =
            (cvp.device(only.name().as_str()).await?, cvp.client().containers().await?);
        ensure!(Some(device.ip.as_str()) == only.ip().map(|ip| ip.to_string()).as_deref(), "{device:?}");
        let rack = containers.iter().find(|one| one.name == cvp.named("rack")).context("it is there")?;
        ensure!(device.container == rack.key, "{device:?}");
        only.succeed("echo vlan 7 >> /etc/polder/startup-config").await?;
        ensure!(!cvp.compliance(only).await?.is_in_sync(), "the portal does not ask the machine");
        cvp.configlet("ntp").content(NTP[2]).deploy().await?;
        runs(only, cvp, NTP[2]).await
    }

    #[test(from(first))]
    async fn third(only: &Vm, cvp: &Cvp) -> Result {
        runs(only, cvp, NTP[1]).await
    }
}

polder::main!();
