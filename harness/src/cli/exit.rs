//! From an error to an exit code: whose fault it is decides.

use crate::{
    base::exit::Exit,
    change::{ChangeFileError, JournalError, PlanError, RunError},
    checkpoint::CheckpointError,
    config::ConfigError,
    cvp::{
        CvpError, TrustError, Why,
        jobs::{BackupError, JobsError},
        server::PortalError,
    },
    env::EnvError,
    guest::GuestError,
    image::ImageError,
    initfile::InitFileError,
    net::lease::LeaseError,
    provider::MachineError,
    repo::RepoError,
    report::{bundle::BundleError, changes, run},
    template::TemplateError,
    workdir::WorkdirError,
};

use super::{external::NoSuchVerb, new::NewError};

/// What was typed or asked for cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadInput(pub(super) String);

/// The operator asked us to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped by a signal")]
pub(super) struct Stopped;

/// Things are left that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Left(pub(super) String);

/// What was typed or written (2), the environment or the harness (5), else the verb has failed (1).
pub(super) fn exit_of(error: &anyhow::Error) -> Exit {
    let of = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<InitFileError>()
            || cause.is::<ConfigError>()
            || cause.is::<BadInput>()
            || cause.is::<NoSuchVerb>()
            || cause.is::<TrustError>()
            || cause.is::<ChangeFileError>()
            || cause.is::<PlanError>()
            || matches!(cause.downcast_ref(), Some(CheckpointError::Which { .. }))
        {
            return Some(Exit::Usage);
        }
        if cause.is::<Stopped>() {
            return Some(Exit::Stopped);
        }
        if cause.is::<CheckpointError>() {
            return Some(Exit::Environment);
        }
        if cause.is::<Left>() {
            return Some(Exit::Left);
        }
        if let Some(error) = cause.downcast_ref() {
            return Some(match error {
                NewError::File { .. } => Exit::Environment,
                _ => Exit::Usage,
            });
        }
        if let Some(GuestError::Command { .. }) = cause.downcast_ref() {
            return Some(Exit::Usage);
        }
        let of_run = || match cause.downcast_ref() {
            Some(RunError::NoDriver(_)) => Some(Exit::Usage),
            Some(RunError::Journal(error)) => Some(of_journal(error)),
            None => cause.downcast_ref().map(of_journal),
        };
        let of_env = || cause.downcast_ref().map(of_env);
        let of_template = || cause.downcast_ref().map(of_template);
        let of_repo = || cause.downcast_ref().map(of_repo);
        let of_report = || cause.downcast_ref().map(of_report);
        let of_bundle = || cause.downcast_ref().map(of_bundle);
        let of_portal = || cause.downcast_ref().map(of_portal);
        let of_jobs = || match cause.downcast_ref()? {
            JobsError::Unreadable { .. } | JobsError::Invalid(_) => Some(Exit::Usage),
            JobsError::Cvp(error) => Some(of_cvp(error)),
        };
        let of_backup = || match cause.downcast_ref()? {
            BackupError::Cvp(error) => Some(of_cvp(error)),
            BackupError::File { .. } => Some(Exit::Environment),
        };
        let of_changes = || match cause.downcast_ref()? {
            changes::ReportError::Ending(_) | changes::ReportError::NoFolder(_) => Some(Exit::Usage),
            changes::ReportError::Read { .. } | changes::ReportError::Write { .. } => Some(Exit::Environment),
        };
        let of_cvp = || cause.downcast_ref().map(of_cvp);
        of_env()
            .or_else(of_run)
            .or_else(of_changes)
            .or_else(of_portal)
            .or_else(of_cvp)
            .or_else(of_jobs)
            .or_else(of_backup)
            .or_else(of_repo)
            .or_else(of_template)
            .or_else(of_report)
            .or_else(of_bundle)
            .or_else(|| cause.downcast_ref().map(of_workdir))
    };
    error.chain().find_map(of).unwrap_or(Exit::Failed)
}

fn of_env(error: &EnvError) -> Exit {
    match error {
        EnvError::InitFile(_)
        | EnvError::Plan(_)
        | EnvError::NoMachine { .. }
        | EnvError::NoScript { .. }
        | EnvError::NotRunning { .. }
        | EnvError::NotStarted
        | EnvError::Running { .. }
        | EnvError::Control { .. }
        | EnvError::Export(_)
        | EnvError::SnapshotExists { .. }
        | EnvError::NoSnapshot { .. }
        | EnvError::BadSnapshotName { .. }
        | EnvError::Image(ImageError::Unknown { .. } | ImageError::NotBuilt { .. })
        | EnvError::Lease(
            LeaseError::OutOfRange { .. }
            | LeaseError::Taken { .. }
            | LeaseError::InUse { .. }
            | LeaseError::Full { .. },
        ) => Exit::Usage,
        EnvError::Deploy { .. } => Exit::Failed,
        EnvError::Machine { source: MachineError::Unsupported { .. }, .. } => Exit::Usage,
        EnvError::Stopped => Exit::Stopped,
        // The machine was there and did not do it.
        EnvError::Inside { .. } => Exit::Failed,
        EnvError::NotUndone { .. } => Exit::Left,
        // Whose fault those are is their own matter.
        EnvError::Workdir(error) => of_workdir(error),
        EnvError::Template(error) => of_template(error),
        EnvError::Several(errors) => {
            let mut codes = errors.iter().map(of_env);
            let first = codes.next().unwrap_or(Exit::Environment);
            if codes.all(|code| code == first) { first } else { Exit::Environment }
        }
        _ => Exit::Environment,
    }
}

fn of_journal(error: &JournalError) -> Exit {
    match error {
        JournalError::OtherPlan(_) | JournalError::Empty(_) => Exit::Usage,
        _ => Exit::Environment,
    }
}

fn of_template(error: &TemplateError) -> Exit {
    if error.is_input() { Exit::Usage } else { Exit::Environment }
}

fn of_repo(error: &RepoError) -> Exit {
    if error.is_input() { Exit::Usage } else { Exit::Environment }
}

fn of_report(error: &run::ReportError) -> Exit {
    if matches!(error, run::ReportError::Content { .. }) { Exit::Usage } else { Exit::Environment }
}

fn of_bundle(error: &BundleError) -> Exit {
    match error {
        BundleError::Exists(_) | BundleError::Strange { .. } => Exit::Usage,
        BundleError::Report(error) => of_report(error),
        BundleError::File { .. } => Exit::Environment,
    }
}

fn of_portal(error: &PortalError) -> Exit {
    match error {
        PortalError::State(_) | PortalError::Contradiction { .. } | PortalError::Device { .. } => Exit::Usage,
        _ => Exit::Environment,
    }
}

/// A portal that says no, or whose devices do, has failed us; one that cannot be talked to is the environment's fault.
fn of_cvp(error: &CvpError) -> Exit {
    match error {
        CvpError::Login(refusals) => {
            let ours = |why: &Why| matches!(why, Why::Password { .. } | Why::Token(_) | Why::NeedsToken);
            let all = !refusals.0.is_empty() && refusals.0.iter().all(|(_, why)| ours(why));
            if all { Exit::Usage } else { Exit::Environment }
        }
        CvpError::Unreachable { .. }
        | CvpError::NoAnswer { .. }
        | CvpError::Odd { .. }
        | CvpError::NoSession { .. }
        | CvpError::Journal(_) => Exit::Environment,
        CvpError::NotInThisVersion { .. }
        | CvpError::NoProvisioning { .. }
        | CvpError::NotFound { .. }
        | CvpError::Ambiguous { .. }
        | CvpError::Several(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_workdir(error: &WorkdirError) -> Exit {
    match error {
        WorkdirError::InUse { .. } | WorkdirError::Protected { .. } => Exit::Failed,
        WorkdirError::File { .. } | WorkdirError::Store(_) | WorkdirError::Lago { .. } => Exit::Environment,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::base::store::StoreError;

    fn code(error: impl Into<anyhow::Error>) -> Exit {
        exit_of(&Err::<(), _>(error.into()).context("around it").unwrap_err())
    }

    #[test]
    fn whose_fault_it_is_decides() {
        assert_eq!(code(BadInput("no".into())), Exit::Usage);
        assert_eq!(code(ConfigError(vec![])), Exit::Usage);
        assert_eq!(code(WorkdirError::NoPrefixHere { start: "/".into() }), Exit::Usage);
        assert_eq!(code(WorkdirError::InUse { path: "/".into(), holder: None }), Exit::Failed);
        let wrapped = EnvError::Workdir(WorkdirError::NoPrefixHere { start: "/".into() });
        assert_eq!((code(wrapped), code(Stopped)), (Exit::Usage, Exit::Stopped));
        assert_eq!(code(EnvError::Stopped), Exit::Stopped);
        let damaged = StoreError::Version { path: "/".into(), found: 2, known: 1 };
        assert_eq!(code(WorkdirError::Store(damaged)), Exit::Environment);
        assert_eq!(code(PortalError::Contradiction { state: "x".into(), wrong: vec![] }), Exit::Usage);
        assert_eq!(code(PortalError::Certificate("no".into())), Exit::Environment);
        assert_eq!(code(CvpError::Tasks(vec![])), Exit::Failed);
        assert_eq!(code(CvpError::Login(std::sync::Arc::default())), Exit::Environment);
        let unknown = || CvpError::NotFound { kind: "device", name: "x".into(), hint: None };
        assert_eq!((code(unknown()), code(JobsError::Cvp(unknown()))), (Exit::Usage, Exit::Usage));
        assert_eq!(code(JobsError::Invalid(vec![])), Exit::Usage);
        assert_eq!(code(RunError::Journal(JournalError::OtherPlan("/".into()))), Exit::Usage);
        assert_eq!(code(RunError::NoDriver(vec![])), Exit::Usage);
        assert_eq!(code(PlanError { problems: vec![] }), Exit::Usage);
        assert_eq!(code(RepoError::Input(vec![])), Exit::Usage);
        assert_eq!(code(RepoError::NoIndexer { packages: 1 }), Exit::Environment);
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(
            code(changes::ReportError::Write { path: "r.html".into(), source: full() }),
            Exit::Environment
        );
        assert_eq!(code(changes::ReportError::NoFolder("no".into())), Exit::Usage);
        assert_eq!(code(anyhow::anyhow!("something")), Exit::Failed);
    }

    #[test]
    fn errors_of_environments_are_their_users_or_their_own() {
        let snapshot = || "x".to_owned();
        let usage = [
            EnvError::NoMachine { what: "no machine `x`".into() },
            EnvError::NoScript { what: "no script `x`".into() },
            EnvError::NotRunning { what: "deployed", machines: vec!["x".into()] },
            EnvError::NotStarted,
            EnvError::Running { what: "exported", machines: vec!["x".into()] },
            EnvError::Export(vec![]),
            EnvError::SnapshotExists { name: snapshot() },
            EnvError::NoSnapshot { name: snapshot(), help: String::new() },
            EnvError::BadSnapshotName { name: snapshot() },
            EnvError::Image(ImageError::NotBuilt { image: "x".into() }),
            EnvError::Lease(LeaseError::OutOfRange { octet: 7 }),
            EnvError::Lease(LeaseError::InUse { octet: 200, user: "a route".into() }),
            EnvError::Template(TemplateError::NoRepo),
            EnvError::Workdir(WorkdirError::NoPrefixHere { start: "/".into() }),
            EnvError::Several(vec![EnvError::NotStarted, EnvError::Export(vec![])]),
            EnvError::Machine {
                machine: "x".into(),
                source: MachineError::Unsupported { provider: "ssh".into(), what: "pause" },
            },
        ];
        let no_such_file = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let environment = [
            EnvError::Broken { why: "x".into() },
            EnvError::Unanswered { uri: "x".into(), why: "x".into() },
            EnvError::SnapshotDamaged { name: snapshot(), gone: "x".into() },
            EnvError::File { what: "read", path: "/".into(), source: no_such_file() },
            EnvError::Lease(LeaseError::Locked { path: "/".into(), holder: String::new() }),
            EnvError::Several(vec![EnvError::NotStarted, EnvError::Broken { why: "x".into() }]),
        ];
        let left = [EnvError::NotUndone { error: Box::new(EnvError::NotStarted), left: "x".into() }];
        let stopped = [EnvError::Stopped, EnvError::Several(vec![EnvError::Stopped, EnvError::Stopped])];
        let script = || EnvError::Deploy {
            machine: "x".parse().unwrap(),
            script: "/x".into(),
            what: "ended".into(),
            output: "/x".into(),
            tail: String::new(),
        };
        let failed = [
            EnvError::Workdir(WorkdirError::InUse { path: "/".into(), holder: None }),
            script(),
            EnvError::Several(vec![script(), script()]),
        ];
        let of = |exit: Exit, errors: Vec<EnvError>| errors.into_iter().map(move |error| (exit, error));
        let all = of(Exit::Usage, usage.into()).chain(of(Exit::Environment, environment.into()));
        let all = all.chain(of(Exit::Left, left.into())).chain(of(Exit::Stopped, stopped.into()));
        for (expected, error) in all.chain(of(Exit::Failed, failed.into())) {
            let text = error.to_string();
            assert_eq!(code(error), expected, "{text}");
        }
    }
}
