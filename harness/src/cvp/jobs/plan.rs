//! Jobs held against a portal: what each will do, and everything that keeps it from being done, before anything is done.

use super::{
    spec::{Action, ChangeJob, Job, Order, Start, StopOnError, Which, Word},
    view::{Seen, View},
};
use crate::{
    cvp::{ConfigletKind, Container, CvpError, Device, Level, ROOT, UNDEFINED},
    initfile::{Diagnostic, Problems, Span},
};

/// What a job file will do.
#[derive(Debug)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is worth knowing about the file.
    pub warnings: Vec<Diagnostic>,
}

/// What a job will do.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    /// Its type and action.
    pub(super) words: (&'static str, &'static str),
    pub(super) doing: Doing,
    /// Whether the tasks are executed.
    pub(super) apply: bool,
    /// Numbers of the steps without which it makes no sense.
    pub(super) after: Vec<usize>,
    /// The devices that get a task each.
    pub(super) tasks: Vec<Device>,
    /// The devices a person wants to hear of: those the job names, or those that hold the configlet.
    pub(super) targets: Vec<Device>,
    /// Those of them that have no task and, as the portal saw them last, do not run what is designed: they get one more.
    pub(super) renewed: Vec<Device>,
    /// Those of them that have tasks of earlier jobs, which are executed with it.
    pub(super) caught_up: Vec<Device>,
}

#[derive(Debug)]
pub(super) enum Doing {
    Configlet(ConfigletStep),
    Change(Box<ChangeStep>),
    Create {
        container: String,
        parent: String,
    },
    Destroy {
        container: String,
    },
    /// The devices that are not there already.
    Attach {
        container: String,
        moved: Vec<Device>,
    },
}

/// What becomes of a configlet.
#[derive(Debug, Default)]
pub(super) struct ConfigletStep {
    pub(super) configlet: String,
    /// Its text before, if it is there, and after; absent: it stays.
    pub(super) text: Option<(Option<String>, String)>,
    pub(super) put: Vec<Device>,
    pub(super) take: Vec<Device>,
    pub(super) take_from: Vec<Container>,
    pub(super) delete: bool,
}

/// What a change control will be.
#[derive(Debug)]
pub(super) struct ChangeStep {
    pub(super) job: ChangeJob,
    /// Key of the template of snapshots.
    pub(super) template: Option<String>,
    /// Of those it will execute that are at the portal already: their ids and devices.
    pub(super) pending: Vec<(crate::cvp::TaskId, String)>,
    /// The devices of the tasks that earlier jobs will have made; one for each task.
    pub(super) waiting: Vec<Device>,
}

impl ChangeStep {
    pub(super) fn is_serial(&self) -> bool {
        self.job.order == Order::Serial
    }
}

/// What these jobs will do at a portal that has what was `seen`. What is wrong is among `problems`, and there is no plan
/// then that is good for anything.
pub(super) fn plan(jobs: &[Job], seen: Seen, problems: &mut Problems) -> Vec<Step> {
    let mut planner = Planner { view: View::new(seen), touched: Vec::new(), problems };
    let mut steps = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        if let Some(step) = planner.step(number, job, &steps) {
            steps.push(step);
        }
    }
    steps
}

struct Planner<'p> {
    view: View,
    /// Configlets and containers, with the step that changed them.
    touched: Vec<(&'static str, String, usize)>,
    problems: &'p mut Problems,
}

impl Planner<'_> {
    fn step(&mut self, number: usize, job: &Job, before: &[Step]) -> Option<Step> {
        let mut step = match &job.action {
            Action::Add { configlet, text, devices } => {
                let existed = self.view.configlets.contains_key(&configlet.text);
                let devices = self.devices(devices);
                let mut step = self.write(number, configlet, text, &devices)?;
                if existed {
                    step.targets = self.view.holders(&configlet.text);
                }
                step
            }
            Action::Update { configlet, text, devices } => {
                if devices.is_none() && !self.view.configlets.contains_key(&configlet.text) {
                    let message = format!("the portal has no configlet `{}` to update", configlet.text);
                    let help = Some("say the `devices` it shall be added for".to_owned());
                    self.problems.add("job::no-configlet", &configlet.at, message, help);
                    return None;
                }
                let named = devices.as_deref().map(|devices| self.devices(devices));
                let mut step = self.write(number, configlet, text, named.as_deref().unwrap_or_default())?;
                step.targets = named.unwrap_or_else(|| self.view.holders(&configlet.text));
                step
            }
            Action::Delete { configlet } => self.delete(number, configlet)?,
            Action::AddDevices { configlet, devices } => {
                let known = self.known(configlet);
                let devices = self.devices(devices);
                known?;
                self.put(number, configlet, None, &devices)
            }
            Action::RemoveDevices { configlet, devices } => self.remove(number, configlet, devices)?,
            Action::Change(change) => self.change(change, before)?,
            Action::Create { container, parent } => self.create(number, container, parent.as_ref())?,
            Action::Destroy { container } => self.destroy(number, container)?,
            Action::Attach { container, devices } => self.attach(number, container, devices)?,
        };
        step.name.clone_from(&job.name);
        step.words = job.action.words();
        // Deleting means that it is gone; the others leave their tasks unless they are told to execute them.
        step.apply = job.apply.unwrap_or(matches!(job.action, Action::Delete { .. }));
        if step.apply && step.is_kept() {
            let idle = |one: &&Device| {
                let code = self.view.inventory.devices.iter().find(|other| other.mac == one.mac);
                let code = code.map(|device| &device.compliance);
                step.tasks.iter().all(|other| other.mac != one.mac)
                    && !self.view.waiting.contains(&one.mac)
                    && code.is_some_and(|code| !code.0.is_empty() && !code.is_in_sync())
            };
            step.renewed = step.targets.iter().filter(idle).cloned().collect();
        }
        if step.apply {
            let waits = |one: &&Device| self.view.waiting.contains(&one.mac);
            step.caught_up = step.targets.iter().filter(waits).cloned().collect();
        }
        self.view.wait(&step.tasks);
        if step.apply && !matches!(step.doing, Doing::Change(_)) {
            self.view.execute(&step.targets);
        }
        Some(step)
    }

    /// A device for each word; what is wrong is noted.
    fn devices(&mut self, words: &[Word]) -> Vec<Device> {
        let mut devices: Vec<Device> = Vec::new();
        for word in words {
            match self.view.inventory.device(&word.text) {
                Ok(device) if devices.iter().all(|one| one.mac != device.mac) => devices.push(device.clone()),
                Ok(_) => {}
                Err(error) => self.problems.add("job::no-device", &word.at, error.to_string(), None),
            }
        }
        devices
    }

    /// Notes it when there is no such configlet.
    fn known(&mut self, word: &Word) -> Option<()> {
        if self.view.configlets.contains_key(&word.text) {
            return Some(());
        }
        let names = self.view.configlets.keys().map(String::as_str);
        let error = CvpError::not_found("configlet", &word.text, names);
        let help = self.view.deleted.contains(&word.text).then(|| "an earlier job deletes it".to_owned());
        self.problems.add("job::no-configlet", &word.at, error.to_string(), help);
        None
    }

    fn container(&mut self, word: &Word) -> Option<Container> {
        match self.view.inventory.container(&word.text) {
            Ok(container) => Some(container.clone()),
            Err(error) => {
                self.problems.add("job::no-container", &word.at, error.to_string(), None);
                None
            }
        }
    }

    /// The steps that changed one of these; and this one changes them, too.
    fn touch(&mut self, number: usize, things: &[(&'static str, &str)]) -> Vec<usize> {
        let is = |(kind, name): &(&'static str, &str), one: &(&'static str, String, usize)| {
            *kind == one.0 && *name == one.1
        };
        let of = self.touched.iter().filter(|one| things.iter().any(|thing| is(thing, one)));
        let mut after: Vec<usize> = of.map(|(_, _, step)| *step).collect();
        after.dedup();
        self.touched.extend(things.iter().map(|(kind, name)| (*kind, (*name).to_owned(), number)));
        after
    }

    /// A configlet that shall have a text, and be held by devices.
    fn write(&mut self, number: usize, word: &Word, text: &str, devices: &[Device]) -> Option<Step> {
        let before = self.view.configlets.get(&word.text).map(|one| (one.text.clone(), one.kind.clone()));
        if let Some((_, kind @ (ConfigletKind::Builder | ConfigletKind::Generated))) = &before {
            let what = if *kind == ConfigletKind::Builder { "a builder" } else { "made by a builder" };
            let message = format!("the text of `{}` cannot be written: it is {what}", word.text);
            self.problems.add("job::not-static", &word.at, message, None);
            return None;
        }
        let before = before.map(|(text, _)| text);
        let edit = (before.as_deref() != Some(text)).then(|| (before, text.to_owned()));
        let rewritten = if edit.is_some() { self.view.holders(&word.text) } else { Vec::new() };
        self.view.write(&word.text, text);
        let mut step = self.put(number, word, edit, devices);
        let more = rewritten.into_iter().filter(|one| step.tasks.iter().all(|other| other.mac != one.mac));
        let more: Vec<Device> = more.collect();
        step.tasks.extend(more);
        Some(step)
    }

    /// Devices that shall hold a configlet.
    fn put(
        &mut self,
        number: usize,
        word: &Word,
        text: Option<(Option<String>, String)>,
        devices: &[Device],
    ) -> Step {
        let name = &word.text;
        let put: Vec<Device> = devices.iter().filter(|one| !self.view.holds(name, one)).cloned().collect();
        put.iter().for_each(|device| self.view.put(name, device));
        let after = self.touch(number, &[("configlet", name)]);
        let step =
            ConfigletStep { configlet: name.clone(), text, put: put.clone(), ..ConfigletStep::default() };
        Step { tasks: put, targets: devices.to_vec(), after, ..Step::of(Doing::Configlet(step)) }
    }

    fn remove(&mut self, number: usize, word: &Word, words: &[Word]) -> Option<Step> {
        let known = self.known(word);
        let devices = self.devices(words);
        known?;
        let name = &word.text;
        for device in &devices {
            if self.view.holds(name, device) && !self.view.owns(name, device) {
                let containers = self.view.containers_of(name);
                let above = containers
                    .iter()
                    .find(|one| self.view.inventory.below(&one.key).any(|below| below.mac == device.mac));
                let above = above.map(|one| one.name.as_str()).unwrap_or_default();
                let at =
                    words.iter().find(|word| device.is_called(&word.text)).map_or(word.at, |word| word.at);
                let message =
                    format!("{device} has `{name}` from the container `{above}`, and cannot lose it alone");
                self.problems.add("job::inherited", &at, message, None);
            }
        }
        let take: Vec<Device> = devices.iter().filter(|one| self.view.owns(name, one)).cloned().collect();
        take.iter().for_each(|device| self.view.take(name, device));
        let after = self.touch(number, &[("configlet", name)]);
        let step = ConfigletStep { configlet: name.clone(), take: take.clone(), ..ConfigletStep::default() };
        Some(Step { tasks: take, targets: devices, after, ..Step::of(Doing::Configlet(step)) })
    }

    fn delete(&mut self, number: usize, word: &Word) -> Option<Step> {
        self.known(word)?;
        let name = &word.text;
        let holders = self.view.holders(name);
        let step = ConfigletStep {
            configlet: name.clone(),
            take: holders.iter().filter(|one| self.view.owns(name, one)).cloned().collect(),
            take_from: self.view.containers_of(name),
            delete: true,
            ..ConfigletStep::default()
        };
        self.view.delete(name);
        let after = self.touch(number, &[("configlet", name)]);
        Some(Step { tasks: holders.clone(), targets: holders, after, ..Step::of(Doing::Configlet(step)) })
    }

    fn create(&mut self, number: usize, word: &Word, parent: Option<&Word>) -> Option<Step> {
        if self.view.inventory.containers.iter().any(|one| one.name == word.text) {
            let message = format!("the portal has a container `{}` already", word.text);
            self.problems.add("job::container-there", &word.at, message, None);
            return None;
        }
        let parent = match parent {
            Some(parent) => self.container(parent)?,
            // Whatever it is called there.
            None => self.container(&Word { text: ROOT.to_owned(), at: word.at })?,
        };
        let key = format!("new:{}", word.text);
        let made = Container { key, name: word.text.clone(), parent: Some(parent.key) };
        self.view.inventory.containers.push(made);
        let after = self.touch(number, &[("container", &word.text), ("container", &parent.name)]);
        let doing = Doing::Create { container: word.text.clone(), parent: parent.name };
        Some(Step { after, ..Step::of(doing) })
    }

    fn destroy(&mut self, number: usize, word: &Word) -> Option<Step> {
        let container = self.container(word)?;
        let inside: Vec<String> = {
            let containers = self.view.inventory.containers.iter();
            let containers = containers.filter(|one| one.parent.as_ref() == Some(&container.key));
            let devices = self.view.inventory.below(&container.key).map(|one| one.name().to_owned());
            containers.map(|one| one.name.clone()).chain(devices).collect()
        };
        let why = if [ROOT, UNDEFINED].contains(&container.key.as_str()) {
            "it is always there".to_owned()
        } else if !inside.is_empty() {
            format!("it holds {}", inside.join(", "))
        } else {
            self.view.inventory.containers.retain(|one| one.key != container.key);
            let after = self.touch(number, &[("container", &container.name)]);
            return Some(Step { after, ..Step::of(Doing::Destroy { container: container.name }) });
        };
        let message = format!("the container `{}` cannot be destroyed: {why}", container.name);
        self.problems.add("job::container-in-use", &word.at, message, None);
        None
    }

    fn attach(&mut self, number: usize, word: &Word, words: &[Word]) -> Option<Step> {
        let container = self.container(word);
        let devices = self.devices(words);
        let container = container?;
        if container.key == UNDEFINED {
            let message = format!("`{}` takes no devices: that would reset them", container.name);
            self.problems.add("job::reset", &word.at, message, None);
            return None;
        }
        let moved: Vec<Device> =
            devices.iter().filter(|one| one.container != container.key).cloned().collect();
        let from: Vec<String> = {
            let of = |device: &Device| {
                self.view.inventory.containers.iter().find(|one| one.key == device.container)
            };
            moved.iter().filter_map(of).map(|one| one.name.clone()).collect()
        };
        moved.iter().for_each(|device| self.view.shift(device, &container.key));
        let mut things = vec![("container", container.name.as_str())];
        things.extend(from.iter().map(|name| ("container", name.as_str())));
        let after = self.touch(number, &things);
        let doing = Doing::Attach { container: container.name, moved: moved.clone() };
        Some(Step { tasks: moved, targets: devices, after, ..Step::of(doing) })
    }

    fn change(&mut self, job: &ChangeJob, before: &[Step]) -> Option<Step> {
        let level = self.view.level();
        let version = self.view.version.map(|version| version.to_string()).unwrap_or_default();
        let mut refuse = |at: &Span, what: &str, help: &str| {
            let message = format!("a portal of version {version} {what}");
            self.problems.add("job::not-there", at, message, Some(help.to_owned()));
        };
        let is_legacy = level < Level::SERVICE_CHANGE_CONTROL;
        if let Start::At { span, .. } = &job.start
            && !is_legacy
            && level < Level::SCHEDULING
        {
            refuse(
                span,
                "cannot schedule change controls",
                "leave the time out, and apply it when it is time",
            );
        }
        if let StopOnError::No(span) = &job.stop_on_error
            && !is_legacy
        {
            refuse(span, "always stops after an error", "leave `stop_on_error` out");
        }
        let template = job.template.as_ref().map(|word| self.template(word));
        let waiting: Vec<Device> = {
            let device = |mac: &String| self.view.inventory.devices.iter().find(|one| one.mac == *mac);
            self.view.waiting.iter().filter_map(device).cloned().collect()
        };
        let pending = match job.tasks {
            Which::OfThisRun => Vec::new(),
            Which::Pending => std::mem::take(&mut self.view.pending),
        };
        self.view.waiting.clear();
        let pending = pending.into_iter().map(|task| (task.id, task.hostname)).collect();
        let after = before.iter().enumerate().filter(|(_, step)| !step.tasks.is_empty()).map(|(at, _)| at);
        let step = ChangeStep {
            job: job.clone(),
            template: match template {
                Some(found) => Some(found?),
                None => None,
            },
            pending,
            waiting,
        };
        Some(Step { after: after.collect(), ..Step::of(Doing::Change(Box::new(step))) })
    }

    /// The key of a template that is named by its key or its name.
    fn template(&mut self, word: &Word) -> Option<String> {
        let Some(all) = &self.view.templates else { return Some(word.text.clone()) };
        let by_key = all.iter().find(|(key, _)| *key == word.text);
        let named: Vec<&(String, String)> = all.iter().filter(|(_, name)| *name == word.text).collect();
        match (by_key, named.as_slice()) {
            (Some((key, _)), _) | (None, [(key, _)]) => Some(key.clone()),
            (None, []) => {
                let names = all.iter().flat_map(|(key, name)| [key.as_str(), name.as_str()]);
                let error = CvpError::not_found("template of snapshots", &word.text, names);
                self.problems.add("job::no-template", &word.at, error.to_string(), None);
                None
            }
            (None, several) => {
                let keys: Vec<&str> = several.iter().map(|(key, _)| key.as_str()).collect();
                let message = format!("several templates of snapshots are called `{}`", word.text);
                let help = format!("say the key of one: {}", keys.join(", "));
                self.problems.add("job::no-template", &word.at, message, Some(help));
                None
            }
        }
    }
}

impl Step {
    fn of(doing: Doing) -> Self {
        Self {
            name: String::new(),
            words: ("", ""),
            doing,
            apply: false,
            after: Vec::new(),
            tasks: Vec::new(),
            targets: Vec::new(),
            renewed: Vec::new(),
            caught_up: Vec::new(),
        }
    }

    /// Whether the devices it names hold its configlet afterwards.
    pub(super) fn is_kept(&self) -> bool {
        matches!(&self.doing, Doing::Configlet(step) if !step.delete) && self.words.1 != "remove-devices"
    }
}
