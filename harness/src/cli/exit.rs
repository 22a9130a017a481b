//! From an error to an exit code: whose fault it is decides.

use crate::{
    base::exit::Exit, config::ConfigError, env::EnvError, initfile::InitFileError, template::TemplateError,
    workdir::WorkdirError,
};

use super::external::NoSuchVerb;

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
        {
            return Some(Exit::Usage);
        }
        if cause.is::<Stopped>() || matches!(cause.downcast_ref(), Some(EnvError::Stopped)) {
            return Some(Exit::Stopped);
        }
        if cause.is::<Left>() {
            return Some(Exit::Left);
        }
        if let Some(error) = cause.downcast_ref::<TemplateError>() {
            return Some(if error.is_input() { Exit::Usage } else { Exit::Environment });
        }
        match (cause.downcast_ref(), cause.downcast_ref()) {
            (Some(EnvError::InitFile(_) | EnvError::Plan(_) | EnvError::NoMachine { .. }), _) => {
                Some(Exit::Usage)
            }
            // Whose fault those are is their own matter.
            (Some(EnvError::Workdir(error)), _) => Some(of_workdir(error)),
            (Some(_), _) => Some(Exit::Environment),
            (_, Some(error)) => Some(of_workdir(error)),
            (None, None) => None,
        }
    };
    error.chain().find_map(of).unwrap_or(Exit::Failed)
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
        assert_eq!(code(anyhow::anyhow!("something")), Exit::Failed);
    }
}
