//! One verb a file; each returns what is to be printed.

pub(super) mod attach;
mod change;
pub(super) mod checkpoints;
mod collect;
mod config;
mod console;
mod control;
mod copy;
mod cvp;
mod deploy;
mod destroy;
mod doctor;
mod enter;
mod exec;
mod export;
pub(super) mod fault;
mod gc;
mod images;
mod init;
mod inventory;
pub(super) mod new;
mod ovirt;
mod pages;
mod plan;
mod power;
mod prefixes;
mod reopen;
pub(super) mod repo;
mod report;
mod runs;
mod schema;
mod script;
mod serve;
mod service;
mod shell;
mod snapshot;
mod status;
pub(super) mod templates;
mod validate;

use super::{
    args::{Ovirt, Verb},
    context::Cx,
    external,
    run::Said,
};

/// Does what was asked for.
pub(super) async fn run(cx: &Cx, verb: Verb) -> anyhow::Result<Said> {
    let orderly = matches!(
        verb,
        Verb::Init(_)
            | Verb::Up(_)
            | Verb::Start(_)
            | Verb::Snapshot(_)
            | Verb::Revert(_)
            | Verb::Export(_)
            | Verb::Serve { .. }
            | Verb::Cvp { .. }
            | Verb::Change { .. }
            | Verb::Fault(_)
            | Verb::Partition(_)
            | Verb::Deploy(_)
            | Verb::Ovirt { what: Ovirt::Start { .. } }
    );
    let work = one(cx, verb);
    // Those put things in order themselves when they are stopped; the others may be stopped anywhere.
    if orderly { work.await } else { cx.unless_stopped(work).await }
}

async fn one(cx: &Cx, verb: Verb) -> anyhow::Result<Said> {
    Ok(match verb {
        Verb::Init(args) => init::init(cx, &args).await?.into(),
        Verb::Up(args) => init::up(cx, &args).await?.into(),
        Verb::Start(machines) => power::start(cx, &machines).await?.into(),
        Verb::Snapshot(args) => snapshot::run(cx, &args).await?.into(),
        Verb::Revert(args) => snapshot::revert(cx, &args).await?.into(),
        Verb::Deploy(args) => deploy::run(cx, &args).await?.into(),
        Verb::Export(args) => export::run(cx, &args).await?.into(),
        Verb::Down => destroy::down(cx).await?.into(),
        Verb::Stop(machines) => power::stop(cx, &machines).await?.into(),
        Verb::Shutdown(args) => power::shutdown(cx, &args).await?.into(),
        Verb::Reboot(machines) => power::reboot(cx, &machines).await?.into(),
        Verb::Crash(machines) => power::crash(cx, &machines).await?.into(),
        Verb::PowerCut(machines) => power::power_cut(cx, &machines).await?.into(),
        Verb::Pause(machines) => power::pause(cx, &machines).await?.into(),
        Verb::Resume(machines) => power::resume(cx, &machines).await?.into(),
        Verb::Cleanup => power::cleanup(cx).await?.into(),
        Verb::Destroy(args) => destroy::run(cx, &args).await?.into(),
        Verb::Serve { dir, .. } => serve::run(cx, dir).await?.into(),
        Verb::Repo(args) => repo::run(cx, &args).await?.into(),
        Verb::Status => status::run(cx).await?.into(),
        Verb::List { workdir } => prefixes::list(cx, workdir.as_deref())?.into(),
        Verb::SetCurrent { name } => prefixes::set_current(cx, &name)?.into(),
        Verb::Lock { reason } => prefixes::lock(cx, &reason.join(" ")).await?.into(),
        Verb::Unlock => prefixes::unlock(cx).await?.into(),
        Verb::Shell(args) => shell::run(cx, &args).await?,
        Verb::Exec(args) => exec::run(cx, &args).await?,
        Verb::Script(args) => script::run(cx, &args).await?,
        Verb::Console { host } => console::run(cx, &host).await?,
        Verb::CopyToVm(args) => copy::to_vm(cx, &args).await?.into(),
        Verb::CopyFromVm(args) => copy::from_vm(cx, &args).await?.into(),
        Verb::Collect(args) => collect::run(cx, &args).await?,
        Verb::SendKey(args) => control::send_key(cx, &args).await?.into(),
        Verb::InjectNmi { host } => control::inject_nmi(cx, &host).await?.into(),
        Verb::Partition(args) => fault::partition(cx, &args).await?.into(),
        Verb::AttachDisk(args) => attach::disk(cx, &args).await?.into(),
        Verb::DetachDisk(args) => attach::detach_disk(cx, &args).await?.into(),
        Verb::AttachNic(args) => attach::nic(cx, &args).await?.into(),
        Verb::DetachNic(args) => attach::detach_nic(cx, &args).await?.into(),
        Verb::Fault(args) => fault::run(cx, &args).await?.into(),
        Verb::Screenshot(args) => control::screenshot(cx, &args).await?.into(),
        Verb::Service(args) => service::run(cx, &args).await?.into(),
        Verb::AnsibleHosts(args) => inventory::run(cx, &args).await?.into(),
        Verb::Proxy { machine } => inventory::proxy(cx, &machine).await?.into(),
        Verb::Ovirt { what } => ovirt::run(cx, what).await?.into(),
        Verb::GenerateConfig { verbose, toml } => config::run(cx, verbose, toml)?.into(),
        Verb::Plan(args) => plan::run(cx, &args).await?.into(),
        Verb::Validate(args) => validate::run(cx, &args)?,
        Verb::New(args) => new::run(cx, &args)?.into(),
        Verb::Schema => schema::run().into(),
        Verb::Checkpoints { what } => checkpoints::run(cx, what)?.into(),
        Verb::Images { what } => images::run(cx, what).await?.into(),
        Verb::Templates(args) => templates::run(cx, args).await?,
        Verb::Cvp { what } => cvp::run(cx, &what).await?,
        Verb::Change { what } => change::run(cx, &what).await?,
        Verb::Enter(args) => enter::run(cx, &args).await?,
        Verb::Report(args) => report::run(cx, &args).await?,
        Verb::Doctor => doctor::run(cx).await?,
        Verb::Gc(args) => gc::run(cx, &args).await?.into(),
        Verb::Completions { shell } => pages::completions(shell)?.into(),
        Verb::Man { dir } => pages::man(&dir)?.into(),
        Verb::External(words) => {
            // Outside of any prefix there is nothing to tell them.
            let variables = cx.choice().find(&cx.cwd).map(|prefix| prefix.variables()).unwrap_or_default();
            Said::code(external::run(&words, &variables)?)
        }
    })
}
