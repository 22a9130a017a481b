//! Waiting for what the guest itself can see: units, processes, files, sockets, and ports that nobody outside reaches.

use std::{future::Future, time::Duration};

use super::{
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    wait_held::Sight,
};
use crate::{base::wait::Look, image::Ability};

/// How the unit `$1` is, on one line.
const UNIT: &str =
    r#"look() { echo $(systemctl show --property=LoadState,ActiveState,SubState,Result -- "$1"); }"#;
/// systemd writes into the journal whatever becomes of a unit.
const UNIT_BELL: &str = r#"journalctl --quiet --follow --lines=0 --output=cat UNIT="$1""#;

/// Whether there is a file `$1`.
const FILE: &str = r#"look() { if [ -e "$1" ]; then echo there; elif [ -L "$1" ]; then echo dangling; else echo gone; fi; }"#;

/// Whether somebody listens on the socket `$1`, or, where there are no connections, has bound it.
const SOCKET: &str = r#"look() {
    if [ ! -S "$1" ]; then
        if [ -e "$1" ]; then echo other; else echo gone; fi
        return
    fi
    real=$(readlink -f "$1")
    while read -r _ _ _ flags type _ _ path; do
        if [ "$path" = "$1" ] || [ "$path" = "$real" ]; then
            case $flags:$type in 00010000:* | *:0002) echo heard; return ;; esac
        fi
    done </proc/net/unix
    echo deaf
}"#;

/// Whether a socket of the tables `$3`... has the port `$1` (hexadecimal) and the state `$2`.
const PORT: &str = r#"look() {
    want=$1:$2
    shift 2
    for table; do
        [ -r "$table" ] || continue
        while read -r _ local _ state _; do
            case ${local##*:}:$state in "$want") echo bound; return ;; esac
        done <"$table"
    done
    echo free
}"#;

/// Numbers of the processes called `$1`, or of that number, that are alive and not our own.
const PROCESS: &str = r#"look() {
    found=
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        case $line in "$1 ("* | *" ($1) "*) ;; *) continue ;; esac
        case ${line##*) } in [ZX]*) continue ;; esac
        case ${line%% *} in $$ | $PPID) continue ;; esac
        found="$found ${line%% *}"
    done
    echo "${found:-none}"
}"#;
/// Bytes of a process's name that the kernel keeps.
const NAME: usize = 15;

impl Guest {
    /// Waits until a systemd unit is active; fails at once when it has failed or there is none of that name.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] without systemd.
    pub async fn wait_for_unit(&self, unit: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_unit", unit = unit), async {
            self.require(Ability::Units, "wait for a unit")?;
            let sight = Sight::on(UNIT_BELL, UNIT, &[unit]);
            self.wait_for_sight(&format!("unit `{unit}`"), &sight, limit, unit_state).await
        })
        .await
    }

    /// Waits until the guest has a file, folder or anything else at `path`.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; as [`Guest::execute`] when it cannot look at all.
    pub async fn wait_for_file(&self, path: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_file", path = path), async {
            let judge = |seen: &str| match seen {
                "there" => Look::Ready(()),
                "dangling" => Look::NotYet("it is a link that leads nowhere".to_owned()),
                _ => Look::NotYet("it is not there".to_owned()),
            };
            self.wait_for_sight(&format!("`{path}`"), &Sight::of(FILE, &[path]), limit, judge).await
        })
        .await
    }

    /// Waits until the guest has nothing at `path` any more.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_file_gone(&self, path: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_file_gone", path = path), async {
            let judge = |seen: &str| match seen {
                "gone" => Look::Ready(()),
                _ => Look::NotYet("it is there".to_owned()),
            };
            self.wait_for_sight(&format!("`{path}` to go"), &Sight::of(FILE, &[path]), limit, judge).await
        })
        .await
    }

    /// Waits until somebody listens on the Unix socket at `path`; a file that a dead server left does not count.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_socket(&self, path: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_socket", path = path), async {
            let judge = |seen: &str| match seen {
                "heard" => Look::Ready(()),
                "deaf" => Look::NotYet("it is there, but nobody listens".to_owned()),
                "other" => Look::NotYet("there is something else than a socket".to_owned()),
                _ => Look::NotYet("it is not there".to_owned()),
            };
            let what = format!("the socket `{path}`");
            self.wait_for_sight(&what, &Sight::of(SOCKET, &[path]), limit, judge).await
        })
        .await
    }

    /// Waits until a program in the guest takes packets on a UDP port, on whatever address.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_udp_port(&self, port: u16, limit: Duration) -> Result<(), GuestError> {
        let tables = ["/proc/net/udp", "/proc/net/udp6"];
        timed(
            verb!(self, "wait_for_udp_port", port = port),
            self.wait_for_bound("UDP", port, "07", tables, limit),
        )
        .await
    }

    /// Waits until a program in the guest takes connections on a TCP port, on whatever address: also where nobody outside
    /// reaches it.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_port_inside(&self, port: u16, limit: Duration) -> Result<(), GuestError> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        timed(
            verb!(self, "wait_for_port_inside", port = port),
            self.wait_for_bound("TCP", port, "0A", tables, limit),
        )
        .await
    }

    async fn wait_for_bound(
        &self,
        protocol: &str,
        port: u16,
        state: &str,
        [four, six]: [&str; 2],
        limit: Duration,
    ) -> Result<(), GuestError> {
        let judge = |seen: &str| match seen {
            "bound" => Look::Ready(()),
            _ => Look::NotYet("nobody has it".to_owned()),
        };
        let sight = Sight::of(PORT, &[&format!("{port:04X}"), state, four, six]);
        self.wait_for_sight(&format!("somebody on {protocol} port {port}"), &sight, limit, judge).await
    }

    /// Waits until a process runs: one of that name, as `ps -o comm` shows it, or number.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_process(&self, process: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_process", process = process), async {
            let judge = |seen: &str| match seen {
                "none" => Look::NotYet("there is none".to_owned()),
                _ => Look::Ready(()),
            };
            self.wait_for_sight(&named(process), &process_sight(process), limit, judge).await
        })
        .await
    }

    /// Waits until no process of that name or number runs any more.
    ///
    /// # Errors
    /// As [`Guest::wait_for_file`].
    pub async fn wait_for_process_gone(&self, process: &str, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "wait_for_process_gone", process = process), async {
            let judge = |seen: &str| match seen {
                "none" => Look::Ready(()),
                pids => Look::NotYet(format!("it runs as {}", pids.trim())),
            };
            let what = format!("the end of {}", named(process));
            self.wait_for_sight(&what, &process_sight(process), limit, judge).await
        })
        .await
    }

    /// Does `work`, a wait for instance, as long as a process runs, of that name or number; fails as soon as there is none.
    ///
    /// ```no_run
    /// # async fn example(vm: &polder::guest::Guest) -> polder::Result {
    /// use polder::prelude::*;
    /// vm.while_process("nginx", vm.wait_for_port(80, secs(30))).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of `work`; [`GuestError::Wait`] when the process is gone, which is not waited for any longer.
    pub async fn while_process<T, E: From<GuestError>>(
        &self,
        process: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let judge = |seen: &str| match seen {
            "none" => Look::Failed("it is gone".to_owned()),
            pids => Look::NotYet(format!("it runs as {}", pids.trim())),
        };
        self.while_seen(&named(process), &process_sight(process), judge, work).await
    }

    /// Does `work` as long as a systemd unit is active or about to be; fails as soon as it is not.
    ///
    /// # Errors
    /// Those of `work`; [`GuestError::Wait`] when the unit is not; [`GuestError::Unsupported`] without systemd.
    pub async fn while_unit<T, E: From<GuestError>>(
        &self,
        unit: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.require(Ability::Units, "look at a unit")?;
        let judge = |seen: &str| match unit_state(seen) {
            Look::Ready(()) => Look::NotYet("it is active".to_owned()),
            Look::NotYet(state) if state.starts_with("inactive") => Look::Failed(format!("it is {state}")),
            other => other,
        };
        let sight = Sight::on(UNIT_BELL, UNIT, &[unit]);
        self.while_seen(&format!("unit `{unit}`"), &sight, judge, work).await
    }

    async fn while_seen<T, E: From<GuestError>>(
        &self,
        what: &str,
        sight: &Sight,
        judge: impl Fn(&str) -> Look<()>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let what = format!("{what} to go on");
        tokio::select! {
            biased;
            done = work => done,
            over = Box::pin(self.wait_for_sight(&what, sight, limits::FOREVER, judge)) => match over {
                // Nobody is content with what is seen: it only ends by an error.
                Ok(()) => std::future::pending().await,
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn named(process: &str) -> String {
    match process.parse::<u32>() {
        Ok(pid) => format!("process {pid}"),
        Err(_) => format!("a process `{process}`"),
    }
}

fn process_sight(process: &str) -> Sight {
    // The kernel cuts names, wherever that is.
    let kept = (0..=NAME).rev().find_map(|end| process.get(..end)).unwrap_or(process);
    Sight::of(PROCESS, &[kept])
}

/// Reads the properties `systemctl show` prints.
fn unit_state(shown: &str) -> Look<()> {
    let property = |name: &str| {
        let words = shown.split_whitespace();
        let mut values = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.next().unwrap_or("unknown")
    };
    let (active, sub) = (property("ActiveState"), property("SubState"));
    match (property("LoadState"), active) {
        ("not-found", _) => Look::Failed("there is no such unit".to_owned()),
        (load @ ("bad-setting" | "error" | "masked"), _) => Look::Failed(format!("the unit is {load}")),
        (_, "active") => Look::Ready(()),
        (_, "failed") => Look::Failed(format!("it has failed ({})", property("Result"))),
        _ => Look::NotYet(format!("{active} ({sub})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n", "Ready(())")]
    #[case(
        "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\n",
        "NotYet(\"activating (auto-restart)\")"
    )]
    #[case(
        "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\n",
        "NotYet(\"inactive (dead)\")"
    )]
    #[case(
        "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n",
        "Failed(\"it has failed (exit-code)\")"
    )]
    #[case(
        "LoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n",
        "Failed(\"there is no such unit\")"
    )]
    #[case(
        "LoadState=masked\nActiveState=inactive\nSubState=dead\nResult=success\n",
        "Failed(\"the unit is masked\")"
    )]
    #[case("", "NotYet(\"unknown (unknown)\")")]
    fn unit_states(#[case] shown: &str, #[case] expected: &str) {
        assert_eq!(format!("{:?}", unit_state(shown)), expected);
    }
}
