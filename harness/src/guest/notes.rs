//! Notes on this host of what outlasts a command in the guest (uploaded scripts, jobs), made before it is there. Whoever is
//! killed leaves them: the next process that does something in the guest ends what they name, so that nothing is without
//! an owner. Files that are on their way need none: their scripts clear up when the connection ends.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    command::Command,
    error::GuestError,
    handle::Guest,
    limits,
    run::{call_mark, kill_script},
};
use crate::base::owner::Owner;

/// Where our files in a guest may stand, in the order in which those are tried that may be large and stay.
pub(super) const FOLDERS: &str = "/var/tmp /tmp /dev/shm /run";

/// Something in a guest; forgotten when it is gone there.
#[derive(Debug)]
pub(super) struct Note {
    /// What its processes are found by, and its files called.
    pub(super) mark: String,
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    owner: Owner,
}

impl Note {
    /// What a file or folder of it is called.
    pub(super) fn name(&self) -> String {
        name(&self.mark)
    }

    /// It is gone there, or on its own.
    pub(super) fn forget(self) {
        forget(&self.path);
    }
}

fn name(mark: &str) -> String {
    format!(".polder-{mark}")
}

/// One that stays only makes somebody look once more.
fn forget(note: &Path) {
    let _ = fs::remove_file(note);
}

impl Guest {
    /// Notes something that will be in the guest.
    pub(super) fn note(&self) -> Result<Note, GuestError> {
        let mark = call_mark();
        let folder = &self.0.spec.notes;
        let path = folder.join(&mark);
        let noting = || {
            let noted = serde_json::to_vec(&Noted { owner: Owner::current()? })?;
            fs::create_dir_all(folder)?;
            // Whoever reads a half one takes its owner for alive.
            fs::write(&path, noted)
        };
        noting().map_err(|source| self.local(format!("write {}", path.display()), source))?;
        Ok(Note { mark, path })
    }

    /// Whether something of ours is in the guest, or was left there.
    pub(crate) fn has_something_under_way(&self) -> bool {
        fs::read_dir(&self.0.spec.notes).is_ok_and(|mut notes| notes.next().is_some())
    }

    /// Ends what processes have left in the guest that were killed, when it is used first. What cannot be ended now stays
    /// for the next one.
    pub(super) async fn clear_up(&self) {
        let clearing = async {
            for (mark, note) in ownerless(&self.0.spec.notes) {
                if self.end_all(&mark, limits::LOOK).await? {
                    forget(&note);
                    tracing::info!(target: "polder", "ended in {} what a killed process had left", self.name());
                }
            }
            Ok::<_, GuestError>(())
        };
        let _ = self.0.cleared.get_or_try_init(|| Box::pin(clearing)).await;
    }

    /// Kills everything under `mark` and removes its files; whether that is known to be done.
    pub(super) async fn end_all(&self, mark: &str, limit: std::time::Duration) -> Result<bool, GuestError> {
        let (kill, name) = (kill_script(mark), name(mark));
        let script = format!("{kill}; for d in {FOLDERS}; do rm -rf -- \"$d/{name}\"; done");
        let end = Command::script(script).shown_as("end what was left");
        Ok(self.look_once(&end, self.scaled(limit)).await?.output.status.success())
    }
}

/// Notes of processes that do not run any more. One that cannot be read is of somebody who is writing it.
fn ownerless(folder: &Path) -> Vec<(String, PathBuf)> {
    let notes = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_left = |path: &PathBuf| -> io::Result<bool> {
        let noted: Noted = serde_json::from_slice(&fs::read(path)?)?;
        Ok(!noted.owner.is_alive())
    };
    let left = notes.filter(|path| is_left(path).unwrap_or(false));
    left.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path))).collect()
}
