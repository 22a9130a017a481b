//! Runs the scripts of machines in them: those of one in their order, machines side by side.

use std::{path::PathBuf, time::Instant};

use serde::Serialize;
use tokio::sync::mpsc;

use super::{
    copies::text,
    output,
    plan::{DeployOptions, Task, all, chosen, digest, name_of},
    script,
};
use crate::{
    base::id::MachineName,
    env::{Env, EnvError, Progress, Selection, Vm, error::chain, parallel, turn::Turn},
    provider::MachineState,
};

/// What became of a deploy script that did not fail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployed {
    /// The machine.
    pub machine: MachineName,
    /// The script, on the host.
    pub script: PathBuf,
    /// Whether it was run; else it was done before.
    pub ran: bool,
    /// How long it took.
    pub seconds: f64,
    /// The file of its standard output; that of its standard error lies beside it, its name ending with `.err`.
    pub output: PathBuf,
}

/// A script that was done: its machine, and its digest.
type Mark = (MachineName, String);

impl Env {
    /// Runs deploy scripts in machines that run, once they answer. When one fails, the others of its machine are not
    /// run; other machines finish.
    ///
    /// # Errors
    /// Names that are none; machines that are off; every failure; that the operator has asked us to stop.
    pub async fn deploy(
        &self,
        options: &DeployOptions,
        progress: &Progress,
    ) -> Result<Vec<Deployed>, EnvError> {
        let tasks = chosen(all(self.vms()), &options.only)?;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let turn = Turn::begin(self, "deploy").await?;
        let mut off = Vec::new();
        for task in &tasks {
            if !matches!(self.state_of(&task.vm).await?, MachineState::Running | MachineState::Unreachable) {
                off.push(task.vm.name().to_string());
            }
        }
        if !off.is_empty() {
            return Err(EnvError::NotRunning { what: "deployed", machines: off });
        }
        let vms: Vec<Vm> = tasks.iter().map(|task| task.vm.clone()).collect();
        let names = vms.iter().map(|vm| vm.name().to_string()).collect();
        let work = async {
            self.wait_ready(&Selection::Named(names), progress).await?;
            run(self, &turn, tasks, options.again, progress).await
        };
        tokio::select! {
            biased;
            done = work => done,
            stopped = self.host().told_to_stop() => {
                parallel::each(vms, |vm: Vm| async move {
                    script::cut_off(&vm).await;
                    Ok(())
                })
                .await?;
                Err(stopped)
            }
        }
    }
}

/// Runs scripts on machines that answer.
pub(in crate::env) async fn run(
    env: &Env,
    turn: &Turn<'_>,
    tasks: Vec<Task>,
    again: bool,
    progress: &Progress,
) -> Result<Vec<Deployed>, EnvError> {
    // Another process may serve it already; a script that needs it and does not find it says so itself.
    if !tasks.is_empty()
        && let Err(error) = env.serve_repo().await
    {
        progress.say(&format!("deploying without serving the repository: {}", chain(&error)));
    }
    let (done, mut marks) = mpsc::unbounded_channel();
    let each = |task: Task| {
        let (env, done, progress) = (env.clone(), done.clone(), progress.clone());
        async move { of_machine(&env, task, again, &done, &progress).await }
    };
    let mark = |(machine, digest): Mark| {
        turn.update(|state| state.deployed.entry(machine).or_default().extend([digest]))
    };
    let work = parallel::each(tasks, each);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(done) = marks.recv() => mark(done)?,
            result = &mut work => {
                while let Ok(done) = marks.try_recv() {
                    mark(done)?;
                }
                return result.map(|deployed| deployed.into_iter().flatten().collect());
            }
        }
    }
}

/// Runs the scripts of one machine, up to the first that fails.
async fn of_machine(
    env: &Env,
    task: Task,
    again: bool,
    done: &mpsc::UnboundedSender<Mark>,
    progress: &Progress,
) -> Result<Vec<Deployed>, EnvError> {
    let Task { vm, scripts } = task;
    let before = env.state().deployed.remove(vm.name()).unwrap_or_default();
    let mut all = Vec::new();
    for (number, script) in scripts {
        let (machine, name) = (vm.name().clone(), name_of(&script.path));
        let text = text(env.folder(), &script.path, progress)?;
        let digest = digest(&script, &text);
        let output = output::file_of(env.folder(), &machine, number, &name);
        if script.once && !again && before.contains(&digest) {
            progress.say(&format!("{machine}: {name} was done before"));
            all.push(Deployed { machine, script: script.path, ran: false, seconds: 0.0, output });
            continue;
        }
        progress.say(&format!("{machine}: {name} runs"));
        let start = Instant::now();
        script::run(env.plan(), &vm, &script, text, &output, progress).await?;
        let seconds = start.elapsed().as_secs_f64();
        progress.say(&format!("{machine}: {name} is done after {seconds:.1} s"));
        // Who takes it is there as long as we are.
        let _ = done.send((machine.clone(), digest));
        all.push(Deployed { machine, script: script.path, ran: true, seconds, output });
    }
    Ok(all)
}
