//! Runs the deploy scripts of machines in them: those of one in their order, machines side by side. Scripts are copied when
//! the environment is made; one that has changed since is run as it is now, one that is gone as it was then.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    Env, EnvError, Progress, Selection, Vm,
    error::{chain, file},
    parallel,
    plan::{EnvPlan, MachinePlan},
    turn::Turn,
};
use crate::{
    base::{id::MachineName, store, text::did_you_mean},
    guest::{Captured, Command, GuestError, Output, Status},
    initfile::spec::DeployScript,
    provider::MachineState,
};

/// How long a script may take that does not say (stretched by the time factor).
const LIMIT: Duration = Duration::from_secs(1800);
/// How long it may take to end what was cut off (stretched by the time factor).
const CUTTING: Duration = Duration::from_secs(5);
/// Lines of each output that an error shows.
const SHOWN: usize = 20;

/// Ends what an attempt that was cut off left in the guest: `call` names everything it started.
const CUT_OFF: &str = r#"d=${HOME:-/root}/.polder-deploy
if [ -r "$d/call" ] && read -r call <"$d/call"; then
    for i in 1 2 3; do
        for p in $(grep -ls "POLDER_CALL=$call" /proc/[0-9]*/environ); do
            p=${p#/proc/}
            kill -9 "${p%/environ}" 2>/dev/null
        done
    done
fi
rm -rf "$d"
"#;

/// Makes the script on standard input a file called `$1` and runs it with the other arguments: by itself if it says by
/// what, else as Lago does.
const RUN: &str = r#"(umask 077 && mkdir "$d" && echo "$POLDER_CALL" >"$d/call" && cat >"$d/$1" && chmod 700 "$d/$1") || exit 126
script=$d/$1
shift
read -r first <"$script"
case $first in
'#!'*) set -- "$script" "$@" ;;
*) set -- "$(command -v bash || echo sh)" "$script" "$@" ;;
esac
"$@" </dev/null
status=$?
rm -rf "$d"
exit $status
"#;

/// Which deploy scripts are run; by default those that are to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployOptions {
    /// Only those of these machines, `VM`, or only these, `VM/SCRIPT`, by their file names; all when there are none.
    pub only: Vec<String>,
    /// Also those that are to run once and were done before.
    pub again: bool,
}

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

/// The scripts of one machine that are to be run, with their numbers among all of it.
pub(super) struct Task {
    vm: Vm,
    scripts: Vec<(usize, DeployScript)>,
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
        let tasks = chosen(all(self), &options.only)?;
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
                let cut = |vm: Vm| async move {
                    // What cannot be ended now, the next attempt ends.
                    let _ = vm.execute(Command::script(CUT_OFF).timeout(CUTTING).shown_as("end the deploy script")).await;
                    Ok(())
                };
                parallel::each(vms, cut).await?;
                Err(stopped)
            }
        }
    }
}

/// Copies the scripts of all machines, so that they can be run wherever the environment goes.
pub(super) fn copy(env: &Env, progress: &Progress) -> Result<(), EnvError> {
    for machine in &env.plan().machines {
        for script in &machine.deploy_scripts {
            text(env.folder(), &script.path, progress)?;
        }
    }
    Ok(())
}

/// Every script of every machine.
pub(super) fn all(env: &Env) -> Vec<Task> {
    let numbered = |vm: &Vm| (1..).zip(vm.plan().deploy_scripts.iter().cloned()).collect();
    let tasks = env.vms().into_iter().map(|vm| Task { scripts: numbered(&vm), vm });
    tasks.filter(|task| !task.scripts.is_empty()).collect()
}

/// Paths of a machine's scripts, as status and inventories list them.
pub(super) fn paths(plan: &MachinePlan) -> Json {
    plan.deploy_scripts.iter().map(|script| json!(script.path)).collect()
}

/// Runs scripts on machines that answer.
pub(super) async fn run(
    env: &Env,
    turn: &Turn<'_>,
    tasks: Vec<Task>,
    again: bool,
    progress: &Progress,
) -> Result<Vec<Deployed>, EnvError> {
    // Somebody may serve it already; a script that needs it and does not find it says so itself.
    let _repo = match tasks.is_empty() {
        true => None,
        false => env.serve_repo().await.unwrap_or_else(|error| {
            progress.say(&format!("deploying without serving the repository: {}", chain(&error)));
            None
        }),
    };
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
        let output = output_of(env.folder(), &machine, number, &name);
        if script.once && !again && before.contains(&digest) {
            progress.say(&format!("{machine}: {name} was done before"));
            all.push(Deployed { machine, script: script.path, ran: false, seconds: 0.0, output });
            continue;
        }
        progress.say(&format!("{machine}: {name} runs"));
        let start = Instant::now();
        run_one(env.plan(), &vm, &script, text, &output).await?;
        let seconds = start.elapsed().as_secs_f64();
        progress.say(&format!("{machine}: {name} is done after {seconds:.1} s"));
        // Who takes it is there as long as we are.
        let _ = done.send((machine.clone(), digest));
        all.push(Deployed { machine, script: script.path, ran: true, seconds, output });
    }
    Ok(all)
}

/// Runs one script and keeps what it prints, whatever becomes of it.
async fn run_one(
    plan: &EnvPlan,
    vm: &Vm,
    script: &DeployScript,
    text: Vec<u8>,
    output: &Path,
) -> Result<(), EnvError> {
    let mut command = Command::script(format!("{CUT_OFF}{RUN}")).arg(name_of(&script.path));
    command = command.args(script.args.iter().map(String::as_str)).stdin(text);
    command = command.timeout(script.timeout.unwrap_or(LIMIT)).shown_as("run the deploy script");
    for (name, value) in variables(plan, vm.plan()).into_iter().chain(script.env.clone()) {
        command = command.env(name, value);
    }
    let failed = |what: String, left: &Output| EnvError::Deploy {
        machine: vm.name().clone(),
        script: script.path.clone(),
        what,
        output: output.to_owned(),
        tail: tail(left),
    };
    match vm.execute(command).await {
        Ok(left) => {
            keep(output, &left)?;
            if left.status == Status::Code(0) {
                Ok(())
            } else {
                Err(failed(format!("ended with {}", left.status), &left))
            }
        }
        Err(GuestError::Deadline { ran, limit, stage, started: true, .. }) => {
            keep(output, &ran.output)?;
            let what = format!("did not end within {:.1} s (at that time {stage})", limit.as_secs_f64());
            Err(failed(what, &ran.output))
        }
        Err(source) => {
            if let GuestError::Lost { ran, .. } = &source {
                keep(output, &ran.output)?;
            }
            Err(EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) })
        }
    }
}

/// What a script is called.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The text of a script as it is now, or as it was when it could be read last; keeps a copy of it.
fn text(folder: &Path, script: &Path, progress: &Progress) -> Result<Vec<u8>, EnvError> {
    let copies = folder.join("scripts");
    if script.starts_with(&copies) {
        return fs::read(script).map_err(file("read", script));
    }
    let copy = copies.join(script.to_string_lossy().replace('/', "_"));
    let kept = fs::read(&copy).ok();
    match (fs::read(script), kept) {
        (Ok(now), Some(kept)) if now == kept => Ok(now),
        (Ok(now), kept) => {
            if kept.is_some() {
                progress.say(&format!("{} has changed: it is run as it is now", script.display()));
            }
            fs::create_dir_all(&copies).map_err(file("make", &copies))?;
            store::replace(&copy, &now).map_err(file("write", &copy))?;
            Ok(now)
        }
        (Err(_), Some(kept)) => {
            progress.say(&format!("{} cannot be read: it is run as it was", script.display()));
            Ok(kept)
        }
        (Err(error), None) => Err(file("read", script)(error)),
    }
}

/// Of everything that decides what a script does.
fn digest(script: &DeployScript, text: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(text);
    // Debug is used rather than a serialization because it cannot fail.
    hasher.update(format!("{:?} {:?}", script.args, script.env));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn output_of(folder: &Path, machine: &MachineName, number: usize, name: &str) -> PathBuf {
    folder.join("logs/deploy").join(machine.as_str()).join(format!("{number}-{name}.out"))
}

/// Keeps both outputs.
fn keep(output: &Path, left: &Output) -> Result<(), EnvError> {
    let folder = output.parent().unwrap_or(output);
    fs::create_dir_all(folder).map_err(file("make", folder))?;
    for (path, Captured { bytes, whole, .. }) in
        [(output.to_owned(), &left.stdout), (output.with_extension("err"), &left.stderr)]
    {
        let kept = match whole {
            Some(whole) => fs::copy(whole, &path).and_then(|_| fs::remove_file(whole)),
            None => fs::write(&path, bytes),
        };
        kept.map_err(file("write", &path))?;
    }
    Ok(())
}

/// The end of both outputs, on lines of their own.
fn tail(left: &Output) -> String {
    let mut tail = String::new();
    for (name, stream) in [("stdout", &left.stdout), ("stderr", &left.stderr)] {
        let text = String::from_utf8_lossy(&stream.bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let skipped = lines.len().saturating_sub(SHOWN);
        if !lines.is_empty() {
            tail += &format!("\n--- {name}{} ---", if skipped > 0 { ", its end" } else { "" });
            lines.iter().skip(skipped).for_each(|line| tail += &format!("\n{line}"));
        }
    }
    tail
}

/// What a script finds in its environment, under the names of Polder and of Lago: its machine and the others, its nets,
/// their addresses.
fn variables(plan: &EnvPlan, machine: &MachinePlan) -> Vec<(String, String)> {
    let name = |text: &str| text.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut all = vec![("VM".to_owned(), machine.name.to_string())];
    all.extend(machine.management_ip.map(|ip| ("IP".to_owned(), ip.to_string())));
    let mut nets: BTreeMap<&str, String> = BTreeMap::new();
    let mut order = Vec::new();
    for nic in &machine.nics {
        if !order.contains(&nic.net.as_str()) {
            order.push(nic.net.as_str());
        }
        if let Some(ip) = nic.addresses().next() {
            nets.entry(nic.net.as_str()).or_insert_with(|| ip.to_string());
        }
    }
    all.push(("NETS".to_owned(), order.join(" ")));
    all.extend(nets.into_iter().map(|(net, ip)| (format!("IP_ON_{}", name(net)), ip)));
    let vms: Vec<&str> = plan.machines.iter().map(|machine| machine.name.as_str()).collect();
    all.push(("VMS".to_owned(), vms.join(" ")));
    all.extend(plan.machines.iter().filter_map(|machine| {
        Some((format!("IP_OF_{}", name(machine.name.as_str())), machine.management_ip?.to_string()))
    }));
    let both = |(name, value): (String, String)| {
        ["POLDER", "LAGO"].map(|product| (format!("{product}_{name}"), value.clone()))
    };
    all.into_iter().flat_map(both).collect()
}

/// Those of `tasks` that `only` means; all when it names none.
fn chosen(tasks: Vec<Task>, only: &[String]) -> Result<Vec<Task>, EnvError> {
    let names = |task: &Task| -> Vec<(String, String)> {
        let scripts = task.scripts.iter();
        scripts.map(|(_, script)| (task.vm.name().to_string(), name_of(&script.path))).collect()
    };
    let known: Vec<_> = tasks.iter().flat_map(names).collect();
    let unknown = unknown(&known, only);
    if !unknown.is_empty() {
        return Err(EnvError::NoScript { what: unknown.join("\n") });
    }
    let wanted = tasks.into_iter().map(|mut task| {
        let machine = task.vm.name().to_string();
        task.scripts.retain(|(_, script)| is_meant(only, &machine, &name_of(&script.path)));
        task
    });
    Ok(wanted.filter(|task| !task.scripts.is_empty()).collect())
}

/// Whether a script of a machine is one of those named: as `VM`, or as `VM/SCRIPT`.
fn is_meant(only: &[String], machine: &str, script: &str) -> bool {
    let means = |asked: &String| asked == machine || asked.split_once('/') == Some((machine, script));
    only.is_empty() || only.iter().any(means)
}

/// What is to be said of every name that means none of the scripts that are `known` by their machines and names.
fn unknown(known: &[(String, String)], only: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        known.iter().map(|(machine, script)| format!("{machine}/{script}")).collect();
    names.dedup();
    let is_known = |asked: &&String| {
        let one = std::slice::from_ref(*asked);
        known.iter().any(|(machine, script)| is_meant(one, machine, script))
    };
    let told = only.iter().filter(|asked| !is_known(asked)).map(|asked| {
        match did_you_mean(asked, names.iter().map(String::as_str)) {
            Some(meant) => format!("no deploy script `{asked}`; did you mean `{meant}`?"),
            None if names.is_empty() => format!("no deploy script `{asked}`; there are none"),
            None => format!("no deploy script `{asked}`; there are {}", names.join(", ")),
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn machines_and_scripts_are_meant_by_their_names() {
        assert!(is_meant(&[], "web", "a.sh"));
        assert!(is_meant(&texts(&["db", "web"]), "web", "a.sh"));
        assert!(is_meant(&texts(&["web/a.sh"]), "web", "a.sh"));
        assert!(!is_meant(&texts(&["web/b.sh", "db", "a.sh"]), "web", "a.sh"));
    }

    #[test]
    fn every_name_that_means_nothing_is_told() {
        let known = [("web", "a.sh"), ("web", "setup"), ("db", "a.sh")];
        let known = known.map(|(machine, script)| (machine.to_owned(), script.to_owned()));
        assert_eq!(unknown(&known, &texts(&["web", "db/a.sh"])), Vec::<String>::new());
        let told = unknown(&known, &texts(&["web/setpu", "no-machine-at-all", "web"]));
        assert_eq!(
            told,
            [
                "no deploy script `web/setpu`; did you mean `web/setup`?",
                "no deploy script `no-machine-at-all`; there are web/a.sh, web/setup, db/a.sh",
            ]
        );
        assert_eq!(unknown(&[], &texts(&["x"])), ["no deploy script `x`; there are none"]);
    }

    #[test]
    fn what_a_script_does_decides_its_digest() {
        let script = DeployScript { path: "/x".into(), args: texts(&["a"]), ..DeployScript::default() };
        let same = DeployScript { path: "/y".into(), once: true, timeout: Some(LIMIT), ..script.clone() };
        assert_eq!(digest(&script, b"text"), digest(&same, b"text"));
        let args = DeployScript { args: texts(&["b"]), ..script.clone() };
        let env = DeployScript { env: [("a".to_owned(), String::new())].into(), ..script.clone() };
        let all =
            [digest(&script, b"text"), digest(&args, b"text"), digest(&env, b"text"), digest(&script, b"")];
        assert!(all.iter().enumerate().all(|(i, one)| !all[i + 1..].contains(one)), "{all:?}");
    }

    #[test]
    fn a_script_is_run_as_it_is_now_and_as_it_was_when_it_is_gone() {
        use std::sync::{Arc, Mutex};
        let dir = tempfile::tempdir().unwrap();
        let (folder, script) = (dir.path().join("prefix"), dir.path().join("a b.sh"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let progress = Progress::new(move |line| teller.lock().unwrap().push(line.to_owned()));
        let read = || text(&folder, &script, &progress);
        assert!(read().is_err());
        for (content, said) in [("one", 0), ("one", 0), ("two", 1)] {
            fs::write(&script, content).unwrap();
            assert_eq!(read().unwrap(), content.as_bytes());
            assert_eq!(told.lock().unwrap().len(), said);
        }
        fs::remove_file(&script).unwrap();
        assert_eq!(read().unwrap(), b"two");
        assert!(told.lock().unwrap()[1].ends_with("cannot be read: it is run as it was"));
        let copies: Vec<_> =
            fs::read_dir(folder.join("scripts")).unwrap().flatten().map(|e| e.path()).collect();
        assert_eq!(copies, [folder.join("scripts").join(script.to_string_lossy().replace('/', "_"))]);
        // Lago's are copies already.
        assert_eq!(text(&folder, &copies[0], &progress).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.join("scripts")).unwrap().count(), 1);
    }

    #[test]
    fn an_error_shows_the_end_of_both_outputs() {
        let stream = |text: String| Captured { total: 0, bytes: text.into_bytes(), whole: None };
        let lines: String = (0..30).map(|n| format!("{n}\n")).collect();
        let left = |out: &str| Output {
            status: Status::Code(1),
            stdout: stream(out.to_owned()),
            stderr: stream("no\n".to_owned()),
            took: Duration::ZERO,
        };
        assert_eq!(tail(&left("")), "\n--- stderr ---\nno");
        let tail = tail(&left(&lines));
        assert!(tail.starts_with("\n--- stdout, its end ---\n10\n11\n"), "{tail}");
    }
}
