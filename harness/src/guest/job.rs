//! A command in the background of a guest. What it prints and how it ends stands in files there, so that it goes on
//! whatever becomes of our connections; only a guest that starts anew loses it.

use std::time::{Duration, Instant};

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    notes::Note,
    output::{Captured, Output, Status},
    run::kill_script,
    upload::Uploaded,
};
use crate::base::wait::Deadline;

/// Exit status of our scripts: there is no such job any more.
const GONE: i32 = 66;
/// Exit status of our scripts: it still runs.
const RUNS: i32 = 75;
/// How long one look for its end lasts in the guest, in fifths of a second.
const LOOK: &str = "20";

/// Runs the line `$2` on standard input, marked `$3`, with everything about it in a new folder named `$1`; prints the
/// folder.
const START: &str = r#"
umask 077
for p in /var/tmp /tmp /dev/shm; do d=$p/$1; mkdir "$d" 2>/dev/null && cat > "$d/in" && break || rm -rf -- "$d"; done
[ -e "$d/in" ] || { echo "no room for it in /var/tmp, /tmp and /dev/shm" >&2; exit 73; }
cat /proc/sys/kernel/random/boot_id > "$d/boot"
(
    trap '' HUP
    POLDER_CALL=$3 sh -c 'echo $$ > "$0/pid"; eval "$1"' "$d" "$2" < "$d/in" > "$d/out" 2> "$d/err"
    echo $? > "$d/status.new"
    mv "$d/status.new" "$d/status"
) < /dev/null > /dev/null 2>&1 &
echo $! > "$d/watcher"
echo "$d"
"#;

/// Waits `$2` fifths of a second for the end of the job in `$1`, and prints its exit status.
const AWAIT: &str = r#"
cd "$1" 2>/dev/null || exit 66
i=0
while [ ! -e status ]; do
    [ "$(cat boot)" = "$(cat /proc/sys/kernel/random/boot_id)" ] || exit 66
    [ -d "/proc/$(cat watcher)" ] || [ -e status ] || exit 66
    [ $i -lt "$2" ] || exit 75
    i=$((i+1)); sleep 0.2
done
cat status
"#;

/// Goes to the job in `$1`, which may still be starting.
const FIND: &str = r#"
cd "$1" 2>/dev/null || exit 66
i=0
while [ ! -s pid ] && [ $i -lt 25 ]; do i=$((i+1)); sleep 0.2; done
"#;
/// Sends the signal `$2` to the job that was found.
const SIGNAL: &str = r#"[ -e status ] || kill -s "$2" "$(cat pid)""#;

/// A command in the background of a guest, made by [`Guest::spawn`]. It is killed with everything it started when this is
/// dropped, unless it was [detached](Job::detach).
#[derive(Debug)]
#[must_use = "it is killed when this is dropped"]
pub struct Job {
    guest: Guest,
    command: String,
    folder: String,
    since: Instant,
    /// The file it is, for an uploaded script.
    file: Option<Uploaded>,
    /// As long as it is ours.
    note: Option<Note>,
    /// What everything it started is found by.
    mark: String,
}

impl Guest {
    /// Starts a command and lets it run in the background, without a deadline. It goes on when the connection breaks.
    ///
    /// # Errors
    /// As [`Guest::execute`], when it cannot be started.
    pub async fn spawn(&self, command: impl Into<Command>) -> Result<Job, GuestError> {
        let command = command.into();
        timed(verb!(self, "spawn", command = command), async {
            let limit = self.scaled(limits::COMMAND);
            let uploaded = self.upload(&command, Deadline::within(limit)).await?;
            let (file, placed) = match uploaded {
                Some((file, placed)) => (Some(file), placed),
                None => (None, command.clone()),
            };
            let note = self.note()?;
            let mark = note.mark.clone();
            let line = placed.line(&mark).map_err(|source| GuestError::Command {
                machine: self.name().clone(),
                command: command.to_string(),
                source,
            })?;
            let start = Command::script(START).args([&note.name(), &line, &mark]);
            let start = start.input_of(&command).shown_as("start the job");
            let ran = self.run(&start, limit).await?;
            if !ran.output.status.success() {
                return Err(GuestError::Failed(Box::new(self.with_console(ran).await)));
            }
            let folder = ran.output.stdout.text().trim().to_owned();
            let (guest, since) = (self.clone(), Instant::now());
            Ok(Job { guest, command: command.to_string(), folder, since, file, note: Some(note), mark })
        })
        .await
    }
}

impl Job {
    /// Waits until it has ended; returns how, and all it printed. One that a signal ended has 128 and the signal's number
    /// as its exit status.
    ///
    /// # Errors
    /// [`GuestError::Deadline`], leaving it running; [`GuestError::JobGone`]; as [`Guest::execute`] when the guest cannot be
    /// asked.
    pub async fn wait(&self, limit: Duration) -> Result<Output, GuestError> {
        timed(verb!(self.guest, "wait", job = self.command), async {
            let limit = self.guest.scaled(limit);
            let deadline = Deadline::within(limit);
            loop {
                let found = self.look(LOOK, deadline.left().max(self.guest.scaled(limits::LOOK))).await;
                match found {
                    Ok(None) if deadline.passed() => return Err(self.late(limit).await),
                    // Looking once more cannot do any harm.
                    Err(GuestError::Lost { .. }) if !deadline.passed() => {}
                    Ok(None) => {}
                    Ok(Some(status)) => return self.output(status).await,
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// As [`Job::wait`].
    pub async fn is_running(&self) -> Result<bool, GuestError> {
        Ok(self.look("0", self.guest.scaled(limits::LOOK)).await?.is_none())
    }

    /// What it has printed so far; its status is unknown.
    ///
    /// # Errors
    /// As [`Guest::execute`].
    pub async fn output_so_far(&self) -> Result<Output, GuestError> {
        self.output(Status::Unknown).await
    }

    /// Sends it a signal, such as `TERM`; what it started gets none.
    ///
    /// # Errors
    /// There is no such signal; [`GuestError::JobGone`]; as [`Guest::execute`].
    pub async fn signal(&self, name: &str) -> Result<(), GuestError> {
        timed(verb!(self.guest, "signal", job = self.command, signal = name), async {
            let script = format!("{FIND}{SIGNAL}");
            let signal = Command::script(script).args([self.folder.as_str(), name]);
            self.done(signal.shown_as("send the signal")).await
        })
        .await
    }

    /// Kills it and everything it started.
    ///
    /// # Errors
    /// As [`Guest::execute`].
    pub async fn kill(&self) -> Result<(), GuestError> {
        timed(verb!(self.guest, "kill", job = self.command), async {
            let script = format!("{FIND}{}", kill_script(&self.mark));
            self.done(Command::script(script).arg(&self.folder).shown_as("kill the job")).await
        })
        .await
    }

    /// Leaves it to itself: it goes on when this is gone, and its files stay in the guest.
    pub fn detach(mut self) {
        if let Some(note) = self.note.take() {
            note.forget();
        }
        if let Some(file) = self.file.take() {
            file.keep();
        }
    }

    /// Runs one of our scripts that has to succeed.
    async fn done(&self, command: Command) -> Result<(), GuestError> {
        let ran = self.guest.run(&command, self.guest.scaled(limits::LOOK)).await?;
        match ran.output.status {
            Status::Code(0) => Ok(()),
            Status::Code(GONE) => Err(self.gone()),
            _ => Err(GuestError::Failed(Box::new(self.guest.with_console(ran).await))),
        }
    }

    /// How it ended, if it has within `fifths` of a second.
    async fn look(&self, fifths: &str, limit: Duration) -> Result<Option<Status>, GuestError> {
        let look = Command::script(AWAIT).args([self.folder.as_str(), fifths]).shown_as("look for the job");
        let ran = self.guest.run(&look, limit).await?;
        match ran.output.status {
            Status::Code(0) => {
                let code = ran.output.stdout.text().trim().parse();
                Ok(Some(code.map_or(Status::Unknown, Status::Code)))
            }
            Status::Code(RUNS) => Ok(None),
            Status::Code(GONE) => Err(self.gone()),
            _ => Err(GuestError::Failed(Box::new(self.guest.with_console(ran).await))),
        }
    }

    async fn output(&self, status: Status) -> Result<Output, GuestError> {
        let took = self.since.elapsed();
        let (stdout, stderr) = (self.read("out").await?, self.read("err").await?);
        Ok(Output { status, stdout, stderr, took })
    }

    async fn read(&self, name: &str) -> Result<Captured, GuestError> {
        let path = format!("{}/{name}", self.folder);
        let read = Command::new("cat").arg(&path).shown_as("read what the job printed");
        let ran = self.guest.run(&read, self.guest.scaled(limits::COPY)).await?;
        if ran.output.status.success() {
            Ok(ran.output.stdout)
        } else if self.look("0", self.guest.scaled(limits::LOOK)).await.is_err() {
            Err(self.gone())
        } else {
            Err(GuestError::Failed(Box::new(self.guest.with_console(ran).await)))
        }
    }

    async fn late(&self, limit: Duration) -> GuestError {
        match self.output(Status::Unknown).await {
            Ok(output) => self.guest.still_runs(&self.command, output, limit).await,
            Err(error) => error,
        }
    }

    fn gone(&self) -> GuestError {
        GuestError::JobGone { machine: self.guest.name().clone(), command: self.command.clone() }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let (Some(note), Ok(runtime)) = (self.note.take(), tokio::runtime::Handle::try_current()) {
            let guest = self.guest.clone();
            runtime.spawn(async move {
                if guest.end_all(&note.mark, limits::DROPPED).await.unwrap_or(false) {
                    note.forget();
                }
            });
        }
    }
}
