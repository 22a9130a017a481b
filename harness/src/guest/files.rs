//! Files to and from a guest: whole and exact, or an error that says what is there now.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::{Guest, timed, verb},
    limits,
    output::{Captured, Status},
    run::{Sink, Source, call_mark},
    spec::Channel,
    tarball::{self, DATA, WHOLE},
};
use crate::image::Ability;

/// Chunks under way between this host's files and the connection.
pub(super) const CHUNKS: usize = 16;
/// Exit status of our scripts: there is no such file or folder.
pub(super) const NO_SUCH_PATH: i32 = 66;
/// Exit status of our scripts: the last step, after which the target is not what it was, failed.
const HALF_DONE: i32 = 75;

/// Takes an archive from standard input and puts its content at `$1`, by way of the folder `$2` beside it.
const TAKE: &str = r#"
d=$1 t=$2 kind=$3
p=${t%/*}
[ -d "$p" ] || mkdir -p -- "$p" || exit 73
if [ "$kind" = file ] && [ -d "$d" ]; then echo "$d is a folder; end it with / to copy into it" >&2; exit 73; fi
if [ "$kind" = folder ] && [ -e "$d" ] && [ ! -d "$d" ]; then echo "$d is not a folder" >&2; exit 73; fi
trap 'rm -rf -- "$t"' EXIT
trap 'exit 74' HUP INT TERM PIPE
mkdir -- "$t" && tar -x -o -p -f - -C "$t" || exit 74
[ -e "$t/$5" ] || { echo "not all of it arrived" >&2; exit 74; }
if [ -d "$d" ]; then cp -a -f -- "$t/$4/." "$d/" || exit 75; else mv -f -- "$t/$4" "$d" || exit 74; fi
"#;

/// Gives `$1` as an archive: of `./name`, or of `./` and what lies in it.
const GIVE: &str = r#"
p=$1
[ ! -L "$p" ] || p=$(readlink -f -- "$p")
[ -e "$p" ] || exit 66
s=; case $(tar --version 2>/dev/null) in *GNU*) s=-S;; esac
if [ -d "$p" ]; then exec tar -c $s -f - -C "$p" .; fi
d=${p%/*}; [ "$d" != "$p" ] || d=.; [ -n "$d" ] || d=/
exec tar -c $s -f - -C "$d" "./${p##*/}"
"#;

impl Guest {
    /// Copies a file or folder of this host into the guest, with modes and times; it belongs to the ssh user there.
    ///
    /// `remote` is the path of the copy itself, or ends with `/` for a copy of the same name below it. Missing
    /// parent folders are made. A file takes the place of the former one at once; a folder is merged into one
    /// that is already there.
    ///
    /// # Errors
    /// [`GuestError::Copy`] saying what is there now; [`GuestError::Unsupported`] without ssh.
    pub async fn copy_to(&self, local: impl AsRef<Path>, remote: &str) -> Result<(), GuestError> {
        let local = local.as_ref();
        timed(verb!(self, "copy_to", local = local.display(), remote = remote), async {
            self.require(Ability::Ssh, "copy files")?;
            let name = local.file_name().map(|name| name.to_string_lossy().into_owned());
            let remote = whole_path(remote, name.as_deref());
            let error = |left: &str, source: Box<dyn std::error::Error + Send + Sync>| GuestError::Copy {
                from: local.display().to_string(),
                to: format!("{}:{remote}", self.name()),
                left: left.to_owned(),
                source,
            };
            const UNCHANGED: &str = "nothing was changed there";
            let meta = tokio::fs::metadata(local).await.map_err(|source| error(UNCHANGED, source.into()))?;

            let temporary = format!("{}/.polder-{}", parent(&remote), call_mark());
            let kind = if meta.is_dir() { "folder" } else { "file" };
            let command = Command::script(TAKE)
                .args([&remote, &temporary, kind, DATA, WHOLE])
                .shown_as("unpack the copy");
            let path = local.to_owned();
            let holes = joined(spawn_blocking(move || tarball::has_holes(&path.canonicalize()?)).await);
            let sparse = holes.is_ok_and(|holes| holes) && self.has_gnu_tar().await;
            let (to, chunks) = mpsc::channel(CHUNKS);
            let path = local.to_owned();
            let packing = spawn_blocking(move || tarball::pack(&path, sparse, to));
            let stdout = Sink::Capture(self.capture("stdout"));
            let limit = self.scaled(limits::COPY);
            let run = self.run_over(Channel::Ssh, &command, Source::Chunks(chunks), stdout, limit).await;
            let packed = joined(packing.await);
            match (run, packed) {
                (Ok(ran), Ok(bytes)) if ran.output.status.success() => {
                    tracing::info!(target: "polder", bytes, "copied");
                    Ok(())
                }
                // A source that broke also ends the command: it is the cause.
                (_, Err(source)) if source.kind() != io::ErrorKind::BrokenPipe => {
                    Err(error(UNCHANGED, source.into()))
                }
                (Ok(ran), _) => {
                    let half = ran.output.status == Status::Code(HALF_DONE);
                    let left = if half { "the folder there may hold a part of it" } else { UNCHANGED };
                    Err(error(left, GuestError::Failed(Box::new(self.with_console(ran).await)).into()))
                }
                (Err(source @ GuestError::Unreachable { .. }), _) => Err(error(UNCHANGED, source.into())),
                (Err(source), _) => {
                    // The script was killed before it could clear up.
                    let clear = Command::new("rm").args(["-rf", "--", &temporary]);
                    let _ = self.run(&clear, self.scaled(limits::KILL)).await;
                    let left = if kind == "folder" {
                        "a folder that was there already may hold a part of it"
                    } else {
                        "there is what was there before, or the whole file"
                    };
                    Err(error(left, source.into()))
                }
            }
        })
        .await
    }

    /// Copies a file or folder of the guest to this host, with modes and times; it belongs to this user.
    ///
    /// `local` is the path of the copy itself, or ends with `/` for a copy of the same name below it. Missing parent
    /// folders are made. A link named by `remote` is followed; links in a folder are copied as links. A folder
    /// is merged into one that is already there; anything else appears only when it is whole.
    ///
    /// # Errors
    /// [`GuestError::NoSuchPath`]; [`GuestError::Copy`] saying what is there now; [`GuestError::Unsupported`]
    /// without ssh.
    pub async fn copy_from(&self, remote: &str, local: impl AsRef<Path>) -> Result<(), GuestError> {
        let local = local.as_ref();
        timed(verb!(self, "copy_from", remote = remote, local = local.display()), async {
            self.require(Ability::Ssh, "copy files")?;
            let local = whole_local_path(local, remote);
            let merge = local.is_dir();
            let name = format!(".polder-{}", call_mark());
            let fresh = local.parent().unwrap_or(Path::new("")).join(name);
            let dest = if merge { &local } else { &fresh };
            let limit = self.scaled(limits::COPY);
            let received = self.receive(remote, dest, limit).await;
            let result = match received {
                Ok(ran) if ran.output.status.success() => {
                    if merge {
                        Ok(())
                    } else {
                        tokio::fs::rename(&fresh, &local).await.map_err(Into::into)
                    }
                }
                Ok(ran) => Err(GuestError::Failed(Box::new(self.with_console(ran).await)).into()),
                Err(ReceiveError::Run(error @ GuestError::NoSuchPath { .. })) => return Err(error),
                Err(ReceiveError::Run(error)) => Err(error.into()),
                Err(ReceiveError::Unpack(error)) => Err(error.into()),
            };
            result.map_err(|source: Box<dyn std::error::Error + Send + Sync>| {
                if !merge {
                    let _ = std::fs::remove_dir_all(&fresh).or_else(|_| std::fs::remove_file(&fresh));
                }
                let left = if merge {
                    "the folder there may hold a part of it"
                } else {
                    "nothing was changed there"
                };
                GuestError::Copy {
                    from: format!("{}:{remote}", self.name()),
                    to: local.display().to_string(),
                    left: left.to_owned(),
                    source,
                }
            })
        })
        .await
    }

    /// Writes a file of the guest, in place: one that exists keeps its owner and mode. Missing folders are made.
    ///
    /// # Errors
    /// As [`Guest::succeed`]; the file may then hold a part of `bytes`.
    pub async fn write_file(&self, remote: &str, bytes: impl Into<Vec<u8>>) -> Result<(), GuestError> {
        const WRITE: &str = r#"[ -d "$2" ] || mkdir -p -- "$2" && cat > "$1""#;
        self.write(remote, bytes.into(), Command::script(WRITE).args([remote, parent(remote)])).await
    }

    /// Writes a file of the guest that has this mode and belongs to `owner` (`user` or `user:group`); it takes the
    /// place of the one that may be there when it is whole. Nobody else can read it meanwhile.
    ///
    /// # Errors
    /// As [`Guest::succeed`]; what was there before is then still there.
    pub async fn write_file_as(
        &self,
        remote: &str,
        bytes: impl Into<Vec<u8>>,
        mode: u32,
        owner: &str,
    ) -> Result<(), GuestError> {
        const WRITE: &str = r#"
if [ -d "$1" ]; then echo "$1 is a folder" >&2; exit 73; fi
[ -d "$2" ] || mkdir -p -- "$2" || exit 73
trap 'rm -f -- "$3"' EXIT
trap 'exit 74' HUP INT TERM PIPE
umask 077; cat > "$3" || exit
[ "$(wc -c < "$3")" -eq "$6" ] || { echo "not all of it arrived" >&2; exit 74; }
chown -- "$5" "$3" && chmod -- "$4" "$3" && mv -f -- "$3" "$1"
"#;
        let temporary = format!("{}/.polder-{}", parent(remote), call_mark());
        let (mode, bytes) = (format!("{mode:o}"), bytes.into());
        let args = [remote, parent(remote), &temporary, &mode, owner, &bytes.len().to_string()];
        self.write(remote, bytes, Command::script(WRITE).args(args)).await
    }

    async fn write(&self, remote: &str, bytes: Vec<u8>, command: Command) -> Result<(), GuestError> {
        timed(verb!(self, "write_file", remote = remote, bytes = bytes.len()), async {
            let command = command.shown_as("write the file").stdin(bytes);
            let ran = self.run(&command, self.scaled(limits::COPY)).await?;
            if ran.output.status.success() {
                Ok(())
            } else {
                Err(GuestError::Failed(Box::new(self.with_console(ran).await)))
            }
        })
        .await
    }

    /// Reads a file of the guest into memory.
    ///
    /// # Errors
    /// [`GuestError::NoSuchPath`]; otherwise as [`Guest::succeed`].
    pub async fn read_file(&self, remote: &str) -> Result<Vec<u8>, GuestError> {
        const READ: &str = r#"[ -e "$1" ] || exit 66; exec cat < "$1""#;
        timed(verb!(self, "read_file", remote = remote), async {
            let command = Command::script(READ).arg(remote).shown_as("read the file");
            let ran = self.run(&command, self.scaled(limits::COPY)).await?;
            match ran.output.status {
                Status::Code(0) => self.all_of(ran.output.stdout).await,
                Status::Code(NO_SUCH_PATH) => Err(self.no_such_path(remote)),
                _ => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
            }
        })
        .await
    }

    /// An output in memory, however long it is; the file it was in is removed.
    pub(super) async fn all_of(&self, output: Captured) -> Result<Vec<u8>, GuestError> {
        let Some(whole) = &output.whole else { return Ok(output.bytes) };
        let read = tokio::fs::read(whole).await;
        let _ = tokio::fs::remove_file(whole).await;
        read.map_err(|source| self.local(format!("read {}", whole.display()), source))
    }

    /// Brings `remote` to `dest` as it comes; whether `tar` was content is in the status.
    async fn receive(&self, remote: &str, dest: &Path, limit: Duration) -> Result<Ran, ReceiveError> {
        if let Some(dir) = dest.parent() {
            tokio::fs::create_dir_all(dir).await.map_err(ReceiveError::Unpack)?;
        }
        let command = Command::script(GIVE).arg(without_slash(remote)).shown_as("pack it");
        let (chunks, from) = mpsc::channel(CHUNKS);
        let dest = dest.to_owned();
        let unpacking = spawn_blocking(move || tarball::unpack(from, &dest));
        let sink = Sink::Chunks(chunks);
        let run = self.run_over(Channel::Ssh, &command, Source::Bytes(Vec::new()), sink, limit).await;
        let unpacked = joined(unpacking.await);
        match (run, unpacked) {
            (Ok(ran), _) if ran.output.status == Status::Code(NO_SUCH_PATH) => {
                Err(ReceiveError::Run(self.no_such_path(remote)))
            }
            // A target that cannot take more also ends the command: it is the cause.
            (Err(GuestError::Local { .. }), Err(error)) => Err(ReceiveError::Unpack(error)),
            (Err(error), _) => Err(ReceiveError::Run(error)),
            (Ok(ran), Err(_)) if !ran.output.status.success() => Ok(ran),
            (Ok(_), Err(error)) => Err(ReceiveError::Unpack(error)),
            (Ok(ran), Ok(())) => Ok(ran),
        }
    }

    /// Whether the guest's tar knows holes in files, and lists of names. One that does not answer has none.
    pub(super) async fn has_gnu_tar(&self) -> bool {
        let ran = self.run(&Command::new("tar").arg("--version"), self.scaled(limits::LOOK)).await;
        ran.is_ok_and(|ran| ran.output.stdout.text().contains("GNU"))
    }

    pub(super) fn no_such_path(&self, path: &str) -> GuestError {
        GuestError::NoSuchPath { machine: self.name().clone(), path: path.to_owned() }
    }
}

/// Why something did not come.
enum ReceiveError {
    /// The guest did not send it.
    Run(GuestError),
    /// This host could not take it.
    Unpack(io::Error),
}

pub(super) fn joined<T>(result: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    result.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// `remote` with `name` appended where it ends with a slash.
fn whole_path(remote: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if remote.ends_with('/') => format!("{remote}{name}"),
        _ => without_slash(remote).to_owned(),
    }
}

fn whole_local_path(local: &Path, remote: &str) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let name = without_slash(remote).rsplit('/').next().unwrap_or_default();
    if local.as_os_str().as_bytes().ends_with(b"/") { local.join(name) } else { local.to_owned() }
}

fn without_slash(path: &str) -> &str {
    let cut = path.trim_end_matches('/');
    if cut.is_empty() && !path.is_empty() { "/" } else { cut }
}

/// The folder of a path of a guest, relative where the path is.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((parent, _)) => parent,
        None => ".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/etc/hosts", "/etc/hosts", "/etc")]
    #[case("/etc/", "/etc/f", "/etc")]
    #[case("/", "/f", "/")]
    #[case("x", "x", ".")]
    #[case("x/", "x/f", "x")]
    fn where_a_copy_goes(#[case] remote: &str, #[case] path: &str, #[case] folder: &str) {
        assert_eq!(whole_path(remote, Some("f")), path);
        assert_eq!(parent(path), folder);
    }

    #[rstest::rstest]
    #[case("out/", "/var/log/", "out/log")]
    #[case("out/", "/etc/hosts", "out/hosts")]
    #[case("out", "/etc/hosts", "out")]
    fn where_a_copy_comes_to(#[case] local: &str, #[case] remote: &str, #[case] path: &str) {
        assert_eq!(whole_local_path(Path::new(local), remote), Path::new(path));
    }
}
