//! XML as a tree of elements by their local names, as far as descriptors need it. Pure.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// Descriptors are not nested deeper.
const DEEPEST: usize = 100;

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name without a prefix.
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    /// Reads a document; returns something that holds its root.
    pub(super) fn parse(xml: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(xml.strip_prefix('\u{feff}').unwrap_or(xml));
        let mut open = vec![Self::default()];
        loop {
            let at = reader.buffer_position();
            let event = reader.read_event().map_err(|error| format!("not XML at byte {at}: {error}"))?;
            match event {
                Event::Start(start) => {
                    if open.len() > DEEPEST {
                        return Err(format!("nested too deeply at byte {at}"));
                    }
                    open.push(Self::begin(&start)?);
                }
                Event::Empty(start) => {
                    let element = Self::begin(&start)?;
                    open.last_mut().ok_or("no root")?.children.push(element);
                }
                // The reader has checked that it ends the innermost one.
                Event::End(_) => {
                    let element = open.pop().ok_or("no root")?;
                    open.last_mut().ok_or("no root")?.children.push(element);
                }
                Event::Text(text) => open.last_mut().ok_or("no root")?.text.push_str(&text),
                Event::CData(text) => open.last_mut().ok_or("no root")?.text.push_str(&text),
                Event::GeneralRef(name) => {
                    let known = quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned);
                    let number = name.resolve_char_ref().ok().flatten().map(String::from);
                    let text = known.or(number).ok_or_else(|| format!("unknown entity `&{};`", &*name))?;
                    open.last_mut().ok_or("no root")?.text.push_str(&text);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let root = open.pop().filter(|_| open.is_empty());
        root.filter(|root| !root.children.is_empty()).ok_or_else(|| "it ends early".to_owned())
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let name = start.local_name().as_ref().to_owned();
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| format!("element `{name}`: {error}"))?;
            let value = attribute
                .normalized_value(XmlVersion::default())
                .map_err(|error| format!("element `{name}`: {error}"))?;
            attributes.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
        }
        Ok(Self { name, attributes, ..Self::default() })
    }

    /// The value of an attribute, by its name without a prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The text of the first child of this name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.trim())
    }

    /// All elements below it that fit.
    pub(super) fn all<'a>(&'a self, fits: &dyn Fn(&Element) -> bool) -> Vec<&'a Element> {
        let mut found = Vec::new();
        for child in &self.children {
            if fits(child) {
                found.push(child);
            }
            found.extend(child.all(fits));
        }
        found
    }
}
