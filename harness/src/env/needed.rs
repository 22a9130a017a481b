//! What an environment needs of its lab: a daemon, and what of the host its machines see. Makes none.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path};

use super::{EnvError, Host, error::file, plan::EnvPlan};
use crate::{
    config::Checkpoints,
    lab::{
        Bind, LabSpec, Payload,
        paths::{INSIDE_CHECKPOINTS, INSIDE_STORE, INSIDE_TEMPLATES},
    },
    net::Outward,
};

/// The lab of an environment whose folder is `env`; without one, it is in the lab's own folder.
pub(super) fn lab_spec(host: &Host, plan: &EnvPlan, env: Option<&Path>) -> Result<LabSpec, EnvError> {
    let kvm = plan.machines.iter().any(|machine| machine.domain.as_ref().is_some_and(|domain| domain.kvm));
    let capability_cache = host.capability_cache(kvm);
    let store = host.images.folder();
    for dir in [&capability_cache, &store] {
        std::fs::create_dir_all(dir).map_err(file("make", dir))?;
    }
    let env = env.map(Path::to_owned);
    let way_out = plan.nets.iter().any(|net| net.outward == Outward::Open);
    let payload = Payload::Libvirtd { kvm, capability_cache, way_out };
    let mut binds = binds(host, plan);
    if host.checkpoints != Checkpoints::Off {
        let from = host.checkpoint_folder.clone();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&from);
        made.map_err(file("make", &from))?;
        // What is kept is written there by the daemon.
        binds.push(Bind { from, to: INSIDE_CHECKPOINTS.into(), writable: true });
    }
    Ok(LabSpec { payload, binds, env })
}

/// What of the host the machines of a plan see at other places.
pub(super) fn binds(host: &Host, plan: &EnvPlan) -> Vec<Bind> {
    let mut binds = vec![Bind { from: host.images.folder(), to: INSIDE_STORE.into(), writable: false }];
    let templates = host.templates.store_dir().to_owned();
    if templates.is_dir() {
        binds.push(Bind { from: templates, to: INSIDE_TEMPLATES.into(), writable: false });
    }
    binds.extend(plan.binds.iter().cloned());
    binds
}
