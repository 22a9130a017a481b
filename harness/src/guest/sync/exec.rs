//! Lists both folders, and sends and removes what the plan says.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::plan::{self, Kind, LIST, Listed, Listing, Plan, SyncOptions, Synced};
use crate::{
    base::wait::Deadline,
    guest::{
        Channel, Command, Guest, GuestError, Status,
        files::{CHUNKS, NO_SUCH_PATH, joined},
        gather::{SEND_LISTED, SEND_NAMED, batches},
        handle::{timed, verb},
        limits,
        run::{Sink, Source, call_mark},
        tarball,
    },
    image::Ability,
};

/// Takes an archive of folders that are new below `$1`, or have new modes.
const TAKE_FOLDERS: &str = r#"mkdir -p -- "$1" && cd -- "$1" && exec tar -x -o -p -f -"#;
/// Takes an archive of files and links that are new below `$1`, by way of the folder `$2` there: each is seen whole. Files
/// that are linked keep what tar gave them, and folders that are there what they have; where there are no links, files
/// are renamed one by one.
const TAKE: &str = r#"
mkdir -p -- "$1" && cd -- "$1" || exit 73
trap 'rm -rf -- "$2"' EXIT
trap 'exit 74' HUP INT TERM PIPE
mkdir -- "$2" && tar -x -o -p -f - -C "$2" || exit 74
cp -R -P -l -f -- "$2/." . 2>/dev/null && exit
(
    cd -- "$2" && find . -type d -exec sh -c 'for d; do mkdir -p -- "../$d"; done' sh {} + &&
        find . ! -type d -exec sh -c 'for f; do mv -f -- "$f" "../$f" || exit 1; done' sh {} +
)
"#;
/// Bytes of files that are sent at once, if it is not one that is larger: as much may have to be sent again.
const BATCH: u64 = 16 << 20;
/// Removes what stands on standard input below `$1`.
const REMOVE: &str = r#"cd -- "$1" && exec xargs -0 rm -rf --"#;
/// Digests of what stands on standard input below `$1`.
const DIGEST: &str = r#"cd -- "$1" && exec xargs -0 sha256sum --"#;

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Guest {
    /// Makes the folder `remote` of the guest the same as `local` by sending what differs in size, time, mode, kind or
    /// target. No file is seen half. An interrupted one is gone on with by calling it again.
    ///
    /// # Errors
    /// [`GuestError::Copy`]: what has arrived stays. [`GuestError::Unsupported`] without ssh.
    pub async fn sync_to(
        &self,
        local: impl AsRef<Path>,
        remote: &str,
        options: SyncOptions,
    ) -> Result<Synced, GuestError> {
        let local = local.as_ref();
        timed(verb!(self, "sync_to", local = local.display(), remote = remote), async {
            self.require(Ability::Ssh, "copy files")?;
            let synced = self.send_difference(local, remote, options).await;
            synced.map_err(|source| {
                self.not_same(local.display().to_string(), format!("{}:{remote}", self.name()), source)
            })
        })
        .await
    }

    /// Makes the folder `local` the same as `remote` of the guest, as [`Guest::sync_to`].
    ///
    /// # Errors
    /// [`GuestError::Copy`]: what has arrived stays. [`GuestError::NoSuchPath`]. [`GuestError::Unsupported`] without
    /// ssh.
    pub async fn sync_from(
        &self,
        remote: &str,
        local: impl AsRef<Path>,
        options: SyncOptions,
    ) -> Result<Synced, GuestError> {
        let local = local.as_ref();
        timed(verb!(self, "sync_from", remote = remote, local = local.display()), async {
            self.require(Ability::Ssh, "copy files")?;
            let deadline = Deadline::within(self.scaled(limits::COPY));
            let there = self.list(remote, deadline).await?.ok_or_else(|| self.no_such_path(remote))?;
            let synced = self.fetch_difference(remote, &there, local, options, deadline).await;
            synced.map_err(|source| {
                self.not_same(format!("{}:{remote}", self.name()), local.display().to_string(), source)
            })
        })
        .await
    }

    fn not_same(&self, from: String, to: String, source: Cause) -> GuestError {
        GuestError::Copy {
            from,
            to,
            left: "what has arrived stays, the next time goes on from there".into(),
            source,
        }
    }

    async fn send_difference(
        &self,
        local: &Path,
        remote: &str,
        options: SyncOptions,
    ) -> Result<Synced, Cause> {
        let deadline = Deadline::within(self.scaled(limits::COPY));
        let local = local.canonicalize()?;
        let here = list_local(&local).await?;
        let there = self.list(remote, deadline).await?.unwrap_or_default();
        let mut plan = plan::plan(&here, &there, options.delete);
        if options.digest {
            self.compare(&mut plan, remote, &local, deadline).await?;
        }
        if !plan.remove.is_empty() {
            self.tell(REMOVE, remote, names_of(&plan.remove), deadline).await?;
        }
        let synced = synced(&plan, &here);
        let sparse = plan.send.iter().any(|name| tarball::has_holes(&local.join(name)).unwrap_or(false))
            && self.has_gnu_tar().await;
        let size = |name: &PathBuf| here.get(name).map_or(0, |listed| listed.size);
        let mut rest = plan.send.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |name: &&PathBuf| {
                bytes += size(name);
                bytes <= BATCH
            };
            let (batch, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            rest = after;
            let temporary = format!(".polder-{}", call_mark());
            let command = Command::script(TAKE).args([remote, &temporary]);
            self.send(command, &local, batch.to_vec(), sparse, deadline).await?;
        }
        // Their modes may forbid to write into them.
        let command = Command::script(TAKE_FOLDERS).arg(remote);
        self.send(command, &local, plan.folders, false, deadline).await?;
        Ok(synced)
    }

    /// Gives an archive of `names` below `local` to a script.
    async fn send(
        &self,
        script: Command,
        local: &Path,
        names: Vec<PathBuf>,
        sparse: bool,
        deadline: Deadline,
    ) -> Result<(), Cause> {
        let (to, chunks) = mpsc::channel(CHUNKS);
        let local = local.to_owned();
        let packing = spawn_blocking(move || tarball::pack_some(&local, &names, sparse, to));
        let script = script.shown_as("unpack what differs");
        let sink = Sink::Capture(self.capture("stdout"));
        let run = self.run_over(Channel::Ssh, &script, Source::Chunks(chunks), sink, deadline.left()).await;
        match (run, joined(packing.await)) {
            (Ok(ran), Ok(_)) if ran.output.status.success() => Ok(()),
            // A source that broke also ends the command: it is the cause.
            (_, Err(source)) if source.kind() != io::ErrorKind::BrokenPipe => Err(source.into()),
            (Ok(ran), _) => Err(GuestError::Failed(Box::new(self.with_console(ran).await)).into()),
            (Err(error), _) => Err(error.into()),
        }
    }

    async fn fetch_difference(
        &self,
        remote: &str,
        there: &Listing,
        local: &Path,
        options: SyncOptions,
        deadline: Deadline,
    ) -> Result<Synced, Cause> {
        fs::create_dir_all(local)?;
        let local = local.canonicalize()?;
        let here = list_local(&local).await?;
        let mut plan = plan::plan(there, &here, options.delete);
        if options.digest {
            self.compare(&mut plan, remote, &local, deadline).await?;
        }
        for path in plan.remove.iter().map(|path| local.join(path)) {
            if path.symlink_metadata()?.is_dir() {
                fs::remove_dir_all(&path)?
            } else {
                fs::remove_file(&path)?
            }
        }
        for folder in &plan.folders {
            fs::create_dir_all(local.join(folder))?;
        }
        let gnu = self.has_gnu_tar().await;
        let dotted: Vec<PathBuf> = plan.send.iter().map(|name| Path::new(".").join(name)).collect();
        let parts = if gnu { vec![dotted.as_slice()] } else { batches(&dotted) };
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (command, stdin) = if gnu {
                let list =
                    part.iter().flat_map(|name| [name.as_os_str().as_bytes(), b"\0"].concat()).collect();
                (Command::script(SEND_LISTED).arg(remote), list)
            } else {
                let names = part.iter().map(|name| name.to_string_lossy().into_owned());
                (Command::script(SEND_NAMED).arg(remote).args(names), Vec::new())
            };
            let command = command.shown_as("send what differs");
            let (chunks, from) = mpsc::channel(CHUNKS);
            let names: BTreeSet<PathBuf> =
                part.iter().filter_map(|name| Some(name.strip_prefix(".").ok()?.to_owned())).collect();
            let dest = local.clone();
            let taking = spawn_blocking(move || tarball::unpack_some(from, &dest, &names));
            let sink = Sink::Chunks(chunks);
            let run =
                self.run_over(Channel::Ssh, &command, Source::Bytes(stdin), sink, deadline.left()).await;
            match (run, joined(taking.await)) {
                (Ok(ran), Ok(())) if ran.output.status.success() => {}
                (Ok(ran), _) if !ran.output.status.success() => {
                    return Err(GuestError::Failed(Box::new(self.with_console(ran).await)).into());
                }
                // A target that cannot take more also ends the command: it is the cause.
                (Ok(_) | Err(GuestError::Local { .. }), Err(error)) => return Err(error.into()),
                (Err(error), _) => return Err(error.into()),
                (Ok(_), Ok(())) => {}
            }
        }
        // Their modes may forbid to write into them.
        for folder in plan.folders.iter().rev() {
            if let Some(listed) = there.get(folder) {
                fs::set_permissions(local.join(folder), fs::Permissions::from_mode(listed.mode))?;
            }
        }
        Ok(synced(&plan, there))
    }

    /// What is in a folder of the guest; nothing when there is none.
    async fn list(&self, remote: &str, deadline: Deadline) -> Result<Option<Listing>, GuestError> {
        let command = Command::script(LIST).arg(remote).shown_as("list what is there");
        let ran = self.run(&command, deadline.left()).await?;
        match ran.output.status {
            Status::Code(0) => Ok(Some(plan::listing(&self.all_of(ran.output.stdout).await?))),
            Status::Code(NO_SUCH_PATH) => Ok(None),
            _ => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
        }
    }

    /// Plans to send files that are alike and yet not the same.
    async fn compare(
        &self,
        plan: &mut Plan,
        remote: &str,
        local: &Path,
        deadline: Deadline,
    ) -> Result<(), Cause> {
        // The words of `sha256sum` stand in lines.
        let is_plain =
            |path: &PathBuf| !path.as_os_str().as_bytes().iter().any(|byte| b"\n\r\\".contains(byte));
        let (plain, odd): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.alike).into_iter().partition(is_plain);
        plan.send.extend(odd);
        if plain.is_empty() {
            return Ok(());
        }
        let said = self.tell(DIGEST, remote, names_of(&plain), deadline).await?;
        let theirs: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
        if theirs.len() != plain.len() {
            return Err(format!("{} digests of {} files were told", theirs.len(), plain.len()).into());
        }
        let (base, names) = (local.to_owned(), plain.clone());
        let ours = spawn_blocking(move || names.iter().map(|name| digest(&base.join(name))).collect());
        let ours: Vec<String> = joined(ours.await)?;
        for (name, (theirs, ours)) in plain.into_iter().zip(theirs.into_iter().zip(ours)) {
            if *theirs == ours { plan.alike.push(name) } else { plan.send.push(name) }
        }
        plan.send.sort();
        Ok(())
    }

    /// Runs a script for a folder of the guest, with this on its standard input.
    async fn tell(
        &self,
        script: &str,
        remote: &str,
        stdin: Vec<u8>,
        deadline: Deadline,
    ) -> Result<String, GuestError> {
        let command = Command::script(script).arg(remote).stdin(stdin).shown_as("make folders the same");
        let ran = self.run(&command, deadline.left()).await?;
        if ran.output.status.success() {
            Ok(String::from_utf8_lossy(&self.all_of(ran.output.stdout).await?).into_owned())
        } else {
            Err(GuestError::Failed(Box::new(self.with_console(ran).await)))
        }
    }
}

fn synced(plan: &Plan, from: &Listing) -> Synced {
    let files = plan.send.iter().filter_map(|path| from.get(path)).filter(|listed| listed.kind == Kind::File);
    Synced {
        sent: plan.send.len() as u64,
        bytes: files.map(|listed| listed.size).sum(),
        same: plan.alike.len() as u64 + plan.links,
        removed: plan.remove.len() as u64,
    }
}

/// Names for a standard input that ends each with a zero.
fn names_of(names: &[PathBuf]) -> Vec<u8> {
    names.iter().flat_map(|name| [b"./", name.as_os_str().as_bytes(), b"\0"].concat()).collect()
}

async fn list_local(folder: &Path) -> io::Result<Listing> {
    fn walk(base: &Path, below: &Path, listing: &mut Listing) -> io::Result<()> {
        for entry in fs::read_dir(base.join(below))? {
            let entry = entry?;
            let (meta, path) = (entry.metadata()?, below.join(entry.file_name()));
            let kind = Kind::of(meta.mode());
            let target = if kind == Kind::Link { Some(fs::read_link(entry.path())?) } else { None };
            let (mode, size, mtime) = (meta.mode() & 0o777, meta.len(), meta.mtime());
            if kind == Kind::Folder {
                walk(base, &path, listing)?;
            }
            listing.insert(path, Listed { kind, mode, size, mtime, target });
        }
        Ok(())
    }
    let folder = folder.to_owned();
    let walking = spawn_blocking(move || {
        let mut listing = Listing::new();
        walk(&folder, Path::new(""), &mut listing).map(|()| listing)
    });
    joined(walking.await)
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut chunk) = (fs::File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut chunk)?;
        match chunk.get(..read) {
            Some(read) if !read.is_empty() => hasher.update(read),
            _ => break,
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
