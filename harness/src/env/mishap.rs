//! What goes wrong with one machine: it stands still, its clock is wrong, memory is short, disks are full, slow or broken.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use super::{EnvError, Fault, Vm, held::Undo, host::limits};
use crate::{base::time::Utc, guest::Command, image::Ability, provider::libvirt::Refusal};

/// Filling disks and memory, on a machine whose time factor is 1.
const FILL: Duration = Duration::from_secs(120);

/// What machines are told to do: scripts for their shells.
pub(super) mod scripts {
    /// A script, and what it does: a verb that goes before "machine".
    #[derive(Clone, Copy)]
    pub(in crate::env) struct Script {
        pub(in crate::env) what: &'static str,
        pub(in crate::env) text: &'static str,
    }

    /// Takes `$2` MiB for a file of memory at `$1`, a folder of its own; leaves nothing when it fails.
    pub(in crate::env) const TAKE_MEMORY: Script = Script {
        what: "take memory of",
        text: r#"
free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
[ "$free" -ge $(($2 * 1024)) ] || { echo "only $((free / 1024)) MiB are free" >&2; exit 1; }
mkdir "$1" && mount -t tmpfs -o "size=$2m,mode=700" polder "$1" || exit
dd if=/dev/zero of="$1/taken" bs=1048576 count="$2" 2>&1 || { umount "$1"; rmdir "$1"; exit 1; }
"#,
    };
    /// Gives back what is at `$1`.
    pub(in crate::env) const GIVE_MEMORY: Script =
        Script { what: "give memory back to", text: r#"[ ! -d "$1" ] || { umount "$1"; rmdir "$1"; }"# };
    /// Fills the file system of the folder `$1` with files whose names begin with `$2`, until `$3` KiB are left; leaves nothing
    /// when it fails. Not all that is free can be had, and nobody says how much: most of it is taken at once, the rest until
    /// there is no more, and then what is to be left is given back.
    pub(in crate::env) const FILL_DISK: Script = Script {
        what: "fill a disk of",
        text: r#"
[ -d "$1" ] || { echo "there is no folder $1" >&2; exit 1; }
free=$(($(stat -f -c '%f * %S / 1024' "$1")))
[ $free -gt "$3" ] || { echo "only $free KiB are free" >&2; exit 1; }
for part in 97 90 70; do
    rm -f "$1/$2" "$1/$2.rest"
    fallocate -l $(((free - $3) * 1024 / 100 * part)) "$1/$2" 2>/dev/null || continue
    dd if=/dev/zero of="$1/$2.rest" bs=65536 2>/dev/null
    [ "$3" -gt 0 ] || exit 0
    size=$(($(stat -c %s "$1/$2.rest") - $3 * 1024))
    [ $size -gt 0 ] && rm "$1/$2.rest" && fallocate -l $size "$1/$2.rest" && exit 0
done
rm -f "$1/$2" "$1/$2.rest"
echo "the file system of $1 does not take files of such a size" >&2
exit 1
"#,
    };
    /// Removes the files that [`FILL_DISK`] made.
    pub(in crate::env) const EMPTY_DISK: Script =
        Script { what: "empty a disk of", text: r#"rm -f "$1/$2" "$1/$2.rest""# };
    /// Sets the clock to `$1` seconds after 1970.
    pub(in crate::env) const SET_CLOCK: Script =
        Script { what: "set the clock of", text: r#"date -u -s "@$1""# };
}

/// What a disk does not do any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskErrors {
    /// Reading fails.
    Reads,
    /// Writing fails.
    Writes,
    /// Both fail.
    All,
}

/// As in "its disk vdb fails at ...".
impl fmt::Display for DiskErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reads => "reading",
            Self::Writes => "writing",
            Self::All => "reading and writing",
        })
    }
}

impl Vm {
    /// Stops its processors. Its clock stands still, too, and stays behind by as much.
    ///
    /// # Errors
    /// It is off, or libvirt refuses.
    pub async fn pause(&self) -> Result<Fault, EnvError> {
        let running = self.controlled("pause")?;
        let act = async {
            let paused = running.connection.suspend_domain(self.domain(), limits::DOMAIN).await;
            paused.map_err(|error| running.explain(error))
        };
        self.fault("is paused", Undo::Resume, act).await
    }

    /// Sets its clock; healed, it goes by this host's again.
    ///
    /// # Errors
    /// It has neither a guest agent nor another way to be told.
    pub async fn set_time(&self, time: SystemTime) -> Result<Fault, EnvError> {
        let what = format!("has its clock set to {}", Utc::from(time));
        self.fault(&what, Undo::Clock, self.turn_clock(time)).await
    }

    /// Sets its clock ahead of this host's.
    ///
    /// # Errors
    /// As [`Vm::set_time`].
    pub async fn clock_ahead(&self, by: Duration) -> Result<Fault, EnvError> {
        self.set_time(SystemTime::now() + by).await
    }

    /// Sets its clock behind this host's.
    ///
    /// # Errors
    /// As [`Vm::set_time`].
    pub async fn clock_behind(&self, by: Duration) -> Result<Fault, EnvError> {
        self.set_time(SystemTime::now() - by).await
    }

    /// Takes `mib` MiB of its memory, which nothing in it can have then. What the kernel kills because of that is trouble:
    /// see [`Vm::expect`].
    ///
    /// # Errors
    /// It has not so much left, or we are not root there.
    pub async fn take_memory(&self, mib: u32) -> Result<Fault, EnvError> {
        let folder = format!("/run/polder-memory-{}", number());
        let (what, size) = (format!("has {mib} MiB of memory less"), mib.to_string());
        let undo = Undo::Memory { folder: folder.clone() };
        self.fault(&what, undo, tell(self, scripts::TAKE_MEMORY, &[&folder, &size])).await
    }

    /// Fills the file system of a folder of its until about `leave_kib` KiB are left, for root as for everybody else.
    ///
    /// # Errors
    /// So much is not left, or we may not write there.
    pub async fn fill_disk(&self, folder: &str, leave_kib: u64) -> Result<Fault, EnvError> {
        let name = format!(".polder-full-{}", number());
        let (what, leave) = (format!("has {leave_kib} KiB left in {folder}"), leave_kib.to_string());
        let undo = Undo::Disk { folder: folder.to_owned(), name: name.clone() };
        self.fault(&what, undo, tell(self, scripts::FILL_DISK, &[folder, &name, &leave])).await
    }

    /// Lets its disk `dev`, such as `vda`, carry so many bytes a second, reads and writes together.
    ///
    /// # Errors
    /// It is off, or has no such disk.
    pub async fn slow_disk(&self, dev: &str, bytes_per_second: u64) -> Result<Fault, EnvError> {
        let (running, domain) = (self.controlled("slow down a disk of")?, self.domain());
        let connection = &running.connection;
        let act = async {
            let drive = connection.drive(domain, dev, limits::COMMAND).await?;
            Ok(connection.limit_drive(domain, &drive, bytes_per_second.max(1), limits::COMMAND).await?)
        };
        let what = format!("has a disk {dev} that carries {bytes_per_second} bytes a second");
        self.fault(&what, Undo::Slow { dev: dev.to_owned() }, act).await
    }

    /// Has its disk `dev` answer with errors (EIO). Its kernel may remember them when they are over: file systems become
    /// read-only. While this holds, no snapshot of the machine can be taken.
    ///
    /// # Errors
    /// It is off, or has no such disk; or the disk is broken already.
    pub async fn break_disk(&self, dev: &str, what: DiskErrors) -> Result<Fault, EnvError> {
        let refusal = match what {
            DiskErrors::Reads => Refusal::Reads,
            DiskErrors::Writes => Refusal::Writes,
            DiskErrors::All => Refusal::Both,
        };
        let (running, domain) = (self.controlled("break a disk of")?, self.domain());
        let connection = &running.connection;
        let act = async {
            let drive = connection.drive(domain, dev, limits::COMMAND).await?;
            Ok(connection.break_drive(domain, &drive, refusal, limits::COMMAND).await?)
        };
        let what = format!("has a disk {dev} that fails at {what}");
        self.fault(&what, Undo::Broken { dev: dev.to_owned() }, act).await
    }

    pub(super) async fn turn_clock(&self, time: SystemTime) -> Result<(), EnvError> {
        // An agent sets the clock and then another one that the guest may not have: both together may fail, having
        // done the first. Who has other ways is told again.
        if let Some(agent) = self.agent().filter(|_| self.plan().abilities.has(Ability::Agent))
            && agent.set_time(time).await.is_ok()
        {
            return Ok(());
        }
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        tell(self, scripts::SET_CLOCK, &[&seconds.to_string()]).await
    }
}

/// Runs a script of ours in a machine.
pub(super) async fn tell(vm: &Vm, script: scripts::Script, args: &[&str]) -> Result<(), EnvError> {
    let scripts::Script { what, text } = script;
    let shown = what.rsplit_once(' ').map_or(what, |(verb, _)| verb);
    let command = Command::script(text).args(args.iter().copied()).timeout(FILL).shown_as(shown);
    vm.succeed(command).await.map(drop).map_err(|source| vm.inside(what, source))
}

/// Unlike that of any other fault on the same machine.
fn number() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
