//! A machine, and a scenario during which somebody is killed who is needed.

use polder::prelude::*;

#[polder::suite(env = "one.yaml", timeout = "5m")]
mod struck {
    use super::*;

    #[test]
    async fn before(only: &Vm) -> Result {
        only.succeed("true").await?;
        Ok(())
    }

    #[test]
    async fn amid(only: &Vm, artifacts: &Artifacts) -> Result {
        let begun = async { artifacts.add("begun", "") };
        let (_, ended) = tokio::join!(begun, only.succeed("sleep 1000"));
        // However it takes that.
        match std::env::var_os("FIXTURE_PANICS") {
            Some(_) => drop(ended.unwrap()),
            None => drop(ended?),
        }
        Ok(())
    }

    #[test(after(amid))]
    async fn depends() -> Result {
        bail!("it was run")
    }

    #[test]
    async fn apart(only: &Vm) -> Result {
        bail!("it was run on {}", only.name())
    }
}

polder::main!();
