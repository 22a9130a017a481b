//! Which accelerator the emulator gets: KVM where a canary boots with it, TCG elsewhere; and how slow that is.
//!
//! `/dev/kvm` being there says little: nested or odd KVM can hang a stock kernel silently. So a kernel is booted, with
//! a time limit, and the answer is kept until the host reboots.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{LabError, LabHost};
use crate::base::process;

/// How the emulator runs guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the host's processor.
    Kvm,
    /// By translation: works everywhere, several times slower.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "KVM",
            Self::Tcg => "TCG",
        })
    }
}

/// What the canaries found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The accelerator.
    pub accel: Accel,
    /// By how much deadlines are to be stretched: the canary's boot time over [`REFERENCE`], at least 1.
    pub factor: f64,
    /// Why this one, in words.
    pub why: String,
}

/// The boot time of the canary for which the deadlines in this crate are meant: a laptop with KVM.
pub const REFERENCE: Duration = Duration::from_millis(800);

/// A canary that takes longer is dead. A KVM that needs more than this is not worth having.
const KVM_LIMIT: Duration = Duration::from_secs(10);
const TCG_LIMIT: Duration = Duration::from_secs(90);

const MARKER: &str = "polder-canary-ok";

/// Answers by what they depend on, in `accel.json`.
type Remembered = BTreeMap<String, Choice>;

/// Chooses by `wanted` (`auto`, `kvm` or `tcg`), booting `kernel` and `initrd` as canary unless the answer is known.
///
/// # Errors
/// `wanted` is something else, KVM is demanded and does not work, or nothing boots at all.
pub async fn choose(host: &LabHost, wanted: &str, kernel: &Path, initrd: &Path) -> Result<Choice, LabError> {
    let failed = |error: String, advice: &str| LabError::Step {
        step: "choose an accelerator".into(),
        error,
        advice: Some(advice.into()),
    };
    if !["auto", "kvm", "tcg"].contains(&wanted) {
        return Err(failed(format!("POLDER_ACCEL is `{wanted}`"), "use `auto`, `kvm` or `tcg`"));
    }
    let key = key(wanted, kernel);
    let memory = host.cache.join("accel.json");
    if let Some(known) = remembered(&memory).remove(&key) {
        return Ok(known);
    }
    // One canary at a time: several would slow one another down, and deadlines with them.
    let turn = host.cache.clone();
    let _turn = tokio::task::spawn_blocking(move || take_turn(&turn)).await;
    if let Some(known) = remembered(&memory).remove(&key) {
        return Ok(known);
    }
    let kvm = match wanted {
        "tcg" => Err("POLDER_ACCEL=tcg".to_owned()),
        _ => match open_kvm() {
            Ok(()) => canary("kvm", "host", kernel, initrd, KVM_LIMIT).await,
            Err(why) => Err(why),
        },
    };
    let choice = match kvm {
        Ok(took) => Choice { accel: Accel::Kvm, factor: factor(took), why: "a canary booted with it".into() },
        Err(why) if wanted == "kvm" => return Err(failed(why, "unset POLDER_ACCEL to fall back to TCG")),
        Err(why) => {
            let took = canary("tcg", "max", kernel, initrd, TCG_LIMIT).await;
            let took = took.map_err(|e| {
                failed(format!("KVM: {why}; TCG: {e}"), "`polder doctor` looks at the emulator")
            })?;
            Choice { accel: Accel::Tcg, factor: factor(took), why: format!("no KVM ({why})") }
        }
    };
    let mut answers = remembered(&memory);
    let boot = boot();
    answers.retain(|key, _| key.contains(&boot));
    answers.insert(key, choice.clone());
    // Only a convenience: without it the canary boots again.
    let _ = fs::write(&memory, serde_json::to_vec_pretty(&answers).unwrap_or_default());
    Ok(choice)
}

/// Whether machines may get KVM, as far as that is known before one is started: it is not refused, the device can be opened,
/// and no canary has died with it since this host booted.
///
/// # Errors
/// Why not.
pub(crate) fn may_have_kvm(host: &LabHost, wanted: &str) -> Result<(), String> {
    if wanted == "tcg" {
        return Err("POLDER_ACCEL=tcg".to_owned());
    }
    open_kvm()?;
    let boot = boot();
    let known = remembered(&host.cache.join("accel.json")).into_iter();
    let mut tried =
        known.filter(|(key, _)| key.starts_with(&format!("{wanted} {boot} ")) && key.ends_with(" true"));
    match tried.next() {
        Some((_, choice)) if choice.accel == Accel::Tcg => Err(choice.why),
        _ => Ok(()),
    }
}

fn open_kvm() -> Result<(), String> {
    let opened = fs::File::options().read(true).write(true).open("/dev/kvm");
    opened.map(drop).map_err(|e| format!("/dev/kvm: {e}"))
}

fn remembered(memory: &Path) -> Remembered {
    fs::read(memory).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Waits for whoever boots a canary now, and holds the turn until the file is closed.
fn take_turn(cache: &Path) -> Option<fs::File> {
    fs::create_dir_all(cache).ok()?;
    let turn = fs::File::create(cache.join("accel.lock")).ok()?;
    rustix::fs::flock(&turn, rustix::fs::FlockOperation::LockExclusive).ok()?;
    Some(turn)
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn factor(took: Duration) -> f64 {
    (took.as_secs_f64() / REFERENCE.as_secs_f64()).max(1.0)
}

/// What the answer depends on: this boot of the host, the emulator, the kernel, the permission to use `/dev/kvm`.
fn key(wanted: &str, kernel: &Path) -> String {
    let boot = boot();
    let emulator = fs::metadata("/usr/bin/qemu-system-x86_64").and_then(|m| m.modified()).ok();
    let usable = open_kvm().is_ok();
    format!("{wanted} {} {emulator:?} {} {usable}", boot, kernel.display())
}

async fn canary(
    accel: &str,
    cpu: &str,
    kernel: &Path,
    initrd: &Path,
    limit: Duration,
) -> Result<Duration, String> {
    let (kernel, initrd) = (kernel.to_string_lossy(), initrd.to_string_lossy());
    let argv = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-reboot",
        "-display",
        "none",
        "-machine",
        "q35",
        "-accel",
        accel,
        "-cpu",
        cpu,
        "-m",
        "256",
        "-serial",
        "stdio",
        "-kernel",
        &kernel,
        "-initrd",
        &initrd,
        "-append",
        "console=ttyS0 panic=-1 polder.canary",
    ];
    let start = Instant::now();
    let output = process::output(&argv, limit).await.map_err(|e| match e {
        process::ProcessError::TimedOut { limit, .. } => {
            format!("a canary did not boot within {} s", limit.as_secs())
        }
        other => other.to_string(),
    })?;
    if String::from_utf8_lossy(&output.stdout).contains(MARKER) {
        return Ok(start.elapsed());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("a canary did not boot: {}", said.lines().last().unwrap_or("the emulator said nothing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_never_shorter_than_meant() {
        assert!((factor(Duration::from_millis(100)) - 1.0).abs() < f64::EPSILON);
        assert!((factor(REFERENCE * 3) - 3.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn another_word_than_the_three_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let host = LabHost { root: dir.path().into(), cache: dir.path().into(), launcher: "/nowhere".into() };
        let error = choose(&host, "fast", Path::new("k"), Path::new("i")).await.unwrap_err().to_string();
        assert!(
            error.contains("POLDER_ACCEL is `fast`") && error.contains("`auto`, `kvm` or `tcg`"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_known_answer_boots_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = LabHost { root: dir.path().into(), cache: dir.path().into(), launcher: "/nowhere".into() };
        let choice = Choice { accel: Accel::Tcg, factor: 2.5, why: "remembered".into() };
        let kernel = Path::new("/nowhere/kernel");
        let answers: Remembered = [(key("tcg", kernel), choice.clone())].into();
        fs::write(dir.path().join("accel.json"), serde_json::to_vec(&answers).unwrap()).unwrap();
        assert_eq!(choose(&host, "tcg", kernel, Path::new("/nowhere/initrd")).await.unwrap(), choice);
        assert_eq!(may_have_kvm(&host, "tcg"), Err("POLDER_ACCEL=tcg".into()));
        assert_eq!(may_have_kvm(&host, "auto"), open_kvm(), "no canary has died yet");
        let answers: Remembered = [(key("auto", kernel), choice)].into();
        fs::write(dir.path().join("accel.json"), serde_json::to_vec(&answers).unwrap()).unwrap();
        let refused = may_have_kvm(&host, "auto").unwrap_err();
        assert!(refused == "remembered" || open_kvm() == Err(refused), "one of both reasons");
    }
}
