//! Steps out of the tree of a file: what a step says, over what its template says, and the scripts of its phases.

use std::{num::NonZeroUsize, time::Duration};

use regex_lite::Regex;

use super::{
    cond::Condition,
    model::{
        At, Check, Exchange, Iterate, OnFail, Parallel, Policy, Retry, Rollback, RollbackAction, Script,
        Step, Word,
    },
    read::{Reader, vars, word, words},
    table::STEP,
    text::Vars,
};
use crate::{
    base::text::did_you_mean,
    initfile::{Fields, Node as Tree, items, object, shown, text},
};

/// What a step says, over what its template says.
struct Overlay<'n> {
    own: Fields<'n>,
    template: Option<Fields<'n>>,
}

impl<'n> Overlay<'n> {
    fn get(&self, key: &str) -> Option<&'n Tree> {
        self.own.get(key).or(self.template.and_then(|template| template.get(key)))
    }

    fn list(&self, key: &str) -> &'n [Tree] {
        self.get(key).map(items).unwrap_or_default()
    }
}

impl<'n> Reader<'_, 'n, '_> {
    pub(super) fn step(&mut self, node: &Tree, around: &Vars) -> Step {
        object(node, &node.span, &STEP, self.problems);
        let own = Fields::of(node);
        let template = own.get("template").and_then(|name| self.template(name));
        let template_vars = template.map(|template| vars(&template, self.problems)).unwrap_or_default();
        let vars = vars(&own, self.problems);
        let mut scope = around.clone();
        scope.extend(template_vars.clone());
        scope.extend(vars.clone());
        let said = Overlay { own, template };
        let mut script = |key: &str| said.get(key).map(|node| self.script(node));
        let (precheck, apply, verify) = (script("precheck"), script("apply"), script("verify"));
        let (pre_rollback, verify_rollback) = (script("pre_rollback"), script("verify_rollback"));
        let rollback = said.list("rollback").iter().filter_map(|node| self.rollback(node)).collect();
        let iterate = match said.get("iterate").and_then(text) {
            Some("phase") => Iterate::Phase,
            _ => Iterate::Cycle,
        };
        Step {
            name: own.get("step").map(word).unwrap_or_default(),
            after: words(said.list("after")),
            before: words(said.list("before")),
            targets: self.targets(&said, &scope),
            driver: said.get("driver").and_then(|node| self.name(node, &scope)),
            matrix: said.get("matrix").and_then(|node| self.name(node, &scope)),
            iterate,
            vars,
            template_vars,
            policy: self.policy(said.get("policy")),
            precheck,
            apply,
            verify,
            pre_rollback,
            rollback,
            verify_rollback,
        }
    }

    fn template(&mut self, name: &Tree) -> Option<Fields<'n>> {
        let said = text(name)?;
        if let Some((_, node)) = self.templates.iter().find(|(known, _)| *known == said) {
            return Some(Fields::of(node));
        }
        let help = did_you_mean(said, self.templates.iter().map(|(known, _)| *known));
        let help = help.map(|near| format!("did you mean `{near}`?"));
        let message = format!("there is no template `{}`", shown(said));
        self.problems.add("change.unknown-template", &name.span, message, help);
        None
    }

    /// Those of the template, then its own, each once.
    fn targets(&mut self, said: &Overlay<'_>, scope: &Vars) -> Vec<Word> {
        let own = said.own.get("targets");
        let replaced = own.and_then(|node| node.get("replace"));
        let inherited =
            said.template.and_then(|template| template.get("targets")).filter(|_| replaced.is_none());
        let mut found: Vec<Word> = Vec::new();
        for node in inherited.into_iter().chain(replaced.or(own)) {
            let named = match text(node) {
                Some("all") => {
                    if self.changes.devices.is_empty() {
                        let message = "there are no devices, so these are none".to_owned();
                        self.problems.add("device.none-for-all", &node.span, message, None);
                    }
                    let names = self.changes.devices.iter();
                    names.map(|device| Word::new(device.name.as_str(), node.span)).collect()
                }
                Some(other) => {
                    let message = format!("targets are `all` or a list, this is `{}`", shown(other));
                    let help = Some(format!("write `[{}]`", shown(other)));
                    self.problems.add("device.unknown", &node.span, message, help);
                    Vec::new()
                }
                None => {
                    let list = node.get("replace").unwrap_or(node);
                    items(list).iter().filter_map(|node| self.name(node, scope)).collect::<Vec<_>>()
                }
            };
            for word in named {
                if !found.contains(&word) {
                    found.push(word);
                }
            }
        }
        found
    }

    pub(super) fn policy(&mut self, node: Option<&Tree>) -> Policy {
        let Some(node) = node else { return Policy::default() };
        let fields = Fields::of(node);
        let on_fail = match fields.text("on_fail") {
            Some("continue") => OnFail::Continue,
            Some("rollback_all") => OnFail::RollbackAll,
            _ => OnFail::Stop,
        };
        let parallel =
            fields.get("devices").and_then(|node| Fields::of(node).parsed::<NonZeroUsize>("parallel"));
        Policy {
            on_fail,
            retry: fields.get("retry").map(|node| self.retry(node)).unwrap_or_default(),
            devices: parallel.map_or(Parallel::Serial, Parallel::Max),
            timeout: self.duration(fields.get("timeout"), "cmd.bad-timeout"),
            noop: fields.flag("noop").unwrap_or_default(),
        }
    }

    fn retry(&mut self, node: &Tree) -> Retry {
        let fields = Fields::of(node);
        let mut max = Some(0);
        if let Some(node) = fields.get("max")
            && let Some(said) = text(node)
        {
            match said.trim().parse::<i64>() {
                Ok(number) if number < 0 => max = None,
                Ok(number) => max = Some(u32::try_from(number).unwrap_or(u32::MAX)),
                Err(_) => {
                    let message = format!("`{}` is no whole number", shown(said));
                    self.problems.add("change.bad-retry", &node.span, message, None);
                }
            }
        }
        let delay = self.duration(fields.get("delay"), "change.bad-retry");
        Retry { max, delay: delay.unwrap_or(Duration::from_secs(5)) }
    }

    pub(super) fn script(&mut self, node: &Tree) -> Script {
        let fields = Fields::of(node);
        let exchanges = fields.list("exchanges").iter().map(|node| self.exchange(node)).collect();
        let checks = fields.list("checks").iter().filter_map(|node| self.check(node)).collect();
        let already = fields.list("already").iter().filter_map(|node| self.check(node)).collect();
        Script { pause: fields.flag("pause").unwrap_or_default(), exchanges, checks, already }
    }

    fn exchange(&mut self, node: &Tree) -> Exchange {
        let fields = Fields::of(node);
        // An empty expression waits for nothing.
        let expect = fields.get("expect").filter(|node| !node.text().is_empty());
        let pattern = expect.and_then(|node| self.text(node));
        if let (Some(node), Some(pattern)) = (expect, &pattern)
            && pattern.keys().next().is_none()
            && let Err(error) = Regex::new(node.text())
        {
            let message = format!("bad regular expression: {error}");
            self.problems.add("expect.bad-regex", &node.span, message, None);
        }
        Exchange {
            expect: pattern,
            send: fields.get("send").and_then(|node| self.text(node)),
            timeout: self.duration(fields.get("timeout"), "cmd.bad-timeout"),
            ignore_exit: fields.flag("ignore_exit").unwrap_or_default(),
            at: At::from(node.span),
        }
    }

    fn check(&mut self, node: &Tree) -> Option<Check> {
        let fields = Fields::of(node);
        let expr = if text(node).is_some() { node } else { fields.get("expr")? };
        let said = text(expr)?;
        match Condition::parse(said, self.dialect) {
            Ok(condition) => {
                Some(Check { condition, message: fields.owned("message"), at: At::from(expr.span) })
            }
            Err(error) => {
                let span = self.within(&expr.span, said, error.span);
                self.problems.add(error.code, &span, error.message, error.help);
                None
            }
        }
    }

    fn rollback(&mut self, node: &Tree) -> Option<Rollback> {
        let fields = Fields::of(node);
        let when = match fields.get("when") {
            Some(node) => Some(self.check(node)?),
            None => None,
        };
        let action = match fields.get("alert") {
            Some(alert) => {
                if fields.get("exchanges").or(fields.get("checks")).is_some() {
                    let message = "a rollback alerts a person or has commands, not both".to_owned();
                    self.problems.add("change.bad-phase-child", &alert.span, message, None);
                }
                RollbackAction::Alert(self.text(alert)?)
            }
            None => RollbackAction::Script(self.script(node)),
        };
        Some(Rollback { when, action })
    }
}
