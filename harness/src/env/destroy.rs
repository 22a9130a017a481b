//! Removes an environment, whatever is left of it: machines, then networks, then leases, then files. What there is to
//! remove is taken from the state, from the journal, and from the marks on what runs; none of them has to be whole.

use std::{fs, io, path::Path};

use super::{
    EnvError, Host, Progress, daemon,
    error::{chain, file},
    handle::join,
    host::limits,
    lago, ordered,
    state::{EnvState, LabState},
    turn::hold,
};
use crate::{
    env::Env,
    lab::{self, Hermetic, Lab},
    workdir::{LockedPrefix, Maker, Prefix, WorkdirError},
};

/// What was found of an environment that was destroyed, and what could not be removed.
#[derive(Debug, Default)]
pub struct Destroyed {
    /// What was found, a line each.
    pub found: Vec<String>,
    /// What is still there, and why.
    pub left: Vec<EnvError>,
}

impl Destroyed {
    pub(super) fn found(&mut self, progress: &Progress, what: impl Into<String>) {
        let what = what.into();
        progress.say(&what);
        self.found.push(what);
    }

    pub(super) fn try_to(&mut self, done: Result<(), EnvError>) {
        self.left.extend(done.err());
    }
}

impl Env {
    /// Removes the environment of a prefix, and the prefix. Of a prefix that is a link, only the link goes. When
    /// something cannot be removed, what is needed to try again stays.
    ///
    /// # Errors
    /// It is protected (and not `force`), or another command is busy with it. What could not be removed is in
    /// [`Destroyed::left`].
    pub async fn destroy(
        host: &Host,
        prefix: &Prefix,
        force: bool,
        progress: &Progress,
    ) -> Result<Destroyed, EnvError> {
        let mut destroyed = Destroyed::default();
        let folder = prefix.path();
        match fs::symlink_metadata(folder) {
            Ok(is) if is.is_symlink() => {
                destroyed
                    .found(progress, format!("{} is a link: only the link is removed", folder.display()));
                destroyed.try_to(fs::remove_file(folder).map_err(file("remove", folder)));
                return Ok(destroyed);
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(destroyed),
            Err(e) => return Err(file("look at", folder)(e)),
        }
        prefix.require_marks()?;
        let locked = lock(host, prefix).await?;
        if !force {
            locked.require_unprotected()?;
        }
        lago::clear(host, prefix, &mut destroyed, progress).await;
        let state = EnvState::load(folder);
        if let (Err(error), Maker::Polder) = (&state, prefix.maker()) {
            destroyed.found(progress, chain(error));
        }
        let state = state.ok();
        let labs = labs(prefix, host, state.as_ref()).await;
        if let Some(EnvState { lab: LabState::Hermetic { folder: Some(folder) }, .. }) = &state
            && labs.iter().all(|lab| lab.paths().folder != *folder)
        {
            let why = "which cannot be reached: its warden has ended, or ends as its folder is gone";
            destroyed.found(progress, format!("the lab in {}, {why}", folder.display()));
        }
        for lab in labs {
            destroyed.found(progress, format!("a lab in {}", lab.paths().folder.display()));
            let ended = lab.end(limits::DOWN).await;
            destroyed.try_to(ended.map_err(EnvError::from));
        }
        // What is left of labs whose warden was killed, with everything inside.
        let root = host.lab.root.clone();
        let swept = blocking(&host.lab.root, move || Ok(lab::sweep(&root).map(drop)?)).await;
        destroyed.try_to(swept);
        daemon::clear(host, prefix, state.as_ref(), &mut destroyed, progress).await;
        ordered::clear(host, prefix, state.as_ref(), &mut destroyed, progress).await;
        if destroyed.left.is_empty() {
            destroyed.found(progress, format!("the folder {}", folder.display()));
            let remove = move || {
                open_up(locked.path());
                Ok(locked.remove()?)
            };
            destroyed.try_to(blocking(folder, remove).await);
        }
        Ok(destroyed)
    }
}

/// Takes the lock; where something else lies in its place, that goes first.
async fn lock(host: &Host, prefix: &Prefix) -> Result<LockedPrefix, EnvError> {
    match hold(host, prefix, "destroy").await {
        Err(EnvError::Workdir(WorkdirError::File { .. })) => {
            open_up(prefix.path());
            let lock = prefix.paths().lock();
            let _ = fs::remove_dir_all(&lock).or_else(|_| fs::remove_file(&lock));
            hold(host, prefix, "destroy").await
        }
        other => other,
    }
}

/// The labs that serve a prefix: those that say so themselves, and the one the state names.
async fn labs(prefix: &Prefix, host: &Host, state: Option<&EnvState>) -> Vec<Hermetic> {
    let (root, folder) = (host.lab.root.clone(), prefix.path().to_owned());
    let serving = tokio::task::spawn_blocking(move || lab::serving(&root, &folder)).await;
    let mut labs = serving.unwrap_or_default();
    if let Some(EnvState { lab: LabState::Hermetic { folder: Some(folder) }, .. }) = state {
        let named = join(folder, prefix.path());
        labs.extend(named.filter(|named| labs.iter().all(|lab| lab.paths() != named.paths())));
    }
    labs
}

/// Removes things where that may take its time: images are large, and locks somebody else's.
async fn blocking(
    what: &Path,
    remove: impl FnOnce() -> Result<(), EnvError> + Send + 'static,
) -> Result<(), EnvError> {
    let removed = tokio::task::spawn_blocking(remove).await;
    removed.unwrap_or_else(|error| Err(file("remove", what)(io::Error::other(error))))
}

/// Makes folders writable for their owner, as far as that can be done.
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
