//! systemd.

use super::spec::{Answer, ServiceManager, ServiceState, argv, sh};

/// The manager `systemd`.
#[derive(Debug, Clone, Copy)]
pub struct Systemd;

impl ServiceManager for Systemd {
    fn name(&self) -> &str {
        "systemd"
    }

    /// Whether it is process 1: its programs may lie about without.
    fn probe(&self) -> Vec<String> {
        sh("read -r one </proc/1/comm && [ \"$one\" = systemd ]", "")
    }

    fn query(&self, service: &str) -> Vec<String> {
        argv(["systemctl", "show", "--property=LoadState,ActiveState", "--", service])
    }

    fn state(&self, _: &str, answer: &Answer) -> Option<ServiceState> {
        unit_state(&answer.stdout)
    }

    fn start(&self, service: &str) -> Vec<String> {
        argv(["systemctl", "start", "--", service])
    }

    fn stop(&self, service: &str) -> Vec<String> {
        argv(["systemctl", "stop", "--", service])
    }

    fn restart(&self, service: &str) -> Option<Vec<String>> {
        Some(argv(["systemctl", "restart", "--", service]))
    }

    fn logs(&self, service: &str) -> Option<Vec<String>> {
        Some(argv(["journalctl", "--boot", "--no-pager", "--lines=200", "--unit", service]))
    }
}

/// What `systemctl show` said. Units that could not be loaded count as missing, masked ones as there.
pub(super) fn unit_state(shown: &str) -> Option<ServiceState> {
    let property = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Some(match (property("LoadState")?, property("ActiveState")?) {
        (_, "active" | "reloading" | "refreshing") => ServiceState::Active,
        ("loaded" | "masked", _) => ServiceState::Inactive,
        _ => ServiceState::Missing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("LoadState=loaded\nActiveState=active\n", Some(ServiceState::Active))]
    #[case("ActiveState=inactive\nLoadState=loaded\n", Some(ServiceState::Inactive))]
    #[case("LoadState=loaded\nActiveState=failed\n", Some(ServiceState::Inactive))]
    #[case("LoadState=masked\nActiveState=inactive\n", Some(ServiceState::Inactive))]
    #[case("LoadState=not-found\nActiveState=inactive\n", Some(ServiceState::Missing))]
    #[case("LoadState=not-found\nActiveState=active\n", Some(ServiceState::Active))]
    #[case("", None)]
    fn what_systemctl_shows(#[case] stdout: &str, #[case] expected: Option<ServiceState>) {
        let answer = Answer { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() };
        assert_eq!(Systemd.state("x", &answer), expected);
    }
}
