//! What a suite takes of the host before anything else: told while it waits, had until its environment is gone.

use std::time::Instant;

use crate::{
    env::Env,
    event::{Fault, Outcome, RunEvent},
    initfile::EnvSpec,
};

use super::{
    budget::{Demand, Refused, Token},
    registry::Suite,
    runner::{ENVIRONMENT, NO_ENVIRONMENT, Runner, STOPPED},
};

impl Runner {
    /// Takes what the suite's machines and its session at the portal need; otherwise says why nothing can run.
    pub(super) async fn reserve(&self, suite: &Suite, asked: Option<&EnvSpec>) -> Result<Token, String> {
        let start = Instant::now();
        let waits = |text| {
            self.emit(RunEvent::SuiteWaiting { suite: suite.name.clone(), text });
        };
        let unkept = |why| {
            let text = format!("does not wait for other suites of this host: {why}");
            self.emit(RunEvent::SuiteProgress { suite: suite.name.clone(), text });
        };
        let demand = self.demand(suite, asked);
        match self.budget.take(&suite.name, &demand, &self.stop, waits, unkept).await {
            Ok(token) => Ok(token),
            Err(Refused::Stopped) => Err(STOPPED.to_owned()),
            Err(refused) => {
                let outcome = Outcome::Failed { fault: Fault::Environment, error: refused.to_string() };
                self.report_finished(suite, ENVIRONMENT, outcome, start.elapsed());
                Err(NO_ENVIRONMENT.to_owned())
            }
        }
    }

    fn demand(&self, suite: &Suite, asked: Option<&EnvSpec>) -> Demand {
        let (memory_mib, cpus) = asked.map(|spec| Env::size(&self.host, spec)).unwrap_or_default();
        let portal = self.portal.as_ref().filter(|_| suite.def.cvp.is_some());
        let nodes = |portal: &crate::cvp::CvpSpec| {
            portal.nodes.iter().map(crate::cvp::Node::address).collect::<Vec<_>>().join(", ")
        };
        Demand { memory_mib, cpus, portal: portal.map(nodes) }
    }
}
