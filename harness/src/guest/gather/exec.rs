//! Fetches what [`plan`](super::plan) decided: one archive as a stream, then the ends of what is too long for it.

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    plan::{self, Caps, Gathered, Kind, LOOK, Plan, SEND_LISTED, SEND_NAMED},
    taken::{Taken, Took},
};
use crate::{
    base::wait::Deadline,
    guest::{
        Channel, Command, Guest, GuestError,
        files::{CHUNKS, joined},
        handle::{timed, verb},
        run::{Sink, Source},
    },
};

/// How often what a `tar` that gave up had not come to is asked for.
const ROUNDS: usize = 3;

impl Guest {
    /// Brings `wanted` (paths of the guest, or patterns such as `/var/log/*.log`) into the folder `dest`: `/a/b` is
    /// called `_a_b` there. Over ssh, and over the guest agent where ssh never came up.
    ///
    /// Takes what it can get: a path that is not there, that changes or vanishes meanwhile, or for which there is no
    /// time left is told in its result. Nothing is seen in `dest` before all of it has come that will.
    ///
    /// # Errors
    /// The guest could not be asked at all.
    pub async fn gather(
        &self,
        wanted: &[String],
        dest: &Path,
        caps: Caps,
        limit: Duration,
    ) -> Result<Vec<Gathered>, GuestError> {
        timed(verb!(self, "gather", paths = wanted.len()), async {
            let deadline = Deadline::within(self.scaled(limit));
            let (over, said) =
                self.over_any("gather files", |over| self.survey(over, wanted, caps, deadline)).await?;
            let plan = plan::plan(wanted, &said).map_err(|why| {
                self.local(
                    "understand what there is to gather",
                    io::Error::new(io::ErrorKind::InvalidData, why),
                )
            })?;
            fs::create_dir_all(dest).map_err(|e| self.local(format!("make {}", dest.display()), e))?;
            let staging = tempfile::Builder::new().prefix(".gathering-").tempdir_in(dest);
            let staging = staging.map_err(|e| self.local(format!("write to {}", dest.display()), e))?;
            let mut taken = Taken::new(&plan, staging.path().to_owned(), caps);
            self.archives(over, &plan, &mut taken, deadline).await;
            self.ends(over, &plan, &mut taken, deadline).await;
            let dest = dest.to_owned();
            let wanted = wanted.to_vec();
            let placed = spawn_blocking(move || taken.place(over, &wanted, &plan, &dest)).await;
            let placed = joined(placed.map(Ok)).map_err(|e| self.local("keep what was gathered", e))?;
            drop(staging);
            let whole = placed.iter().filter(|one| one.missing.is_none()).count();
            tracing::info!(target: "polder", "gathered {whole} of {} over {over}", placed.len());
            Ok(placed)
        })
        .await
    }

    async fn survey(
        &self,
        over: Channel,
        wanted: &[String],
        caps: Caps,
        deadline: Deadline,
    ) -> Result<(Channel, Vec<u8>), GuestError> {
        let names = wanted.iter().map(|path| path.trim_end_matches('/'));
        let command =
            Command::script(LOOK).arg(caps.path.to_string()).args(names).shown_as("look what there is");
        let sink = Sink::Capture(self.capture("stdout"));
        let ran = self.run_over(over, &command, Source::Bytes(Vec::new()), sink, deadline.left()).await?;
        if !ran.output.status.success() {
            return Err(GuestError::Failed(Box::new(self.with_console(ran).await)));
        }
        Ok((over, self.all_of(ran.output.stdout).await?))
    }

    /// Fetches everything that goes through `tar`.
    async fn archives(&self, over: Channel, plan: &Plan, taken: &mut Taken, deadline: Deadline) {
        for _ in 0..ROUNDS {
            let left: Vec<PathBuf> = taken.unseen().cloned().collect();
            let parts = if plan.gnu { vec![left.as_slice()] } else { plan::batches(&left) };
            let mut gave_up = false;
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                match self.archive(over, plan, part, taken, deadline).await {
                    Ended::Whole => {}
                    Ended::GaveUp => gave_up = true,
                    Ended::Over => return,
                }
            }
            if !gave_up {
                return;
            }
        }
    }

    /// Fetches an archive of `roots`.
    async fn archive(
        &self,
        over: Channel,
        plan: &Plan,
        roots: &[PathBuf],
        taken: &mut Taken,
        deadline: Deadline,
    ) -> Ended {
        let names = roots.iter().map(|root| Path::new(".").join(root));
        let (command, stdin) = if plan.gnu {
            let list = names.flat_map(|name| [name.as_os_str().as_bytes(), b"\0"].concat()).collect();
            let excludes = plan.long.keys().map(|path| plan::exclude(path));
            // As many as fit: what is too long for the others is cut when it comes.
            let mut room = 32 * 1024;
            let excludes = excludes.take_while(|one| {
                room -= isize::try_from(one.len() * 2).unwrap_or(room);
                room > 0
            });
            (Command::script(SEND_LISTED).arg("/").args(excludes), list)
        } else {
            let names = names.map(|name| name.to_string_lossy().into_owned());
            (Command::script(SEND_NAMED).arg("/").args(names), Vec::new())
        };
        let (chunks, from) = mpsc::channel(CHUNKS);
        let mut taking = std::mem::take(taken);
        let take = spawn_blocking(move || {
            let result = taking.take(from);
            (taking, result)
        });
        let command = command.shown_as("send what there is");
        let run =
            self.run_over(over, &command, Source::Bytes(stdin), Sink::Chunks(chunks), deadline.left()).await;
        let result = match take.await {
            Ok((taking, result)) => {
                *taken = taking;
                result
            }
            Err(error) => Err(io::Error::other(error)),
        };
        let complaints = match &run {
            Ok(ran) => ran.output.stderr.text().into_owned(),
            Err(_) => String::new(),
        };
        for line in complaints.lines() {
            taken.complain(line);
        }
        match (result, run) {
            (Ok(Took::All), Ok(_)) => {
                taken.done(roots);
                Ended::Whole
            }
            (Ok(Took::Full), _) => {
                let why = format!("the limit of {} bytes for the machine was reached", taken.caps.machine);
                taken.give_up(&why);
                Ended::Over
            }
            // It ended by itself, in the middle of something.
            (Err(_), Ok(ran)) if !ran.output.status.success() => {
                taken.broke_off(&format!("tar ended with {} in the middle of it", ran.output.status));
                Ended::GaveUp
            }
            (Err(error), Ok(_) | Err(GuestError::Local { .. })) => {
                taken.give_up(&format!("cannot keep it: {error}"));
                Ended::Over
            }
            (_, Err(error)) => {
                taken.give_up(&error.brief());
                Ended::Over
            }
        }
    }

    /// Fetches the ends of files that are too long, and what the kernel makes when it is read.
    async fn ends(&self, over: Channel, plan: &Plan, taken: &mut Taken, deadline: Deadline) {
        let made = plan.found.iter().filter(|found| found.kind == Kind::Made);
        let made = made.map(|found| (&found.real, "head", None));
        let long = plan.long.iter().map(|(path, &size)| (path, "tail", Some(size)));
        for (path, program, size) in made.chain(long) {
            let cap = taken.caps.path.min(taken.caps.machine.saturating_sub(taken.total));
            let absolute = Path::new("/").join(path);
            let command =
                Command::new(program).arg("-c").arg(cap.to_string()).arg(absolute.to_string_lossy());
            let limit = deadline.left();
            let place = taken.dest.join(path);
            let result = if cap == 0 || limit.is_zero() {
                Err(if cap == 0 { "the limit of the machine was reached" } else { "there was no time left" }
                    .to_owned())
            } else {
                self.end(over, &command, &place, limit).await
            };
            taken.end(path, size, result);
        }
    }

    async fn end(
        &self,
        over: Channel,
        command: &Command,
        place: &Path,
        limit: Duration,
    ) -> Result<u64, String> {
        let size = |place: &Path| fs::metadata(place).map(|meta| meta.len());
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|e| format!("cannot keep it: {e}"))?;
        }
        self.output_to(over, command, place, limit).await.map_err(|error| error.brief())?;
        size(place).map_err(|e| format!("cannot keep it: {e}"))
    }
}

/// How an archive ended.
enum Ended {
    Whole,
    /// The guest's tar stopped before the end; the rest can be asked for again.
    GaveUp,
    /// There is no use in asking for more.
    Over,
}
