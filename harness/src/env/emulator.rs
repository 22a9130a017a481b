//! Machines whose emulators died although nobody ended them, as libvirt notes it in their logs. Not why: who was killed cannot
//! say it.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::{EnvError, Vm};
use crate::{
    base::{
        follow::{Follow, length},
        id::MachineName,
    },
    provider::libvirt::DomainState,
};

/// What libvirt writes as the last line of a machine that was neither switched off nor destroyed. A kernel that panicked is
/// not among them: such a machine stays as it is.
const DIED: &str = "shutting down, reason=crashed";

/// What is told of such a machine.
const WHAT: &str = "has lost its emulator, which was killed or has crashed";

/// The log of a machine's emulator from the time on at which it is watched over; nothing of one that libvirt does not make.
pub(super) struct EmulatorLog(Option<tokio::sync::Mutex<Follow>>);

impl EmulatorLog {
    pub(super) async fn of(vm: &Vm) -> Self {
        let Some(runtime) = vm.site().running().ok().and_then(|running| running.lab.runtime().cloned())
        else {
            return Self(None);
        };
        let log = runtime.emulator_log(vm.domain());
        let begin = length(&log).await;
        Self(vm.is_made().then(|| tokio::sync::Mutex::new(Follow::new(log, begin))))
    }

    /// Whether it died since this was asked last.
    pub(super) async fn died(&self) -> bool {
        match &self.0 {
            Some(log) => log.lock().await.lines().await.iter().any(|line| line.ends_with(DIED)),
            None => false,
        }
    }
}

/// Machines that are lost until somebody starts them again.
#[derive(Default)]
pub(super) struct Losses {
    lost: watch::Sender<BTreeMap<MachineName, &'static str>>,
}

impl Losses {
    /// Takes note of whether a machine's emulator died, and of how the machine is after that.
    pub(super) fn note(&self, machine: &MachineName, died: bool, state: Option<&DomainState>) {
        self.lost.send_if_modified(|lost| match (died, state) {
            (_, Some(DomainState::Running | DomainState::Paused)) => lost.remove(machine).is_some(),
            (true, _) => lost.insert(machine.clone(), WHAT).is_none(),
            (false, _) => false,
        });
    }

    /// The first machine that is lost.
    pub(super) fn first(&self) -> Option<EnvError> {
        let (machine, what) =
            self.lost.borrow().first_key_value().map(|(name, what)| (name.clone(), *what))?;
        Some(EnvError::MachineEnded { machine, what: what.to_owned() })
    }

    /// Comes back only when a machine is lost.
    pub(super) async fn any(&self) -> EnvError {
        let mut lost = self.lost.subscribe();
        loop {
            if let Some(error) = self.first() {
                return error;
            }
            if lost.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_is_lost_until_it_runs_again() {
        let losses = Losses::default();
        let [web, db] = ["web", "db"].map(|name| name.parse::<MachineName>().unwrap());
        losses.note(&web, false, None);
        assert!(losses.first().is_none(), "one that was switched off is not lost");
        losses.note(&web, true, None);
        losses.note(&db, false, Some(&DomainState::Running));
        losses.note(&web, false, None);
        let error = losses.any().await.to_string();
        assert_eq!(error, "machine web has lost its emulator, which was killed or has crashed");
        losses.note(&web, false, Some(&DomainState::Running));
        assert!(losses.first().is_none());
    }

    #[tokio::test]
    async fn only_what_nobody_ended_has_died() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.log");
        let log = EmulatorLog(Some(tokio::sync::Mutex::new(Follow::new(path.clone(), 0))));
        let line = |reason: &str| format!("2026-11-27 15:00:00.000+0000: shutting down, reason={reason}\n");
        std::fs::write(&path, line("destroyed") + &line("shutdown")).unwrap();
        assert!(!log.died().await);
        std::fs::write(&path, line("destroyed") + &line("shutdown") + &line("crashed")).unwrap();
        assert!(log.died().await);
        assert!(!log.died().await, "it is told once");
        assert!(!EmulatorLog(None).died().await);
    }
}
