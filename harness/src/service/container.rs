//! systemd in a container of the guest, which keeps a part of its services; the others are the guest's own.

use super::{
    spec::{Answer, ServiceManager, ServiceState, sh},
    systemd::unit_state,
};

/// What the container is called.
const CONTAINER: &str = "vdsmc";

/// Finds the program that has the container: `$d`.
const ENGINE: &str =
    "for d in docker podman; do $d inspect --type container vdsmc >/dev/null 2>&1 && break; done";

/// The manager `systemdcontainer`.
#[derive(Debug, Clone, Copy)]
pub struct SystemdContainer;

impl SystemdContainer {
    /// In the container, and where that does not know the service, beside it. `$1` in `words` is the service.
    fn either(words: &str, service: &str) -> Vec<String> {
        let inside = format!("$d exec {CONTAINER}");
        let knows =
            format!("{inside} systemctl show --property=LoadState -- \"$1\" | grep -qx LoadState=loaded");
        sh(&format!("{ENGINE}; if {knows}; then {inside} {words}; else {words}; fi"), service)
    }
}

impl ServiceManager for SystemdContainer {
    fn name(&self) -> &str {
        "systemdcontainer"
    }

    /// Process 1 cannot know it: it only has what somebody runs beside.
    fn probe(&self) -> Vec<String> {
        sh(&format!("{ENGINE}; $d inspect --type container {CONTAINER}"), "")
    }

    fn query(&self, service: &str) -> Vec<String> {
        let show = "systemctl show --property=LoadState,ActiveState -- \"$1\"";
        let script =
            format!("{ENGINE}; $d exec {CONTAINER} {show} | grep -v '^LoadState=not-found' ; {show}");
        sh(&script, service)
    }

    /// The container's answer comes first and counts, unless it knows no such service.
    fn state(&self, _: &str, answer: &Answer) -> Option<ServiceState> {
        let lines: Vec<&str> = answer.stdout.lines().collect();
        let loads = lines.iter().filter(|line| line.starts_with("LoadState=")).count();
        let own = lines.get(lines.len().saturating_sub(2)..).unwrap_or_default().join("\n");
        unit_state(if loads > 1 { &answer.stdout } else { &own })
    }

    fn start(&self, service: &str) -> Vec<String> {
        Self::either("systemctl start -- \"$1\"", service)
    }

    fn stop(&self, service: &str) -> Vec<String> {
        Self::either("systemctl stop -- \"$1\"", service)
    }

    fn restart(&self, service: &str) -> Option<Vec<String>> {
        Some(Self::either("systemctl restart -- \"$1\"", service))
    }

    fn logs(&self, service: &str) -> Option<Vec<String>> {
        let journal = "journalctl --boot --no-pager --lines=200 --unit \"$1\"";
        Some(Self::either(journal, service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service of the container that cannot be stopped is no reason to stop one of the guest's that is called alike.
    #[rstest::rstest]
    #[case::inside("docker", "loaded", 5, "docker exec vdsmc systemctl stop -- x")]
    #[case::beside("docker", "not-found", 0, "systemctl stop -- x")]
    #[case::podman("podman", "loaded", 5, "podman exec vdsmc systemctl stop -- x")]
    fn what_the_container_knows_is_only_done_there(
        #[case] engine: &str,
        #[case] loads: &str,
        #[case] code: i32,
        #[case] told: &str,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        for name in [engine, "systemctl"] {
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in inspect*) exit;; *show*) echo LoadState={loads}; exit;; esac\n\
                 echo \"{name} $*\" >> {at}/told\n[ {name} = systemctl ] || exit 5\n"
            );
            let file = dir.path().join(name);
            std::fs::write(&file, script).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        let argv = SystemdContainer.stop("x");
        let mut command = std::process::Command::new(&argv[0]);
        let path = format!("{at}:{}", std::env::var("PATH").unwrap());
        let status = command.args(&argv[1..]).env("PATH", path).status().unwrap();
        assert_eq!(status.code(), Some(code));
        assert_eq!(std::fs::read_to_string(dir.path().join("told")).unwrap().trim(), told);
    }

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
