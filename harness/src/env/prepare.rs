//! Everything that is decided before anything is made: images, accelerator, keys, and with them the plan.

use std::{collections::BTreeMap, path::Path};

use super::{
    EnvError, Host, Progress,
    keys::Keys,
    plan::{self, EnvPlan, PlanInputs},
};
use crate::{
    image::ImageInfo,
    initfile::{EnvSpec, spec::DiskSource},
    lab::{
        accel::{self, Accel, Choice},
        paths::{INSIDE_ENV, INSIDE_STORE},
    },
};

/// What is decided.
pub(super) struct Prepared {
    pub(super) plan: EnvPlan,
    pub(super) keys: Keys,
    /// Factor by which deadlines are stretched.
    pub(super) factor: f64,
}

/// Gets images, keys and an accelerator, and decides the rest.
pub(super) async fn prepare(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<Prepared, EnvError> {
    let images = images(host, spec, progress).await?;
    let choice = accelerator(host, &images, progress).await?;
    let keys = Keys::generate(spec.machines.iter().map(|m| &m.name))?;
    let inputs = PlanInputs {
        images: &images,
        accel: choice.accel,
        lab_env_dir: Path::new(INSIDE_ENV),
        lab_store_dir: Path::new(INSIDE_STORE),
        store_root: &host.images.folder(),
        authorized_key: &keys.authorized()?,
        host_keys: keys.hosts(),
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
