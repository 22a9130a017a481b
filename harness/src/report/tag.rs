//! Elements with texts and elements in them, for documents that are written and not read: XML, and HTML that is well-formed
//! XML. Texts are escaped, and have no characters that XML cannot have. Pure.

use std::{borrow::Cow, fmt, io};

use quick_xml::{
    Writer,
    events::{BytesEnd, BytesStart, BytesText, Event},
};

/// Elements of HTML that have nothing in them, and no end.
const VOID: &[&str] = &["meta", "input"];

/// An element.
#[derive(Debug, Clone)]
pub(in crate::report) struct Tag {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    content: Vec<Content>,
}

#[derive(Debug, Clone)]
enum Content {
    Tag(Tag),
    Text(String),
    /// As it is.
    Raw(Cow<'static, str>),
}

impl Tag {
    pub(in crate::report) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), content: Vec::new() }
    }

    /// With an attribute.
    pub(in crate::report) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.attributes.push((name, clean(&value.to_string())));
        self
    }

    /// With a text after what it has in it.
    pub(in crate::report) fn text(mut self, text: impl fmt::Display) -> Self {
        self.content.push(Content::Text(clean(&text.to_string())));
        self
    }

    /// With elements after what it has in it.
    pub(in crate::report) fn of(mut self, tags: impl IntoIterator<Item = Self>) -> Self {
        self.content.extend(tags.into_iter().map(Content::Tag));
        self
    }

    /// With something of ours that is not escaped.
    pub(in crate::report) fn raw(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.content.push(Content::Raw(text.into()));
        self
    }

    /// A document of which it is the root, after `head`.
    pub(in crate::report) fn document(&self, head: &str) -> String {
        let mut writer = Writer::new(head.as_bytes().to_vec());
        // Memory takes everything.
        let _ = self.write(&mut writer);
        let mut bytes = writer.into_inner();
        bytes.push(b'\n');
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn write(&self, w: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let attributes = self.attributes.iter().map(|(name, value)| (*name, value.as_str()));
        let start = BytesStart::new(self.name).with_attributes(attributes);
        if VOID.contains(&self.name) {
            return w.write_event(Event::Empty(start));
        }
        w.write_event(Event::Start(start))?;
        for content in &self.content {
            match content {
                Content::Tag(tag) => tag.write(w)?,
                Content::Text(text) => w.write_event(Event::Text(BytesText::new(text)))?,
                Content::Raw(text) => w.write_event(Event::Text(BytesText::from_escaped(text.as_ref())))?,
            }
        }
        w.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

/// With a sign for every character that XML cannot have.
fn clean(text: &str) -> String {
    let is_fine = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_fine(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_have_only_characters_of_xml() {
        let tag = Tag::new("p").with("title", "\"a\" & <b>").text("\u{1b}[1m<script>\0 \u{fffe}ä\t");
        let tag = tag.of([Tag::new("meta").with("charset", "utf-8"), Tag::new("i")]).raw("a > b");
        let text = tag.document("<!DOCTYPE html>\n");
        assert_eq!(
            text,
            "<!DOCTYPE html>\n<p title=\"&quot;a&quot; &amp; &lt;b&gt;\">\u{fffd}[1m&lt;script&gt;\u{fffd} \u{fffd}ä\t\
             <meta charset=\"utf-8\"/><i></i>a > b</p>\n"
        );
    }
}
