//! Everything that is decided before anything is made: images, accelerator, keys, and with them the plan.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    EnvError, Host, Progress,
    bootstrap::{self, Looked},
    daemon::{self, Identity},
    error::chain,
    fetch::{self, Fetched, fetch},
    keys::{self, Keys},
    lease,
    plan::{self, EnvPlan, LOCAL, PlanError, PlanErrors, PlanInputs, Warning},
};
use crate::{
    image::ImageInfo,
    initfile::{EnvSpec, spec::MachineSpec},
    lab::{
        self, LabKind, View,
        accel::{self, Accel, Choice},
    },
    net::Scope,
    provider::{Memory, libvirt::Cpus, spec::Label},
    template::{TemplateDisk, User},
};

/// The uuid of an environment that nobody else sees.
pub(super) const ALONE: &str = "00000000000000000000000000000000";

/// Where an environment is to be.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// Nowhere: it is only planned.
    Nowhere,
    /// In a lab that nothing outlives.
    Alone,
    /// In a prefix, with a lab of its own.
    Prefix(&'a Identity),
    /// In a prefix, on a daemon with others.
    Shared(&'a Identity),
}

impl<'a> Place<'a> {
    fn identity(self) -> Option<&'a Identity> {
        match self {
            Self::Nowhere | Self::Alone => None,
            Self::Prefix(who) | Self::Shared(who) => Some(who),
        }
    }

    fn folder(self) -> Option<&'a Path> {
        self.identity().map(|who| who.folder.as_path())
    }

    fn user(self) -> Option<User> {
        let user = |who: &Identity| User { uuid_path: who.folder.join("uuid"), uuid: who.uuid.clone() };
        self.identity().map(user)
    }
}

/// Everything a plan is decided from, but for keys.
pub(super) struct Gathered {
    /// What is asked for, completed.
    pub(super) spec: EnvSpec,
    /// Factor by which deadlines are stretched.
    pub(super) factor: f64,
    images: BTreeMap<String, ImageInfo>,
    templates: BTreeMap<(String, Option<String>), TemplateDisk>,
    downloads: BTreeMap<String, PathBuf>,
    backing: BTreeMap<PathBuf, Vec<PathBuf>>,
    looked: Looked,
    accel: Accel,
    at: Whereabouts,
}

/// What of a plan depends on where the environment is to be.
struct Whereabouts {
    uuid: String,
    view: View,
    scope: Scope,
    owner: Option<Label>,
}

impl Whereabouts {
    /// In a lab of its own.
    fn hermetic(uuid: &str) -> Self {
        Self { uuid: uuid.to_owned(), view: View::hermetic(), scope: Scope::hermetic(), owner: None }
    }
}

/// Gets images and an accelerator.
pub(super) async fn gather(
    host: &Host,
    spec: &EnvSpec,
    place: Place<'_>,
    progress: &Progress,
) -> Result<Gathered, EnvError> {
    let scratch = host.lab.cache.join("downloads");
    let mut spec = spec.clone();
    // Whatever can be said at once is, before anything is got.
    let mut wrong = check(host, &mut spec).err().map(|errors| errors.0).unwrap_or_default();
    // Which subnets are free is another matter where others have some.
    wrong.retain(|error| !(matches!(place, Place::Shared(_)) && matches!(error, PlanError::Net { .. })));
    match fetch::ask(host, fetch::unknown(host, &spec).1, progress).await {
        Ok(unknown) => wrong.extend(unknown),
        Err(error) if wrong.is_empty() => return Err(error),
        // What is wrong with the file comes first.
        Err(_) => {}
    }
    if !wrong.is_empty() {
        return Err(PlanErrors(wrong).into());
    }
    let to = fetch::To {
        folder: place.folder().unwrap_or(&scratch),
        may_place: !matches!(place, Place::Nowhere),
        user: place.user(),
    };
    let fetched = fetch(host, &spec, &to, progress).await?;
    let looked = bootstrap::look(host, &fetched, progress).await?;
    let Fetched { spec, images, templates, downloads, backing } = fetched;
    let made_here =
        |machine: &MachineSpec| machine.provider.as_deref().is_none_or(|provider| provider == LOCAL);
    let choice = match spec.machines.iter().any(made_here) {
        true => accelerator(host, &images, progress).await?,
        false => Choice { accel: Accel::Tcg, why: String::new(), factor: 1.0 },
    };
    let at = match place {
        Place::Nowhere | Place::Alone => Whereabouts::hermetic(ALONE),
        Place::Prefix(who) => Whereabouts::hermetic(&who.uuid),
        Place::Shared(who) => Whereabouts {
            uuid: who.uuid.clone(),
            view: daemon::view(host, &who.folder),
            scope: lease::lease(host, who, &spec).await?,
            owner: Some(who.label("")?),
        },
    };
    Ok(Gathered {
        accel: choice.accel,
        factor: choice.factor,
        spec,
        images,
        templates,
        downloads,
        backing,
        looked,
        at,
    })
}

impl Gathered {
    /// Keys for all machines.
    pub(super) fn new_keys(&self) -> Result<Keys, EnvError> {
        Keys::generate(self.spec.machines.iter().map(|machine| &machine.name))
    }

    /// Decides the rest; who is let in and how machines are known is all that keys change.
    pub(super) fn decide(&self, host: &Host, keys: &Keys) -> Result<EnvPlan, EnvError> {
        self.decide_at(host, keys, &self.at)
    }

    /// The same as if it were to be in a lab of its own: what is the same wherever it is.
    pub(super) fn decide_anywhere(&self, host: &Host, keys: &Keys) -> Result<EnvPlan, EnvError> {
        self.decide_at(host, keys, &Whereabouts::hermetic(ALONE))
    }

    fn decide_at(&self, host: &Host, keys: &Keys, at: &Whereabouts) -> Result<EnvPlan, EnvError> {
        let picky = self.spec.machines.iter().any(|machine| machine.cpu.model.is_some());
        let inputs = PlanInputs {
            view: &at.view,
            accel: self.accel,
            cpus: &if picky { Cpus::of_host() } else { Cpus::default() },
            uuid: &at.uuid,
            scope: &at.scope,
            owner: at.owner.as_ref(),
            images: &self.images,
            image_store: &host.images.folder(),
            templates: &self.templates,
            template_store: host.templates.store_dir(),
            template_names: &[],
            downloads: &self.downloads,
            backing: &self.backing,
            found: &self.looked.found,
            prints: &self.looked.prints,
            authorized_key: &keys.authorized()?,
            host_keys: keys.hosts(),
            vm_types: &host.type_names(),
            providers: &host.providers,
            service_managers: &host.service_names(),
        };
        Ok(plan::plan(&self.spec, &inputs)?)
    }

    /// The plan for machines that know these keys already, if there are any; else what was decided.
    pub(super) fn decide_again(
        &self,
        host: &Host,
        known: Option<Keys>,
        decided: (EnvPlan, Keys),
    ) -> Result<(EnvPlan, Keys), EnvError> {
        match known {
            Some(known) => Ok((self.decide(host, &known)?, known)),
            None => Ok(decided),
        }
    }

    /// Tells what is strange about a plan of which something is made, and makes the layers its disks lie over.
    pub(super) async fn lay(
        &self,
        host: &Host,
        plan: &EnvPlan,
        place: Place<'_>,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        plan.warnings.iter().for_each(|warning| progress.warn(&warning.to_string()));
        bootstrap::layers(host, plan, place.identity(), progress).await
    }

    /// Digests of the images and templates there are for its disks, by name.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        let images = self.images.iter().map(|(name, image)| (name.clone(), image.digest.clone()));
        let templates = self
            .templates
            .iter()
            .map(|((name, version), disk)| (named(name, version.as_deref()), disk.digest.clone()));
        images.chain(templates).collect()
    }
}

/// A template as people write it.
fn named(name: &str, version: Option<&str>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"))
}

/// Completes `spec`, and says what can be said of it without having any of its images, or asking anybody for one.
pub(super) fn check(host: &Host, spec: &mut EnvSpec) -> Result<Vec<Warning>, PlanErrors> {
    let mut wrong = host.complete(spec);
    wrong.extend(spec.machines.iter().filter_map(unusable_key));
    let picky = spec.machines.iter().any(|machine| machine.cpu.model.is_some());
    let known = plan::Known {
        cpus: &if picky { Cpus::of_host() } else { Cpus::default() },
        vm_types: &host.type_names(),
        providers: &host.providers,
        service_managers: &host.service_names(),
        way_out: host.kind == LabKind::System || lab::pasta().is_some(),
    };
    let checked = plan::check(spec, &known);
    let (unknown, open) = fetch::unknown(host, spec);
    wrong.extend(unknown);
    match checked {
        Ok(mut warnings) if wrong.is_empty() => {
            warnings.extend(open.into_iter().map(|one| Warning {
                at: one.at.clone(),
                message: format!("whether there is an image `{}` is not known: {}", one.name, one.why),
            }));
            Ok(warnings)
        }
        checked => {
            wrong.extend(checked.err().map(|errors| errors.0).unwrap_or_default());
            Err(PlanErrors(wrong))
        }
    }
}

/// Memory in MiB and processors of all machines that this host makes.
pub(super) fn size(host: &Host, spec: &EnvSpec) -> (u64, u64) {
    let mut spec = spec.clone();
    // What is wrong with it is told elsewhere.
    let _ = host.complete(&mut spec);
    let here = spec.machines.iter().filter(|one| one.provider.as_deref().is_none_or(|name| name == LOCAL));
    here.fold((0, 0), |(memory, cpus), one| (memory + u64::from(one.memory_mib), cpus + u64::from(one.vcpus)))
}

/// Names of the machines that are waited for until they answer.
pub(super) fn answering(host: &Host, spec: &EnvSpec) -> Vec<String> {
    let mut spec = spec.clone();
    let _ = host.complete(&mut spec);
    let answers = |one: &&MachineSpec| one.awaited && one.provider.as_deref() != Some(Memory::NAME);
    spec.machines.iter().filter(answers).map(|one| one.name.to_string()).collect()
}

/// A key to log in with has to be one, and to be readable without anybody typing a passphrase.
fn unusable_key(machine: &MachineSpec) -> Option<PlanError> {
    let error = keys::read(machine.ssh_key.as_deref()?).err()?;
    let (at, machine) = (machine.place_of("ssh-key").clone(), machine.name.clone());
    Some(PlanError::BadKey { at, machine, why: chain(&error) })
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
