//! A tree of a file to changes. What has the wrong shape is reported while the tree is held against the table; what is left
//! is taken here, and texts, conditions and durations are parsed. What names mean together is for `check.rs`.

use std::{io, path::Path, sync::Arc, time::Duration};

use super::{
    cond::Dialect,
    csv,
    file::Given,
    model::{Changes, Device, Driver, DriverKind, Matrix, Node, Scenario, Word},
    scope::is_reserved,
    table::{FILE, ROOT, SCENARIO},
    text::{Text, Vars},
};
use crate::initfile::{Fields, Node as Tree, Problems, Span, entries, items, object, shown, suggest, text};

/// The variable with the name of a machine.
pub(super) const MACHINE: &str = "machine.name";

/// What is around a file.
pub(super) struct Around<'a> {
    /// What is said beside it.
    pub(super) given: &'a Given,
    /// What a file holds.
    pub(super) read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// All changes, as far as they can be understood; what is wrong is among `problems` then.
pub(super) fn changes(root: &Tree, around: &Around<'_>, problems: &mut Problems) -> Changes {
    object(root, &Span::start_of(root.span.file), &FILE, problems);
    let fields = Fields::of(root);
    let said = if fields.text("dialect") == Some("legacy") { Dialect::Legacy } else { Dialect::Current };
    let dialect = around.given.dialect.unwrap_or(said);
    let mut vars = vars(&fields, problems);
    vars.extend(around.given.set.clone());
    let mut reader = Reader { around, dialect, templates: Vec::new(), changes: Changes::default(), problems };
    let secrets = fields.list("secrets").iter().filter_map(|node| text(node).map(str::to_owned)).collect();
    reader.changes = Changes { dialect, vars, secrets, ..Changes::default() };
    reader.devices(fields.get("devices"));
    for (key, node) in fields.get("drivers").map(entries).unwrap_or_default() {
        let driver = reader.driver(key, node);
        reader.changes.drivers.push(driver);
    }
    for (key, node) in fields.get("matrices").map(entries).unwrap_or_default() {
        let matrix = reader.matrix(key, node);
        reader.changes.matrices.push(matrix);
    }
    for (key, node) in fields.get("templates").map(entries).unwrap_or_default() {
        reader.templates.push((key.text(), node));
        reader.changes.templates.push(word(key));
    }
    if let Some(node) = fields.get("scenario") {
        object(node, &node.span, &ROOT, reader.problems);
        let mut scope = around.given.environment.clone();
        scope.extend(reader.changes.vars.clone());
        reader.changes.scenario = reader.scenario(node, "name", &scope);
    }
    reader.changes
}

pub(super) struct Reader<'a, 'n, 'p> {
    around: &'a Around<'a>,
    pub(super) dialect: Dialect,
    pub(super) templates: Vec<(&'n str, &'n Tree)>,
    pub(super) changes: Changes,
    pub(super) problems: &'p mut Problems,
}

impl Reader<'_, '_, '_> {
    fn devices(&mut self, node: Option<&Tree>) {
        for (key, node) in node.map(entries).unwrap_or_default() {
            let mut device = Device { name: word(key), ..Device::default() };
            device.vars = vars(&Fields::of(node), self.problems);
            for (key, value) in entries(node).iter().filter(|(key, _)| key.text() != "vars") {
                match text(value) {
                    Some(text) => {
                        device.attributes.insert(key.text().to_owned(), text.to_owned());
                    }
                    None => {
                        let message = format!("`{}` of a device is one text", shown(key.text()));
                        self.problems.add("cfg.unknown-element", &value.span, message, None);
                    }
                }
            }
            self.changes.devices.push(device);
        }
    }

    fn driver(&mut self, key: &Tree, node: &Tree) -> Driver {
        let fields = Fields::of(node);
        let said = fields.text("kind").unwrap_or_default();
        let kind = DriverKind::WORDS.iter().find(|(word, _)| *word == said).map(|(_, kind)| *kind);
        let kind = kind.unwrap_or_default();
        let mut argv = Vec::new();
        match (fields.get("connect_command"), fields.get("argv")) {
            (Some(line), Some(_)) => {
                let message = "`argv` and `connect_command` say the same thing twice".to_owned();
                self.problems.add("prov.bad-option", &line.span, message, Some("keep one".to_owned()));
            }
            (Some(line), None) => match shlex::split(line.text()) {
                Some(words) => argv.extend(words.iter().filter_map(|word| self.parsed(word, &line.span))),
                None => {
                    let message = "the command line has a quote without an end".to_owned();
                    self.problems.add("prov.bad-option", &line.span, message, None);
                }
            },
            (None, Some(list)) => argv.extend(items(list).iter().filter_map(|item| self.text(item))),
            (None, None) => {}
        }
        if kind.needs_argv() && fields.get("connect_command").or(fields.get("argv")).is_none() {
            let message = format!("a driver of kind `{}` needs the command that it starts", kind.word());
            let help = Some("say `argv` or `connect_command`; `local` runs commands as they are".to_owned());
            self.problems.add("prov.no-connect-command", &key.span, message, help);
        }
        let command_timeout = self.duration(fields.get("command_timeout"), "prov.bad-option");
        let options = self.options(kind, key, &fields);
        let headers = self.headers(kind, &fields);
        let vars = vars(&fields, self.problems);
        Driver { name: word(key), kind, argv, command_timeout, options, headers, vars }
    }

    fn matrix(&mut self, key: &Tree, node: &Tree) -> Matrix {
        let fields = Fields::of(node);
        let mut rows = Vec::new();
        match (fields.get("rows"), fields.get("csv"), fields.get("machines")) {
            (Some(list), None, None) => {
                for item in items(list) {
                    rows.push(pairs(item, self.problems));
                }
            }
            (None, Some(file), None) => rows = self.csv(file),
            (None, None, Some(names)) => rows = self.machines(names),
            (None, None, None) => {
                let message = "a matrix needs `rows`, `csv` or `machines`".to_owned();
                self.problems.add("iter.no-file", &key.span, message, None);
            }
            _ => {
                let message = "a matrix has one of `rows`, `csv` and `machines`".to_owned();
                self.problems.add("iter.bad-type", &key.span, message, None);
            }
        }
        let delay = self.duration(fields.get("delay"), "iter.bad-type").unwrap_or_default();
        Matrix { name: word(key), delay, rows }
    }

    fn csv(&mut self, node: &Tree) -> Vec<Vars> {
        let path = self.problems.folder(node.span.file).join(node.text());
        match (self.around.read)(&path) {
            Ok(text) => match csv::rows(&text) {
                Ok(rows) => {
                    for key in rows.first().into_iter().flat_map(Vars::keys) {
                        free(key, &node.span, self.problems);
                    }
                    return rows;
                }
                Err(error) => {
                    let message = format!("{}: {error}", path.display());
                    self.problems.add("iter.ragged", &node.span, message, None);
                }
            },
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                let help = Some("a relative path starts at the folder of this file".to_owned());
                self.problems.add("iter.no-file", &node.span, message, help);
            }
        }
        Vec::new()
    }

    /// The rows of machines of the environment, all or those that are named, in the order of the names.
    fn machines(&mut self, node: &Tree) -> Vec<Vars> {
        let known = match &self.around.given.machines {
            Some(Ok(rows)) => rows,
            Some(Err(why)) => {
                let message = format!("the machines of the environment are not known: {why}");
                self.problems.add("iter.no-machines", &node.span, message, None);
                return Vec::new();
            }
            None => {
                let message = "there is no environment whose machines it could be repeated over".to_owned();
                let help = Some("stand in a prefix, or name one with `--prefix-path`".to_owned());
                self.problems.add("iter.no-machines", &node.span, message, help);
                return Vec::new();
            }
        };
        if text(node).is_some() {
            return known.clone();
        }
        let name = |row: &&Vars| row.get(MACHINE).cloned().unwrap_or_default();
        let mut rows = Vec::new();
        for word in words(items(node)) {
            match known.iter().find(|row| name(row) == word.as_str()) {
                Some(row) => rows.push(row.clone()),
                None => {
                    let names: Vec<String> = known.iter().map(|row| name(&row)).collect();
                    let help = suggest(word.as_str(), &names.iter().map(String::as_str).collect::<Vec<_>>());
                    let message = format!("there is no machine `{}`", shown(word.as_str()));
                    self.problems.add("iter.unknown-machine", &word.at.span(), message, help);
                }
            }
        }
        rows
    }

    /// A scenario whose name stands at `key`.
    fn scenario(&mut self, node: &Tree, key: &str, around: &Vars) -> Scenario {
        let fields = Fields::of(node);
        let vars = vars(&fields, self.problems);
        let mut scope = around.clone();
        scope.extend(vars.clone());
        let mut nodes = Vec::new();
        for node in fields.list("nodes") {
            match (node.get("step"), node.get("scenario")) {
                (Some(_), None) => nodes.push(Node::Step(Arc::new(self.step(node, &scope)))),
                (None, Some(_)) => {
                    object(node, &node.span, &SCENARIO, self.problems);
                    nodes.push(Node::Scenario(Box::new(self.scenario(node, "scenario", &scope))));
                }
                _ => {
                    let message = "a member of a scenario has either the key `step` or `scenario`".to_owned();
                    let help =
                        entries(node).first().and_then(|(key, _)| suggest(key.text(), &["step", "scenario"]));
                    self.problems.add("name.missing", &node.span, message, help);
                }
            }
        }
        let verify = fields.get("verify").map(|node| self.script(node));
        Scenario {
            name: fields.get(key).map(word).unwrap_or_default(),
            after: words(fields.list("after")),
            before: words(fields.list("before")),
            policy: self.policy(fields.get("policy")),
            vars,
            unordered: fields.flag("unordered").unwrap_or_default(),
            nodes,
            verify,
        }
    }

    /// A text with variables.
    pub(super) fn text(&mut self, node: &Tree) -> Option<Text> {
        self.parsed(text(node)?, &node.span)
    }

    fn parsed(&mut self, text: &str, span: &Span) -> Option<Text> {
        match Text::parse(text) {
            Ok(text) => Some(text),
            Err(error) => {
                let span = self.within(span, text, error.at..error.at + 1);
                let help = Some("a variable is `%(name)s`, a percent sign is `%%`".to_owned());
                let message = "this `%` begins no variable".to_owned();
                self.problems.add("subst.bad-percent", &span, message, help);
                None
            }
        }
    }

    /// A piece of a text that stands at `span`; all of it where it is not written as it is.
    pub(super) fn within(&self, span: &Span, text: &str, part: std::ops::Range<usize>) -> Span {
        let written = self.problems.text(span.file).get(span.start..span.end).unwrap_or_default();
        match written.find(text) {
            Some(at) => {
                let start = span.start + at;
                Span { start: start + part.start, end: start + part.end, ..*span }
            }
            None => *span,
        }
    }

    /// A name, with variables replaced.
    pub(super) fn name(&mut self, node: &Tree, scope: &Vars) -> Option<Word> {
        match self.text(node)?.fill(scope) {
            Ok(name) => Some(Word::new(name, node.span)),
            Err(error) => {
                self.problems.add("subst.unresolved", &node.span, error.to_string(), None);
                None
            }
        }
    }

    /// A number of seconds, or of what is written after it.
    pub(super) fn duration(&mut self, node: Option<&Tree>, code: &'static str) -> Option<Duration> {
        let node = node?;
        let text = text(node)?.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: Option<u64> = digits.trim_end().parse().ok();
        let unit = match text.get(digits.len()..) {
            Some("ms") => Some(1),
            Some("" | "s") => Some(1000),
            Some("m") => Some(60_000),
            Some("h") => Some(3_600_000),
            _ => None,
        };
        let duration = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
        if duration.is_none() {
            let message = format!("`{}` is no duration", shown(text));
            let help = Some("write a whole number of seconds, or one with `ms`, `s`, `m` or `h`".to_owned());
            self.problems.add(code, &node.span, message, help);
        }
        duration.map(Duration::from_millis)
    }
}

/// The key `vars`.
pub(super) fn vars(fields: &Fields<'_>, problems: &mut Problems) -> Vars {
    fields.get("vars").map(|node| pairs(node, problems)).unwrap_or_default()
}

fn pairs(node: &Tree, problems: &mut Problems) -> Vars {
    let mut found = Vars::new();
    for (key, value) in entries(node) {
        free(key.text(), &key.span, problems);
        found.insert(key.text().to_owned(), value.text().to_owned());
    }
    found
}

/// Notes a variable that is not for files to define.
fn free(key: &str, span: &Span, problems: &mut Problems) {
    if is_reserved(key) {
        let message = format!("`{}` is a name of ours", shown(key));
        let help = Some("variables may not begin like this; rename it".to_owned());
        problems.add("name.reserved", span, message, help);
    }
}

pub(super) fn word(node: &Tree) -> Word {
    Word::new(node.text(), node.span)
}

pub(super) fn words(nodes: &[Tree]) -> Vec<Word> {
    nodes.iter().filter(|node| text(node).is_some()).map(word).collect()
}
