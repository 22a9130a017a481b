//! A suite whose set-up and first scenario leave states for later runs.

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

polder::main!();
