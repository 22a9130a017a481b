//! A change of a ModiPy configuration, and its phases, in our words.

use super::{
    config::{Config, Map, plain, quoted, value},
    element::Element,
};
use crate::initfile::{Node, Value, shown, suggest};

pub(super) const ATTRIBUTES: &[&str] = &[
    "name",
    "type",
    "module",
    "template",
    "provisioner",
    "iterator",
    "onfail",
    "max_retries",
    "retry_delay",
];
const CHILDREN: &[&str] = &[
    "namespace",
    "target",
    "depends",
    "prereq",
    "preimpl",
    "impl",
    "postimpl",
    "prebackout",
    "backout",
    "postbackout",
];
const TYPES: &[&str] = &["Change", "CommandChange"];

/// A change whose prerequisites are not all known yet.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) map: Map,
    pub(super) after: Vec<Node>,
}

impl Member {
    pub(super) fn node(mut self) -> Node {
        if let Some(span) = self.after.first().map(|first| first.span) {
            self.map.put("after", span, Node::new(span, Value::List(self.after)));
        }
        self.map.node()
    }
}

/// A change or a template, without its name.
pub(super) fn change(config: &mut Config<'_>, element: &Element) -> Member {
    let mut map = Map::new(element.span);
    kind(config, element);
    for (attribute, key) in [("template", "template"), ("provisioner", "driver"), ("iterator", "matrix")] {
        if let Some(attribute) = element.attribute(attribute) {
            map.put(key, attribute.span, value(attribute));
        }
    }
    policy(config, element, &mut map);
    let (mut targets, mut after) = (Vec::new(), Vec::new());
    let mut all = None;
    for child in &element.children {
        let phase = match child.name.as_str() {
            "preimpl" => "precheck",
            "impl" => "apply",
            "postimpl" => "verify",
            "prebackout" => "pre_rollback",
            "postbackout" => "verify_rollback",
            "backout" => {
                let script = phase(config, child);
                map.put("rollback", child.span, Node::new(child.span, Value::List(vec![script])));
                continue;
            }
            "namespace" => {
                let vars = config.entries(child);
                map.put("vars", child.span, vars);
                continue;
            }
            "target" => {
                match target(config, child) {
                    Some(node) if node.text() == "ALL_TARGETS" => all = Some(node.span),
                    Some(node) => targets.push(node),
                    None => {}
                }
                continue;
            }
            "depends" => {
                config.attributes(child, &["on"]);
                match child.attribute("on") {
                    Some(on) => after.push(value(on)),
                    None => {
                        let message = "`depends` needs the attribute `on`".to_owned();
                        config.problems.add("name.missing", &child.span, message, None);
                    }
                }
                continue;
            }
            "useprov" if config.is_legacy => {
                map.put("driver", child.span, quoted(child.text.trim(), child.text_span));
                continue;
            }
            // Read by itself, wherever it stands.
            "prereq" if element.name == "change" => continue,
            "prereq" => {
                let message = "a template cannot wait for a change with `prereq`".to_owned();
                let help = Some("say it in the changes that are made from it".to_owned());
                config.problems.add("dep.unscoped", &child.span, message, help);
                continue;
            }
            "dependencies" => continue,
            _ => {
                config.unknown(child, element, CHILDREN);
                continue;
            }
        };
        let script = self::phase(config, child);
        map.put(phase, child.span, script);
    }
    match (all, targets.first().map(|first| first.span)) {
        (Some(span), _) => map.put("targets", span, quoted("all", span)),
        (None, Some(span)) => map.put("targets", span, Node::new(span, Value::List(targets))),
        (None, None) => {}
    }
    Member { name: String::new(), map, after }
}

fn kind(config: &mut Config<'_>, element: &Element) {
    match (element.attribute("type"), element.attribute("template")) {
        (None, None) => {
            let message = format!("`{}` needs the attribute `type`", element.name);
            let help = Some("say `type=\"CommandChange\"`".to_owned());
            config.problems.add("change.no-type", &element.span, message, help);
        }
        (Some(kind), _) if !TYPES.contains(&kind.value.as_str()) => {
            let message = format!("there is no type of change `{}`", shown(&kind.value));
            let help = suggest(&kind.value, TYPES);
            config.problems.add("change.bad-type", &kind.value_span, message, help);
        }
        _ => {}
    }
}

fn policy(config: &mut Config<'_>, element: &Element, into: &mut Map) {
    let Some(onfail) = element.attribute("onfail") else { return };
    let mut map = Map::new(onfail.span);
    match onfail.value.as_str() {
        "continue" => map.put("on_fail", onfail.span, value(onfail)),
        "retry" => {
            let mut retry = Map::new(onfail.span);
            let max = element.attribute("max_retries");
            retry.put("max", onfail.span, max.map_or(quoted("3", onfail.span), value));
            let delay = element.attribute("retry_delay");
            retry.put("delay", onfail.span, delay.map_or(quoted("5", onfail.span), value));
            map.put("retry", onfail.span, retry.node());
        }
        other => {
            let message = format!("`onfail` is `continue` or `retry`, this is `{}`", shown(other));
            let help = suggest(other, &["continue", "retry"]);
            config.problems.add("cfg.unknown-attribute", &onfail.value_span, message, help);
        }
    }
    into.put("policy", onfail.span, map.node());
}

fn target(config: &mut Config<'_>, element: &Element) -> Option<Node> {
    config.attributes(element, &["name"]);
    match element.attribute("name") {
        Some(name) => Some(value(name)),
        None if config.is_legacy && !element.text.trim().is_empty() => {
            Some(quoted(element.text.trim(), element.text_span))
        }
        None => {
            let message = "`target` needs the attribute `name`".to_owned();
            config.problems.add("name.missing", &element.span, message, None);
            None
        }
    }
}

fn phase(config: &mut Config<'_>, element: &Element) -> Node {
    config.attributes(element, &[]);
    let mut map = Map::new(element.span);
    let (mut exchanges, mut checks) = (Vec::new(), Vec::new());
    for child in &element.children {
        match child.name.as_str() {
            "command" => exchanges.push(command(config, child)),
            "condition" => checks.push(quoted(child.text.trim(), child.text_span)),
            "pause" => map.put("pause", child.span, plain("true", child.span)),
            name => {
                let message = match name {
                    "zapicommand" | "getfile" | "putfile" => format!("`{name}` is not spoken to devices"),
                    _ => format!("`{}` has no element `{}`", element.name, shown(name)),
                };
                let help = suggest(name, &["command", "condition", "pause"]);
                config.problems.add("change.bad-phase-child", &child.span, message, help);
            }
        }
    }
    for (key, list) in [("exchanges", exchanges), ("checks", checks)] {
        if let Some(span) = list.first().map(|first| first.span) {
            map.put(key, span, Node::new(span, Value::List(list)));
        }
    }
    map.node()
}

fn command(config: &mut Config<'_>, element: &Element) -> Node {
    config.attributes(element, &[]);
    for (name, code) in [("expect", "cmd.many-expect"), ("send", "cmd.many-send")] {
        if let Some(second) = element.all(name).nth(1) {
            let message = format!("a command has one `{name}`, this is another");
            config.problems.add(code, &second.span, message, Some("make two commands of it".to_owned()));
        }
    }
    let mut map = Map::new(element.span);
    for child in &element.children {
        match child.name.as_str() {
            "expect" => {
                config.attributes(child, &["timeout"]);
                map.put("expect", child.span, quoted(&child.text, child.text_span));
                if let Some(timeout) = child.attribute("timeout") {
                    map.put("timeout", timeout.span, value(timeout));
                }
            }
            "send" => {
                config.attributes(child, &[]);
                map.put("send", child.span, quoted(&child.text, child.text_span));
            }
            _ => config.unknown(child, element, &["expect", "send"]),
        }
    }
    map.node()
}
