//! From a file of changes and what is said beside it to a plan and drivers.

use std::{collections::BTreeMap, path::Path};

use crate::{
    change::{
        Changes, Drivers, Given, Plan, Vars,
        cond::Dialect,
        model::{Driver, DriverKind},
        plan,
    },
    cli::{context::Cx, exit::BadInput, portal::environment},
    cvp::{Client, CvpSpec},
    driver::{Outside, drivers},
    guest::Guest,
    workdir::WorkdirError,
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

/// The machines that devices of the file may be: those of the prefix one stands in, if there is one.
async fn machines(cx: &Cx, changes: &Changes) -> anyhow::Result<BTreeMap<String, Guest>> {
    if !changes.drivers.iter().any(|driver| driver.kind == DriverKind::Ssh) {
        return Ok(BTreeMap::new());
    }
    match cx.prefix() {
        Ok(_) => {
            let vms = cx.env().await?.vms();
            Ok(vms.iter().map(|vm| (vm.name().to_string(), vm.as_ref().clone())).collect())
        }
        Err(WorkdirError::NoWorkdir { .. } | WorkdirError::NoPrefixHere { .. }) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// What carries out the changes. The portal is the one of suites: no other tool's variable ever aims a change at one.
pub(super) async fn carriers(cx: &Cx, changes: &Changes) -> anyhow::Result<Drivers> {
    let needs_portal =
        |driver: &Driver| driver.kind == DriverKind::Cvp && !driver.options.contains_key("url");
    let spec = match changes.drivers.iter().any(needs_portal) {
        true => CvpSpec::from_variables(&environment).map_err(|error| BadInput(error.to_string()))?,
        false => None,
    };
    let portal = spec.map(|spec| Client::new(spec, None)).transpose()?;
    let machines = machines(cx, changes).await?;
    let outside = Outside { variable: &environment, machines, portal };
    Ok(drivers(changes, &outside).map_err(|error| BadInput(error.to_string()))?)
}
