//! Makes an export: every image in a folder nobody looks into, then all of them in their places, the init file last.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    document::{self, DiskOut, KernelOut, MachineOut},
    plan::{self, DiskOrder, Job, Layer, Origin},
};
use crate::{
    base::{time::Utc, wait::Deadline},
    env::{
        Env, EnvError, Progress, Selection, Vm, disk::outside, error::file, needed::binds, parallel,
        state::LabState, turn::Turn,
    },
    initfile::{EnvSpec, spec::DiskFormat},
    lab::{Bind, LabKind, paths::INSIDE_ENV},
    provider::libvirt::DomainState,
    template::{self, FetchCx, Publication},
};

/// Where a lab sees the folder in which an export is made.
const INSIDE_EXPORT: &str = "/run/polder/export";
/// For one disk, compression included.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// What to export, and how.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The machines; those whose init file says `skip-export` stay out all the same.
    pub machines: Selection,
    /// The folder for it, made when it is not there.
    pub to: PathBuf,
    /// Whether images lie on their templates, which then have to be had where the export is used; else they stand
    /// alone.
    pub layered: bool,
    /// Whether images are compressed with xz.
    pub compress: bool,
    /// Whether addresses that were chosen are written down; else new ones are chosen.
    pub pin: bool,
    /// Name of the init file.
    pub init_file: String,
    /// Whether the init file is JSON; else it is YAML.
    pub json: bool,
    /// Whether it is only said what would be made.
    pub collect_only: bool,
}

/// What was, or would be, exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Images by machine, without the ending that compression adds.
    pub machines: BTreeMap<String, Vec<PathBuf>>,
    /// The init file.
    #[serde(rename = "init-file")]
    pub init_file: PathBuf,
}

impl Env {
    /// Exports machines that are off.
    ///
    /// # Errors
    /// Machines run, a disk cannot be exported as asked, or something cannot be read or written; nothing is left then.
    pub async fn export(&self, options: &ExportOptions, progress: &Progress) -> Result<Exported, EnvError> {
        let _turn = Turn::begin(self, "export").await?;
        let mut vms = self.select(&options.machines)?;
        vms.retain(|vm| !vm.plan().skip_export);
        self.refuse_running(&vms).await?;
        let spec = self.spec()?;
        let to = std::path::absolute(&options.to).map_err(file("find", &options.to))?;
        let orders = orders(self, &vms, &spec, options)?;
        let images = |machine: &Order<'_>| machine.disks.iter().map(|disk| to.join(&disk.job.file)).collect();
        let exported = Exported {
            machines: orders.iter().map(|machine| (machine.vm.name().to_string(), images(machine))).collect(),
            init_file: to.join(&options.init_file),
        };
        if !options.collect_only {
            refuse_existing(&orders, options, &to)?;
            self.make(&orders, &spec, options, &to, progress).await?;
            progress.say(&format!("exported to {}", to.display()));
        }
        Ok(exported)
    }

    async fn refuse_running(&self, vms: &[Vm]) -> Result<(), EnvError> {
        let mut running = Vec::new();
        for vm in vms.iter().filter(|vm| vm.is_made()) {
            if !matches!(self.state_of(vm).await?, DomainState::Absent | DomainState::Off) {
                running.push(vm.name().to_string());
            }
        }
        if running.is_empty() {
            Ok(())
        } else {
            Err(EnvError::Running { what: "exported", machines: running })
        }
    }

    async fn make(
        &self,
        orders: &[Order<'_>],
        spec: &EnvSpec,
        options: &ExportOptions,
        to: &Path,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let fresh = !to.exists();
        if fresh {
            fs::create_dir(to).map_err(file("make", to))?;
        }
        // Everything is in a folder that goes with the attempt.
        let made = tokio::select! {
            biased;
            made = self.make_in(orders, spec, options, to, progress) => made,
            error = self.host().told_to_stop() => Err(error),
        };
        if made.is_err() && fresh {
            // Refused when somebody else has put something there meanwhile.
            let _ = fs::remove_dir(to);
        }
        made
    }

    async fn make_in(
        &self,
        orders: &[Order<'_>],
        spec: &EnvSpec,
        options: &ExportOptions,
        to: &Path,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let work = tempfile::Builder::new().prefix(".export-").tempdir_in(to).map_err(file("make", to))?;
        let jobs: Vec<Job> = orders.iter().flat_map(Order::jobs).cloned().collect();
        let one = |job: Job| {
            let worker = Worker {
                env: self.clone(),
                folder: work.path().to_owned(),
                compress: options.compress,
                progress: progress.clone(),
            };
            async move { worker.make(&job).await }
        };
        let files = parallel::each(jobs, one).await?;
        let machines: Vec<MachineOut<'_>> = orders.iter().map(|order| order.out(options.pin)).collect();
        let pinned = if options.pin { self.plan().nets.as_slice() } else { &[] };
        let content = document::document(&machines, &spec.nets, pinned);
        let init_file = work.path().join(&options.init_file);
        let unwritable = || file("write", &init_file);
        let text = match options.json {
            true => format!("{content:#}\n"),
            false => yaml_serde::to_string(&content).map_err(|e| unwritable()(std::io::Error::other(e)))?,
        };
        fs::write(&init_file, text).map_err(unwritable())?;
        for path in files.iter().flatten().chain([&init_file]) {
            let place = to.join(path.file_name().unwrap_or_default());
            fs::rename(path, &place).map_err(file("write", &place))?;
        }
        Ok(())
    }
}

/// Names everything an export would write over.
fn refuse_existing(orders: &[Order<'_>], options: &ExportOptions, to: &Path) -> Result<(), EnvError> {
    let places = orders.iter().flat_map(Order::jobs).flat_map(|job| {
        let place = to.join(&job.file);
        match &job.from {
            Origin::Copy(_) => vec![template::beside(&place, ".hash"), place],
            Origin::Image { .. } => Publication::files(&place, options.compress).to_vec(),
        }
    });
    let there: Vec<String> = places
        .chain([to.join(&options.init_file)])
        .filter(|place| place.symlink_metadata().is_ok())
        .map(|place| format!("{} is there already: nothing is written over", place.display()))
        .collect();
    if there.is_empty() { Ok(()) } else { Err(EnvError::Export(there)) }
}

/// A machine and what becomes of it.
struct Order<'a> {
    vm: &'a Vm,
    spec: &'a crate::initfile::spec::MachineSpec,
    disks: Vec<DiskOrder<'a>>,
    kernel: Option<(Job, Option<Job>, String)>,
}

impl<'a> Order<'a> {
    fn jobs(&self) -> impl Iterator<Item = &Job> {
        let kernel = self.kernel.iter().flat_map(|(kernel, initrd, _)| [Some(kernel), initrd.as_ref()]);
        self.disks.iter().map(|disk| &disk.job).chain(kernel.flatten())
    }

    fn out(&self, pin: bool) -> MachineOut<'_> {
        let disk = |order: &DiskOrder<'a>| DiskOut {
            name: order.plan.name.as_str(),
            dev: &order.plan.dev,
            spec: order.spec,
            file: order.job.file.clone(),
            format: order.format,
            source: order.source,
            metadata: order.metadata.clone(),
        };
        let domain = self.vm.plan().domain.as_ref();
        MachineOut {
            spec: self.spec,
            memory_mib: domain.map_or(self.spec.memory_mib, |domain| domain.memory_mib),
            vcpus: domain.map_or(self.spec.vcpus, |domain| domain.vcpus),
            disks: self.disks.iter().map(disk).collect(),
            kernel: self.kernel.as_ref().map(|(kernel, initrd, cmdline)| KernelOut {
                kernel: kernel.file.clone(),
                initrd: initrd.as_ref().map(|initrd| initrd.file.clone()),
                cmdline: cmdline.clone(),
            }),
            pinned: if pin { &self.vm.plan().nics } else { &[] },
        }
    }
}

/// What becomes of every machine.
fn orders<'a>(
    env: &Env,
    vms: &'a [Vm],
    spec: &'a EnvSpec,
    options: &ExportOptions,
) -> Result<Vec<Order<'a>>, EnvError> {
    let chains = env.state().chains;
    let version = version();
    let mut orders = Vec::new();
    let mut problems = Vec::new();
    for vm in vms {
        let Some(spec) = spec.machines.iter().find(|machine| machine.name == *vm.name()) else { continue };
        let top = |dev: &str| chains.top(vm.name(), dev).map(Path::to_owned);
        match plan::disks(vm.plan(), spec, &top, options.layered, &version) {
            Ok(disks) => orders.push(Order { vm, spec, disks, kernel: plan::kernel(vm.plan()) }),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(orders) } else { Err(EnvError::Export(problems)) }
}

/// What today's images are called.
fn version() -> String {
    let (year, month, day) = Utc::from(SystemTime::now()).date;
    format!("{year:04}{month:02}{day:02}.0")
}

/// Makes one file of an export.
struct Worker {
    env: Env,
    folder: PathBuf,
    compress: bool,
    progress: Progress,
}

impl Worker {
    /// Makes the file and what belongs beside it; returns all of them.
    async fn make(&self, job: &Job) -> Result<Vec<PathBuf>, EnvError> {
        let place = self.folder.join(&job.file);
        match &job.from {
            Origin::Copy(path) => {
                let from = outside(&self.env, path);
                let (source, target) = (from.clone(), place.clone());
                let copied = tokio::task::spawn_blocking(move || fs::copy(source, target)).await;
                copied.unwrap_or_else(|e| Err(e.into())).map_err(file("copy", &from))?;
                let hash = template::hash_beside(&place, &self.cx()).await?;
                Ok(vec![place, hash])
            }
            Origin::Image { path, format, to, on, metadata } => {
                let cx = self.cx();
                let made = template::beside(&place, ".part");
                self.progress.say(&format!("exporting {}", job.file));
                let to = if *to == DiskFormat::Raw { "raw" } else { "qcow2" };
                let (format, from) = (format.to_string(), self.seen(path).display().to_string());
                let target = self.target(&made).display().to_string();
                match on {
                    None => {
                        self.run(&["qemu-img", "convert", "-q", "-f", &format, "-O", to, &from, &target])
                            .await?;
                    }
                    Some(on) => self.lay(on, &from, &format, &target, &made).await?,
                }
                let publication = Publication {
                    made: &made,
                    place: &place,
                    metadata: metadata.clone(),
                    compress: self.compress,
                };
                Ok(publication.publish(&cx).await?.into())
            }
        }
    }

    /// Makes an image that has what `from` has and lies on a template alone, however many images are between the two.
    async fn lay(
        &self,
        on: &Layer,
        from: &str,
        format: &str,
        target: &str,
        made: &Path,
    ) -> Result<(), EnvError> {
        let (below, below_format) = (on.backing.path.display().to_string(), on.backing.format.to_string());
        // Not `convert -B`: that copies what the topmost image has, and loses what images between have.
        self.run(&["qemu-img", "create", "-q", "-f", "qcow2", "-b", from, "-F", format, target]).await?;
        self.run(&["qemu-img", "rebase", "-q", "-f", "qcow2", "-b", &below, "-F", &below_format, target])
            .await?;
        let (name, made) = (format!("./{}", on.name), made.display().to_string());
        let argv = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", &name, "-F", &below_format, &made];
        Ok(crate::base::process::stdout(&argv, LIMIT).await.map(drop)?)
    }

    /// For one disk.
    fn cx(&self) -> FetchCx {
        let progress = self.progress.clone();
        let progress = template::Progress::new(move |event| progress.say(&event.to_string()));
        FetchCx { deadline: Deadline::within(LIMIT), progress }
    }

    fn kind(&self) -> LabKind {
        match self.env.state().lab {
            LabState::Hermetic { .. } => LabKind::Hermetic,
            LabState::System { .. } => LabKind::System,
        }
    }

    /// A disk's image as the emulator sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        match self.kind() {
            LabKind::Hermetic => Path::new(INSIDE_ENV).join(path),
            LabKind::System => self.env.folder().join(path),
        }
    }

    /// A file of the export as the emulator would see it.
    fn target(&self, path: &Path) -> PathBuf {
        match self.kind() {
            LabKind::Hermetic => Path::new(INSIDE_EXPORT).join(path.file_name().unwrap_or_default()),
            LabKind::System => path.to_owned(),
        }
    }

    /// Runs a command that sees images where the emulator sees them.
    async fn run(&self, argv: &[&str]) -> Result<(), EnvError> {
        let env = &self.env;
        let mut binds = binds(env.host(), env.plan());
        binds.push(Bind { from: self.folder.clone(), to: INSIDE_EXPORT.into(), writable: true });
        let folder = Some(env.folder().to_owned());
        let output = env.host().lab.offline(self.kind(), folder, binds, argv, LIMIT).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(EnvError::Command {
            command: argv.join(" "),
            status: output.status.code().unwrap_or(-1),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
