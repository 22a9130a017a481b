//! Which scenarios cannot be run here, for want of what they need. Judges what it is told; does not look by itself.

use std::collections::BTreeMap;

use crate::env::Names;

use super::{
    check::no_role,
    registry::{Requirement, ScenarioDef, Suite},
};

/// What is there, as far as scenarios can need it.
pub(crate) struct Available<'a> {
    /// Whether KVM can be used, or why not.
    pub(crate) kvm: Result<(), String>,
    /// Whether a portal is configured.
    pub(crate) portal: bool,
    /// Memory of the host that is free, in MiB; absent where the system does not say.
    pub(crate) memory: Option<u64>,
    /// Whether a program of this name can be called.
    pub(crate) has_tool: &'a dyn Fn(&str) -> bool,
    /// What the machines are called, and what they can.
    pub(crate) names: &'a Names,
}

/// The scenarios of `suite` that cannot be run, and all that each lacks.
pub(crate) fn lacking(suite: &Suite, available: &Available<'_>) -> BTreeMap<usize, String> {
    let lacks = |(index, scenario): (usize, &ScenarioDef)| {
        let missing: Vec<String> =
            scenario.needs.iter().filter_map(|need| available.missing(*need)).collect();
        (!missing.is_empty()).then(|| (index, missing.join("; ")))
    };
    suite.def.scenarios.iter().enumerate().filter_map(lacks).collect()
}

/// Why a scenario that needs KVM is not run where it does not work.
pub(super) fn without_kvm(why: &str) -> String {
    format!("needs KVM, which is not used here: {why}")
}

impl Available<'_> {
    /// In words, why a need is not met.
    fn missing(&self, need: Requirement) -> Option<String> {
        let names = self.names;
        match need {
            Requirement::Kvm => self.kvm.as_ref().err().map(|why| without_kvm(why)),
            Requirement::Portal => (!self.portal).then(|| {
                "needs a portal: name one with `POLDER_CVP_URL` and the variables beside it".to_owned()
            }),
            Requirement::Memory { mib } => {
                let free = self.memory.filter(|free| *free < mib)?;
                Some(format!("needs {mib} MiB of memory, of which {free} MiB are free"))
            }
            Requirement::Tool(name) => (!(self.has_tool)(name))
                .then(|| format!("needs the program `{name}`, which is in no folder of `PATH`")),
            Requirement::Role(role) => names.role(role).is_empty().then(|| no_role(role, "", names)),
            Requirement::Capability { role, name } if names.can(role, name) => None,
            Requirement::Capability { role: Some(role), .. } if names.role(role).is_empty() => {
                Some(no_role(role, "", names))
            }
            Requirement::Capability { role: Some(role), name } => {
                Some(format!("no machine of role `{role}` has the capability `{name}`"))
            }
            Requirement::Capability { role: None, name } => {
                Some(format!("no machine has the capability `{name}`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{StepDef, SuiteDef};
    use super::*;

    const fn scenario(needs: &'static [Requirement]) -> ScenarioDef {
        let run = |_| -> crate::base::dial::BoxFuture<'static, crate::Result> { Box::pin(async { Ok(()) }) };
        let step =
            StepDef { name: "x", line: 12, params: &[], timeout: None, plain: false, cached: false, run };
        ScenarioDef { needs, ..ScenarioDef::plain(step) }
    }

    const fn able(role: Option<&'static str>, name: &'static str) -> Requirement {
        Requirement::Capability { role, name }
    }

    static DEF: SuiteDef = SuiteDef::plain(
        "t::demo",
        "tests/demo.rs",
        3,
        &[
            scenario(&[]),
            scenario(&[able(Some("router"), "bgp"), able(Some("router"), "ospf")]),
            scenario(&[able(None, "bgp"), able(None, "tls"), Requirement::Role("router")]),
            scenario(&[able(Some("web_server"), "bgp"), able(Some("router"), "x")]),
            scenario(&[able(Some("host"), "bgp"), Requirement::Role("ruoter")]),
            scenario(&[able(None, "x")]),
            scenario(&[Requirement::Kvm, Requirement::Portal]),
            scenario(&[Requirement::Memory { mib: 2048 }, Requirement::Tool("ls"), Requirement::Tool("dir")]),
        ],
    );

    fn told(available: &Available<'_>) -> Vec<String> {
        let suite = Suite { name: "demo".into(), def: &DEF };
        lacking(&suite, available).into_iter().map(|(index, why)| format!("{index} {why}")).collect()
    }

    #[test]
    fn what_is_lacking_is_told_all_at_once() {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let by = |list: &[(&str, &[&str])]| list.iter().map(|(k, v)| (k.to_string(), owned(v))).collect();
        let names = Names {
            machines: owned(&["r1", "r2", "web-1"]),
            nets: owned(&["lan"]),
            roles: by(&[("router", &["r1", "r2"]), ("web-server", &["web-1"])]),
            capabilities: by(&[("bgp", &["r1"]), ("ospf", &["r2"]), ("tls", &["web-1"])]),
            ..Names::default()
        };
        let mut available = Available {
            kvm: Err("POLDER_ACCEL=tcg".into()),
            portal: false,
            memory: Some(2047),
            has_tool: &|name| name == "ls",
            names: &names,
        };
        let of_machines = [
            "3 no machine of role `web_server` has the capability `bgp`; \
             no machine of role `router` has the capability `x`",
            "4 no machine of role `host`; roles here: router, web-server; \
             no machine of role `ruoter`; did you mean `router`?",
            "5 no machine has the capability `x`",
        ];
        let of_the_host = [
            "6 needs KVM, which is not used here: POLDER_ACCEL=tcg; \
             needs a portal: name one with `POLDER_CVP_URL` and the variables beside it",
            "7 needs 2048 MiB of memory, of which 2047 MiB are free; \
             needs the program `dir`, which is in no folder of `PATH`",
        ];
        assert_eq!(told(&available), [&of_machines[..], &of_the_host].concat());
        (available.kvm, available.portal, available.memory) = (Ok(()), true, Some(2048));
        available.has_tool = &|_| true;
        assert_eq!(told(&available), of_machines);
    }
}
