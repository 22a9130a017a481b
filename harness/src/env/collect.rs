//! Collecting for people, whether machines run or not: what their init file asks for and what is worth having of any
//! machine, from within over ssh or the guest agent, else from their disks.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use super::{
    Env, EnvError, Progress, Selection, Vm, disk,
    error::file,
    evidence::{item, of_lab, of_machine},
};
use crate::{
    artifact::{self, Defaults, Fetched, Item, Manifest, Part, offline::RootDisk},
    base::time::Utc,
    guest::{Caps, CommandOutput, GuestError},
    image::Ability,
    provider::MachineState,
};

/// For one item, and for all of them, on a host whose time factor is 1.
const EACH: Duration = Duration::from_secs(10 * 60);
const TOTAL: Duration = Duration::from_secs(30 * 60);
/// Where the outputs of commands go, in the folder of a machine.
const SYSTEM: &str = "system";

/// What to collect, and where to.
#[derive(Debug, Clone)]
pub struct CollectOptions {
    /// The machines.
    pub machines: Selection,
    /// The folder for it. One that is there already is renamed, with the time after its name.
    pub to: PathBuf,
    /// How many bytes are taken of each path, and of all paths of a machine.
    pub caps: Caps,
}

impl Env {
    /// Collects what there is of machines, running or not: a folder for each, in which `/a/b` of the machine is `_a_b`,
    /// and `manifest.json` with all that was tried.
    ///
    /// # Errors
    /// A name is no machine's, or the folder cannot be written to. What could not be had is in the manifest.
    pub async fn collect_to(
        &self,
        options: &CollectOptions,
        progress: &Progress,
    ) -> Result<Manifest, EnvError> {
        let vms = self.select(&options.machines)?;
        let to = std::path::absolute(&options.to).map_err(file("find", &options.to))?;
        if let Some(old) = set_aside(&to).map_err(file("rename", &to))? {
            progress.say(&format!("{} was there already: it is {} now", to.display(), old.display()));
        }
        fs::create_dir_all(&to).map_err(file("make", &to))?;
        let files = Files { caps: options.caps, limit: EACH.mul_f64(0.9) };
        let mut items = Vec::new();
        for vm in vms {
            // Who does not answer may still have disks to read.
            let state = self.state_of(&vm).await.unwrap_or(MachineState::Other);
            items.extend(of_machine(self, &vm, state, &to, files));
            if !is_off(state) && vm.spec().abilities.has(Ability::Journal) {
                let (path, guest) = (format!("{}/journal.export", vm.name()), vm.clone());
                items.push(item(path, "journalctl in the machine, to be read by journalctl", |to| async move {
                    Ok(Fetched::InPlace { how: guest.journal_export(&to).await?.to_string() })
                }));
            }
        }
        items.extend(of_lab(self));
        let manifest = artifact::collect(items, &to, self.scaled(EACH), self.scaled(TOTAL)).await;
        if let Some(why) = &manifest.unwritten {
            return Err(file("write", &to.join("manifest.json"))(io::Error::other(why.clone())));
        }
        progress.say(&format!(
            "collected {} of {} in {}",
            manifest.had(),
            manifest.entries.len(),
            to.display()
        ));
        Ok(manifest)
    }
}

/// Whether nobody in a machine of that state can be asked.
pub(super) fn is_off(state: MachineState) -> bool {
    matches!(state, MachineState::Off | MachineState::Absent | MachineState::Crashed)
}

/// Renames what is at `path`; returns what it is called now.
fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let Utc { date: (year, month, day), time: (hour, minute, second), .. } = Utc::from(SystemTime::now());
    let stamp = format!("{year:04}-{month:02}-{day:02}_{hour:02}:{minute:02}:{second:02}");
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let once = std::iter::once(path.with_file_name(format!("{name}.{stamp}")));
    let again = (2..).map(|n| path.with_file_name(format!("{name}.{stamp}.{n}")));
    let free = once.chain(again).find(|new| new.symlink_metadata().is_err());
    if let Some(free) = &free {
        fs::rename(path, free)?;
    }
    Ok(free)
}

/// The files of a machine, and what commands say of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    pub(super) caps: Caps,
    /// Before it is multiplied by the time factor.
    pub(super) limit: Duration,
}

impl Files {
    /// All of them as one item: they come as one stream.
    pub(super) fn item(self, env: &Env, vm: &Vm, state: MachineState, dir: &Path) -> Item {
        let (env, vm, dest) = (env.clone(), vm.clone(), dir.join(vm.name().as_str()));
        item(vm.name().to_string(), "files of the machine", move |_| async move {
            let parts = if is_off(state) {
                self.on_disks(&env, &vm, dest).await?
            } else {
                match self.within(&vm, &dest).await {
                    Ok(parts) => parts,
                    Err(error) if vm.is_made() => self
                        .on_disks(&env, &vm, dest)
                        .await
                        .map_err(|and| format!("{}; and {}", with_causes(&error), with_causes(&*and)))?,
                    Err(error) => return Err(error.into()),
                }
            };
            Ok(Fetched::Several(parts))
        })
    }

    async fn within(self, vm: &Vm, dest: &Path) -> Result<Vec<Part>, GuestError> {
        let name = "os-release".to_owned();
        let ask = BTreeMap::from([(name, "cat /etc/os-release".to_owned())]);
        let (_, said) = vm.outputs(&ask, self.limit).await?;
        let system = said.first().map(|said| String::from_utf8_lossy(&said.output).into_owned());
        let Defaults { paths, commands } = Defaults::of(&system.unwrap_or_default());
        let asked = &vm.plan().artifacts;
        let wanted = once(asked, &paths);
        let (gathered, outputs) =
            tokio::join!(vm.gather(&wanted, dest, self.caps, self.limit), vm.outputs(&commands, self.limit));
        let parts = gathered?.into_iter().map(|one| Part {
            path: one.place,
            source: format!("{} in the machine", one.path.display()),
            wanted: Some(one.wanted),
            how: one.bytes.map(|_| one.over.to_string()),
            bytes: one.bytes,
            missing: one.missing,
        });
        let mut parts = of_interest(parts, asked);
        match outputs {
            Ok((over, outputs)) => parts.extend(outputs.into_iter().map(|output| Part {
                how: Some(over.to_string()),
                ..keep(output, &commands, &dest.join(SYSTEM))
            })),
            Err(error) => parts.push(Part {
                path: SYSTEM.into(),
                source: "commands in the machine".to_owned(),
                wanted: None,
                how: None,
                bytes: None,
                missing: Some(with_causes(&error)),
            }),
        }
        Ok(parts)
    }

    async fn on_disks(
        self,
        env: &Env,
        vm: &Vm,
        dest: PathBuf,
    ) -> Result<Vec<Part>, Box<dyn Error + Send + Sync>> {
        let (disks, asked, caps) = (disk::without_machine(env, vm), vm.plan().artifacts.clone(), self.caps);
        let kvm = vm.plan().domain.as_ref().is_some_and(|domain| domain.kvm);
        let parts = spawn_blocking(move || {
            let root = RootDisk::find(&disks, kvm)?;
            let Defaults { paths, .. } = Defaults::of(&root.text("/etc/os-release").unwrap_or_default());
            let wanted = once(&asked, &paths);
            let parts = root.extract(&wanted, &dest, (caps.path, caps.machine));
            Ok::<_, artifact::offline::OfflineError>(of_interest(parts, &asked))
        });
        Ok(parts.await??)
    }
}

/// All of them, each once: what is fetched a second time is not found in its place.
fn once(asked: &[String], paths: &[String]) -> Vec<String> {
    let mut wanted: Vec<String> = vec![];
    for path in asked.iter().chain(paths) {
        if !wanted.contains(path) {
            wanted.push(path.clone());
        }
    }
    wanted
}

/// Nobody misses what nobody asked for.
fn of_interest(parts: impl IntoIterator<Item = Part>, asked: &[String]) -> Vec<Part> {
    let parts = parts.into_iter().map(|mut part| {
        part.wanted = part.wanted.filter(|wanted| asked.contains(wanted));
        part
    });
    parts.filter(|part| part.wanted.is_some() || part.bytes.is_some()).collect()
}

/// Writes what a command said into `dir`.
fn keep(output: CommandOutput, commands: &BTreeMap<String, String>, dir: &Path) -> Part {
    let CommandOutput { name, status, output } = output;
    let path = dir.join(format!("{name}.txt"));
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(&path, &output));
    let missing = match (&written, status) {
        (Err(error), _) => Some(format!("cannot write it: {error}")),
        (Ok(()), 0) => None,
        (Ok(()), 124) => Some("it did not end within 10 s".to_owned()),
        (Ok(()), status) => Some(format!("it ended with exit status {status}")),
    };
    Part {
        path: Path::new(SYSTEM).join(format!("{name}.txt")),
        source: format!("`{}` in the machine", commands.get(&name).map_or(name.as_str(), String::as_str)),
        wanted: None,
        how: None,
        bytes: written.is_ok().then_some(output.len() as u64),
        missing,
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {}", error.to_string().lines().next().unwrap_or_default());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_worth_having_anyway_is_fetched_once() {
        let [asked, paths] = [["/etc/hostname", "/www"], ["/etc/hosts", "/etc/hostname"]]
            .map(|paths| paths.map(str::to_owned));
        assert_eq!(once(&asked, &paths), ["/etc/hostname", "/www", "/etc/hosts"]);
    }

    #[test]
    fn what_is_there_already_is_set_aside_under_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        assert_eq!(set_aside(&out).unwrap(), None);
        let mut names = Vec::new();
        for _ in 0..3 {
            fs::create_dir(&out).unwrap();
            names.push(set_aside(&out).unwrap().unwrap());
            assert!(!out.exists());
        }
        names.dedup();
        assert_eq!(names.len(), 3);
        let name = names[0].file_name().unwrap().to_string_lossy().into_owned();
        let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "out.0000-00-00_00:00:00");
    }
}
