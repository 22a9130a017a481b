//! A thousand scenarios in a hundred suites, each with two machines that are only in memory: what an environment costs that needs
//! no lab.

use polder::prelude::*;

#[macro_use]
mod many;

groups!((env = "memory.yaml") a b c d e f g h i j);

#[polder::suite(env = "memory.yaml")]
mod real {
    use super::*;

    /// So that it is known that there are machines.
    #[test]
    async fn both_run(one: &Vm, two: &Vm) -> Result {
        for vm in [one, two] {
            ensure!(
                vm.state().await? == polder::provider::MachineState::Running,
                "{} does not run",
                vm.name()
            );
        }
        Ok(())
    }
}

polder::main!();
