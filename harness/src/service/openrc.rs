//! OpenRC, by way of `rc-service`.

use super::spec::{Answer, ServiceManager, ServiceState, argv, log_files, sh};

/// The manager `openrc`.
#[derive(Debug, Clone, Copy)]
pub struct OpenRc;

/// What the query prints of a service that is not there.
const NO_SUCH: &str = "polder: no such service";

impl ServiceManager for OpenRc {
    fn name(&self) -> &str {
        "openrc"
    }

    /// Process 1 is its own, or another `init` that it was started by.
    fn probe(&self) -> Vec<String> {
        sh(
            "read -r one </proc/1/comm; [ \"$one\" = openrc-init ] || { [ \"$one\" = init ] && [ -e /run/openrc/softlevel ]; }",
            "",
        )
    }

    fn query(&self, service: &str) -> Vec<String> {
        let script = format!(
            "if rc-service --exists \"$1\"; then rc-service \"$1\" status; else echo '{NO_SUCH}'; fi"
        );
        sh(&script, service)
    }

    /// 0 is started; others tell in which way it is not.
    fn state(&self, _: &str, answer: &Answer) -> Option<ServiceState> {
        Some(match answer.code? {
            126 | 127 => return None,
            0 if answer.stdout.trim_end().ends_with(NO_SUCH) => match answer.stderr.contains("not found") {
                true => return None,
                false => ServiceState::Missing,
            },
            0 => ServiceState::Active,
            _ => ServiceState::Inactive,
        })
    }

    fn start(&self, service: &str) -> Vec<String> {
        argv(["rc-service", service, "start"])
    }

    fn stop(&self, service: &str) -> Vec<String> {
        argv(["rc-service", service, "stop"])
    }

    fn restart(&self, service: &str) -> Option<Vec<String>> {
        Some(argv(["rc-service", service, "restart"]))
    }

    fn logs(&self, service: &str) -> Option<Vec<String>> {
        Some(log_files(service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(0, " * status: started", "", Some(ServiceState::Active))]
    #[case(3, " * status: stopped", "", Some(ServiceState::Inactive))]
    #[case(32, " * status: crashed", "", Some(ServiceState::Inactive))]
    #[case(0, "polder: no such service\n", "", Some(ServiceState::Missing))]
    #[case(0, "polder: no such service\n", "sh: rc-service: not found", None)]
    #[case(127, "", "sh: not found", None)]
    fn what_rc_service_says(
        #[case] code: i32,
        #[case] stdout: &str,
        #[case] stderr: &str,
        #[case] expected: Option<ServiceState>,
    ) {
        let answer = Answer { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        assert_eq!(OpenRc.state("sshd", &answer), expected);
    }
}
