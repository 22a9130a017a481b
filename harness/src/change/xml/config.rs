//! What stands at the top of a ModiPy configuration: namespaces, iterators, provisioners, devices, and the changes' places.

use std::{io, path::Path};

use super::{
    change::{Member, change},
    element::{Attribute, Element, document},
};
use crate::{
    change::cond::Dialect,
    initfile::{Node, Problems, Span, Value, listed, shown, suggest},
};

const TOP: &[&str] =
    &["namespace", "iterator", "provisioner", "device", "changetemplate", "change", "prereq"];

/// The classes that carry commands, and our drivers for them.
const PROVISIONERS: &[(&str, &str)] = &[
    ("Provisioner", "null"),
    ("CommandProvisioner", "null"),
    ("ConnectingProvisioner", "session"),
    ("MultiConnectingProvisioner", "command"),
    ("SSHProvisioner", "ssh"),
];

/// The tree of a configuration in our words; `None` when it has none, the reason then being among `problems`.
pub(in crate::change) fn tree(
    file: usize,
    dialect: Option<Dialect>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Problems,
) -> Option<Node> {
    let root = document(file, read, 0, problems)?;
    let said = root.attribute("dialect").is_some_and(|dialect| dialect.value == "legacy");
    let is_legacy = dialect.map_or(said, |dialect| dialect == Dialect::Legacy);
    let is_fragment = is_legacy && matches!(root.name.as_str(), "change" | "changetemplate");
    if root.name != "config" && !is_fragment {
        let message = format!("the root of a configuration is `config`, this is `{}`", shown(&root.name));
        let help = Some("put `<config>` around it".to_owned());
        problems.add("cfg.bad-root", &root.span, message, help);
        return None;
    }
    if let Some(dialect) = root.attribute("dialect").filter(|dialect| dialect.value != "legacy") {
        let message = format!("there is no dialect `{}`", shown(&dialect.value));
        problems.add(
            "cfg.unknown-attribute",
            &dialect.value_span,
            message,
            Some("it is `legacy`".to_owned()),
        );
    }
    let mut config = Config { problems, is_legacy, map: Map::new(root.span) };
    if is_fragment {
        config.top(std::slice::from_ref(&root), &root);
    } else {
        config.attributes(&root, &["dialect"]);
        config.top(&root.children, &root);
    }
    Some(config.map.node())
}

pub(super) struct Config<'p> {
    pub(super) problems: &'p mut Problems,
    pub(super) is_legacy: bool,
    map: Map,
}

impl Config<'_> {
    fn top(&mut self, elements: &[Element], root: &Element) {
        self.map.put("version", root.span, plain("1", root.span));
        if self.is_legacy {
            self.map.put("dialect", root.span, quoted("legacy", root.span));
        }
        let (mut devices, mut drivers) = (Map::new(root.span), Map::new(root.span));
        let (mut matrices, mut templates) = (Map::new(root.span), Map::new(root.span));
        let mut members: Vec<Member> = Vec::new();
        for element in elements {
            match element.name.as_str() {
                "namespace" => {
                    let vars = self.entries(element);
                    self.once("vars", element, vars);
                }
                "device" => self.named(element, &mut devices, Self::device),
                "provisioner" => self.named(element, &mut drivers, Self::provisioner),
                "iterator" => self.named(element, &mut matrices, Self::iterator),
                "changetemplate" => self.named(element, &mut templates, |config, element| {
                    config.attributes(element, super::change::ATTRIBUTES);
                    Some(change(config, element).map.node())
                }),
                "change" => {
                    self.attributes(element, super::change::ATTRIBUTES);
                    let mut member = change(self, element);
                    // Without a name it was reported, and is nothing that anything could be said about.
                    if let Some(name) = self.name(element) {
                        member.map.entries.insert(0, (quoted("step", name.span), value(name)));
                        member.name = name.value.clone();
                        members.push(member);
                    }
                }
                "prereq" => {}
                _ => self.unknown(element, root, TOP),
            }
        }
        self.prerequisites(elements, None, &mut members);
        for (key, map) in
            [("devices", devices), ("drivers", drivers), ("matrices", matrices), ("templates", templates)]
        {
            if !map.entries.is_empty() {
                self.map.put(key, root.span, map.node());
            }
        }
        let mut scenario = Map::new(root.span);
        scenario.put("name", root.span, quoted("changes", root.span));
        scenario.put("unordered", root.span, plain("true", root.span));
        let nodes = members.into_iter().map(Member::node).collect();
        scenario.put("nodes", root.span, Node::new(root.span, Value::List(nodes)));
        self.map.put("scenario", root.span, scenario.node());
    }

    /// `prereq` at any depth; in a change it is that change's, elsewhere it says whose it is.
    fn prerequisites(&mut self, elements: &[Element], within: Option<&str>, members: &mut [Member]) {
        for element in elements {
            if element.name == "prereq" {
                self.attributes(element, &["for"]);
                let whose = element.attribute("for");
                let Some(name) = whose.map(|whose| whose.value.as_str()).or(within) else {
                    let message =
                        "this `prereq` is outside of a change and does not say whose it is".to_owned();
                    let help = Some("say `for=\"...\"`".to_owned());
                    self.problems.add("dep.unscoped", &element.span, message, help);
                    continue;
                };
                match members.iter_mut().find(|member| member.name == name) {
                    Some(member) => member.after.push(quoted(element.text.trim(), element.text_span)),
                    None => {
                        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
                        let help = suggest(name, &names);
                        let message = format!("there is no change `{}`", shown(name));
                        let span = whose.map_or(&element.span, |whose| &whose.value_span);
                        self.problems.add("dep.unknown", span, message, help);
                    }
                }
                continue;
            }
            let is_change = matches!(element.name.as_str(), "change" | "changetemplate");
            let name = element.attribute("name").filter(|_| is_change).map(|name| name.value.as_str());
            if element.name != "changetemplate" {
                self.prerequisites(&element.children, name.or(within), members);
            }
        }
    }

    /// An element that is known by its name.
    fn named(
        &mut self,
        element: &Element,
        into: &mut Map,
        mut read: impl FnMut(&mut Self, &Element) -> Option<Node>,
    ) {
        let node = read(self, element);
        let Some(name) = self.name(element) else { return };
        if into.entries.iter().any(|(key, _)| key.text() == name.value) {
            let message = format!("there is another {} `{}`", element.name, shown(&name.value));
            self.problems.add("name.duplicate", &name.value_span, message, Some("rename one".to_owned()));
        } else if let Some(node) = node {
            into.entries.push((quoted(&name.value, name.value_span), node));
        }
    }

    fn name<'e>(&mut self, element: &'e Element) -> Option<&'e Attribute> {
        let name = element.attribute("name").filter(|name| !name.value.trim().is_empty());
        if name.is_none() {
            let message = format!("`{}` needs the attribute `name`", element.name);
            self.problems.add("name.missing", &element.span, message, None);
        }
        name
    }

    fn once(&mut self, key: &'static str, element: &Element, node: Node) {
        if self.map.entries.iter().any(|(known, _)| known.text() == key) {
            let message = format!("there is a second `{}`", element.name);
            self.problems.add("name.duplicate", &element.span, message, Some("make them one".to_owned()));
        } else {
            self.map.put(key, element.span, node);
        }
    }

    fn device(&mut self, element: &Element) -> Option<Node> {
        self.attributes(element, &["name"]);
        let mut map = Map::new(element.span);
        for child in &element.children {
            if child.name == "namespace" {
                let vars = self.entries(child);
                map.put("vars", child.span, vars);
            } else if map.entries.iter().any(|(key, _)| key.text() == child.name) {
                let message = format!("the device has a second `{}`", shown(&child.name));
                self.problems.add("name.duplicate", &child.span, message, None);
            } else {
                map.put(&child.name, child.span, quoted(child.text.trim(), child.text_span));
            }
        }
        Some(map.node())
    }

    fn provisioner(&mut self, element: &Element) -> Option<Node> {
        const OPTIONS: &[&str] = &["name", "type", "module", "command_timeout"];
        for attribute in element.attributes.iter().filter(|a| !OPTIONS.contains(&a.name.as_str())) {
            let message = format!("a provisioner has no option `{}`", shown(&attribute.name));
            let help = suggest(&attribute.name, OPTIONS);
            self.problems.add("prov.bad-option", &attribute.span, message, help);
        }
        let mut map = Map::new(element.span);
        let class = element.attribute("type");
        let known = class.and_then(|class| PROVISIONERS.iter().find(|(name, _)| *name == class.value));
        let Some((_, kind)) = known else {
            let names: Vec<&str> = PROVISIONERS.iter().map(|(name, _)| *name).collect();
            let (span, message) = match class {
                Some(class) => {
                    (class.value_span, format!("there is no type of provisioner `{}`", shown(&class.value)))
                }
                None => (element.span, "a provisioner needs the attribute `type`".to_owned()),
            };
            let help = class.and_then(|class| suggest(&class.value, &names));
            let help = help.or_else(|| Some(format!("there are {}", listed(&names))));
            self.problems.add("prov.bad-type", &span, message, help);
            return None;
        };
        map.put("kind", element.span, quoted(kind, class.map_or(element.span, |class| class.value_span)));
        if let Some(timeout) = element.attribute("command_timeout") {
            map.put("command_timeout", timeout.span, value(timeout));
        }
        for child in &element.children {
            match child.name.as_str() {
                "namespace" => {
                    let vars = self.entries(child);
                    map.put("vars", child.span, vars);
                }
                "connect_command" | "command" if child.name == "connect_command" || self.is_legacy => {
                    let mut line = child.text.trim().to_owned();
                    if *kind == "command" && !line.contains("%(command.send)s") {
                        line.push_str(" %(command.send)s");
                    }
                    map.put("connect_command", child.span, quoted(&line, child.text_span));
                }
                _ => self.unknown(child, element, &["connect_command", "namespace"]),
            }
        }
        Some(map.node())
    }

    fn iterator(&mut self, element: &Element) -> Option<Node> {
        self.attributes(element, &["name", "type", "file", "api", "details", "delay"]);
        let mut map = Map::new(element.span);
        if let Some(delay) = element.attribute("delay") {
            map.put("delay", delay.span, value(delay));
        }
        let kind = element.attribute("type");
        match kind.map(|kind| kind.value.to_lowercase()).as_deref() {
            None | Some("dict") => {
                let mut rows = Vec::new();
                for child in &element.children {
                    if child.name == "dict" || (self.is_legacy && child.name == "namespace") {
                        rows.push(self.entries(child));
                    } else {
                        self.unknown(child, element, &["dict"]);
                    }
                }
                map.put("rows", element.span, Node::new(element.span, Value::List(rows)));
            }
            Some("csv") => match element.attribute("file") {
                Some(file) => map.put("csv", file.span, value(file)),
                None => {
                    let message = "an iterator of type `csv` needs the attribute `file`".to_owned();
                    self.problems.add("iter.no-file", &element.span, message, None);
                    return None;
                }
            },
            Some(other) => {
                let message = match other {
                    "sql" => "rows are not fetched from databases".to_owned(),
                    other => format!("there is no type of iterator `{}`", shown(other)),
                };
                let help = Some("export them to a file and use the type `csv`".to_owned());
                let span = kind.map_or(&element.span, |kind| &kind.value_span);
                self.problems.add("iter.bad-type", span, message, help);
                return None;
            }
        }
        Some(map.node())
    }

    /// The entries of a namespace or a row.
    pub(super) fn entries(&mut self, element: &Element) -> Node {
        self.attributes(element, &[]);
        let mut map = Map::new(element.span);
        for child in &element.children {
            if child.name != "entry" {
                self.unknown(child, element, &["entry"]);
                continue;
            }
            self.attributes(child, &["name"]);
            let entry = quoted(&child.text, child.text_span);
            self.named(child, &mut map, |_, _| Some(entry.clone()));
        }
        map.node()
    }

    /// Notes attributes that are not among the known ones.
    pub(super) fn attributes(&mut self, element: &Element, known: &[&str]) {
        let known: Vec<&str> = known.iter().copied().chain(self.is_legacy.then_some("dialect")).collect();
        for attribute in element.attributes.iter().filter(|a| !known.contains(&a.name.as_str())) {
            let message = format!("`{}` has no attribute `{}`", element.name, shown(&attribute.name));
            let help = suggest(&attribute.name, &known);
            self.problems.add("cfg.unknown-attribute", &attribute.span, message, help);
        }
    }

    pub(super) fn unknown(&mut self, child: &Element, parent: &Element, known: &[&str]) {
        let message = format!("`{}` has no element `{}`", parent.name, shown(&child.name));
        let help = suggest(&child.name, known).or_else(|| Some(format!("there are {}", listed(known))));
        self.problems.add("cfg.unknown-element", &child.span, message, help);
    }
}

/// A mapping that is put together.
pub(super) struct Map {
    span: Span,
    pub(super) entries: Vec<(Node, Node)>,
}

impl Map {
    pub(super) fn new(span: Span) -> Self {
        Self { span, entries: Vec::new() }
    }

    /// Sets a key that is written at `span`; the last one wins.
    pub(super) fn put(&mut self, key: &str, span: Span, node: Node) {
        self.entries.retain(|(known, _)| known.text() != key);
        self.entries.push((quoted(key, span), node));
    }

    pub(super) fn node(self) -> Node {
        Node::new(self.span, Value::Map(self.entries))
    }
}

pub(super) fn quoted(text: &str, span: Span) -> Node {
    Node::new(span, Value::Scalar { text: text.to_owned(), quoted: true, raw: None })
}

pub(super) fn plain(text: &str, span: Span) -> Node {
    Node::new(span, Value::Scalar { text: text.to_owned(), quoted: false, raw: None })
}

pub(super) fn value(attribute: &Attribute) -> Node {
    quoted(&attribute.value, attribute.value_span)
}
