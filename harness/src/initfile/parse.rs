//! YAML (and JSON, which is YAML) to a tree in which every node knows its place in the text.
//! Aliases and merge keys are resolved here; what keys mean is not known here.

use std::{
    collections::{HashMap, hash_map::Entry},
    rc::Rc,
};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Marks, Tag};

use super::problems::{Problems, Span};

/// How many nodes aliases may add; a few nested anchors could otherwise stand for billions.
const MOST_ALIASED: usize = 100_000;
/// How deep lists and mappings may nest: everything after this walks the tree recursively.
const DEEPEST: usize = 64;

/// A piece of the document. Cheap to clone: aliases share what they stand for.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    value: Rc<Value>,
    size: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Value {
    /// Text; quoted text is never a number, a boolean or nothing.
    Scalar {
        text: String,
        quoted: bool,
        /// The text as written, where variables have been replaced in it.
        raw: Option<String>,
    },
    List(Vec<Node>),
    /// Keys (always scalars, no two alike) and values in the file's order, merged ones last.
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(crate) fn new(span: Span, value: Value) -> Self {
        let children: usize = match &value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(|n| n.size).sum(),
            Value::Map(entries) => entries.iter().map(|(k, v)| k.size + v.size).sum(),
        };
        Self { span, value: Rc::new(value), size: children + 1 }
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Nodes in it, itself included, aliases followed.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self.value() {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v),
            Value::List(_) | Value::Scalar { .. } => None,
        }
    }

    /// The text of a scalar; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        match self.value() {
            Value::Scalar { text, .. } => text,
            Value::List(_) | Value::Map(_) => "",
        }
    }

    /// Whether there is nothing: an absent value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value(), Value::Scalar { text, quoted: false, .. } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value() {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// The root of a text; `None` when it has none, the reason then being among `problems`.
pub(crate) fn tree(file: usize, problems: &mut Problems) -> Option<Node> {
    let text = problems.text(file).to_owned();
    let mut offsets: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    offsets.push(text.len());
    let mut loader =
        Loader { problems, file, offsets, anchors: HashMap::new(), open: Vec::new(), root: None, aliased: 0 };
    let mut parser = Parser::new_from_str(&text);
    loop {
        match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((event, marks))) => loader.take(event, marks)?,
            Some(Err(error)) => {
                let at = loader.offset(*error.marker());
                return loader.syntax_error(at, error.info());
            }
        }
    }
    if loader.root.is_none() {
        let help = (file == 0).then(|| "an init file has at least the keys `domains` and `nets`".to_owned());
        loader.problems.add("yaml::empty", &Span::start_of(file), "the file is empty".to_owned(), help);
    }
    loader.root
}

/// Notes a key that its mapping has already, at `first`.
pub(crate) fn duplicate_key(key: &Node, first: &Span, problems: &mut Problems) {
    let message = format!("the key `{}` comes twice", key.text());
    let elsewhere = problems.elsewhere(first, &key.span);
    let help = Some(format!("it is {elsewhere} already; remove or rename one of them"));
    problems.add("yaml::duplicate-key", &key.span, message, help);
}

struct Loader<'p> {
    problems: &'p mut Problems,
    file: usize,
    /// Byte offset of each character: the parser counts characters.
    offsets: Vec<usize>,
    anchors: HashMap<usize, Node>,
    open: Vec<Open>,
    root: Option<Node>,
    aliased: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    start: usize,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<(Node, Node)>, key: Option<Node> },
}

impl Loader<'_> {
    /// Takes in one event; `None` when going on makes no sense.
    fn take(&mut self, event: Event<'_>, marks: Marks) -> Option<()> {
        let span = self.span(self.offset(marks.start), self.offset(marks.end));
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "the file holds several documents, one is allowed".to_owned();
                self.problems.add(
                    "yaml::several-documents",
                    &span,
                    message,
                    Some("remove this `---`".to_owned()),
                );
                None
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = style != ScalarStyle::Plain || self.is_string(tag.as_deref(), &span);
                self.close(
                    Node::new(span, Value::Scalar { text: text.into_owned(), quoted, raw: None }),
                    anchor,
                )
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.begin(span, anchor, tag.as_deref(), Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(span, anchor, tag.as_deref(), Items::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let value = match open.items {
                    Items::List(items) => Value::List(items),
                    Items::Map { entries, .. } => Value::Map(self.unite(entries)),
                };
                self.close(Node::new(Span { start: open.start, ..span }, value), open.anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, items: Items) -> Option<()> {
        self.is_string(tag, &span);
        if self.open.len() == DEEPEST {
            let message = format!("lists and mappings nest deeper than {DEEPEST} levels");
            self.problems.add("yaml::too-deep", &span, message, None);
            return None;
        }
        self.open.push(Open { start: span.start, anchor, items });
        Some(())
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
        }
        Some(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(target) = self.anchors.get(&anchor) else {
            let message = "the alias stands inside the very thing it stands for".to_owned();
            self.problems.add("yaml::recursive-alias", &span, message, None);
            return None;
        };
        let node = Node { span, ..target.clone() };
        self.aliased = self.aliased.saturating_add(node.size);
        if self.aliased > MOST_ALIASED {
            let message = format!("the aliases up to here stand for more than {MOST_ALIASED} values");
            self.problems.add("yaml::too-many-aliases", &span, message, None);
            return None;
        }
        self.close(node, 0)
    }

    /// Resolves merge keys and refuses keys that are not text or come twice.
    fn unite(&mut self, entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut own: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut seen: HashMap<String, Span> = HashMap::new();
        for (key, value) in entries {
            match key.value() {
                Value::Scalar { text, quoted: false, .. } if text == "<<" => self.merge(&value, &mut merged),
                Value::Scalar { text, .. } => match seen.entry(text.clone()) {
                    Entry::Occupied(first) => duplicate_key(&key, first.get(), self.problems),
                    Entry::Vacant(free) => {
                        free.insert(key.span);
                        own.push((key, value));
                    }
                },
                Value::List(_) | Value::Map(_) => {
                    let message = format!("a key must be a single value, this is {}", key.kind());
                    self.problems.add("yaml::bad-key", &key.span, message, None);
                }
            }
        }
        for (key, value) in merged {
            if let Entry::Vacant(free) = seen.entry(key.text().to_owned()) {
                free.insert(key.span);
                own.push((key, value));
            }
        }
        own
    }

    /// Appends what `<<: value` brings; of several mappings the first to have a key wins.
    fn merge(&mut self, value: &Node, merged: &mut Vec<(Node, Node)>) {
        match value.value() {
            Value::Map(entries) => merged.extend(entries.iter().cloned()),
            Value::List(items) if items.iter().all(|n| matches!(n.value(), Value::Map(_))) => {
                items.iter().for_each(|item| self.merge(item, merged));
            }
            Value::List(_) | Value::Scalar { .. } => {
                let message = format!("`<<` takes a mapping or a list of mappings, this is {}", value.kind());
                self.problems.add("yaml::bad-merge", &value.span, message, None);
            }
        }
    }

    /// Whether a tag makes a plain scalar text; refuses tags of which nobody knows what they do.
    fn is_string(&mut self, tag: Option<&Tag>, span: &Span) -> bool {
        let Some(tag) = tag else { return false };
        let known = matches!(tag.suffix.as_str(), "str" | "int" | "bool" | "float" | "null" | "map" | "seq");
        if !(tag.is_yaml_core_schema() && known) {
            let tag = tag.to_string();
            let span = Span { end: span.end.min(span.start + tag.len()), ..*span };
            self.problems.add("yaml::unknown-tag", &span, format!("unknown tag `{tag}`"), None);
        }
        tag.suffix == "str"
    }

    fn syntax_error(&mut self, at: usize, info: &str) -> Option<Node> {
        let text = self.problems.text(self.file);
        let before = text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |i| i + 1);
        let rest = text.get(line..).unwrap_or_default();
        let indent: &str =
            rest.get(..rest.len() - rest.trim_start_matches([' ', '\t']).len()).unwrap_or_default();
        if let Some(tab) = indent.find('\t') {
            let at = line + tab;
            let help = Some("indent with spaces".to_owned());
            let span = self.span(at, at + 1);
            self.problems.add("yaml::tab", &span, "a tab cannot indent YAML".to_owned(), help);
        } else {
            let end = text.get(at..).and_then(|t| t.chars().next()).map_or(at, |c| at + c.len_utf8());
            let help =
                before.ends_with('$').then(|| "put quotes around a text with `${...}` in it".to_owned());
            let span = self.span(at, end);
            self.problems.add("yaml::syntax", &span, format!("bad YAML: {info}"), help);
        }
        None
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end }
    }

    fn offset(&self, marker: Marker) -> usize {
        self.offsets.get(marker.index()).or(self.offsets.last()).copied().unwrap_or_default()
    }
}
