//! A suite whose parameters name what its init file does not have.

use polder::prelude::*;

#[polder::suite(env = "unbootable.yaml")]
mod wrong_names {
    use super::*;

    #[setup]
    async fn prepare(wan: &Net) {
        let _ = wan;
    }

    #[test]
    async fn asks_for_too_much(web: &Vm, wbe: &Vm, #[role("engine")] engine: &Vm) {
        let _ = (web, wbe, engine);
    }
}

#[polder::suite]
mod without_file {
    use super::*;

    #[test]
    async fn asks_for_a_machine(web: &Vm) {
        let _ = web;
    }

    #[test]
    async fn asks_for_nothing() {}

    #[test]
    async fn asks_for_the_outcome(outcome: &Outcome) {
        let _ = outcome;
    }

    #[test]
    async fn asks_for_a_portal(cvp: &Cvp) {
        let _ = cvp;
    }

    #[test]
    async fn asks_for_a_change(mtu: &NamedChange) {
        let _ = mtu;
    }
}

#[polder::suite(env = "unbootable.yaml", changes = "broken.yaml")]
mod broken_changes {
    use super::*;

    #[test]
    async fn asks_for_one(whatever: &NamedChange, net: &Net) {
        let _ = (whatever, net);
    }
}

#[polder::suite(changes = "named.yaml")]
mod other_changes {
    use super::*;

    #[test]
    async fn asks_for_one(first_nte: &NamedChange) {
        let _ = first_nte;
    }
}

polder::main!();
