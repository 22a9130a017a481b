//! systemd in a container of the guest, which keeps a part of its services; the others are the guest's own.

use super::{
    spec::{Answer, ServiceManager, ServiceState, argv},
    systemd::unit_state,
};

/// What the container is called.
const CONTAINER: &str = "vdsmc";

/// The manager `systemdcontainer`.
#[derive(Debug, Clone, Copy)]
pub struct SystemdContainer;

impl SystemdContainer {
    /// In the container, and where that does not know the service, beside it.
    fn either(verb: &str, service: &str) -> Vec<String> {
        let script = format!(
            "docker exec {CONTAINER} systemctl {verb} -- \"$1\" 2>/dev/null || systemctl {verb} -- \"$1\""
        );
        argv(["sh", "-c", &script, "sh", service])
    }
}

impl ServiceManager for SystemdContainer {
    fn name(&self) -> &str {
        "systemdcontainer"
    }

    fn probe(&self) -> Vec<String> {
        argv(["docker", "inspect", "--type", "container", CONTAINER])
    }

    fn query(&self, service: &str) -> Vec<String> {
        let show = "systemctl show --property=LoadState,ActiveState -- \"$1\"";
        let script = format!("docker exec {CONTAINER} {show} | grep -v '^LoadState=not-found' ; {show}");
        argv(["sh", "-c", &script, "sh", service])
    }

    /// The container's answer comes first and counts, unless it knows no such service.
    fn state(&self, _: &str, answer: &Answer) -> Option<ServiceState> {
        let lines: Vec<&str> = answer.stdout.lines().collect();
        let loads = lines.iter().filter(|line| line.starts_with("LoadState=")).count();
        let own = lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().join("\n");
        unit_state(if loads > 1 { &answer.stdout } else { &own })
    }

    fn start(&self, service: &str) -> Vec<String> {
        Self::either("start", service)
    }

    fn stop(&self, service: &str) -> Vec<String> {
        Self::either("stop", service)
    }

    fn restart(&self, service: &str) -> Option<Vec<String>> {
        Some(Self::either("restart", service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::inside(
        "LoadState=loaded\nActiveState=active\nLoadState=not-found\nActiveState=inactive",
        Some(ServiceState::Active)
    )]
    #[case::beside("ActiveState=inactive\nLoadState=loaded\nActiveState=active", Some(ServiceState::Active))]
    #[case::nowhere(
        "ActiveState=inactive\nLoadState=not-found\nActiveState=inactive",
        Some(ServiceState::Missing)
    )]
    #[case::no_container("LoadState=loaded\nActiveState=inactive", Some(ServiceState::Inactive))]
    #[case::nothing("", None)]
    fn the_container_comes_first(#[case] stdout: &str, #[case] expected: Option<ServiceState>) {
        let answer = Answer { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() };
        assert_eq!(SystemdContainer.state("x", &answer), expected);
    }
}
