//! Runs `virt-customize`, which changes any disk a Linux system is on. It starts a small machine of its own for that, so it
//! takes half a minute without hardware acceleration.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use super::{error::SysprepError, ext::Memory, plan::Action, step::Step};
use crate::base::{
    guestfs,
    process::{self, ProcessError},
};

const TOOL: &str = "virt-customize";
/// For one run: packages may be installed in it.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// As much of what it said is quoted.
const QUOTED: usize = 2000;

/// Whether the program is there.
///
/// # Errors
/// [`SysprepError::NoTool`].
pub async fn require() -> Result<(), SysprepError> {
    match process::output(&[TOOL, "--version"], Duration::from_secs(60)).await {
        Err(ProcessError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Err(SysprepError::NoTool)
        }
        other => Ok(other.map(drop)?),
    }
}

/// Changes the disk in `image`, of the format `format`. `kvm` is whether machines may be started with hardware
/// acceleration.
///
/// # Errors
/// It is not there, or fails: then the image is not to be used.
pub async fn customize(image: &Path, format: &str, step: &Step, kvm: bool) -> Result<(), SysprepError> {
    // Secrets may be among the commands: they are on no command line and in no file.
    let commands = Memory::of(step.text().as_bytes())?;
    let (path, name) = (commands.path(), image.display().to_string());
    let mut argv = vec![TOOL, "--format", format, "-a", &name];
    argv.extend(step.words.iter().map(String::as_str));
    argv.extend(["--commands-from-file", &path]);
    let failed = |source| SysprepError::Io {
        what: "keep what virt-customize says of",
        path: image.to_owned(),
        source,
    };
    let mut log = tempfile::tempfile().map_err(failed)?;
    let null = File::open("/dev/null").map_err(failed)?;
    let stream = || log.try_clone().map(OwnedFd::from).map_err(failed);
    let streams = [null.into(), stream()?, stream()?];
    let status = match process::run(&argv, streams, guestfs::env(kvm), LIMIT).await {
        Err(ProcessError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(SysprepError::NoTool);
        }
        other => other?,
    };
    if status == 0 {
        return Ok(());
    }
    let mut said = String::new();
    // What cannot be read of it cannot be quoted.
    let _ = log.rewind().and_then(|()| log.read_to_string(&mut said));
    let tail: String = said.trim().chars().rev().take(QUOTED).collect::<Vec<_>>().into_iter().rev().collect();
    Err(SysprepError::Customize { image: image.to_owned(), status, tail })
}

impl Step {
    /// What does the same as `actions`.
    #[must_use]
    pub fn of(actions: &[Action]) -> Self {
        let mut step = Self::default();
        let mut put = |name: &str, argument: String| step.commands.push((name.to_owned(), Some(argument)));
        for action in actions {
            match action {
                Action::Folder { path, mode } => {
                    put("mkdir", path.clone());
                    put("chmod", format!("{mode:04o}:{path}"));
                }
                Action::File { path, mode, content } => {
                    put("mkdir", folder(path));
                    put("touch", path.clone());
                    put("truncate", path.clone());
                    content.lines().for_each(|line| put("append-line", format!("{path}:{line}")));
                    put("chmod", format!("{mode:04o}:{path}"));
                }
                Action::Line { path, mode, line } => {
                    put("touch", path.clone());
                    put("append-line", format!("{path}:{line}"));
                    put("chmod", format!("{mode:04o}:{path}"));
                }
                Action::Edit { path, after, until, text, needed } => {
                    let rest = until.map_or_else(|| ".*".to_owned(), |until| format!("[^{until}]*"));
                    let edit = format!("s|^([ \\t]*{})(?:{rest})|$1{}|", escaped(after), escaped(text));
                    // What is not there cannot be edited; that it may not be there, a shell in the guest has to find out.
                    match needed {
                        true => put("edit", format!("{path}:{edit}")),
                        false => put(
                            "run-command",
                            format!("test ! -f {path} || perl -pi -e '{edit}' {path} || true"),
                        ),
                    }
                }
                Action::Remove { path } => put("delete", path.clone()),
            }
        }
        step
    }
}

fn folder(path: &str) -> String {
    path.rsplit_once('/')
        .map(|(folder, _)| folder)
        .filter(|folder| !folder.is_empty())
        .unwrap_or("/")
        .to_owned()
}

/// As text of a regular expression of Perl's, and of what is put in its place.
fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\{c}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_said_in_its_words() {
        let [path, line] = ["/etc/x".to_owned(), "a b".to_owned()];
        let edit = |until, needed| Action::Edit {
            path: "/etc/shadow".into(),
            after: "root:".into(),
            until,
            text: "$6$a/b".into(),
            needed,
        };
        let actions = [
            Action::Folder { path: "/root/.ssh".into(), mode: 0o700 },
            Action::File { path: path.clone(), mode: 0o600, content: "one\ntwo\n".into() },
            Action::Line { path: path.clone(), mode: 0o600, line },
            edit(Some(':'), true),
            edit(None, false),
            Action::Remove { path },
        ];
        insta::assert_snapshot!(Step::of(&actions).text(), @r"
        mkdir /root/.ssh
        chmod 0700:/root/.ssh
        mkdir /etc
        touch /etc/x
        truncate /etc/x
        append-line /etc/x:one
        append-line /etc/x:two
        chmod 0600:/etc/x
        touch /etc/x
        append-line /etc/x:a b
        chmod 0600:/etc/x
        edit /etc/shadow:s|^([ \t]*root\:)(?:[^:]*)|$1\$6\$a\/b|
        run-command test ! -f /etc/shadow || perl -pi -e 's|^([ \t]*root\:)(?:.*)|$1\$6\$a\/b|' /etc/shadow || true
        delete /etc/x
        ");
    }
}
