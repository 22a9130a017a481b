//! Whether the suite has what the scenarios' parameters name; every problem at once. Pure.

use crate::{base::text::did_you_mean, env::Names};

use super::{
    changes::file::{meant, no_change},
    extract::{Need, OnReturn, Scope},
    registry::{Param, StepDef, Suite},
};

/// A parameter that names nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: suite `{suite}`: {problem}")]
pub(crate) struct Missing {
    place: String,
    suite: String,
    problem: String,
}

/// Checks every step of `suite` against the names of its init file and those of its file of changes (nothing when it has none).
pub(crate) fn check(suite: &Suite, names: Option<&Names>, changes: Option<&[String]>) -> Vec<Missing> {
    let def = suite.def;
    let scenarios = def.scenarios.iter().map(|scenario| &scenario.step);
    let steps = def.setup.iter().chain(scenarios).chain(def.teardown);
    steps
        .flat_map(|step| {
            step_problems(suite, step, names, changes).into_iter().map(move |problem| (step, problem))
        })
        .map(|(step, problem)| Missing {
            place: format!("{}:{}", def.file, step.line),
            suite: suite.name.clone(),
            problem,
        })
        .collect()
}

/// Checks whether `suite` can go back to earlier states, for the scenarios at `planned` that begin in one.
pub(crate) fn check_from(
    suite: &Suite,
    planned: impl IntoIterator<Item = usize>,
    has_real_portal: bool,
    names: Option<&Names>,
) -> Vec<Missing> {
    let def = suite.def;
    let scenarios = planned.into_iter().filter_map(|index| def.scenarios.get(index));
    let from: Vec<_> = scenarios.filter_map(|scenario| Some((&scenario.step, scenario.from?))).collect();
    if from.is_empty() {
        return Vec::new();
    }
    let obstacles = obstacles(suite, has_real_portal, names);
    let problem = |(step, from): (&StepDef, &str), why: &String| Missing {
        place: format!("{}:{}", def.file, step.line),
        suite: suite.name.clone(),
        problem: format!("`{}` is from `{from}`, but what that leaves cannot be kept: {why}", step.name),
    };
    from.into_iter().flat_map(|one| obstacles.iter().map(move |why| problem(one, why))).collect()
}

/// Checks whether the states that steps marked `cached` leave can be kept for later runs.
pub(crate) fn check_cached(suite: &Suite, has_real_portal: bool, names: Option<&Names>) -> Vec<Missing> {
    let def = suite.def;
    let scenarios = def.scenarios.iter().map(|scenario| &scenario.step);
    let steps = || def.setup.iter().chain(scenarios.clone());
    let mut obstacles = obstacles(suite, has_real_portal, names);
    if def.env.is_none() {
        obstacles.push("it has no machines, with whose states everything else is kept".to_owned());
    }
    let problems = |step: &StepDef| {
        let until = steps().position(|other| std::ptr::eq(other, step)).unwrap_or_default();
        let draws = steps().take(until + 1).find(|other| draws(other));
        let draws = draws.map(|other| {
            format!("`{}` leaves choices to chance, which another run makes otherwise", other.name)
        });
        obstacles.iter().cloned().chain(draws).collect::<Vec<_>>()
    };
    let missing = |step: &StepDef, why: String| Missing {
        place: format!("{}:{}", def.file, step.line),
        suite: suite.name.clone(),
        problem: format!("`{}` is `cached`, but what it leaves cannot be kept: {why}", step.name),
    };
    let cached = steps().filter(|step| step.cached);
    cached.flat_map(|step| problems(step).into_iter().map(move |why| missing(step, why))).collect()
}

/// Whether a step leaves something to chance.
fn draws(step: &StepDef) -> bool {
    step.params.iter().any(|param| param.need == Need::Chance)
}

/// Why `suite` cannot go back to an earlier state: all of it. `names` are those of its init file, if it has one that is known.
pub(super) fn obstacles(suite: &Suite, has_real_portal: bool, names: Option<&Names>) -> Vec<String> {
    let def = suite.def;
    let mut all = Vec::new();
    if has_real_portal && def.cvp.is_some() {
        all.push(
            "its portal is the one that is configured (`POLDER_CVP_URL`), which nobody can set back; the embedded one can be"
                .to_owned(),
        );
    }
    let providers = names.map(|names| &names.providers).into_iter().flatten();
    all.extend(providers.map(|(machine, by)| {
        format!("the machine `{machine}` is made by `{by}`; only of those that libvirt makes the state can be kept")
    }));
    let steps =
        def.setup.iter().chain(def.scenarios.iter().map(|scenario| &scenario.step)).chain(def.teardown);
    let unknown = |param: &&Param| param.scope == Scope::Suite && param.on_return == OnReturn::Unknown;
    for param in steps.flat_map(|step| step.params).filter(unknown) {
        let why = format!(
            "`{}` lives as long as the suite, and its type does not say what becomes of it then (`const ON_RETURN` of its \
             `FromSuite`)",
            param.name
        );
        if !all.contains(&why) {
            all.push(why);
        }
    }
    all
}

/// `place` is where none was found, as in " in demo.yaml".
pub(super) fn no_role(role: &str, place: &str, names: &Names) -> String {
    let all: Vec<&str> = names.roles.keys().map(String::as_str).collect();
    let help = match did_you_mean(role, all.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if all.is_empty() => "no machine has a role".to_owned(),
        None => format!("roles here: {}", all.join(", ")),
    };
    format!("no machine of role `{role}`{place}; {help}")
}

fn step_problems(
    suite: &Suite,
    step: &StepDef,
    names: Option<&Names>,
    changes: Option<&[String]>,
) -> Vec<String> {
    let file = suite.def.env.map_or("", |env| env.path);
    let file = file.rsplit('/').next().unwrap_or(file);
    let problem = |param: &Param| {
        let name = param.name;
        if param.need == Need::Portal {
            return (suite.def.cvp.is_none()).then(|| {
                format!(
                    "`{}` asks for the portal's session `{name}`, but the suite has none: write `#[polder::suite({}cvp)]`",
                    step.name,
                    suite.def.env.map(|_| "env = .., ").unwrap_or_default(),
                )
            });
        }
        if param.need == Need::Outcome {
            let is_teardown = suite.def.teardown.iter().any(|teardown| std::ptr::eq(teardown, step));
            return (!is_teardown).then(|| {
                format!("`{}` asks for the outcome, which only a `#[teardown]` is told", step.name)
            });
        }
        if param.need == Need::Change {
            return match (changes, suite.def.changes) {
                (Some(known), Some(_)) if meant(known, name).is_some() => None,
                (Some(known), Some(file)) => Some(no_change(name, file.path, known)),
                // What is wrong with the file is told.
                (None, Some(_)) => None,
                (_, None) => Some(format!(
                    "`{}` asks for the change `{name}`, but the suite names no file of changes (`changes = ..`)",
                    step.name
                )),
            };
        }
        let Some(names) = names else {
            return (!matches!(param.need, Need::Nothing | Need::Chance)).then(|| {
                format!("`{}` asks for `{name}`, but the suite names no init file (`env = ..`)", step.name)
            });
        };
        if let Some(role) = param.role {
            return role_problem(param, role, &format!(" in {file}"), names);
        }
        let (what, known, found) = match param.need {
            Need::Nothing
            | Need::Environment
            | Need::Machines
            | Need::Portal
            | Need::Change
            | Need::Chance
            | Need::Outcome => return None,
            Need::Machine => ("machine", &names.machines, names.machine(name)),
            Need::Net => ("net", &names.nets, names.net(name)),
        };
        if found.is_some() {
            return None;
        }
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let hint = hint.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        Some(format!("no {what} `{name}` in {file}{hint}"))
    };
    step.params.iter().filter_map(problem).collect()
}

/// What is wrong with a parameter that asks for a role.
fn role_problem(param: &Param, role: &str, place: &str, names: &Names) -> Option<String> {
    match (names.role(role), param.need) {
        (
            _,
            Need::Nothing
            | Need::Environment
            | Need::Net
            | Need::Portal
            | Need::Change
            | Need::Chance
            | Need::Outcome,
        ) => Some(format!("`{}` is no machine, and has no role", param.name)),
        ([], Need::Machine | Need::Machines) => Some(no_role(role, place, names)),
        (several @ [_, _, ..], Need::Machine) => {
            let all = several.join(", ");
            Some(format!("several machines are of role `{role}`{place}: {all}; a `&Vms` is all of them"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{EnvFile, PortalDef, ScenarioDef, SuiteDef};
    use super::*;

    const fn param(name: &'static str, role: Option<&'static str>, need: Need) -> Param {
        Param { name, role, need, scope: Scope::Step, on_return: OnReturn::Unknown }
    }

    const PARAMS: &[Param] = &[
        param("r3", None, Need::Machine),
        param("web_1", None, Need::Machine),
        param("lan", None, Need::Net),
        param("r1", None, Need::Net),
        param("env", None, Need::Environment),
        param("cvp", None, Need::Portal),
        param("whatever", None, Need::Nothing),
        param("outcome", None, Need::Outcome),
        param("all", None, Need::Machines),
        param("server", Some("web-server"), Need::Machine),
        param("again", Some("web_server"), Need::Machine),
        param("routers", Some("router"), Need::Machines),
        param("one", Some("router"), Need::Machine),
        param("near", Some("ruoter"), Need::Machines),
        param("far", Some("x"), Need::Machine),
        param("lan", Some("router"), Need::Net),
    ];
    const fn step(name: &'static str, params: &'static [Param]) -> StepDef {
        StepDef {
            name,
            line: 12,
            params,
            timeout: None,
            plain: false,
            cached: false,
            run: |_| Box::pin(async { Ok(()) }),
        }
    }
    static DEF: SuiteDef = SuiteDef {
        module: "t::demo",
        file: "tests/demo.rs",
        line: 3,
        env: Some(EnvFile { path: "/src/tests/demo.yaml", text: "" }),
        cvp: None,
        changes: None,
        timeout: None,
        if_var: None,
        stop_on_failure: false,
        setup: &[],
        teardown: &[step("tidy", &[param("outcome", None, Need::Outcome)])],
        scenarios: &[ScenarioDef::plain(step("routes", PARAMS))],
    };

    fn names() -> Names {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let by = |list: &[(&str, &[&str])]| list.iter().map(|(k, v)| (k.to_string(), owned(v))).collect();
        Names {
            machines: owned(&["r1", "r2", "web-1"]),
            nets: owned(&["lan"]),
            roles: by(&[("router", &["r1", "r2"]), ("web-server", &["web-1"])]),
            ..Names::default()
        }
    }

    #[test]
    fn names_what_is_not_in_the_file() {
        let suite = Suite { name: "demo".into(), def: &DEF };
        let problems: Vec<String> =
            check(&suite, Some(&names()), None).iter().map(ToString::to_string).collect();
        let expected = [
            "no machine `r3` in demo.yaml; did you mean `r1`?",
            "no net `r1` in demo.yaml",
            "`routes` asks for the portal's session `cvp`, but the suite has none: write `#[polder::suite(env = .., cvp)]`",
            "`routes` asks for the outcome, which only a `#[teardown]` is told",
            "several machines are of role `router` in demo.yaml: r1, r2; a `&Vms` is all of them",
            "no machine of role `ruoter` in demo.yaml; did you mean `router`?",
            "no machine of role `x` in demo.yaml; roles here: router, web-server",
            "`lan` is no machine, and has no role",
        ];
        let expected = expected.map(|problem| format!("tests/demo.rs:12: suite `demo`: {problem}"));
        assert_eq!(problems, expected);
        assert_eq!(check(&suite, None, None).len(), 15, "without a file nothing can be named");
    }

    #[test]
    fn what_no_later_run_can_begin_in_is_told_before_this_one_begins() {
        const CHANCE: Param = param("chance", None, Need::Chance);
        static PLAIN: SuiteDef = SuiteDef {
            setup: &[StepDef { cached: true, ..step("prepare", &[]) }],
            teardown: &[],
            scenarios: &[
                ScenarioDef::plain(step("a", &[CHANCE])),
                ScenarioDef::plain(StepDef { cached: true, line: 20, ..step("b", &[]) }),
                ScenarioDef::plain(StepDef { line: 30, ..step("c", &[CHANCE]) }),
            ],
            ..super::tests::DEF
        };
        static AT_A_PORTAL: SuiteDef =
            SuiteDef { cvp: Some(PortalDef { state: None }), scenarios: &[], ..PLAIN };
        static ALONE_AT_A_PORTAL: SuiteDef = SuiteDef { env: None, ..AT_A_PORTAL };
        let told = |def: &'static SuiteDef, real: bool| -> Vec<String> {
            let suite = Suite { name: "demo".into(), def };
            check_cached(&suite, real, None).iter().map(ToString::to_string).collect()
        };
        let cannot = "is `cached`, but what it leaves cannot be kept";
        assert_eq!(
            told(&PLAIN, false),
            [format!(
                "tests/demo.rs:20: suite `demo`: `b` {cannot}: `a` leaves choices to chance, which another run makes otherwise"
            ),]
        );
        let alone = told(&ALONE_AT_A_PORTAL, false);
        assert!(alone.len() == 1 && alone[0].contains("it has no machines"), "{alone:#?}");
        assert_eq!(told(&AT_A_PORTAL, false), [""; 0], "what our own knows is kept with its machines");
        let at_real = told(&AT_A_PORTAL, true);
        assert!(at_real.len() == 1 && at_real[0].contains("POLDER_CVP_URL"), "{at_real:#?}");
    }

    #[test]
    fn what_keeps_a_suite_from_going_back_is_told_before_it_begins() {
        const OWN: Param =
            Param { scope: Scope::Suite, need: Need::Nothing, ..param("client", None, Need::Nothing) };
        const STAYS: Param = Param { on_return: OnReturn::Stay, name: "limits", ..OWN };
        const REMADE: Param = Param { on_return: OnReturn::Remake, name: "link", ..OWN };
        static DEF: SuiteDef = SuiteDef {
            cvp: Some(PortalDef { state: None }),
            setup: &[step("prepare", &[OWN, STAYS])],
            teardown: &[],
            scenarios: &[
                ScenarioDef::plain(step("a", &[OWN, REMADE])),
                ScenarioDef { from: Some("a"), ..ScenarioDef::plain(step("b", &[])) },
            ],
            ..super::tests::DEF
        };
        let suite = Suite { name: "demo".into(), def: &DEF };
        let providers = [("far".to_owned(), "ssh".to_owned())].into();
        let names = Names { providers, ..Names::default() };
        let told = |run: &[usize], real: bool, names: Option<&Names>| -> Vec<String> {
            check_from(&suite, run.iter().copied(), real, names).iter().map(ToString::to_string).collect()
        };
        let all = told(&[0, 1], true, Some(&names));
        assert_eq!(all.len(), 3, "{all:#?}");
        let place = "tests/demo.rs:12: suite `demo`: `b` is from `a`, but what that leaves cannot be kept: ";
        assert!(all.iter().all(|one| one.starts_with(place)), "{all:#?}");
        for (one, what) in
            all.iter().zip(["POLDER_CVP_URL", "`far` is made by `ssh`", "`client` lives as long"])
        {
            assert!(one.contains(what), "{one}");
        }
        assert_eq!(told(&[0, 1], false, None).len(), 1);
        assert_eq!(told(&[0], true, Some(&names)), [""; 0], "what is not run needs nothing");
    }
}
