//! Suites that fail and are looked into: they stand still, stay, and choose by chance.

use polder::{net::Impairment, prelude::*};

const NTP: &str = "ntp server 192.0.2.1\n";

#[polder::suite(env = "one.yaml", changes = "debugged.yaml", cvp, timeout = "5m")]
mod debugged {
    use super::*;

    #[test]
    async fn breaks(mark: &NamedChange, only: &Vm, cvp: &Cvp) -> Result {
        mark.apply().await?;
        ensure!(only.succeed("cat /root/mark").await?.trim() == "only changed");
        cvp.configlet("ntp").content(NTP).on(["leaf-1"]).deploy().await?;
        bail!("broken on purpose")
    }

    #[test]
    async fn goes_on(only: &Vm, lan: &Net) -> Result {
        let lossy = Impairment { loss: 1.0, ..Impairment::default() };
        let worse = lan.link(only).context("it is on lan")?.impair(lossy).await?;
        ensure!(worse.seed().is_some());
        only.succeed("test -e /root/seen").await?;
        worse.heal().await?;
        Ok(())
    }
}

#[polder::suite(cvp)]
mod bare {
    use super::*;

    #[test]
    async fn breaks(cvp: &Cvp) -> Result {
        cvp.configlet("ntp").content(NTP).on(["leaf-1"]).deploy().await?;
        bail!("broken on purpose")
    }
}

#[polder::suite(timeout = "2s")]
mod limited {
    use super::*;

    #[test]
    async fn breaks() -> Result {
        bail!("broken on purpose")
    }

    #[test]
    async fn goes_on() {}
}

#[polder::suite]
mod also {
    use super::*;

    #[test]
    async fn breaks_too() -> Result {
        bail!("broken, too")
    }
}

#[polder::suite]
mod beside {
    #[test]
    async fn passes() {}
}

#[polder::suite]
mod by_chance {
    use super::*;

    #[test(retries = 1)]
    async fn chooses(chance: &Chance, other: &Chance, artifacts: &Artifacts) -> Result {
        let words = ["a", "b", "c", "d"];
        let one = |chance: &Chance| format!("{:?} {}\n", chance.pick(&words), chance.below(1_000_000));
        let chosen = [one(chance), one(chance), one(other)].concat();
        let path = artifacts.path("chosen")?;
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, before + &chosen)?;
        bail!("whatever was chosen")
    }

    #[test]
    async fn fails_without_it() -> Result {
        bail!("as ever")
    }
}

polder::main!();
