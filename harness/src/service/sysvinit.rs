//! Scripts in `/etc/init.d`, by way of `service`.

use super::spec::{Answer, ServiceManager, ServiceState, argv, log_files, sh};

/// The manager `sysvinit`.
#[derive(Debug, Clone, Copy)]
pub struct SysVInit;

impl ServiceManager for SysVInit {
    fn name(&self) -> &str {
        "sysvinit"
    }

    /// Process 1 is an `init` that is not OpenRC's, and there is what its scripts are called by.
    fn probe(&self) -> Vec<String> {
        sh(
            "read -r one </proc/1/comm && [ \"$one\" = init ] && [ ! -e /run/openrc/softlevel ] || exit 1; \
             PATH=$PATH:/usr/sbin:/sbin; command -v service",
            "",
        )
    }

    fn query(&self, service: &str) -> Vec<String> {
        argv(["service", service, "status"])
    }

    /// By the statuses of the Linux Standard Base: 0 runs, 1 to 3 does not. Who knows no such service answers 1 as well.
    fn state(&self, _: &str, answer: &Answer) -> Option<ServiceState> {
        let said = format!("{}{}", answer.stdout, answer.stderr).to_lowercase();
        let unknown =
            ["unrecognized service", "not found", "no such file"].iter().any(|no| said.contains(no));
        Some(match answer.code? {
            0 => ServiceState::Active,
            _ if said.trim_end().trim_end_matches('.').ends_with("is stopped") => ServiceState::Inactive,
            1..=3 if !unknown => ServiceState::Inactive,
            126 | 127 => return None,
            _ => ServiceState::Missing,
        })
    }

    fn start(&self, service: &str) -> Vec<String> {
        argv(["service", service, "start"])
    }

    fn stop(&self, service: &str) -> Vec<String> {
        argv(["service", service, "stop"])
    }

    fn restart(&self, service: &str) -> Option<Vec<String>> {
        Some(argv(["service", service, "restart"]))
    }

    fn logs(&self, service: &str) -> Option<Vec<String>> {
        Some(log_files(service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(0, "sshd (pid 812) is running...", Some(ServiceState::Active))]
    #[case(3, "sshd is stopped", Some(ServiceState::Inactive))]
    #[case(1, "sshd dead but pid file exists", Some(ServiceState::Inactive))]
    #[case(1, "ssh: unrecognized service", Some(ServiceState::Missing))]
    #[case(4, "", Some(ServiceState::Missing))]
    #[case(127, "sh: service: command not found", None)]
    fn what_service_says(#[case] code: i32, #[case] said: &str, #[case] expected: Option<ServiceState>) {
        let answer = Answer { code: Some(code), stdout: said.to_owned(), stderr: String::new() };
        assert_eq!(SysVInit.state("sshd", &answer), expected);
    }
}
