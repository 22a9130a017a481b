//! A document as a tree: built, read, changed and written. Knows no libvirt.

use std::{fmt, io};

use quick_xml::{
    Reader, XmlVersion,
    escape::unescape,
    events::{BytesStart, Event},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::write::{Xml, empty, fragment, parent, text};

/// An element: with text or with elements in it, never with both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Element {
    /// Its name as written, with the prefix if it has one.
    pub name: String,
    /// Its attributes in order.
    pub attributes: Vec<(String, String)>,
    /// The elements in it.
    pub children: Vec<Element>,
    /// The text in it, if there are no elements.
    pub text: String,
}

/// A text is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct XmlError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl Element {
    /// An element with nothing in it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    /// With text in it.
    #[must_use]
    pub fn holding(mut self, text: impl fmt::Display) -> Self {
        self.text = text.to_string();
        self
    }

    /// With elements in it, after those it has.
    #[must_use]
    pub fn of(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    /// Gives an attribute a value.
    pub fn set(&mut self, attribute: &str, value: &str) {
        match self.attributes.iter_mut().find(|(name, _)| name == attribute) {
            Some((_, old)) => value.clone_into(old),
            None => self.attributes.push((attribute.to_owned(), value.to_owned())),
        }
    }

    /// The first element of that name in it.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element of that name in it, to be changed.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// Reads a document. Comments, processing instructions and text beside elements are left out.
    ///
    /// # Errors
    /// The first thing that is not well formed, with its line.
    pub fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut open = vec![Self::default()];
        loop {
            let event = reader.read_event();
            let at = if event.is_err() { reader.error_position() } else { reader.buffer_position() };
            let wrong = |what: String| {
                let before = text.get(..usize::try_from(at).unwrap_or(usize::MAX)).unwrap_or(text);
                XmlError { line: 1 + before.matches('\n').count(), what }
            };
            match event.map_err(|e| wrong(e.to_string()))? {
                Event::Start(start) => open.push(begin(&start).map_err(wrong)?),
                Event::End(_) => close(&mut open),
                Event::Text(text) => say(&mut open, &text),
                Event::CData(text) => say(&mut open, &text),
                Event::GeneralRef(name) => {
                    let text = format!("&{};", &*name);
                    say(&mut open, &unescape(&text).map_err(|e| wrong(e.to_string()))?);
                }
                Event::Eof => return root(open).map_err(wrong),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    /// An element from a map: keys with `@` are attributes, `#text` is the text in it, every other key is an element in
    /// it, or several when its value is a list.
    ///
    /// # Errors
    /// What in the map cannot be XML.
    pub fn from_json(name: &str, map: &Map<String, Json>) -> Result<Self, String> {
        let mut element = Self::new(checked(name)?);
        for (key, value) in map {
            match (key.strip_prefix('@'), value) {
                (Some(attribute), value) => element.set(checked(attribute)?, &scalar(key, value)?),
                (None, value) if key == "#text" => element.text = scalar(key, value)?,
                (None, Json::Array(list)) => {
                    for value in list {
                        element.children.push(child(key, value)?);
                    }
                }
                (None, value) => element.children.push(child(key, value)?),
            }
        }
        if element.text.is_empty() || element.children.is_empty() {
            Ok(element)
        } else {
            Err(format!("`{name}` has both text and elements in it"))
        }
    }

    /// Writes it into a larger document.
    pub(crate) fn write(&self, w: &mut Xml) -> io::Result<()> {
        let attributes = self.borrowed();
        if self.children.is_empty() && !self.text.is_empty() {
            return text(w, &self.name, &attributes, &self.text);
        }
        if self.children.is_empty() {
            return empty(w, &self.name, &attributes);
        }
        parent(w, &self.name, &attributes, |w| self.children.iter().try_for_each(|child| child.write(w)))
    }

    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// The document of which it is the root.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&fragment(|w| self.write(w)))
    }
}

fn child(name: &str, value: &Json) -> Result<Element, String> {
    match value {
        Json::Object(map) => Element::from_json(name, map),
        value => Ok(Element::new(checked(name)?).holding(scalar(name, value)?)),
    }
}

fn scalar(key: &str, value: &Json) -> Result<String, String> {
    match value {
        Json::Null => Ok(String::new()),
        Json::String(text) => Ok(text.clone()),
        Json::Bool(_) | Json::Number(_) => Ok(value.to_string()),
        Json::Array(_) | Json::Object(_) => Err(format!("`{key}` must be a plain value, not a list or map")),
    }
}

/// A name elements and attributes can have.
fn checked(name: &str) -> Result<&str, String> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if starts && name.chars().all(good) { Ok(name) } else { Err(format!("`{name}` is no name in XML")) }
}

fn begin(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element::new(start.name().0);
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?;
        element.attributes.push((attribute.key.0.to_string(), value.into_owned()));
    }
    Ok(element)
}

/// Puts the innermost open element into the one around it.
fn close(open: &mut Vec<Element>) {
    let Some(mut ended) = open.pop() else { return };
    if !ended.children.is_empty() || ended.text.trim().is_empty() {
        ended.text.clear();
    }
    if let Some(around) = open.last_mut() {
        around.children.push(ended);
    }
}

fn say(open: &mut [Element], text: &str) {
    if let Some(here) = open.last_mut() {
        here.text.push_str(text);
    }
}

/// What is left when the text ends: nothing but the root in what is around everything.
fn root(mut open: Vec<Element>) -> Result<Element, String> {
    let innermost = open.pop().unwrap_or_default();
    if !open.is_empty() {
        return Err(format!("`<{}>` is not closed", innermost.name));
    }
    if !innermost.text.trim().is_empty() {
        return Err("there is text outside of all elements".to_owned());
    }
    match <[Element; 1]>::try_from(innermost.children) {
        Ok([root]) => Ok(root),
        Err(_) => Err("there must be exactly one element around all others".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        let read = Element::parse(
            "<?xml version='1.0'?>\n<!-- c -->\n<a x='1 &lt; 2' q:y=\"&#65;\">\n <b/>text<c> t &amp; <![CDATA[<u>]]></c>\n</a>\n",
        );
        let c = Element::new("c").holding(" t & <u>");
        let expected = Element::new("a").with("x", "1 < 2").with("q:y", "A").of([Element::new("b"), c]);
        assert_eq!(read, Ok(expected));
    }

    #[rstest::rstest]
    #[case("", "line 1: there must be exactly one element around all others")]
    #[case("<a/>\n<b/>", "line 2: there must be exactly one element around all others")]
    #[case("<a>\n<b>\n</a>", "line 3: ill-formed document: expected `</b>`, but `</a>` was found")]
    #[case("<a>\n<b>", "line 2: `<b>` is not closed")]
    #[case("x <a/>", "line 1: there is text outside of all elements")]
    #[case("<a>\n&nix;</a>", "line 2: ")]
    #[case("<a\nx>", "line 2: ")]
    #[case("<a x='1' x='2'/>", "line 1: ")]
    #[case("</a>", "line 1: ")]
    #[case("<", "line 1: ")]
    fn what_is_not_well_formed_is_named_with_its_line(#[case] text: &str, #[case] error: &str) {
        let said = Element::parse(text).unwrap_err().to_string();
        assert!(said.starts_with(error), "{said}");
    }

    #[test]
    fn a_map_becomes_an_element() {
        let map = serde_json::json!({
            "@mode": "custom", "@match": "exact", "model": {"@fallback": "allow", "#text": "Westmere"},
            "feature": [{"@name": "vmx", "@policy": "require"}, {"@name": "aes"}], "vendor": "Intel", "cache": null, "n": 1,
        });
        insta::assert_snapshot!(Element::from_json("cpu", map.as_object().unwrap()).unwrap(), @r#"
        <cpu mode="custom" match="exact">
          <model fallback="allow">Westmere</model>
          <feature name="vmx" policy="require"/>
          <feature name="aes"/>
          <vendor>Intel</vendor>
          <cache/>
          <n>1</n>
        </cpu>
        "#);
    }

    #[rstest::rstest]
    #[case(r#"{"@a": [1]}"#, "`@a` must be a plain value, not a list or map")]
    #[case(r#"{"b": [[1]]}"#, "`b` must be a plain value, not a list or map")]
    #[case(r##"{"#text": "x", "b": 1}"##, "`cpu` has both text and elements in it")]
    #[case(r#"{"b c": 1}"#, "`b c` is no name in XML")]
    #[case(r#"{"@": 1}"#, "`` is no name in XML")]
    fn a_map_that_cannot_be_one_says_why(#[case] map: &str, #[case] why: &str) {
        assert_eq!(Element::from_json("cpu", &serde_json::from_str(map).unwrap()), Err(why.to_owned()));
    }

    fn tree() -> impl Strategy<Value = Element> {
        let name = "[a-z][a-z0-9:-]{0,8}";
        let attributes = prop::collection::btree_map(name, "[ -~äß€]{0,9}", 0..3);
        let leaf = (name, attributes.clone(), "[!-~äß€]{0,9}").prop_map(|(name, attributes, text)| Element {
            name,
            attributes: attributes.into_iter().collect(),
            text,
            ..Element::default()
        });
        leaf.prop_recursive(4, 32, 4, move |inner| {
            (name, attributes.clone(), prop::collection::vec(inner, 1..4)).prop_map(
                |(name, attributes, children)| Element {
                    name,
                    attributes: attributes.into_iter().collect(),
                    children,
                    text: String::new(),
                },
            )
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(tree in tree()) {
            prop_assert_eq!(Element::parse(&tree.to_string()), Ok(tree));
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = Element::parse(&text);
        }
    }
}
