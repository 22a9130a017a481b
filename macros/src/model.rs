//! What a suite's module means: its scenarios, set-up and teardown, and every mistake in them. Makes no tokens.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, Ident, Item, ItemFn, ItemMod, LitStr, Path, ext::IdentExt, parse_quote, parse2,
    spanned::Spanned,
};

use crate::{
    args::{self, ExpectFail, PortalArg, StepArgs, SuiteArgs},
    arguments::{OF_SCENARIOS, OF_SETUP, OF_TEARDOWN},
    cases::Case,
    envfile::EnvFile,
    errors::{Errors, suggestion},
    needs::Need,
    roles::{Role, refuse_foreign_tests, refuse_roles, role},
    signature::{self, Param},
};

/// A module marked `#[suite]`.
pub(crate) struct Suite {
    /// The module; its content holds only what is not a step.
    pub(crate) module: ItemMod,
    pub(crate) env: Option<EnvFile>,
    /// Whether it has a session at a portal, and the state in which one of our own begins.
    pub(crate) cvp: Option<Option<EnvFile>>,
    /// Changes that its scenarios may make.
    pub(crate) changes: Option<EnvFile>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) if_var: Option<LitStr>,
    pub(crate) stop_on_failure: bool,
    /// Tags of all its scenarios.
    pub(crate) tags: Vec<LitStr>,
    /// What all its scenarios need.
    pub(crate) needs: Vec<Need>,
    /// Where the library is.
    pub(crate) library: Path,
    pub(crate) setup: Option<Step>,
    pub(crate) teardown: Option<Step>,
    /// In source order.
    pub(crate) scenarios: Vec<Scenario>,
}

/// A function the runner calls.
pub(crate) struct Step {
    /// As written, without our attributes.
    pub(crate) function: ItemFn,
    /// Where its `test`, `setup` or `teardown` stands.
    pub(crate) mark: Span,
    pub(crate) params: Vec<Param>,
    pub(crate) timeout: Option<Duration>,
    /// Whether the state it leaves is kept for later runs.
    pub(crate) cached: bool,
}

/// A step marked `#[test]`.
pub(crate) struct Scenario {
    pub(crate) step: Step,
    pub(crate) after: Vec<Ident>,
    /// In the state that one left it begins.
    pub(crate) from: Option<Ident>,
    /// Whether it runs whatever became of those.
    pub(crate) always: bool,
    pub(crate) tags: Vec<LitStr>,
    /// How often it is tried again.
    pub(crate) retries: u32,
    /// As which scenarios it runs; none: as one, which is given nothing.
    pub(crate) cases: Vec<Case>,
    pub(crate) needs: Vec<Need>,
    pub(crate) expect_fail: Option<ExpectFail>,
    /// Whether it is ignored, and why.
    pub(crate) ignore: Option<Option<LitStr>>,
}

/// Names the report uses for what is not a scenario.
const RESERVED: [&str; 6] = ["changes", "environment", "leaks", "portal", "setup", "teardown"];

impl Suite {
    /// Reads the item below `#[suite(..)]`; nothing when it is no module with a body.
    pub(crate) fn new(args: SuiteArgs, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let mut module = match parse2::<Item>(item) {
            Ok(Item::Mod(module)) => module,
            Ok(other) => {
                errors.at(first_line(&other), "a suite is a module: `mod demo { .. }`");
                return None;
            }
            Err(error) => {
                errors.push(error);
                return None;
            }
        };
        let Some((brace, items)) = module.content.take() else {
            errors.at(&module, "a suite's module has its body here: `mod demo { .. }`");
            return None;
        };
        let mut find =
            |literal, meaning| EnvFile::find(literal, meaning).map_err(|error| errors.push(error)).ok();
        let has_machines = args.env.is_some();
        let has_state = has_machines || args.cvp.is_some();
        let env = args.env.and_then(|literal| find(literal, "`env` names an init file"));
        let cvp = args.cvp.map(|arg| match arg {
            PortalArg::Any => None,
            PortalArg::State(literal) => find(literal, "`cvp` names the state of a portal"),
        });
        let changes = args.changes.and_then(|literal| find(literal, "`changes` names a file of changes"));
        let mut suite = Self {
            module,
            env,
            cvp,
            changes,
            timeout: args.timeout,
            if_var: args.if_var,
            stop_on_failure: args.stop_on_failure,
            tags: args.tags,
            needs: args.needs,
            library: args.library.unwrap_or_else(|| parse_quote!(::polder)),
            setup: None,
            teardown: None,
            scenarios: Vec::new(),
        };
        let mut rest = Vec::new();
        for item in items {
            rest.extend(suite.take(item, errors));
        }
        suite.check_after(errors);
        suite.check_from(has_state, errors);
        if !has_machines {
            suite.refuse_machines(errors);
        }
        suite.module.content = Some((brace, rest));
        Some(suite)
    }

    /// Every step, in no particular order.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.scenarios.iter().map(|s| &s.step).chain(&self.setup).chain(&self.teardown)
    }

    /// Takes an item if it is a step; gives it back if it is not.
    fn take(&mut self, item: Item, errors: &mut Errors) -> Option<Item> {
        let mut function = match item {
            Item::Fn(function) => function,
            other => {
                refuse_roles(&other, errors);
                return Some(other);
            }
        };
        let mut roles = Vec::new();
        let mut ignore = None;
        let mut kept = Vec::new();
        for attr in std::mem::take(&mut function.attrs) {
            if let Some(role) = role(&attr) {
                roles.push((role, attr));
            } else if attr.path().is_ident("ignore") {
                ignore = Some(attr);
            } else {
                kept.push(attr);
            }
        }
        function.attrs = kept;
        let Some((role, attr)) = roles.first() else {
            refuse_foreign_tests(&mut function, errors);
            function.attrs.extend(ignore);
            return Some(Item::Fn(function));
        };
        for (_, second) in roles.iter().skip(1) {
            errors.at(second, "a function is one of `#[test]`, `#[setup]` and `#[teardown]`, once");
        }
        let known = match role {
            Role::Test => OF_SCENARIOS,
            Role::Setup => OF_SETUP,
            Role::Teardown => OF_TEARDOWN,
        };
        let StepArgs {
            after,
            from,
            always,
            tags,
            retries,
            cases,
            is_cased,
            needs,
            expect_fail,
            timeout,
            cached,
        } = args::step(attr, known, errors);
        refuse_foreign_tests(&mut function, errors);
        if retries > 0 && expect_fail.is_some() {
            errors.at(
                attr,
                "what is expected to fail is not tried again: `expect_fail` or `retries`, not both",
            );
        }
        let params = signature::params(&mut function.sig, is_cased, errors);
        let step = Step { function, mark: attr.path().span(), params, timeout, cached };
        match role {
            Role::Test => {
                let ignore = ignore.map(|attr| args::ignore(&attr, errors));
                let scenario =
                    Scenario { step, after, from, always, tags, retries, cases, needs, expect_fail, ignore };
                self.add(scenario, errors);
            }
            Role::Setup | Role::Teardown => {
                if let Some(attr) = ignore {
                    errors.at(attr, "only a scenario can be ignored");
                }
                let (slot, word) = if *role == Role::Setup {
                    (&mut self.setup, "setup")
                } else {
                    (&mut self.teardown, "teardown")
                };
                match slot {
                    Some(first) => {
                        let first = &first.function.sig.ident;
                        errors.at(attr, format!("a suite has one `#[{word}]`; `{first}` is it"));
                    }
                    None => *slot = Some(step),
                }
            }
        }
        None
    }

    fn add(&mut self, scenario: Scenario, errors: &mut Errors) {
        let ident = &scenario.step.function.sig.ident;
        if RESERVED.contains(&ident.unraw().to_string().as_str()) {
            errors.at(ident, format!("reports use the name `{ident}` for something else; choose another"));
        }
        if self.scenarios.iter().any(|s| s.step.function.sig.ident == *ident) {
            errors.at(ident, format!("there is already a scenario `{ident}`"));
        } else {
            self.scenarios.push(scenario);
        }
    }

    /// Needs that only machines can meet, where there are none.
    fn refuse_machines(&self, errors: &mut Errors) {
        let needs = self.scenarios.iter().flat_map(|scenario| &scenario.needs).chain(&self.needs);
        for need in needs.filter(|need| need.is_of_machines()) {
            errors.push(syn::Error::new(
                need.span,
                "that is of machines, and this suite has none: write #[polder::suite(env = \"demo.yaml\")]",
            ));
        }
    }

    fn check_after(&self, errors: &mut Errors) {
        let names: Vec<&Ident> = self.scenarios.iter().map(|s| &s.step.function.sig.ident).collect();
        for (index, scenario) in self.scenarios.iter().enumerate() {
            for target in scenario.after.iter().chain(&scenario.from) {
                match names.iter().position(|name| *name == target) {
                    Some(found) if found < index => {}
                    Some(found) if found == index => errors.at(target, "a scenario cannot need itself"),
                    Some(_) => errors.at(
                        target,
                        format!(
                            "`{target}` comes later in the file; scenarios run in source order, so move it up"
                        ),
                    ),
                    None => {
                        let earlier: Vec<String> =
                            names.iter().take(index).map(ToString::to_string).collect();
                        let hint = suggestion(&target.to_string(), earlier.iter().map(String::as_str));
                        errors.at(target, format!("no scenario `{target}` in this suite{hint}"));
                    }
                }
            }
        }
    }
}

impl Suite {
    /// What cannot be begun in the state that another left.
    fn check_from(&self, has_state: bool, errors: &mut Errors) {
        for scenario in &self.scenarios {
            let Some(from) = &scenario.from else { continue };
            if !has_state {
                errors.at(
                    from,
                    "there is no state to go back to: this suite has no machines; write \
                     #[polder::suite(env = \"demo.yaml\")]",
                );
            }
            if scenario.always {
                errors.at(
                    from,
                    format!(
                        "what runs whatever became of `{from}` cannot begin in the state it left: `always` or \
                         `from`, not both"
                    ),
                );
            }
            if let Some(again) = scenario.after.iter().find(|after| *after == from) {
                errors.at(again, format!("`from({from})` says that it must have passed"));
            }
            let origin = self.scenarios.iter().find(|other| other.step.function.sig.ident == *from);
            if origin.is_some_and(|origin| !origin.cases.is_empty()) {
                errors.at(
                    from,
                    format!(
                        "`{from}` has cases, and each leaves a state of its own; name a scenario without"
                    ),
                );
            }
        }
    }
}

impl Scenario {
    /// What the scenarios are called that this is: one, or one for each case.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = self.step.name();
        match self.cases.as_slice() {
            [] => vec![name],
            cases => cases.iter().map(|case| format!("{name}[{}]", case.name)).collect(),
        }
    }
}

impl Step {
    /// The step's name as text.
    pub(crate) fn name(&self) -> String {
        self.function.sig.ident.unraw().to_string()
    }

    /// Its `#[cfg(..)]`s, which everything made for it repeats.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.function.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

/// The tokens a message about a whole item is put on: underlining a long body helps nobody.
fn first_line(item: &Item) -> TokenStream {
    item.to_token_stream()
        .into_iter()
        .take_while(|tree| !matches!(tree, proc_macro2::TokenTree::Group(_)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> (Option<Suite>, Vec<String>) {
        let mut errors = Errors::default();
        let suite = Suite::new(SuiteArgs::default(), source.parse().unwrap(), &mut errors);
        (suite, errors.messages())
    }

    #[test]
    fn a_module_becomes_steps_in_source_order() {
        let (suite, errors) = check(
            "mod demo {
                use super::*;
                #[test] async fn b(web: &Vm, _lan: &Net) -> Result { Ok(()) }
                fn helper() {}
                #[setup] async fn prepare(env: &Env) {}
                #[test(after(b))] #[ignore = \"slow\"] #[cfg(unix)] fn r#a() {}
            }",
        );
        let suite = suite.unwrap();
        assert_eq!(errors, [""; 0]);
        let names: Vec<String> = suite.scenarios.iter().map(|s| s.step.name()).collect();
        assert_eq!(names, ["b", "a"]);
        let params: Vec<&str> = suite.scenarios[0].step.params.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(params, ["web", "lan"]);
        assert_eq!(suite.scenarios[1].after, ["b"]);
        assert!(
            suite.scenarios[1].ignore.as_ref().is_some_and(|why| why.as_ref().unwrap().value() == "slow")
        );
        assert_eq!(suite.scenarios[1].step.cfgs().count(), 1);
        assert!(suite.setup.is_some() && suite.teardown.is_none());
        assert_eq!(suite.module.content.unwrap().1.len(), 2, "the rest stays in the module");
    }

    #[test]
    fn a_function_with_cases_is_several_scenarios() {
        let (suite, errors) = check(
            "mod demo {
                #[test(case(small = 512, large = 9000), always)] fn mtu(#[case] n: &u32, web: &Vm) {}
                #[test(after(mtu), tags(\"a\"), retries = 1)] fn last() {}
            }",
        );
        assert_eq!(errors, [""; 0]);
        let scenarios = suite.unwrap().scenarios;
        assert_eq!(scenarios[0].names(), ["mtu[small]", "mtu[large]"]);
        assert_eq!(scenarios[1].names(), ["last"]);
        assert!(scenarios[0].step.params[0].is_case && !scenarios[0].step.params[1].is_case);
    }

    #[test]
    fn cases_and_what_is_given_belong_together() {
        let (_, errors) = check(
            "mod demo {
                #[test(values(1))] fn a(web: &Vm) {}
                #[test] fn b(#[case] n: &u8) {}
                #[test(values(1))] fn c(#[case] n: &u8, #[case] m: &u8, #[values(1)] o: &u8) {}
                #[test(values(1))] fn d(#[case] #[role(\"x\")] n: &u8) {}
                #[test(values(1))] fn e(#[case(7)] n: &u8) {}
                #[setup] fn f(#[case] n: &u8) {}
                #[test] #[case(1)] fn g() {}
            }",
        );
        assert_eq!(errors.len(), 8, "{errors:#?}");
    }

    #[test]
    fn what_cannot_begin_in_the_state_of_another_is_told() {
        let (_, errors) = check(
            "mod demo {
                #[test(values(1))] fn a(#[case] n: &u8) {}
                #[test] fn b() {}
                #[test(from(b), always, after(b))] fn c() {}
                #[test(from(a))] fn d() {}
                #[test(from(e))] fn e() {}
            }",
        );
        // Each of them, and of each that there is no state at all.
        assert_eq!(errors.len(), 3 + 4, "{errors:#?}");
    }

    #[test]
    fn what_only_machines_have_needs_an_init_file() {
        let (_, errors) = check(
            "mod demo {
                #[test(needs(kvm, role = \"a\", capability = \"b\", c(\"d\")))] fn a() {}
                #[test(retries = 1, expect_fail(until = \"2027-01-31\", reason = \"x\"))] fn b() {}
            }",
        );
        assert_eq!(errors.len(), 4, "{errors:#?}");
        assert!(errors[0].starts_with("what is expected to fail"), "{errors:#?}");
    }

    #[test]
    fn one_mistake_does_not_hide_another() {
        let (suite, errors) = check(
            "mod demo {
                #[test(after(b, a, nope))] fn a(self, x: u8, &y: &Y, z: &mut Z) {}
                #[test(aftr(a))] fn b<T>() {}
                #[setup] struct NoFunction;
                mod inner { mod deeper { #[test] fn hidden() {} } }
            }",
        );
        assert!(suite.is_some());
        assert_eq!(errors.len(), 11, "{errors:#?}");
    }
}
