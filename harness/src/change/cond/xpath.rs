//! The little of XPath that conditions need: absolute paths of children, `[n]`, `@attribute`, `text()`, and one comparison
//! with a literal. Pure.

use std::fmt;

use crate::change::text::{Part, Text, Unresolved, Values};

/// An element of a document that a device answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name without a prefix.
    pub name: String,
    /// Names and values.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Element>,
    /// Its own text.
    pub text: String,
}

/// A path that nodes of a document may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct XPath {
    steps: Vec<Step>,
    end: End,
    /// What the text of the node has to be.
    equals: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    name: String,
    /// Which of the children of that name, counted from 1.
    nth: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Element,
    Text,
    Attribute(String),
}

impl XPath {
    /// Reads a path; variables may stand in its literal only, where they cannot become part of the path.
    pub(super) fn parse(text: &Text) -> Result<Self, String> {
        let (first, others) = match text.parts() {
            [Part::Text(first), others @ ..] => (first.as_str(), others),
            _ => return Err("a path begins with `/`".to_owned()),
        };
        let (path, equals) = match first.split_once('=') {
            Some((path, literal)) => (path, Some(literal_of(literal.trim_start(), others)?)),
            None if others.is_empty() => (first, None),
            None => return Err("a variable may stand in the literal of a path only".to_owned()),
        };
        let Some(path) = path.trim().strip_prefix('/') else {
            return Err("a path begins with `/`".to_owned());
        };
        let (mut steps, mut end) = (Vec::new(), End::Element);
        for piece in path.split('/') {
            if end != End::Element {
                return Err("`text()` and `@attribute` end a path".to_owned());
            }
            match (piece, piece.strip_prefix('@')) {
                ("text()", _) => end = End::Text,
                (_, Some(name)) => end = End::Attribute(named(name)?),
                (_, None) => steps.push(step(piece)?),
            }
        }
        if steps.is_empty() {
            Err("a path names an element".to_owned())
        } else {
            Ok(Self { steps, end, equals })
        }
    }

    /// The variables in it.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.equals.iter().flat_map(Text::keys)
    }

    /// Whether any node of the document with this root matches.
    pub(super) fn matches(&self, root: &Element, values: &dyn Values) -> Result<bool, Unresolved> {
        let equals = self.equals.as_ref().map(|text| text.fill(values)).transpose()?;
        let mut found = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let from: Vec<&[Element]> = if at == 0 {
                vec![std::slice::from_ref(root)]
            } else {
                found.iter().map(|element: &&Element| element.children.as_slice()).collect()
            };
            found = from.into_iter().flat_map(|siblings| step.among(siblings)).collect();
        }
        let fits = |text: &str| equals.as_ref().is_none_or(|wanted| wanted == text);
        Ok(found.into_iter().any(|element| match &self.end {
            End::Element => fits(&element.text),
            End::Text => !element.text.is_empty() && fits(&element.text),
            End::Attribute(name) => element.attributes.iter().any(|(key, value)| key == name && fits(value)),
        }))
    }
}

impl Step {
    fn among<'e>(&self, siblings: &'e [Element]) -> Vec<&'e Element> {
        let mut named = siblings.iter().filter(|element| element.name == self.name);
        match self.nth {
            Some(nth) => nth.checked_sub(1).and_then(|nth| named.nth(nth)).into_iter().collect(),
            None => named.collect(),
        }
    }
}

fn step(piece: &str) -> Result<Step, String> {
    let Some((name, index)) = piece.split_once('[') else {
        return Ok(Step { name: named(piece)?, nth: None });
    };
    let nth = index.strip_suffix(']').and_then(|index| index.parse().ok()).filter(|nth| *nth > 0);
    match nth {
        Some(nth) => Ok(Step { name: named(name)?, nth: Some(nth) }),
        None => Err(format!("`[{index}` must be a number from 1 in brackets")),
    }
}

fn named(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match !name.is_empty() && name.chars().all(fits) {
        true => Ok(name.to_owned()),
        false => Err(format!("`{name}` is no name; paths are like `/a/b[1]/@c = 'text'`")),
    }
}

/// A literal in quotes that begins in `first` and goes on in `others`.
fn literal_of(first: &str, others: &[Part]) -> Result<Text, String> {
    let bad = || "what a path is compared with is one text in quotes".to_owned();
    let quote = first.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(bad)?;
    let mut parts = vec![Part::Text(first.get(1..).unwrap_or_default().to_owned())];
    parts.extend(others.iter().cloned());
    let Some(Part::Text(last)) = parts.last_mut() else { return Err(bad()) };
    *last = last.trim_end().strip_suffix(quote).ok_or_else(bad)?.to_owned();
    let has_quote = |part: &Part| matches!(part, Part::Text(text) if text.contains(quote));
    if parts.iter().any(has_quote) { Err(bad()) } else { Ok(Text::from_parts(parts)) }
}

impl XPath {
    /// The text it is read from.
    pub(super) fn text(&self) -> Text {
        let path = self.path();
        let Some(equals) = &self.equals else { return Text::plain(&path) };
        let has = |part: &Part| matches!(part, Part::Text(text) if text.contains('\''));
        let quote = if equals.parts().iter().any(has) { '"' } else { '\'' };
        let mut parts = vec![Part::Text(format!("{path} = {quote}"))];
        parts.extend(equals.parts().iter().cloned());
        parts.push(Part::Text(quote.into()));
        Text::from_parts(parts)
    }

    fn path(&self) -> String {
        let mut out = String::new();
        for step in &self.steps {
            out.push_str(&format!("/{}", step.name));
            if let Some(nth) = step.nth {
                out.push_str(&format!("[{nth}]"));
            }
        }
        match &self.end {
            End::Element => {}
            End::Text => out.push_str("/text()"),
            End::Attribute(name) => out.push_str(&format!("/@{name}")),
        }
        out
    }
}

impl fmt::Display for XPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text())
    }
}
