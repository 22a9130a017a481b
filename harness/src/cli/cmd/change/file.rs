//! From a file of changes and what is said beside it to a plan and drivers.

use std::{path::Path, sync::Arc};

use crate::{
    change::{Changes, Drivers, Given, Mock, Null, Plan, Said, Vars, cond::Dialect, model::DriverKind, plan},
    cli::{context::Cx, exit::BadInput},
};

/// What names of variables of the environment begin with that are variables of changes.
const VARIABLE: &str = "POLDER_VAR_";

/// What is said beside a file, and what the environment has.
pub(super) fn given(dialect: Option<&str>, set: &[(String, String)]) -> Result<Given, BadInput> {
    let reserved = ["device.", "change.", "provisioner.", "command.", "run.", "results"];
    let ours = set.iter().filter(|(name, _)| reserved.iter().any(|start| name.starts_with(start)));
    let ours: Vec<String> = ours.map(|(name, _)| format!("--set: `{name}` is a name of ours")).collect();
    crate::cli::portal::refuse(ours)?;
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix(VARIABLE)?.to_owned();
        Some((name, value.into_string().ok()?))
    });
    let dialect = dialect.map(|said| if said == "legacy" { Dialect::Legacy } else { Dialect::Current });
    let set: Vars = set.iter().cloned().collect();
    Ok(Given { environment: environment.collect(), set, dialect })
}

/// The changes of a file, and their plan on some devices, or all.
pub(super) fn planned(
    cx: &Cx,
    file: &Path,
    given: &Given,
    devices: &[String],
) -> anyhow::Result<(Changes, Plan)> {
    let loaded = given.load(file)?;
    loaded.warnings.iter().for_each(|warning| cx.warn_of(warning));
    let plan = plan(&loaded.changes, &given.environment)?.on(devices)?;
    Ok((loaded.changes, plan))
}

/// What carries out the changes.
pub(super) fn drivers(changes: &Changes) -> Result<Drivers, BadInput> {
    let (mut drivers, mut problems) = (Drivers::new(), Vec::new());
    for driver in &changes.drivers {
        let name = driver.name.to_string();
        match driver.kind {
            DriverKind::Null => drop(drivers.insert(name, Arc::new(Null))),
            DriverKind::Mock => drop(drivers.insert(name, Arc::new(Mock::new(|_, _| Ok(Said::ok("")))))),
            kind => problems.push(format!("the driver `{name}`: kind `{}` cannot be run here", kind.word())),
        }
    }
    crate::cli::portal::refuse(problems)?;
    Ok(drivers)
}
