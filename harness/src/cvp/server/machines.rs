//! Devices that are machines: a task writes the configuration into the machine, by the ways of the system that runs there,
//! and what runs is read back from it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::driver::{Driver, Memory, PushError, Target};
use crate::{
    base::{dial::BoxFuture, text::chain},
    guest::{Command, Guest, GuestError},
};

/// For one exchange of a configuration, before it is stretched by the machine's time factor.
const PUSH: Duration = Duration::from_secs(60);
/// For reading what runs; as the other one.
const READ: Duration = Duration::from_secs(20);

/// Where a system keeps its own way to take a configuration.
const OWN: &str = "/usr/lib/polder/device";

/// How a system takes its configuration and tells it: a shell script for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Takes its input, all `$1` bytes of it, and prints what runs then, or fails with what ran before.
    push: String,
    read: String,
}

impl Adapter {
    /// By scripts of one's own: `apply` has the machine run the configuration in the file `$1`, and fails, having said why,
    /// where it is refused; `read` prints what runs.
    pub fn new(apply: impl Into<String>, read: impl Into<String>) -> Self {
        let (apply, read) = (apply.into(), read.into());
        let push = format!(
            "umask 077; d=$(mktemp -d) || exit 1; trap 'rm -rf \"$d\"' EXIT
cat >\"$d/new\" || exit 1
came=$(wc -c <\"$d/new\")
if [ $((came)) -ne \"$1\" ]; then echo \"of $1 bytes of the configuration, $((came)) have come\" >&2; exit 1; fi
apply() {{ {apply}
}}
read_back() {{ {read}
}}
(read_back) >\"$d/old\" || exit 1
if ! (apply \"$d/new\") >\"$d/said\" 2>&1; then
    (apply \"$d/old\") >\"$d/again\" 2>&1 || {{ echo 'what ran before cannot be had back:'; cat \"$d/again\"; }} >&2
    cat \"$d/said\" >&2
    exit 1
fi
(read_back)"
        );
        Self { push, read }
    }

    /// A system whose configuration is a file at `path`. `reload` has it look at the file again, and fails, having said why,
    /// where it is refused; empty: nobody needs to.
    #[must_use]
    pub fn file(path: &str, reload: &str) -> Self {
        let path = shlex::try_quote(path).unwrap_or_default();
        let apply = format!(
            "mkdir -p \"$(dirname {path})\" && cp \"$1\" {path}.new && mv {path}.new {path} && {{ :; {reload}\n}}"
        );
        Self::new(apply, format!("if [ -e {path} ]; then cat {path}; fi"))
    }

    /// Arista's EOS, from its shell: the session replaces the configuration as a whole, or not at all.
    #[must_use]
    pub fn eos() -> Self {
        // It says what is wrong in lines that begin with `% `, and ends well all the same.
        let apply = "cp \"$1\" /mnt/flash/polder.cfg && said=$(FastCli -p 15 -c 'configure replace flash:polder.cfg' 2>&1)
            ended=$?; rm -f /mnt/flash/polder.cfg; echo \"$said\"; [ $ended = 0 ] && ! echo \"$said\" | grep -q '^% '";
        Self::new(apply, "FastCli -p 15 -c 'show running-config'")
    }

    /// A system that says itself how, by programs in its folder `/usr/lib/polder/device`: `apply` has it run the configuration
    /// that is its input and prints what runs then, or fails, having said why, with what ran before; `show` prints what runs.
    /// `apply` is told how many bytes its input has: where a connection is cut, it ends early.
    #[must_use]
    pub fn own() -> Self {
        Self { push: format!("{OWN}/apply \"$1\""), read: format!("{OWN}/show") }
    }

    /// The one for what runs in `guest`: its own where it has one, EOS where its shell is there, else a file,
    /// `/etc/polder/startup-config`.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn of(guest: &Guest) -> Result<Self, GuestError> {
        let script =
            format!("if [ -x {OWN}/apply ]; then echo own; elif command -v FastCli >&2; then echo eos; fi");
        Ok(match guest.succeed(Command::script(script).timeout(READ)).await?.trim() {
            "own" => Self::own(),
            "eos" => Self::eos(),
            _ => Self::file("/etc/polder/startup-config", ""),
        })
    }

    /// Whether nobody else knows which lines it refuses.
    pub(crate) fn is_own(&self) -> bool {
        *self == Self::own()
    }

    /// Prints what runs.
    pub(crate) fn reading(&self) -> Command {
        Command::script(&self.read).timeout(READ)
    }

    /// Everything in one go: with a break in between, nobody would know which one runs.
    fn push(&self, config: &str) -> Command {
        let length = config.len().to_string();
        Command::script(&self.push).arg(length).stdin(config.as_bytes().to_vec()).timeout(PUSH)
    }
}

/// Devices that are machines, each by its host name; devices of other names are another driver's.
#[derive(Debug)]
pub struct Machines {
    known: Mutex<BTreeMap<String, (Guest, Adapter)>>,
    others: Arc<dyn Driver>,
}

/// Others are nothing but their configuration.
impl Default for Machines {
    fn default() -> Self {
        Self::beside(Arc::new(Memory))
    }
}

impl Machines {
    /// None yet; all devices are those of `others`.
    pub fn beside(others: Arc<dyn Driver>) -> Self {
        Self { known: Mutex::default(), others }
    }

    /// From now on, the device called `hostname` is this machine.
    pub fn add(&self, hostname: impl Into<String>, guest: Guest, adapter: Adapter) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(hostname.into(), (guest, adapter));
    }

    /// From now on, no device is one of these machines.
    pub(crate) fn let_go(&self, machines: &[Guest]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (guest, _)| machines.iter().all(|gone| gone.name() != guest.name()));
    }

    /// How each takes its configuration, by its device's host name.
    pub(crate) fn adapters(&self) -> BTreeMap<String, Adapter> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(name, (_, adapter))| (name.clone(), adapter.clone())).collect()
    }

    fn of(&self, device: &Target) -> Option<(Guest, Adapter)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&device.hostname).cloned()
    }
}

impl Driver for Machines {
    fn push<'a>(&'a self, device: &'a Target, config: &'a str) -> BoxFuture<'a, Result<String, PushError>> {
        Box::pin(async move {
            match self.of(device) {
                Some((guest, adapter)) => said(&guest, adapter.push(config)).await,
                None => self.others.push(device, config).await,
            }
        })
    }

    fn read<'a>(&'a self, device: &'a Target) -> BoxFuture<'a, Result<Option<String>, PushError>> {
        Box::pin(async move {
            match self.of(device) {
                Some((guest, adapter)) => said(&guest, adapter.reading()).await.map(Some),
                None => self.others.read(device).await,
            }
        })
    }
}

async fn said(guest: &Guest, command: Command) -> Result<String, PushError> {
    match guest.execute(command).await {
        Ok(output) if output.status.success() => Ok(output.stdout.text().into_owned()),
        Ok(output) => {
            let why = output.stderr.text();
            Err(PushError::Refused(match why.trim() {
                "" => format!("{} without a word", output.status),
                why => why.to_owned(),
            }))
        }
        // The command is long, and no news to whoever waits for the task.
        Err(GuestError::Deadline { stage, limit, started: false, .. }) => {
            Err(PushError::Unreachable(format!("{stage} after {limit:.1?}")))
        }
        Err(GuestError::Deadline { limit, .. }) => Err(PushError::TimedOut(limit)),
        Err(GuestError::Unreachable { source, .. }) => Err(PushError::Unreachable(chain(&source))),
        Err(GuestError::Lost { source, .. }) => {
            Err(PushError::Unreachable(format!("lost in the middle: {}", chain(&source))))
        }
        Err(error) => Err(PushError::Unreachable(error.brief())),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, process::Stdio};

    use super::*;

    /// What is left of a configuration whose connection was cut, pushed by the shell of this host.
    fn cut(push: &str, some: &str, all: &str) -> (bool, String) {
        let mut sh = std::process::Command::new("sh")
            .args(["-c", push, "sh", &all.len().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        sh.stdin.take().unwrap().write_all(some.as_bytes()).unwrap();
        let ended = sh.wait_with_output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stderr).unwrap())
    }

    #[test]
    fn a_configuration_that_comes_in_part_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "hostname old\n").unwrap();
        let adapter = Adapter::file(path.to_str().unwrap(), "");
        let all = "hostname new\nntp server zażółć\n";
        for some in ["", "hostname new\n"] {
            let told = format!("of {} bytes of the configuration, {} have come\n", all.len(), some.len());
            assert_eq!(cut(&adapter.push, some, all), (false, told));
            assert_eq!(fs::read_to_string(&path).unwrap(), "hostname old\n");
        }
        assert_eq!(cut(&adapter.push, all, all), (true, String::new()));
        assert_eq!(fs::read_to_string(&path).unwrap(), all);
    }
}
