//! Suites with a session at a portal: one that is as it should be, and others that fail, leak or go on until they are stopped.

use polder::prelude::*;

const NTP: &str = "ntp server 192.0.2.1\n";

/// What the device called `name` runs.
async fn running(cvp: &Cvp, name: &str) -> Result<String> {
    let device = cvp.device(name).await?;
    Ok(cvp.client().running_config(&device.mac).await?)
}

#[polder::suite(cvp)]
mod tidy {
    use super::*;

    #[setup]
    async fn prepare(cvp: &Cvp) -> Result {
        cvp.configlet("ntp").content(NTP).on(["leaf-1", "leaf-2"]).deploy().await?;
        Ok(())
    }

    #[test]
    async fn runs_what_was_set_up(cvp: &Cvp) -> Result {
        for leaf in ["leaf-1", "leaf-2"] {
            let runs = running(cvp, leaf).await?;
            ensure!(runs.contains(NTP.trim()), "{leaf} runs {runs}");
        }
        Ok(())
    }

    #[test]
    fn blocks_its_thread(cvp: &Cvp) -> Result {
        let devices = polder::block_on(cvp.client().devices())?;
        ensure!(devices.len() == 4, "{devices:?}");
        Ok(())
    }

    #[teardown]
    async fn still_there(cvp: &Cvp) -> Result {
        ensure!(running(cvp, "leaf-1").await?.contains(NTP.trim()), "it was set back too early");
        Ok(())
    }
}

#[polder::suite(cvp = "portals.json")]
mod with_state {
    use super::*;

    #[test]
    async fn has_the_devices_of_its_file(cvp: &Cvp) -> Result {
        let devices = cvp.client().devices().await?;
        ensure!(devices.iter().map(|device| device.name()).eq(["tor-1"]), "{devices:?}");
        Ok(())
    }
}

#[polder::suite(cvp)]
mod panics {
    use super::*;

    #[test]
    async fn in_the_middle(cvp: &Cvp) {
        cvp.configlet("ntp").content(NTP).on(["leaf-1"]).deploy().await.unwrap();
        panic!("no harbour");
    }
}

#[polder::suite(cvp)]
mod leaky {
    use super::*;

    #[test]
    async fn makes_things_behind_the_sessions_back(cvp: &Cvp) -> Result {
        cvp.client().add_configlet(&cvp.named("mine"), "x").await?;
        let (configlet, _) = cvp.configlet("held").content(NTP).make().await?;
        let device = cvp.device("leaf-1").await?;
        cvp.client().put_on_device(&device, &[configlet]).await?;
        Ok(())
    }
}

#[polder::suite(cvp)]
mod endless {
    use super::*;

    #[test]
    async fn goes_on_and_on(cvp: &Cvp, artifacts: &Artifacts) -> Result {
        cvp.configlet("ntp").content(NTP).on(["leaf-1"]).deploy().await?;
        artifacts.add("begun", "")?;
        std::future::pending().await
    }
}

/// Everything a session can do, for those who kill it in the middle. It finds `shared`, which the container `Demo` holds.
#[polder::suite(cvp, if_var = "FIXTURE_BUSY")]
mod busy {
    use super::*;

    #[test]
    async fn does_everything(cvp: &Cvp) -> Result {
        cvp.add_container("rack", "Tenant").await?;
        cvp.configlet("ntp").content(NTP).on(["leaf-1", "leaf-2"]).deploy().await?;
        cvp.move_device("leaf-3", &cvp.named("rack")).await?;
        cvp.existing_configlet("shared").content("ip domain-name b.test\n").deploy().await?;
        let dns = cvp.configlet("dns").content("ip name-server 192.0.2.2\n");
        dns.on_containers(["Demo"]).on_containers([cvp.named("rack")]).deploy().await?;
        cvp.configlet("ntp").content("ntp server 192.0.2.9\n").deploy().await?;
        cvp.existing_configlet("shared").on_containers(["Demo"]).remove().await?;
        cvp.configlet("ntp").on(["leaf-2"]).remove().await?;
        Ok(())
    }
}

polder::main!();
