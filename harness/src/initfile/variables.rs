//! The file's own variables: what `variables` declares, and `${NAME}` replaced by their values in every text.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use super::{
    options::Options,
    parse::{Node, Value, duplicate_key},
    problems::{Problems, Span},
    reader::{self, Fields},
    shape::{shown, suggest},
};

/// How much text replacing may make, in bytes: a few long values could otherwise stand for gigabytes.
const MOST_TEXT: usize = 1 << 24;

/// Declared variables with their values.
pub(crate) struct Variables(BTreeMap<String, Text>);

struct Text {
    text: String,
    quoted: bool,
}

impl Variables {
    /// Those of a file; values come from the options, then from the environment, then from the file.
    pub(crate) fn declared(root: &Node, options: &Options<'_>, problems: &mut Problems) -> Self {
        let mut values = BTreeMap::new();
        let fields = Fields::of(root);
        let declared = fields.get("variables").map(reader::entries).unwrap_or_default();
        for (key, default) in declared {
            let name = key.text();
            if !is_name(name) {
                let message = format!("`{}` cannot be a variable's name", shown(name));
                let help = "use letters, digits and `_`, beginning with no digit".to_owned();
                problems.add("init::bad-variable", &key.span, message, Some(help));
                continue;
            }
            let given = options.variables.get(name).cloned().or_else(|| (options.env)(name));
            let value = match (given, default.value()) {
                // What comes from outside is nothing but text; only empty text must not become "nothing".
                (Some(text), _) => Text { quoted: text.is_empty(), text },
                (None, _) if default.is_null() => {
                    let message = format!("the variable `{name}` has no value");
                    let help = format!("set `{name}` in the environment or with `--var`, or write one here");
                    problems.add("init::unset-variable", &key.span, message, Some(help));
                    Text { text: String::new(), quoted: true }
                }
                (None, Value::Scalar { text, quoted, .. }) => Text { text: text.clone(), quoted: *quoted },
                // Reported with the shape of the file.
                (None, Value::List(_) | Value::Map(_)) => continue,
            };
            values.insert(name.to_owned(), value);
        }
        let known: Vec<&str> = declared.iter().map(|(key, _)| key.text()).collect();
        for name in options.variables.keys().filter(|name| !known.contains(&name.as_str())) {
            let at = fields.key("variables").map_or(Span::start_of(root.span.file), |key| key.span);
            let message = format!("the file has no variable `{}`, for which a value is given", shown(name));
            problems.add("init::unknown-variable", &at, message, suggest(name, &known));
        }
        Self(values)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    /// The file with values in place of variables.
    pub(crate) fn replace(&self, root: &Node, problems: &mut Problems) -> Node {
        if self.0.is_empty() {
            return root.clone();
        }
        let mut replacing = Replacing { variables: self, problems, made: 0 };
        let entries = reader::entries(root).iter().map(|(key, value)| match key.text() {
            "variables" => (key.clone(), value.clone()),
            _ => (key.clone(), replacing.node(value)),
        });
        Node::new(root.span, Value::Map(entries.collect()))
    }

    /// A text with values in it, and whether it counts as quoted; `None` when there is no variable in it.
    /// `$$` before a variable's braces stands for one `$`.
    fn text(&self, text: &str, quoted: bool) -> Option<Text> {
        let mut out = String::new();
        let mut rest = text;
        let mut pending = 0;
        let mut found = None;
        while let Some((before, after)) = rest.get(pending..).and_then(|tail| tail.split_once("${")) {
            let at = pending + before.len();
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let name =
                end.and_then(|end| after.split_at_checked(end)).filter(|(_, tail)| tail.starts_with('}'));
            let Some((value, name, tail)) =
                name.and_then(|(name, tail)| Some((self.0.get(name)?, name, tail.get(1..)?)))
            else {
                pending = at + 2;
                continue;
            };
            let before = rest.get(..at).unwrap_or_default();
            let plain = before.trim_end_matches('$');
            let dollars = before.len() - plain.len() + 1;
            out.push_str(plain);
            out.push_str(&"$".repeat(dollars / 2));
            if dollars % 2 == 1 {
                out.push_str(&value.text);
            } else {
                out.push_str(&format!("{{{name}}}"));
            }
            let alone = dollars == 1 && found.is_none() && plain.is_empty() && tail.is_empty();
            found = Some(if alone { value.quoted } else { quoted });
            (rest, pending) = (tail, 0);
        }
        out.push_str(rest);
        found.map(|quoted| Text { text: out, quoted })
    }
}

/// Names that a shell takes, too.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

struct Replacing<'v, 'p> {
    variables: &'v Variables,
    problems: &'p mut Problems,
    made: usize,
}

impl Replacing<'_, '_> {
    fn node(&mut self, node: &Node) -> Node {
        let value = match node.value() {
            Value::Scalar { text, quoted, .. } => match self.variables.text(text, *quoted) {
                Some(new) if self.may_make(new.text.len(), &node.span) => {
                    Value::Scalar { text: new.text, quoted: new.quoted, raw: Some(text.clone()) }
                }
                _ => return node.clone(),
            },
            Value::List(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            Value::Map(entries) => Value::Map(self.entries(entries)),
        };
        Node::new(node.span, value)
    }

    /// Keys have variables, too, and may become alike.
    fn entries(&mut self, entries: &[(Node, Node)]) -> Vec<(Node, Node)> {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut replaced = Vec::new();
        for (key, value) in entries {
            let (key, value) = (self.node(key), self.node(value));
            match seen.entry(key.text().to_owned()) {
                Entry::Occupied(first) => duplicate_key(&key, first.get(), self.problems),
                Entry::Vacant(free) => {
                    free.insert(key.span);
                    replaced.push((key, value));
                }
            }
        }
        replaced
    }

    fn may_make(&mut self, bytes: usize, span: &Span) -> bool {
        self.made = self.made.saturating_add(bytes);
        if self.made > MOST_TEXT {
            let message = format!("the variables up to here stand for more than {MOST_TEXT} bytes");
            self.problems.add("init::too-much-text", span, message, None);
        }
        self.made <= MOST_TEXT
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Text, Variables};

    #[rstest]
    #[case("plain ${B} $A", None)]
    #[case("${A}", Some(("one", false)))]
    #[case("${A}${A}", Some(("oneone", true)))]
    #[case("x-${A}-y", Some(("x-one-y", true)))]
    #[case("$${A}", Some(("${A}", true)))]
    #[case("$$${A}", Some(("$one", true)))]
    #[case("$$$${A} $$", Some(("$${A} $$", true)))]
    #[case("${${A}", Some(("${one", true)))]
    #[case("${A ${A", None)]
    #[case("${B}${A}${C}", Some(("${B}one${C}", true)))]
    fn only_what_is_declared_is_replaced(#[case] text: &str, #[case] expected: Option<(&str, bool)>) {
        let one = Text { text: "one".to_owned(), quoted: false };
        let variables = Variables([("A".to_owned(), one)].into());
        let got = variables.text(text, true);
        assert_eq!(got.as_ref().map(|t| (t.text.as_str(), t.quoted)), expected);
    }
}
