//! Machines of which there is nothing but their state, in the memory of this process: for tests of what is around machines, such
//! as the order of things, and for measuring it. Nothing answers in them.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use super::machine::{Answer, Deed, MachineError, MachineOrder, MachineProvider, MachineState, ProviderCx};

/// The provider `memory`.
#[derive(Debug, Default)]
pub struct Memory {
    /// By the environment's folder and the order's id: environments of suites have the same ids.
    states: Mutex<HashMap<(PathBuf, String), MachineState>>,
}

impl Memory {
    /// What it is called.
    pub const NAME: &'static str = "memory";

    /// Does what `change` says with the state of a machine that was started.
    fn change(
        &self,
        order: &MachineOrder,
        cx: &ProviderCx,
        change: impl FnOnce(MachineState) -> Result<MachineState, anyhow::Error>,
    ) -> Result<(), MachineError> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (cx.folder.clone(), order.id.clone());
        let now = states.get(&key).copied().unwrap_or(MachineState::Absent);
        match change(now)? {
            MachineState::Absent => drop(states.remove(&key)),
            next => drop(states.insert(key, next)),
        }
        Ok(())
    }
}

impl MachineProvider for Memory {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn makes(&self) -> bool {
        false
    }

    fn check(&self, order: &MachineOrder) -> Result<(), Vec<String>> {
        let address = order.address.map(|_| "nothing answers in it: say no address".to_owned());
        address.map_or(Ok(()), |wrong| Err(vec![wrong]))
    }

    fn start<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a> {
        Box::pin(async move { self.change(order, cx, |_| Ok(MachineState::Running)) })
    }

    fn state<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a, MachineState> {
        Box::pin(async move {
            let mut seen = MachineState::Absent;
            self.change(order, cx, |now| {
                seen = now;
                Ok(now)
            })?;
            Ok(seen)
        })
    }

    fn deeds(&self) -> &[Deed] {
        &[Deed::Stop, Deed::Shutdown, Deed::Reboot, Deed::Pause, Deed::Resume]
    }

    fn act<'a>(&'a self, deed: Deed, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a> {
        use MachineState::{Absent, Paused, Running};
        Box::pin(async move {
            self.change(order, cx, |now| match (deed, now) {
                (Deed::Stop | Deed::Shutdown, _) => Ok(Absent),
                (Deed::Reboot, Running) | (Deed::Resume, Running | Paused) => Ok(Running),
                (Deed::Pause, Running | Paused) => Ok(Paused),
                (_, now) => Err(anyhow::anyhow!("cannot {deed} it: it is {now:?}")),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_environment_has_its_own() {
        let memory = Memory::default();
        let order = MachineOrder::lost("a");
        let cx = |folder: &str| ProviderCx {
            folder: folder.into(),
            deadline: Duration::from_secs(1),
            dial: memory.dial(),
        };
        let (one, two) = (cx("/one"), cx("/two"));
        let state = async |cx| memory.state(&order, cx).await.unwrap();
        memory.start(&order, &one).await.unwrap();
        assert_eq!((state(&one).await, state(&two).await), (MachineState::Running, MachineState::Absent));
        for (deed, next) in [
            (Deed::Reboot, MachineState::Running),
            (Deed::Pause, MachineState::Paused),
            (Deed::Pause, MachineState::Paused),
            (Deed::Resume, MachineState::Running),
            (Deed::Shutdown, MachineState::Absent),
            (Deed::Stop, MachineState::Absent),
        ] {
            memory.act(deed, &order, &one).await.unwrap();
            assert_eq!(state(&one).await, next, "{deed}");
        }
        for deed in [Deed::Reboot, Deed::Pause, Deed::Resume] {
            let error = memory.act(deed, &order, &one).await.unwrap_err().to_string();
            assert_eq!(error, format!("cannot {deed} it: it is Absent"));
        }
        assert!(memory.states.lock().unwrap().is_empty());
        let addressed = MachineOrder { address: "127.0.0.1".parse().ok(), ..MachineOrder::lost("a") };
        assert!(memory.check(&addressed).is_err() && memory.check(&order).is_ok());
    }
}
