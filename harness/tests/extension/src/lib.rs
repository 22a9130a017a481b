//! What both programs of this crate add to Polder.

use std::{fs, path::PathBuf};

use polder::{
    provider::{Answer, Deed, MachineOrder, MachineProvider, MachineState, ProviderCx},
    service::{self, ServiceManager, ServiceState},
};

/// Makes machines that are files: they are on as long as they exist. They lie in the folder `CLOUD`, which is no part of
/// any environment.
#[derive(Debug)]
pub struct Files;

fn cloud(order: &MachineOrder) -> PathBuf {
    PathBuf::from(std::env::var_os("CLOUD").expect("the test says where the cloud is")).join(&order.id)
}

impl MachineProvider for Files {
    fn name(&self) -> &str {
        "files"
    }
    fn check(&self, order: &MachineOrder) -> Result<(), Vec<String>> {
        let fits = order.memory_mib <= 64;
        if fits { Ok(()) } else { Err(vec!["files have at most 64 MiB of memory".into()]) }
    }
    fn start<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a> {
        Box::pin(async move {
            if order.metadata.contains_key("broken") {
                return Err(anyhow::anyhow!("that file cannot be written").into());
            }
            let text = format!("{} {}\n", order.name, cx.folder.display());
            fs::write(cloud(order), text).map_err(anyhow::Error::from)?;
            Ok(())
        })
    }
    fn deeds(&self) -> &[Deed] {
        &[Deed::Stop]
    }
    fn act<'a>(&'a self, _: Deed, order: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a> {
        Box::pin(async move {
            let _ = fs::remove_file(cloud(order));
            Ok(())
        })
    }
    fn state<'a>(&'a self, order: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a, MachineState> {
        let state = if cloud(order).exists() { MachineState::Running } else { MachineState::Absent };
        Box::pin(async move { Ok(state) })
    }
}

/// Manages programs in `/run/services` of small guests.
#[derive(Debug)]
pub struct Small;

fn shell(script: &str, service: &str) -> Vec<String> {
    ["sh", "-c", script, "sh", service].map(str::to_owned).to_vec()
}

impl ServiceManager for Small {
    fn name(&self) -> &str {
        "small"
    }
    fn probe(&self) -> Vec<String> {
        ["test", "-d", "/run/services"].map(str::to_owned).to_vec()
    }
    fn query(&self, service: &str) -> Vec<String> {
        shell("cd /run/services && test -x $1 || exit 4; kill -0 $(cat $1.pid) || exit 3", service)
    }
    fn state(&self, _: &str, answer: &service::Answer) -> Option<ServiceState> {
        match answer.code? {
            0 => Some(ServiceState::Active),
            3 => Some(ServiceState::Inactive),
            4 => Some(ServiceState::Missing),
            _ => None,
        }
    }
    fn start(&self, service: &str) -> Vec<String> {
        shell("cd /run/services; setsid ./$1 </dev/null >$1.log 2>&1 & echo $! >/run/services/$1.pid", service)
    }
    fn stop(&self, service: &str) -> Vec<String> {
        shell("cd /run/services; kill $(cat $1.pid); while kill -0 $(cat $1.pid); do sleep 0.1; done; true", service)
    }
    fn logs(&self, service: &str) -> Option<Vec<String>> {
        Some(shell("cat /run/services/$1.log", service))
    }
}
