//! An XML document as elements that know their places. Knows none of their names but XInclude's.

use std::{io, path::Path};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use crate::{
    change::cond,
    initfile::{Problems, Span, shown},
};

/// Documents are not nested deeper, nor files included.
const DEEPEST: usize = 48;

/// An element.
pub(super) struct Element {
    /// Its name, without a prefix.
    pub(super) name: String,
    /// Where its name is.
    pub(super) span: Span,
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
    /// Where its text is; its name where it has none.
    pub(super) text_span: Span,
}

pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) span: Span,
    pub(super) value_span: Span,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    fn without_places(self) -> cond::Element {
        let attributes = self.attributes.into_iter().map(|one| (one.name, one.value)).collect();
        let children = self.children.into_iter().map(Self::without_places).collect();
        cond::Element { name: self.name, attributes, children, text: self.text }
    }

    pub(super) fn all<'e>(&'e self, name: &str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// The root of a text, with what it includes in it; `None` when it has none, the reason then being among `problems`.
pub(super) fn document(
    file: usize,
    read: &dyn Fn(&Path) -> io::Result<String>,
    depth: usize,
    problems: &mut Problems,
) -> Option<Element> {
    let text = problems.text(file).to_owned();
    let found = Parser { file, text: &text, open: Vec::new(), root: None }.parsed();
    match found {
        Ok(mut root) => {
            include(&mut root, read, depth, problems);
            Some(root)
        }
        Err((at, message)) => {
            let end = text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
            problems.add("cfg.parse", &Span { file, start: at, end }, format!("bad XML: {message}"), None);
            None
        }
    }
}

impl cond::Element {
    /// The root of a document.
    ///
    /// # Errors
    /// What is wrong with the document, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parser = Parser { file: 0, text, open: Vec::new(), root: None };
        let wrong = |(at, message): Wrong| format!("{message}, after {at} bytes");
        parser.parsed().map(Element::without_places).map_err(wrong)
    }
}

/// Puts the roots of included files in the places of `include` elements.
fn include(
    element: &mut Element,
    read: &dyn Fn(&Path) -> io::Result<String>,
    depth: usize,
    problems: &mut Problems,
) {
    for child in &mut element.children {
        if child.name != "include" {
            include(child, read, depth, problems);
            continue;
        }
        let Some(href) = child.attribute("href") else {
            let message = "an `include` needs the attribute `href`".to_owned();
            problems.add("cfg.include", &child.span, message, None);
            continue;
        };
        let path = problems.folder(child.span.file).join(&href.value);
        if depth >= DEEPEST / 4 {
            let message = format!("{} is included too deeply; does it include itself?", path.display());
            problems.add("cfg.include", &href.value_span, message, None);
            continue;
        }
        match read(&path) {
            Ok(text) => {
                let folder = path.parent().unwrap_or(&path).to_owned();
                let file = problems.source(path, folder, &text);
                match document(file, read, depth + 1, problems) {
                    Some(root) if root.name == "config" && !problems.any_error() => {
                        let message = "an included file cannot have `config` as its root".to_owned();
                        let help = Some("its root is what stands in its place, such as `device`".to_owned());
                        problems.add("cfg.include", &root.span, message, help);
                    }
                    Some(root) => *child = root,
                    None => {}
                }
            }
            Err(error) => {
                let message = format!("cannot include {}: {error}", path.display());
                let help = Some("a relative path starts at the folder of the file that includes".to_owned());
                problems.add("cfg.include", &href.value_span, message, help);
            }
        }
    }
    // What could not be included was reported.
    element.children.retain(|child| child.name != "include");
}

struct Parser<'t> {
    file: usize,
    text: &'t str,
    open: Vec<Element>,
    root: Option<Element>,
}

type Wrong = (usize, String);

impl Parser<'_> {
    fn parsed(mut self) -> Result<Element, Wrong> {
        let text = self.text;
        let mut reader = Reader::from_str(text);
        loop {
            let start = position(reader.buffer_position(), text);
            let event = reader
                .read_event()
                .map_err(|error| (position(reader.error_position(), text), error.to_string()))?;
            let end = position(reader.buffer_position(), text);
            match event {
                Event::Start(tag) => {
                    if self.open.len() >= DEEPEST {
                        return Err((start, format!("elements nest deeper than {DEEPEST} levels")));
                    }
                    let element = self.begun(&tag, start)?;
                    self.open.push(element);
                }
                Event::Empty(tag) => {
                    let element = self.begun(&tag, start)?;
                    self.closed(element, start)?;
                }
                // The reader has checked that it ends the innermost one.
                Event::End(_) => {
                    let element = self.open.pop().ok_or((start, "an end without a beginning".to_owned()))?;
                    self.closed(element, start)?;
                }
                Event::Text(piece) => self.add(&piece, start, end)?,
                Event::CData(piece) => self.add(&piece, start, end)?,
                Event::GeneralRef(name) => {
                    let known = quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned);
                    let number = name.resolve_char_ref().ok().flatten().map(String::from);
                    let piece = known.or(number).ok_or((start, format!("unknown entity `&{};`", &*name)))?;
                    self.add(&piece, start, end)?;
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if let Some(open) = self.open.last() {
            return Err((open.span.start, format!("the element `{}` does not end", shown(&open.name))));
        }
        self.root.ok_or((0, "there is no element".to_owned()))
    }

    fn add(&mut self, piece: &str, start: usize, end: usize) -> Result<(), Wrong> {
        match self.open.last_mut() {
            Some(element) => {
                if element.text.is_empty() {
                    element.text_span.start = start;
                }
                element.text_span.end = end;
                element.text.push_str(piece);
                Ok(())
            }
            None if piece.trim().is_empty() => Ok(()),
            None => Err((start, "there is text outside of elements".to_owned())),
        }
    }

    fn closed(&mut self, element: Element, start: usize) -> Result<(), Wrong> {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None if self.root.is_none() => self.root = Some(element),
            None => return Err((start, "there is a second root element".to_owned())),
        }
        Ok(())
    }

    fn begun(&self, tag: &BytesStart<'_>, start: usize) -> Result<Element, Wrong> {
        let name: String = tag.local_name().as_ref().to_owned();
        let span = self.span(start + 1, start + 1 + tag.name().as_ref().len());
        let mut attributes: Vec<Attribute> = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| (start, error.to_string()))?;
            let value = attribute
                .normalized_value(XmlVersion::default())
                .map_err(|error| (start, error.to_string()))?
                .into_owned();
            let name: String = attribute.key.as_ref().to_owned();
            if name == "xmlns" || name.starts_with("xmlns:") {
                continue;
            }
            let (span, value_span) = self.attribute(start, &name, &value);
            attributes.push(Attribute { name, value, span, value_span });
        }
        Ok(Element { name, span, attributes, children: Vec::new(), text: String::new(), text_span: span })
    }

    /// Where an attribute of the tag that starts at `start` is: its name, and its value if it is written as it is.
    fn attribute(&self, start: usize, name: &str, value: &str) -> (Span, Span) {
        let tag = self.text.get(start..).unwrap_or_default();
        let mut found = tag.match_indices(name).map(|(at, _)| at);
        let is_name = |at: &usize| {
            let before = tag.get(..*at).unwrap_or_default().ends_with(char::is_whitespace);
            let after = tag.get(at + name.len()..).unwrap_or_default().trim_start();
            before && after.starts_with('=')
        };
        let at = found.find(is_name).unwrap_or_default();
        let span = self.span(start + at, start + at + name.len());
        let rest = tag.get(at + name.len()..).unwrap_or_default();
        let quote = rest.find(['"', '\'']).map_or(0, |quote| quote + 1);
        let written = rest.get(quote..).is_some_and(|rest| rest.starts_with(value));
        let from = span.end + quote;
        (span, if written { self.span(from, from + value.len()) } else { span })
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start, end: end.min(self.text.len()) }
    }
}

/// A position that the reader tells, as an index of the text.
fn position(position: u64, text: &str) -> usize {
    let at = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}
