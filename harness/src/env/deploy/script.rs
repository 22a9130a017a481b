//! One deploy script in one machine: how it is run there, and ended when it was cut off.

use std::{io::Cursor, path::Path, time::Duration};

use super::{
    output::{Live, err_of, tail},
    plan::{name_of, variables},
};
use crate::{
    env::{EnvError, Progress, Vm, plan::EnvPlan},
    guest::{Command, GuestError, Status},
    initfile::spec::DeployScript,
};

/// How long a script may take that does not say (stretched by the time factor).
const LIMIT: Duration = Duration::from_secs(1800);
/// How long it may take to end what was cut off (stretched by the time factor).
const CUTTING: Duration = Duration::from_secs(5);

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

/// Runs one script; what it prints is told line by line and kept in the file `output`, whatever becomes of the script.
pub(super) async fn run(
    plan: &EnvPlan,
    vm: &Vm,
    script: &DeployScript,
    text: Vec<u8>,
    output: &Path,
    progress: &Progress,
) -> Result<(), EnvError> {
    let name = name_of(&script.path);
    let mut command = Command::script(format!("{CUT_OFF}{RUN}")).arg(name.as_str());
    command = command.args(script.args.iter().map(String::as_str));
    command = command.timeout(script.timeout.unwrap_or(LIMIT)).shown_as("run the deploy script");
    for (name, value) in variables(plan, vm.plan()).into_iter().chain(script.env.clone()) {
        command = command.env(name, value);
    }
    let source = format!("{}: {name}", vm.name());
    let (stdout, stderr) =
        (Live::to(output, &source, progress)?, Live::to(&err_of(output), &source, progress)?);
    let what = match vm.pipe(command, Cursor::new(text), stdout, stderr).await {
        Ok(ran) if ran.output.status == Status::Code(0) => return Ok(()),
        Ok(ran) => format!("ended with {}", ran.output.status),
        Err(GuestError::Deadline { limit, stage, started: true, .. }) => {
            format!("did not end within {:.1} s (at that time {stage})", limit.as_secs_f64())
        }
        Err(source) => {
            return Err(EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) });
        }
    };
    Err(EnvError::Deploy {
        machine: vm.name().clone(),
        script: script.path.clone(),
        what,
        output: output.to_owned(),
        tail: tail(output)?,
    })
}

/// Ends what runs of a script in a machine; what cannot be ended now, the next attempt ends.
pub(super) async fn cut_off(vm: &Vm) {
    let end = Command::script(CUT_OFF).timeout(CUTTING).shown_as("end the deploy script");
    let _ = vm.execute(end).await;
}
