//! A machine that is worth a look after its suite has failed, if the suite is told to.

use polder::prelude::*;

#[polder::suite(env = "one.yaml", timeout = "5m")]
mod kept {
    use super::*;

    #[test]
    async fn leaves_a_mark(only: &Vm, artifacts: &Artifacts) -> Result {
        only.write_file("/root/mark", "seen").await?;
        // In memory alone.
        only.succeed(
            "echo here > /run/mark; setsid sleep 5000 < /dev/null > /dev/null 2>&1 & echo $! > /run/pid",
        )
        .await?;
        artifacts.add("begun", "")?;
        match std::env::var("POLDER_KEPT_TEST").as_deref() {
            Ok("fail") => bail!("failed on purpose"),
            Ok("hang") => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

polder::main!();
