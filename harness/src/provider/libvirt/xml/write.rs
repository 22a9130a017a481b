//! Elements, three kinds of them, on quick-xml's writer. Knows no libvirt.

use std::io;

use quick_xml::{Writer, events::BytesText};

/// Where XML is written to.
pub(crate) type Xml = Writer<Vec<u8>>;

/// A document: its root and what is in it.
pub(crate) fn write(
    name: &str,
    attributes: &[(&str, &str)],
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> String {
    fragment(|w| parent(w, name, attributes, content))
}

/// What `content` writes, without a document around it.
pub(crate) fn fragment(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Memory takes everything: an error cannot come from below, and none of our own is made.
    let _ = content(&mut writer);
    String::from_utf8_lossy(&writer.into_inner()).into_owned()
}

/// An element with elements in it.
pub(crate) fn parent(
    w: &mut Xml,
    name: &str,
    attributes: &[(&str, &str)],
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    w.create_element(name).with_attributes(attributes.iter().copied()).write_inner_content(content).map(drop)
}

/// An element with text in it.
pub(crate) fn text(w: &mut Xml, name: &str, attributes: &[(&str, &str)], text: &str) -> io::Result<()> {
    let element = w.create_element(name).with_attributes(attributes.iter().copied());
    element.write_text_content(BytesText::new(text)).map(drop)
}

/// An element with nothing in it.
pub(crate) fn empty(w: &mut Xml, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    w.create_element(name).with_attributes(attributes.iter().copied()).write_empty().map(drop)
}
