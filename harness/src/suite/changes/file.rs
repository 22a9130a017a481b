//! The file of changes that a suite names: checked before anything starts, with what is known of the machines then, and read
//! once more for each change that is made of it, with what they are. Its text is what was compiled; files that it names are read.

use std::path::Path;

use crate::{
    Result,
    base::text::did_you_mean,
    change::{
        self, ChangeFileError, Given, Head, Plan, Vars,
        model::{Driver, DriverKind},
    },
    driver::{Outside, drivers},
    initfile::{self, Diagnostic},
};

use super::{
    super::{context::SuiteCx, extract::FromSuite, extract::Need, registry::EnvFile, registry::Param},
    all::Changes,
    apply::{Applying, ChangeError, Fit, folder_name, machines},
};

/// A change of the suite's file, a parameter of scenarios: the one with the parameter's name, in which `-`, `.` and spaces of the
/// change's are `_`. That there is one is checked before anything starts.
///
/// ```no_run
/// use polder::{NamedChange, Result};
///
/// async fn jumbo(mtu: &NamedChange) -> Result {
///     mtu.apply().await?; // undone when the suite ends
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct NamedChange {
    changes: Changes,
    name: &'static str,
}

impl NamedChange {
    /// Does it as soon as it is awaited: on all of its devices, or on those that [`on`](Applying::on) says.
    pub fn apply(&self) -> Applying {
        self.changes.named(self.name)
    }
}

impl FromSuite for NamedChange {
    const NEED: Need = Need::Change;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        Ok(Self { changes: cx.changes().clone(), name: param.name })
    }
}

/// What a suite's file of changes was found to be.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The names that its changes and scenarios have.
    pub(crate) names: Vec<String>,
    /// What is worth knowing about it.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// The name that is meant: as it is, or as a Rust identifier.
pub(crate) fn meant<'n>(names: &'n [String], ident: &str) -> Option<&'n str> {
    let as_ident = |name: &&String| name.replace(['-', '.', ' '], "_") == ident;
    let found = names.iter().find(|name| *name == ident).or_else(|| names.iter().find(as_ident));
    found.map(String::as_str)
}

/// What is said where no change has a name.
pub(crate) fn no_change(name: &str, path: &str, names: &[String]) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let near = did_you_mean(name, names.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("no change `{name}` in {file}{near}")
}

/// Checks a suite's file against its machines, of which there are these `rows`, and what its drivers need besides.
///
/// # Errors
/// All that is wrong, as `polder change check` says it.
pub(crate) fn check(
    file: EnvFile,
    rows: Vec<Vars>,
    has_session: bool,
    colour: bool,
) -> Result<Checked, Vec<String>> {
    let given = given(rows);
    let loaded = given.text(Path::new(file.path), file.text).map_err(|error| match error {
        ChangeFileError::Invalid(all) => vec![initfile::render(&all, colour).trim_end().to_owned()],
        unreadable @ ChangeFileError::Unreadable { .. } => vec![unreadable.to_string()],
    })?;
    let mut changes = loaded.changes;
    let plan = change::plan(&changes, &given.environment);
    // Nobody would see that something is done by none of its changes.
    let plan = plan.and_then(|plan| plan.strict(&[]).map(|()| plan));
    let mut problems = plan.as_ref().err().map(|error| error.problems.clone()).unwrap_or_default();
    if !has_session {
        let lone = changes.drivers.iter().filter(|driver| asks_the_suite(driver));
        problems.extend(lone.map(|driver| {
            format!(
                "the driver `{}` has no portal: say its `url`, or write `#[polder::suite(cvp, ..)]`",
                driver.name
            )
        }));
    }
    changes.drivers.retain(|driver| !asks_the_suite(driver));
    let variable = |name: &str| std::env::var(name).ok();
    let outside = Outside { variable: &variable, machines: std::collections::BTreeMap::new(), portal: None };
    problems.extend(drivers(&changes, &outside).err().map(|bad| bad.0).unwrap_or_default());
    match plan {
        Ok(plan) if problems.is_empty() => Ok(Checked { names: plan.names(), warnings: loaded.warnings }),
        _ => Err(problems.iter().map(|problem| format!("{}: {problem}", file.path)).collect()),
    }
}

fn asks_the_suite(driver: &Driver) -> bool {
    driver.kind == DriverKind::Cvp && !driver.options.contains_key("url")
}

fn given(rows: Vec<Vars>) -> Given {
    Given { environment: Given::variables(), machines: Some(Ok(rows)), ..Given::default() }
}

/// What is done where a change of the suite's file is asked for: what stands beside it in the file counts as done.
pub(super) async fn fit(changes: &Changes, ident: &str, devices: &[String]) -> anyhow::Result<Fit> {
    let all = &*changes.0;
    let file = all.source.file.ok_or(ChangeError::NoFile)?;
    let rows = all.env.as_ref().map(crate::env::Env::rows).unwrap_or_default();
    let read = move || {
        let given = given(rows);
        let loaded = given.text(Path::new(file.path), file.text)?;
        let plan = change::plan(&loaded.changes, &given.environment)?;
        anyhow::Ok((loaded.changes, plan))
    };
    let (described, plan) = tokio::task::spawn_blocking(read).await??;
    let names = plan.names();
    let Some(name) = meant(&names, ident).map(str::to_owned) else {
        return Err(ChangeError::NoChange(no_change(ident, file.path, &names)).into());
    };
    let plan: Plan = plan.on(devices)?;
    let skipped = plan.left_out(std::slice::from_ref(&name), &[])?;
    let idle = plan.idle(&skipped);
    if !idle.is_empty() {
        return Err(ChangeError::Unfit { name, problems: idle }.into());
    }
    let variable = |name: &str| std::env::var(name).ok();
    let outside = Outside {
        variable: &variable,
        machines: machines(all.env.as_ref()),
        portal: all.source.portal.clone(),
    };
    let drivers = drivers(&described, &outside)?;
    let head = Head {
        file: Some(file.path.into()),
        devices: devices.to_vec(),
        skipped,
        ..Head::new(plan.digest())?
    };
    let folder = folder_name(&name);
    Ok(Fit { name, folder, plan, drivers, head })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: 1
drivers: { here: { kind: local } }
devices: { web: {} }
scenario:
  name: all
  nodes:
    - { step: mtu-9000, targets: all, apply: { exchanges: [ { send: 'true' } ] } }
";

    fn checked(text: &str, rows: &[&str]) -> Result<Checked, String> {
        let text = String::leak(text.to_owned());
        let row = |name: &&str| Vars::from([("machine.name".to_owned(), (*name).to_owned())]);
        let file = EnvFile { path: "/src/changes.yaml", text };
        check(file, rows.iter().map(row).collect(), false, false).map_err(|all| all.join("\n"))
    }

    #[test]
    fn names_are_meant_by_identifiers_too() {
        let names = checked(FILE, &[]).unwrap().names;
        assert_eq!(names, ["all", "mtu-9000"]);
        assert_eq!(meant(&names, "mtu_9000"), Some("mtu-9000"));
        assert_eq!(meant(&names, "mtu-9000"), Some("mtu-9000"));
        assert_eq!(meant(&names, "mtu"), None);
        let said = no_change("mtu_900", "/src/changes.yaml", &names);
        assert_eq!(said, "no change `mtu_900` in changes.yaml; did you mean `mtu-9000`?");
    }

    #[test]
    fn machines_are_those_of_the_suite() {
        let ssh = FILE.replace("local", "ssh");
        checked(&ssh, &["db", "web"]).unwrap();
        let wrong = checked(&ssh, &["db", "web1"]).unwrap_err();
        assert!(wrong.contains("`web` is no machine of the environment"), "{wrong}");
        assert!(wrong.contains("/src/changes.yaml:7:") && wrong.contains("did you mean `web1`?"), "{wrong}");
        // Whoever logs in as somebody knows the way.
        checked(&ssh.replace("kind: ssh", "kind: ssh, user: root, host_key: any, password_env: HOME"), &[])
            .unwrap();
        let rows = FILE.replace("devices:", "matrices: { vms: { machines: [web, dab] } }\ndevices:");
        let wrong = checked(&rows, &["db", "web"]).unwrap_err();
        assert!(wrong.contains("there is no machine `dab`"), "{wrong}");
    }

    #[rstest::rstest]
    #[case::empty("", "the file is empty")]
    #[case::no_yaml("version: [", "/src/changes.yaml:1:")]
    #[case::unknown_device(&FILE.replace("targets: all", "targets: [wbe]"), "there is no device `wbe`")]
    #[case::nothing(&FILE.replace(", apply: { exchanges: [ { send: 'true' } ] }", ""), "`mtu-9000` does nothing")]
    #[case::no_portal(&FILE.replace("local", "cvp"), "the driver `here` has no portal: say its `url`, or write")]
    #[case::no_secret(
        &FILE.replace("kind: local", "kind: ssh, user: root, host_key: any, password_env: NO_SUCH_VARIABLE"),
        "the environment variable `NO_SUCH_VARIABLE`"
    )]
    fn what_is_wrong_is_told(#[case] text: &str, #[case] expected: &str) {
        let wrong = checked(text, &[]).unwrap_err();
        assert!(wrong.contains(expected) && wrong.contains("/src/changes.yaml"), "{wrong}");
    }
}
