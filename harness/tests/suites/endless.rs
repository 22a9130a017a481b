//! A suite that goes on until it is stopped. `FIXTURE_SLOW` makes its teardown slow, too.

use std::time::Duration;

use polder::prelude::*;

#[polder::suite]
mod endless {
    use super::*;

    #[test]
    async fn quick() {}

    #[test]
    async fn goes_on_and_on(artifacts: &Artifacts) -> Result {
        artifacts.add("begun", "")?;
        std::future::pending().await
    }

    #[test]
    async fn never_begins() {}

    #[teardown]
    async fn tidy(artifacts: &Artifacts) -> Result {
        artifacts.add("begun", "")?;
        if std::env::var_os("FIXTURE_SLOW").is_some() {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        Ok(artifacts.add("done", "")?)
    }
}

polder::main!();
