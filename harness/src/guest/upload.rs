//! The file in a guest that an uploaded script is while it runs: written where there is room and programs may stand,
//! removed whatever becomes of the script.

use super::{
    command::{Command, Upload},
    error::GuestError,
    handle::Guest,
    limits,
    notes::Note,
    output::Status,
    spec::Channel,
};
use crate::base::wait::Deadline;

/// Folders in which it may stand; the first that takes it does.
const FOLDERS: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/run"];
/// Exit status of our script: here it cannot stand, or not be run.
const NOT_HERE: i32 = 74;
/// Writes standard input, `$2` bytes, to the new file `$1` and makes it a program of the user `$3`.
const WRITE: &str = r#"
umask 077
if cat > "$1" && [ "$(wc -c < "$1")" -eq "$2" ] && chmod 700 "$1" && [ -x "$1" ]; then
    [ -z "$3" ] || [ "$(id -u)" != 0 ] || chown -- "$3" "$1" || { rm -f -- "$1"; exit 126; }
else
    rm -f -- "$1"; exit 74
fi
[ -z "$3" ] || [ "$(id -u)" = 0 ] || chmod 755 "$1"
"#;

/// A file in a guest that goes with this value.
#[derive(Debug)]
pub(super) struct Uploaded {
    guest: Guest,
    over: Option<Channel>,
    path: Option<(String, Note)>,
}

impl Guest {
    /// Writes the file `command` needs, if it needs one; returns it, and the command that uses it.
    pub(super) async fn upload(
        &self,
        command: &Command,
        deadline: Deadline,
    ) -> Result<Option<(Uploaded, Command)>, GuestError> {
        let Some(Upload { text, user }) = command.needs_file() else { return Ok(None) };
        // What is wrong with the command is said before anything is written.
        self.call(command, deadline)?;
        let mut folders = FOLDERS.iter();
        loop {
            let Some(folder) = folders.next() else { return Ok(None) };
            let note = self.note()?;
            let (path, mark) = (format!("{folder}/{}", note.name()), note.mark.clone());
            let file = Uploaded { guest: self.clone(), over: command.over, path: Some((path.clone(), note)) };
            let args = [path.as_str(), &text.len().to_string(), user.unwrap_or("")];
            let write = Command::script(WRITE).args(args).shown_as("write the script").stdin(text);
            let ran = self.run_line(&only(write, command.over), deadline.left()).await?;
            match ran.output.status {
                Status::Code(0) => return Ok(Some((file, command.with_file_at(&path, &mark)))),
                Status::Code(NOT_HERE) if folders.len() > 0 => {}
                _ => return Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
            }
        }
    }
}

impl Uploaded {
    pub(super) async fn remove(mut self) {
        self.start_to_remove().await;
    }

    /// Leaves it in the guest.
    pub(super) fn keep(mut self) {
        if let Some((_, note)) = self.path.take() {
            note.forget();
        }
    }

    fn start_to_remove(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (guest, over, path) = (self.guest.clone(), self.over, self.path.take());
        async move {
            if let Some((path, note)) = path {
                let remove = Command::new("rm").args(["-f", "--", &path]);
                let removed = guest.run_line(&only(remove, over), guest.scaled(limits::KILL)).await;
                if removed.is_ok_and(|ran| ran.output.status.success()) {
                    note.forget();
                }
            }
        }
    }
}

/// Nobody waits for it, for example because its caller was dropped.
impl Drop for Uploaded {
    fn drop(&mut self) {
        if self.path.is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.start_to_remove());
        }
    }
}

/// `command` on that way alone, if there is to be only one.
fn only(command: Command, over: Option<Channel>) -> Command {
    match over {
        Some(over) => command.over(over),
        None => command,
    }
}
