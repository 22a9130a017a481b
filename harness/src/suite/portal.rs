//! The session at a portal that a suite has: begun before all of its steps, closed after its teardown, and recorded
//! all the while. Does not know what is done in it.

use std::{
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::{
    cvp::{Place, SavedStay, SessionError, Stay, journal_folder},
    env::Documents,
    event::{Fault, Outcome, PORTAL_STATE, RunEvent, scenario_folder},
    guest::Guest,
};

use super::{
    failure,
    leaks::{self, Leak},
    registry::{EnvFile, PortalDef, Suite},
    runner::Runner,
    task::{self, Bounds, Ended},
};

/// What it is called in reports.
const PORTAL: &str = "portal";
/// Files with the way to a portal of our own, in the suite's folder: as long as the suite stands still.
const WAY: &str = "portal.env";
const WAY_CA: &str = "portal-ca.pem";
/// The file of what is asked and answered, in the suite's folder.
const ARCHIVE: &str = "cvp.har";
/// Why nothing of a suite can be run.
const NO_PORTAL: &str = "there is no session at a portal";

/// It keeps its own limits.
const UNBOUNDED: Bounds<'_> = Bounds { limit: None, stop: None, plain: false };

/// Who made it is in the archive of what was asked.
fn of_portal(what: &str) -> Leak {
    Leak { scenario: PORTAL.to_owned(), kind: leaks::PORTAL, what: what.to_owned() }
}

impl Runner {
    /// Begins the suite's session, where an earlier run kept one with these machines as that; otherwise says why nothing can run.
    pub(super) async fn open(
        &self,
        suite: &Suite,
        def: PortalDef,
        kept: Option<(Documents, Vec<Guest>)>,
    ) -> Result<Stay, String> {
        let start = Instant::now();
        self.report_started(suite, PORTAL, false);
        let place = match &self.portal {
            Some(there) => Place::There(there.clone()),
            None => Place::own(def.state.map(EnvFile::state)),
        };
        let archive = scenario_folder(&self.folder, &suite.name, ARCHIVE);
        let (journals, name, file) =
            (journal_folder(&self.host.lab.cache), suite.name.clone(), archive.clone());
        let work = async move {
            Ok(match kept {
                Some((documents, machines)) => {
                    SavedStay::read(&documents)?.open(&machines, &journals, Some(&file)).await?
                }
                None => place.open(&name, &journals, Some(&file)).await?,
            })
        };
        let span = self.recorder.scenario(&suite.name, PORTAL);
        // On our own runtime, not where scenarios run: those may block their threads, also with questions to our portal.
        let ended = task::run(&Handle::current(), span, UNBOUNDED, work).await;
        let (outcome, stay) = match ended {
            Ended::Returned(Ok(stay)) => (Outcome::Passed, Ok(stay)),
            Ended::Returned(Err(error)) => {
                let error = failure::describe(&error, suite.def.file);
                (Outcome::Failed { fault: Fault::Environment, error }, Err(NO_PORTAL.to_owned()))
            }
            Ended::Panicked(error) => {
                (Outcome::Failed { fault: Fault::Harness, error }, Err(NO_PORTAL.to_owned()))
            }
            Ended::TimedOut { .. } | Ended::Stopped { .. } => {
                (Outcome::NotRun { reason: NO_PORTAL.to_owned() }, Err(NO_PORTAL.to_owned()))
            }
        };
        if let Ok(stay) = &stay {
            let nodes = stay.cvp().client().spec().nodes.iter().map(|node| node.address());
            self.emit(RunEvent::PortalReached {
                suite: suite.name.clone(),
                portal: nodes.collect::<Vec<_>>().join(", "),
                archive: archive.display().to_string(),
            });
        }
        self.report_finished(suite, PORTAL, outcome, start.elapsed());
        stay
    }

    /// Leaves what was done at the portal for somebody to look at: of a portal of our own its state, which another one begins
    /// with, while the session is closed as ever; of one that is there, all of it.
    pub(super) async fn keep_portal(&self, suite: &Suite, stay: Stay) {
        if stay.way().is_none() {
            let nodes = stay.cvp().client().spec().nodes.iter().map(|node| node.address());
            let portal = nodes.collect::<Vec<_>>().join(", ");
            stay.leave().await;
            return self.emit(RunEvent::PortalKept {
                suite: suite.name.clone(),
                state: None,
                portal: Some(portal),
            });
        }
        self.keep_portal_state(suite, &stay);
        self.close(suite, stay).await;
    }

    /// Writes what a portal of our own knows into a file, which another one begins with.
    pub(super) fn keep_portal_state(&self, suite: &Suite, stay: &Stay) {
        let Some(state) = stay.state() else { return };
        let file = scenario_folder(&self.folder, &suite.name, PORTAL_STATE);
        let written = state.map_err(anyhow::Error::from).and_then(|state| Ok(private(&file, &state)?));
        match written {
            Ok(()) => self.emit(RunEvent::PortalKept {
                suite: suite.name.clone(),
                state: Some(file.display().to_string()),
                portal: None,
            }),
            Err(error) => {
                let error = error.context(format!("cannot keep the portal's state in {}", file.display()));
                let (fault, error) = (Fault::Environment, failure::describe(&error, suite.def.file));
                self.report_finished(suite, PORTAL, Outcome::Failed { fault, error }, Duration::ZERO);
            }
        }
    }

    /// Writes down for a shell how one gets to the suite's portal, if it is our own, and says where.
    pub(super) fn tell_way(&self, suite: &Suite, stay: &Stay) -> Option<PathBuf> {
        let way = stay.way()?;
        let place = |file: &str| scenario_folder(&self.folder, &suite.name, file);
        let (file, ca_file) = (place(WAY), place(WAY_CA));
        let ca = way.ca.as_ref().map(|ca| private(&ca_file, ca.as_bytes()).map(|()| ca_file.as_path()));
        let variables = way.variables(ca.transpose().ok()?);
        let quoted = |value: &str| shlex::try_quote(value).map(std::borrow::Cow::into_owned).ok();
        let lines = variables.iter().map(|(name, value)| Some(format!("export {name}={}\n", quoted(value)?)));
        private(&file, lines.collect::<Option<String>>()?.as_bytes()).ok()?;
        Some(file)
    }

    /// Takes that back.
    pub(super) fn forget_way(&self, suite: &Suite) {
        for file in [WAY, WAY_CA] {
            let _ = std::fs::remove_file(scenario_folder(&self.folder, &suite.name, file));
        }
    }

    /// Closes the suite's session; what could not be set back is reported.
    pub(super) async fn close(&self, suite: &Suite, stay: Stay) {
        let start = Instant::now();
        let span = self.recorder.scenario(&suite.name, PORTAL);
        let work = async move { Ok(stay.close().await?) };
        let (fault, error) = match task::run(&Handle::current(), span, UNBOUNDED, work).await {
            Ended::Returned(Err(error)) => {
                if let Some(SessionError::Left(undone)) = error.downcast_ref::<SessionError>() {
                    undone.leaked.iter().for_each(|what| self.report_leak(suite, &of_portal(what)));
                }
                (Fault::Environment, failure::describe(&error, suite.def.file))
            }
            Ended::Panicked(error) => (Fault::Harness, error),
            Ended::Returned(Ok(_)) | Ended::TimedOut { .. } | Ended::Stopped { .. } => return,
        };
        self.report_finished(suite, PORTAL, Outcome::Failed { fault, error }, start.elapsed());
    }
}

/// Writes a file that is for its owner alone.
fn private(path: &Path, content: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    // One that is there may be for others.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}
