//! The session at a portal that a suite has: begun before everything else of it, closed after its teardown, and recorded
//! all the while. Does not know what is done in it.

use std::time::Instant;

use tokio::runtime::Handle;

use crate::{
    cvp::{Place, SessionError, Stay, journal_folder},
    event::{Fault, Outcome, RunEvent, scenario_folder},
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
    /// Begins the suite's session; otherwise says why nothing can run.
    pub(super) async fn open(&self, suite: &Suite, def: PortalDef) -> Result<Stay, String> {
        let start = Instant::now();
        self.report_started(suite, PORTAL, false);
        let place = match &self.portal {
            Some(there) => Place::There(there.clone()),
            None => Place::own(def.state.map(EnvFile::state)),
        };
        let archive = scenario_folder(&self.folder, &suite.name, ARCHIVE);
        let (journals, name, file) =
            (journal_folder(&self.host.lab.cache), suite.name.clone(), archive.clone());
        let work = async move { Ok(place.open(&name, &journals, Some(&file)).await?) };
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
