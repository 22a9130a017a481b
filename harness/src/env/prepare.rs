//! Everything that is decided before anything is made: images, accelerator, keys, and with them the plan.

use std::collections::BTreeMap;

use super::{
    EnvError, Host, Progress,
    keys::Keys,
    plan::{self, EnvPlan, LOCAL, PlanInputs, SSH},
};
use crate::{
    image::ImageInfo,
    initfile::{EnvSpec, spec::DiskSource},
    lab::{
        View,
        accel::{self, Accel, Choice},
    },
    net::Scope,
    provider::libvirt::Cpus,
};

/// The uuid of an environment that nobody else sees.
pub(super) const ALONE: &str = "00000000000000000000000000000000";

/// What is decided.
pub(super) struct Prepared {
    pub(super) plan: EnvPlan,
    pub(super) keys: Keys,
    /// Factor by which deadlines are stretched.
    pub(super) factor: f64,
}

/// Gets images, keys and an accelerator, and decides the rest.
pub(super) async fn prepare(
    host: &Host,
    spec: &EnvSpec,
    uuid: &str,
    progress: &Progress,
) -> Result<Prepared, EnvError> {
    let images = images(host, spec, progress).await?;
    let choice = accelerator(host, &images, progress).await?;
    let keys = Keys::generate(spec.machines.iter().map(|m| &m.name))?;
    let picky = spec.machines.iter().any(|machine| machine.cpu.model.is_some());
    let inputs = PlanInputs {
        view: &View::hermetic(),
        accel: choice.accel,
        cpus: &if picky { Cpus::of_host() } else { Cpus::default() },
        uuid,
        scope: &Scope::hermetic(),
        owner: None,
        images: &images,
        image_store: &host.images.folder(),
        templates: &BTreeMap::new(),
        template_store: &host.template_store(),
        template_names: &[],
        downloads: &BTreeMap::new(),
        backing: &BTreeMap::new(),
        authorized_key: &keys.authorized()?,
        host_keys: keys.hosts(),
        vm_types: &["default"],
        providers: &[LOCAL, SSH],
    };
    let plan = plan::plan(spec, &inputs)?;
    Ok(Prepared { plan, keys, factor: choice.factor })
}

/// Every image the file names, built where it is missing.
async fn images(
    host: &Host,
    spec: &EnvSpec,
    progress: &Progress,
) -> Result<BTreeMap<String, ImageInfo>, EnvError> {
    let mut images = BTreeMap::new();
    let names = spec.machines.iter().flat_map(|m| &m.disks).filter_map(|disk| match &disk.source {
        DiskSource::Template { name, .. } => Some(name),
        _ => None,
    });
    for name in names {
        // An unknown name is the plan's to report, with everything else that is wrong.
        if let (false, Ok(recipe)) = (images.contains_key(name), crate::image::recipe(name)) {
            let tell = |text: &str| progress.say(text);
            images.insert(name.clone(), host.images.ensure(recipe, &host.lab, &tell).await?);
        }
    }
    Ok(images)
}

async fn accelerator(
    host: &Host,
    images: &BTreeMap<String, ImageInfo>,
    progress: &Progress,
) -> Result<Choice, EnvError> {
    let canary = match images.values().next() {
        Some(image) => image.clone(),
        None => {
            host.images
                .ensure(crate::image::recipe("minimal")?, &host.lab, &|text| progress.say(text))
                .await?
        }
    };
    let kernel = canary.dir.join(&canary.kernel);
    let initrd = canary.dir.join(&canary.initrd);
    let choice = accel::choose(&host.lab, &host.accel, &kernel, &initrd).await?;
    if choice.accel == Accel::Tcg {
        progress.say(&format!(
            "guests run under TCG: {}; deadlines are {:.1} times as long",
            choice.why, choice.factor
        ));
    }
    Ok(choice)
}
