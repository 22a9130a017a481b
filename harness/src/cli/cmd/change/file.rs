//! From a file of changes and what is said beside it to a plan and drivers.

use std::{collections::BTreeMap, path::Path};

use crate::{
    change::{
        ChangeFileError, Changes, Drivers, Given, Loaded, Plan, Vars,
        cond::Dialect,
        model::{Driver, DriverKind},
        plan,
    },
    cli::{
        change_args::{ChangeReading, ChangeSelection},
        context::Cx,
        exit::BadInput,
        portal::environment,
    },
    cvp::{Client, CvpSpec},
    driver::{Outside, drivers},
    env::Env,
    guest::Guest,
    initfile::Severity,
    workdir::WorkdirError,
};

/// What is said beside a file, and what the environment has.
pub(super) async fn given(
    cx: &Cx,
    dialect: Option<&str>,
    set: &[(String, String)],
) -> Result<Given, BadInput> {
    let reserved = ["device.", "change.", "provisioner.", "command.", "run.", "results"];
    let ours = set.iter().filter(|(name, _)| reserved.iter().any(|start| name.starts_with(start)));
    let ours: Vec<String> = ours.map(|(name, _)| format!("--set: `{name}` is a name of ours")).collect();
    crate::cli::portal::refuse(ours)?;
    let dialect = dialect.map(|said| if said == "legacy" { Dialect::Legacy } else { Dialect::Current });
    let set: Vars = set.iter().cloned().collect();
    let environment = Given::variables();
    let machines = around(cx).await.transpose();
    let machines = machines.map(|env| env.map(|env| env.rows()).map_err(|error| format!("{error:#}")));
    Ok(Given { environment, set, dialect, machines })
}

/// The environment of the prefix one stands in, if there is one.
async fn around(cx: &Cx) -> anyhow::Result<Option<Env>> {
    match cx.prefix() {
        Ok(_) => Ok(Some(cx.env().await?)),
        Err(WorkdirError::NoWorkdir { .. } | WorkdirError::NoPrefixHere { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The changes of a file and what is worth knowing about it, which is an error to who is strict.
pub(super) fn load(file: &Path, given: &Given, is_strict: bool) -> Result<Loaded, ChangeFileError> {
    let mut loaded = given.load(file)?;
    if !is_strict || loaded.warnings.is_empty() {
        return Ok(loaded);
    }
    loaded.warnings.iter_mut().for_each(|warning| warning.severity = Severity::Error);
    Err(ChangeFileError::Invalid(loaded.warnings))
}

/// The changes of a file that were chosen: their plan, and the names of those that are left out.
pub(super) async fn chosen(
    cx: &Cx,
    file: &Path,
    reading: &ChangeReading,
    devices: &[String],
    selection: &ChangeSelection,
) -> anyhow::Result<(Changes, Plan, Vec<String>)> {
    let given = given(cx, reading.dialect.as_deref(), &reading.set).await?;
    let loaded = load(file, &given, reading.strict)?;
    let (changes, plan) = planned(cx, loaded, &given, devices, selection.seed)?;
    let left_out = plan.left_out(&selection.only, &selection.skip)?;
    if reading.strict {
        plan.strict(&left_out)?;
    }
    Ok((changes, plan, left_out))
}

/// Changes with their plan on some devices, or all, in the declared order or another one.
pub(super) fn planned(
    cx: &Cx,
    loaded: Loaded,
    given: &Given,
    devices: &[String],
    seed: Option<u64>,
) -> anyhow::Result<(Changes, Plan)> {
    loaded.warnings.iter().for_each(|warning| cx.warn_of(warning));
    let plan = plan(&loaded.changes, &given.environment)?.on(devices)?;
    let plan = match seed {
        Some(seed) => plan.seeded(seed),
        None => plan,
    };
    Ok((loaded.changes, plan))
}

/// The machines that devices of the file may be: those of the prefix one stands in, if there is one.
async fn machines(cx: &Cx, changes: &Changes) -> anyhow::Result<BTreeMap<String, Guest>> {
    if !changes.drivers.iter().any(|driver| driver.kind == DriverKind::Ssh) {
        return Ok(BTreeMap::new());
    }
    let vms = around(cx).await?.map(|env| env.vms()).unwrap_or_default();
    Ok(vms.iter().map(|vm| (vm.name().to_string(), vm.as_ref().clone())).collect())
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
