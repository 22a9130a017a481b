//! Our mark in a domain's or network's metadata: whose it is, so that what nobody owns any more can be found and removed.

use std::path::{Path, PathBuf};

use super::element::Element;
use crate::{base::owner::Owner, provider::spec::Label};

/// A name for the vocabulary, not a place; changes when a reader of today could not read what is written.
pub(in crate::provider::libvirt) const NAMESPACE: &str = "urn:polder:owner:1";

/// The prefix of its elements' names.
const KEY: &str = "polder";

/// The `metadata` element of a thing that is `label`'s.
#[must_use]
pub fn label_element(label: &Label) -> Element {
    let owner = Element::new(&format!("{KEY}:owner")).with(&format!("xmlns:{KEY}"), NAMESPACE);
    Element::new("metadata").of([said(owner, label)])
}

/// The same for a thing that is there already: the prefix that libvirt gives the element, and the element.
pub(in crate::provider::libvirt) fn label_metadata(label: &Label) -> (&'static str, String) {
    (KEY, said(Element::new("owner"), label).to_string())
}

fn said(owner: Element, label: &Label) -> Element {
    owner
        .with("prefix", label.prefix.display())
        .with("uuid", &label.uuid)
        .with("name", &label.name)
        .with("pid", label.owner.pid)
        .with("started", label.owner.started)
        .with("boot", &label.owner.boot)
        .with("host", &label.owner.host)
}

/// Whether an element in a thing's metadata is our mark. libvirt keeps the prefix we chose, but an element is what its
/// namespace says.
pub(super) fn is_label(element: &Element) -> bool {
    let (prefix, local) = element.name.split_once(':').unwrap_or(("", &element.name));
    let declared = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    local == "owner" && element.get(&declared) == Some(NAMESPACE)
}

/// The files below `folder` that the XML of a domain names, relative to it.
#[must_use]
pub fn files_below(xml: &str, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut elements: Vec<_> = Element::parse(xml).into_iter().collect();
    while let Some(element) = elements.pop() {
        let values = element.attributes.iter().map(|(_, value)| value).chain([&element.text]);
        let below = values.filter_map(|value| Path::new(value).strip_prefix(folder).ok());
        files.extend(below.filter(|file| !file.as_os_str().is_empty()).map(Path::to_owned));
        elements.extend(element.children);
    }
    files
}

/// The label in the XML of a domain or network; none when the thing is not ours.
#[must_use]
pub fn label_of(xml: &str) -> Option<Label> {
    let root = Element::parse(xml).ok()?;
    let owner = root.child("metadata")?.children.iter().find(|element| is_label(element))?;
    let text = |name: &str| owner.get(name).map(str::to_owned);
    Some(Label {
        prefix: text("prefix")?.into(),
        uuid: text("uuid")?,
        name: text("name")?,
        owner: Owner {
            pid: text("pid")?.parse().ok()?,
            started: text("started")?.parse().ok()?,
            boot: text("boot")?,
            host: text("host")?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            prefix: "/home/o'hara/<&\">/.polder/default".into(),
            uuid: "5f0c".into(),
            name: "web".into(),
            owner: Owner { pid: 7, started: 1 << 40, boot: "b".into(), host: "h".into() },
        }
    }

    #[test]
    fn a_label_is_written_and_read_back() {
        let xml = Element::new("domain")
            .of([Element::new("name").holding("x"), label_element(&label())])
            .to_string();
        insta::assert_snapshot!(xml, @r#"
        <domain>
          <name>x</name>
          <metadata>
            <polder:owner xmlns:polder="urn:polder:owner:1" prefix="/home/o&apos;hara/&lt;&amp;&quot;&gt;/.polder/default" uuid="5f0c" name="web" pid="7" started="1099511627776" boot="b" host="h"/>
          </metadata>
        </domain>
        "#);
        assert_eq!(label_of(&xml), Some(label()));
        let renamed = xml.replace("<polder:", "<ns0:").replace("xmlns:polder", "xmlns:ns0");
        assert_eq!(label_of(&renamed), Some(label()));
    }

    #[test]
    fn files_are_told_by_where_they_are() {
        let xml = "<domain><metadata><o prefix='/e'/></metadata><os><nvram>/e/n</nvram></os><devices>\
            <disk><source file='/e/it&apos;s/a'/></disk><disk><source file='/elsewhere/b'/></disk></devices></domain>";
        let mut files = files_below(xml, Path::new("/e"));
        files.sort();
        assert_eq!(files, [Path::new("it's/a"), Path::new("n")]);
    }

    #[rstest::rstest]
    #[case::none("<domain><name>x</name></domain>")]
    #[case::others("<domain><metadata><owner xmlns='urn:other' prefix='/p'/></metadata></domain>")]
    #[case::newer(
        "<domain><metadata><polder:owner xmlns:polder='urn:polder:owner:2' prefix='/p'/></metadata></domain>"
    )]
    #[case::incomplete(
        "<network><metadata><polder:owner xmlns:polder='urn:polder:owner:1' prefix='/p'/></metadata></network>"
    )]
    #[case::no_xml("<domain>")]
    fn what_is_not_ours_has_no_label(#[case] xml: &str) {
        assert_eq!(label_of(xml), None);
    }
}
