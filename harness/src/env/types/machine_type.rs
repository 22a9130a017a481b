//! What a type of machines is, and how machines take after it while they are planned.

use std::{fmt::Debug, sync::Arc};

use super::ovirt;
use crate::{
    base::dial::BoxFuture,
    env::{
        Vm,
        plan::{PlanError, TYPE},
    },
    initfile::{EnvSpec, spec::MachineSpec},
};

/// A type of machines, named by `vm-type` in init files.
pub trait MachineType: Debug + Send + Sync {
    /// What it is called there.
    fn name(&self) -> &str;

    /// Adds to a machine of the type what all of them have, before anything is decided: artifacts, roles, capabilities,
    /// scripts, and whether they are waited for.
    ///
    /// # Errors
    /// What of the machine does not go with its type.
    fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()> {
        let _ = machine;
        Ok(())
    }

    /// How many machines of it an environment has at most.
    fn at_most(&self) -> Option<usize> {
        None
    }

    /// Prepares a machine that answers; once, but again when it failed or was cut short.
    fn set_up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, anyhow::Result<()>> {
        let _ = vm;
        Box::pin(async { Ok(()) })
    }

    /// Waits until a machine that answers and is set up is up: until its services run, for example.
    fn up<'a>(&'a self, vm: &'a Vm) -> BoxFuture<'a, anyhow::Result<()>> {
        let _ = vm;
        Box::pin(async { Ok(()) })
    }
}

/// The type of machines that are of no other.
#[derive(Debug)]
struct Default;

impl MachineType for Default {
    fn name(&self) -> &str {
        TYPE
    }
}

/// The types that ship.
pub(in crate::env) fn builtin() -> Vec<Arc<dyn MachineType>> {
    let ovirt = ovirt::TYPES.into_iter().map(|one| Arc::new(one) as Arc<dyn MachineType>);
    std::iter::once(Arc::new(Default) as Arc<dyn MachineType>).chain(ovirt).collect()
}

/// Lets each machine take after its type, where `types` has it; returns all that does not fit.
pub(in crate::env) fn shape(spec: &mut EnvSpec, types: &[Arc<dyn MachineType>]) -> Vec<PlanError> {
    let mut errors = Vec::new();
    for one in types {
        let is_of_it = |machine: &&mut MachineSpec| machine.vm_type.as_deref().unwrap_or(TYPE) == one.name();
        let most = one.at_most().unwrap_or(usize::MAX);
        for (number, machine) in spec.machines.iter_mut().filter(is_of_it).enumerate() {
            let (at, vm_type) = (machine.place_of("vm-type").clone(), one.name().to_owned());
            if number >= most {
                let machine = machine.name.clone();
                errors.push(PlanError::TooMany { at, machine, vm_type, most });
            } else if let Err(error) = one.shape(machine) {
                let (machine, what) = (machine.name.clone(), format!("{error:#}"));
                errors.push(PlanError::WrongType { at, machine, vm_type, what });
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::initfile::{Options, load_text};

    /// Refuses machines without NICs.
    #[derive(Debug)]
    struct Router;

    impl MachineType for Router {
        fn name(&self) -> &str {
            "router"
        }
        fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()> {
            anyhow::ensure!(!machine.nics.is_empty(), "it has no NIC");
            Ok(())
        }
    }

    fn shaped(domains: &str) -> (EnvSpec, Vec<String>) {
        let text = format!("domains: {{{domains}}}\nnets: {{lan: {{}}}}\n");
        let mut spec = load_text(Path::new("/x/lab.yaml"), &text, &Options::new(&|_| None)).unwrap().spec;
        let types: Vec<_> = builtin().into_iter().chain([Arc::new(Router) as Arc<dyn MachineType>]).collect();
        let errors = shape(&mut spec, &types).iter().map(ToString::to_string).collect();
        (spec, errors)
    }

    #[test]
    fn machines_take_after_their_types() {
        let (spec, errors) = shaped(
            "e: {vm-type: ovirt-engine, artifacts: [/var/log/ovirt-engine, /x]},
             h: {vm-type: ovirt-he-host, roles: [host, spare]},
             n: {vm-type: ovirt-node, artifacts: [/var/log]},
             d: {}, r: {vm-type: router, nics: [{net: lan}]}, z: {vm-type: unknown}",
        );
        assert_eq!(errors, [""; 0]);
        let said: Vec<String> = spec
            .machines
            .iter()
            .map(|m| format!("{} {} | {} | {}", m.name, m.roles.join(" "), m.artifacts.join(" "), m.awaited))
            .collect();
        assert_eq!(
            said,
            [
                "e engine | /var/log/ovirt-engine /x | true",
                "h host spare he-host | /var/log/vdsm /var/log/ovirt-hosted-engine-setup \
                 /var/log/ovirt-hosted-engine-ha | true",
                "n host node |  | false",
                "d  |  | true",
                "r  |  | true",
                "z  |  | true",
            ]
        );
    }

    #[test]
    fn everything_that_does_not_fit_is_told() {
        let (_, errors) = shaped(
            "a: {vm-type: ovirt-engine}, b: {vm-type: ovirt-engine},
             c: {metadata: {ovirt-role: engine}}, d: {vm-type: router}",
        );
        assert_eq!(
            errors,
            [
                "/x/lab.yaml:1:52: machine `b` is one `ovirt-engine` too many: an environment has at most 1",
                "/x/lab.yaml:2:14: machine `c` is one `ovirt-engine` too many: an environment has at most 1",
                "/x/lab.yaml:2:64: machine `d` is no `router`: it has no NIC",
            ]
        );
    }
}
