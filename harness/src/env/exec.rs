//! Brings a planned environment up: named steps, each with a deadline, machines in parallel.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use super::{
    Env, EnvError, Host, Progress,
    error::file,
    handle::Vm,
    host::limits,
    keys::Keys,
    plan::{self, EnvPlan, OverlayPlan, PlanInputs},
    state::EnvState,
};
use crate::{
    image::{Ability, ImageInfo},
    initfile::{EnvSpec, spec::DiskSource},
    lab::{
        Bind, Hermetic, Lab, LabSpec, Payload,
        accel::{self, Accel, Choice},
        paths::{INSIDE_ENV, INSIDE_STORE},
    },
    provider::{
        ProviderError,
        libvirt::{Connection, DomainState, xml},
    },
};

/// An environment that did not come up, and what there is of it: evidence can be collected, then it must go down.
#[derive(Debug)]
pub struct UpFailure {
    /// Why.
    pub error: EnvError,
    /// What had been made.
    pub env: Option<Env>,
}

impl<E: Into<EnvError>> From<E> for UpFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), env: None }
    }
}

/// Everything that is decided before anything is made.
pub(super) struct Prepared {
    pub(super) plan: EnvPlan,
    pub(super) keys: Keys,
    pub(super) choice: Choice,
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
        host_keys: &keys.hosts,
    };
    let plan = plan::plan(spec, &inputs)?;
    Ok(Prepared { plan, keys, choice })
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

/// Makes everything a plan says.
pub(super) async fn up(host: &Host, prepared: Prepared, progress: &Progress) -> Result<Env, UpFailure> {
    let Prepared { plan, keys, choice } = prepared;
    let kvm = choice.accel == Accel::Kvm;
    let capability_cache = host.capability_cache(kvm);
    let store = host.images.folder();
    for dir in [&capability_cache, &store] {
        std::fs::create_dir_all(dir).map_err(file("make", dir))?;
    }
    let mut binds = vec![Bind { from: store, to: INSIDE_STORE.into(), writable: false }];
    binds.extend(plan.binds.iter().cloned());
    let spec = LabSpec { payload: Payload::Libvirtd { kvm, capability_cache }, env: None, binds };
    let lab: Arc<dyn Lab> = Arc::new(Hermetic::start(&host.lab, spec, limits::LAB).await?);
    progress.say("the lab is up");
    let state = EnvState::new(plan, keys, choice.factor);
    state.save(lab.env())?;
    let connection = connect(&*lab).await.map_err(|error| explain(&*lab, error))?;
    let env = Env::assemble(lab, connection, state)?;
    // From here on there is something to look at when it fails.
    match bring_up(host, &env, progress).await {
        Ok(()) => Ok(env),
        Err(error) => Err(UpFailure { error, env: Some(env) }),
    }
}

async fn bring_up(host: &Host, env: &Env, progress: &Progress) -> Result<(), EnvError> {
    let work = async {
        overlays(env).await?;
        networks(env).await?;
        machines(host, env, progress).await
    };
    let result = tokio::select! {
        biased;
        result = work => result,
        error = env.broken() => Err(error),
    };
    if let Err(EnvError::Provider { error, .. }) = &result
        && error.hangs()
    {
        // Else everything that is still to be asked of it runs into a deadline of its own.
        let _ = env.lab().kill_daemon().await;
    }
    result
}

/// A connection to the lab's daemon.
pub(super) async fn connect(lab: &dyn Lab) -> Result<Connection, ProviderError> {
    Connection::open_as(&lab.libvirt_uri(), lab.credentials(), limits::CONNECT).await
}

/// A provider's failure, with the end of its daemon when that is the cause.
fn explain(lab: &dyn Lab, error: ProviderError) -> EnvError {
    let daemon = if error.hangs() { None } else { lab.failure().map(|e| e.to_string()) };
    EnvError::Provider { error, daemon }
}

async fn overlays(env: &Env) -> Result<(), EnvError> {
    let folder = env.lab().view().env;
    for overlay in env.plan().machines.iter().flat_map(|m| &m.overlays) {
        let argv = overlay_command(overlay, &folder);
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        run(env, &argv).await?;
    }
    Ok(())
}

fn overlay_command(overlay: &OverlayPlan, env: &Path) -> Vec<String> {
    let mut argv: Vec<String> =
        ["qemu-img", "create", "-q", "-f", &overlay.format.to_string()].map(str::to_owned).into();
    if let Some(backing) = &overlay.backing {
        // The backing format is always named: a guest that writes a header into a raw disk must not choose it.
        argv.extend([
            "-b".into(),
            backing.path.display().to_string(),
            "-F".into(),
            backing.format.to_string(),
        ]);
    }
    argv.push(env.join(&overlay.path).display().to_string());
    argv.extend(overlay.size.map(|size| size.to_string()));
    argv
}

async fn networks(env: &Env) -> Result<(), EnvError> {
    let limit = limits::NETWORK;
    let mut neighbours = String::new();
    for net in &env.plan().nets {
        let name = net.name.as_str();
        let made = env.connection().create_network(name, xml::network_xml(net), limit).await;
        made.map_err(|error| explain(env.lab(), error))?;
        for (host, ip) in net.hosts.iter().filter_map(|host| Some((host, host.ip?))) {
            if net.gateway.is_some() {
                neighbours +=
                    &format!("neigh replace {ip} lladdr {} dev {} nud permanent\n", host.mac, net.bridge);
            }
        }
    }
    // Without these, the kernel asks for an absent neighbour once a second only, and readiness is found that late.
    let batch = env.lab().env().join("neighbours");
    std::fs::write(&batch, neighbours).map_err(file("write", &batch))?;
    let inside = env.lab().view().env.join("neighbours").display().to_string();
    run(env, &["ip", "-batch", &inside]).await.map(drop)
}

/// Runs a command inside the lab and returns what it printed.
pub(super) async fn run(env: &Env, argv: &[&str]) -> Result<String, EnvError> {
    let path = Path::new("/dev/null");
    let null = OwnedFd::from(std::fs::File::open(path).map_err(file("open", path))?);
    let folder = env.lab().env();
    let out = tempfile::tempfile_in(folder).map_err(file("write below", folder))?;
    let cloned = |f: &std::fs::File| f.try_clone().map(OwnedFd::from).map_err(file("open", path));
    let streams = [null, cloned(&out)?, cloned(&out)?];
    let status = env.lab().exec(argv, streams, vec![], limits::COMMAND).await?;
    let output =
        std::io::read_to_string(std::io::Seek::rewind(&mut &out).map(|()| &out).map_err(file("read", path))?)
            .unwrap_or_default();
    if status == 0 {
        Ok(output)
    } else {
        Err(EnvError::Command { command: argv.join(" "), status, output: output.trim().to_owned() })
    }
}

/// Starts all machines, in parallel but for the host's boot slots, and waits until each answers.
async fn machines(host: &Host, env: &Env, progress: &Progress) -> Result<(), EnvError> {
    let mut starting = tokio::task::JoinSet::new();
    for vm in env.vms() {
        let (env, progress, slots) = (env.clone(), progress.clone(), host.boot_slots.clone());
        starting.spawn(async move {
            // Never closed, so there is always a permit sooner or later.
            let _slot = slots.acquire_owned().await;
            machine(&env, &vm, &progress).await
        });
    }
    while let Some(ended) = starting.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    Ok(())
}

async fn machine(env: &Env, vm: &Vm, progress: &Progress) -> Result<(), EnvError> {
    let start = std::time::Instant::now();
    let name = vm.name().as_str();
    let connection = env.connection().another(limits::CONNECT).await?;
    let xml = xml::domain_xml(&vm.plan().domain);
    connection.create_domain(name, xml, limits::DOMAIN).await.map_err(|e| explain(env.lab(), e))?;
    let ready = async {
        // The guest stretches its deadlines itself.
        let answer = match vm.plan().abilities.has(Ability::Ssh) && vm.ip().is_some() {
            true => vm.wait_for_ssh(limits::READY).await,
            false => vm.wait_for_agent(limits::READY).await,
        };
        answer.map_err(|source| EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) })
    };
    tokio::select! {
        result = ready => result?,
        error = ended(env, &connection, vm) => return Err(error),
    }
    progress.say(&format!("{name} answers after {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Comes back only when a machine that should be booting has ended.
async fn ended(env: &Env, connection: &Connection, vm: &Vm) -> EnvError {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let state = connection.domain_state(vm.name().as_str(), limits::COMMAND).await;
        let what = match state {
            Ok(DomainState::Off | DomainState::Absent) => "was switched off while it booted",
            Ok(DomainState::Crashed) => "crashed while it booted",
            Ok(_) => continue,
            Err(error) => return explain(env.lab(), error),
        };
        let console = vm.console_tail(5).await.join("\n");
        let what = if console.is_empty() {
            what.to_owned()
        } else {
            format!("{what}; its console ends with:\n{console}")
        };
        return EnvError::MachineEnded { machine: vm.name().clone(), what };
    }
}
