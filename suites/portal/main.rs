//! What a suite does with a CloudVision Portal: it configures devices, looks at what became of it, and leaves the portal as it
//! was, whatever way it ends.
//!
//! `cargo test -p polder-suites --test portal` needs no portal: the suite has one of its own, which begins as `portal.json`
//! says. It runs at a real one when that is named: `POLDER_CVP_URL=https://cvp1.lab POLDER_CVP_USER=.. POLDER_CVP_PASSWORD=..`;
//! then there have to be devices `leaf-1` and `leaf-2` below a container `Leafs` that holds a configlet `baseline`.
//!
//! All that was asked and answered is in `target/polder/latest/leafs/cvp.har`, which browsers open.

use polder::{log, prelude::*};

#[polder::suite(cvp = "portal.json", timeout = "10m")]
mod leafs {
    use super::*;

    /// What the session makes has the suite's prefix at the portal, so that nobody else's `ntp` is in the way.
    #[setup]
    async fn keep_time(cvp: &Cvp) -> Result {
        let deployed =
            cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1", "leaf-2"]).deploy().await?;
        log!("{} was deployed by {} tasks", deployed.configlet, deployed.tasks.len());
        Ok(())
    }

    #[test]
    async fn devices_run_what_was_deployed(cvp: &Cvp) -> Result {
        for leaf in ["leaf-1", "leaf-2"] {
            let runs = cvp.running_config(leaf).await?;
            ensure!(runs.contains("ntp server 192.0.2.1"), "{leaf} runs\n{runs}");
        }
        Ok(())
    }

    /// Another text reaches every device that holds the configlet, whoever is named.
    #[test]
    async fn another_text_reaches_all_that_hold_it(cvp: &Cvp) -> Result {
        cvp.configlet("ntp").content("ntp server 192.0.2.9\n").deploy().await?;
        ensure!(cvp.running_config("leaf-2").await?.contains("ntp server 192.0.2.9"));
        Ok(())
    }

    /// `baseline` is not ours. It gets its text back when the session ends; until then no other session may change it.
    #[test]
    async fn what_others_made_is_borrowed(cvp: &Cvp) -> Result {
        cvp.existing_configlet("baseline").content("ip domain-name other.test\n").deploy().await?;
        ensure!(cvp.running_config("leaf-1").await?.contains("ip domain-name other.test"));
        cvp.existing_configlet("baseline").on_containers(["Leafs"]).remove().await?;
        ensure!(!cvp.running_config("leaf-1").await?.contains("ip domain-name"));
        Ok(())
    }

    /// A container of our own, and what holds for all devices in it.
    #[test]
    async fn a_rack_has_its_configlets(cvp: &Cvp) -> Result {
        let rack = cvp.add_container("rack-7", "Leafs").await?;
        cvp.move_device("leaf-2", &rack.name).await?;
        cvp.configlet("dns")
            .content("ip name-server 192.0.2.53\n")
            .on_containers([&rack.name])
            .deploy()
            .await?;
        ensure!(cvp.running_config("leaf-2").await?.contains("ip name-server 192.0.2.53"));
        ensure!(!cvp.running_config("leaf-1").await?.contains("ip name-server"));
        Ok(())
    }

    #[test]
    async fn what_is_taken_off_does_not_run_any_more(cvp: &Cvp) -> Result {
        cvp.configlet("ntp").on(["leaf-1"]).remove().await?;
        ensure!(!cvp.running_config("leaf-1").await?.contains("ntp server"));
        Ok(())
    }

    /// A device that refuses its configuration fails the change, and the error says which one and why.
    #[test]
    async fn what_a_device_refuses_is_told(cvp: &Cvp) -> Result {
        let typo = cvp.configlet("typo").content("frobnicate everything\n").on(["leaf-1"]);
        let error = typo.deploy().await.err().context("it should have been refused")?.to_string();
        ensure!(error.contains("frobnicate"), "{error}");
        Ok(())
    }
}

polder::main!();
