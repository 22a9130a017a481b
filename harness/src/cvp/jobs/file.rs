//! The doors to job files: from a path to jobs, and from jobs to a plan for a portal, which is looked at for it.

use std::{
    fs, io,
    path::{self, Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::{
    parse::{Around, Defaults, parse},
    plan::{Plan, plan},
    spec::{Action, Job, Which},
    view::Seen,
};
use crate::{
    cvp::{Client, CvpError, Level, ask::Ask},
    initfile::{Diagnostic, Problems},
};

/// A job file that says something that can be done at some portal.
#[derive(Debug)]
pub struct JobFile {
    jobs: Vec<Job>,
    problems: Problems,
}

/// A job file is not done; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// It cannot be read.
    #[error("cannot read the job file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Everything that is wrong with it, with places.
    #[error("nothing was changed:\n{}", .0.iter().map(Diagnostic::line).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Diagnostic>),
    /// The portal cannot be looked at.
    #[error(transparent)]
    Cvp(#[from] CvpError),
}

impl JobFile {
    /// Reads a job file, and the files that it names. No portal is asked yet.
    ///
    /// # Errors
    /// It cannot be read, or with everything that is wrong with it.
    pub fn load(path: &Path, defaults: &Defaults) -> Result<Self, JobsError> {
        let unreadable = |source| JobsError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let absolute = path::absolute(path).map_err(unreadable)?;
        let folder = absolute.parent().unwrap_or(&absolute).to_owned();
        let read = |path: &Path| fs::read_to_string(path);
        let around = Around { defaults, now: SystemTime::now(), read: &read };
        Self::read(path, folder, &text, &around)
    }

    pub(super) fn read(
        path: &Path,
        folder: PathBuf,
        text: &str,
        around: &Around<'_>,
    ) -> Result<Self, JobsError> {
        let mut problems = Problems::new(false);
        let jobs = parse(path.to_owned(), folder, text, around, &mut problems);
        if problems.any_error() {
            Err(JobsError::Invalid(problems.take()))
        } else {
            Ok(Self { jobs, problems })
        }
    }

    /// What the jobs will do at a portal. It is looked at, and not changed.
    ///
    /// # Errors
    /// With everything that keeps them from being done there; the portal cannot be asked, or refuses.
    pub async fn plan(self, client: &Client) -> Result<Plan, JobsError> {
        let seen = look(client, &self.jobs).await?;
        self.against(seen)
    }

    /// The same, at a portal that was looked at.
    pub(super) fn against(self, seen: Seen) -> Result<Plan, JobsError> {
        let Self { jobs, mut problems } = self;
        let steps = plan(&jobs, seen, &mut problems);
        let failed = problems.any_error();
        let warnings = problems.take();
        if failed { Err(JobsError::Invalid(warnings)) } else { Ok(Plan { steps, warnings }) }
    }
}

/// What the portal has of what these jobs are about.
async fn look(client: &Client, jobs: &[Job]) -> Result<Seen, CvpError> {
    let version = client.version().await?;
    let changes = || {
        jobs.iter()
            .filter_map(|job| if let Action::Change(change) = &job.action { Some(change) } else { None })
    };
    let templates = async {
        let wanted = changes().any(|change| change.template.is_some());
        if wanted { templates(client).await } else { Ok(None) }
    };
    let pending = async {
        let wanted = changes().any(|change| change.tasks == Which::Pending);
        let all = if wanted { client.tasks(Some("Pending")).await? } else { Vec::new() };
        Ok(all.into_iter().filter(|task| task.change_control.is_empty()).collect())
    };
    let (inventory, configlets, holders, templates, pending) =
        tokio::try_join!(client.inventory(), client.configlets(), client.holders(), templates, pending)?;
    Ok(Seen { inventory, configlets, holders, templates, pending, version })
}

/// Keys and names of the templates of snapshots; the oldest portals cannot list them.
async fn templates(client: &Client) -> Result<Option<Vec<(String, String)>>, CvpError> {
    #[derive(Deserialize)]
    struct Row {
        key: String,
        #[serde(default)]
        name: String,
    }
    if client.level().await? < Level::BARE_INVENTORY {
        return Ok(None);
    }
    let ask = Ask::get("list the templates of snapshots", "/snapshot/templates").query("queryparam", "");
    let rows = client.rows(&ask, "templateKeys", |row: &Row| row.key.clone()).await?;
    Ok(Some(rows.into_iter().map(|row| (row.key, row.name)).collect()))
}
