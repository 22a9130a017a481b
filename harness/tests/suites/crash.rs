//! A guest whose kernel panics under a command.

use polder::prelude::*;

#[polder::suite(env = "one.yaml", timeout = "5m")]
mod crash {
    use super::*;

    #[test]
    async fn the_kernel_panics(only: &Vm) -> Result {
        only.succeed("echo c >/proc/sysrq-trigger; sleep 60").await?;
        Ok(())
    }

    #[test(after(the_kernel_panics))]
    async fn not_run() {}
}

polder::main!();
