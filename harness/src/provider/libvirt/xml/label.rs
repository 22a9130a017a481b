//! Our mark in a domain's or network's metadata: whose it is, so that what nobody owns any more can be found and removed.

use super::element::Element;
use crate::{base::owner::Owner, provider::spec::Label};

/// A name for the vocabulary, not a place; changes when a reader of today could not read what is written.
const NAMESPACE: &str = "urn:polder:owner:1";

/// The `metadata` element of a thing that is `label`'s.
#[must_use]
pub fn label_element(label: &Label) -> Element {
    let owner = Element::new("polder:owner")
        .with("xmlns:polder", NAMESPACE)
        .with("prefix", label.prefix.display())
        .with("uuid", &label.uuid)
        .with("name", &label.name)
        .with("pid", label.owner.pid)
        .with("started", label.owner.started)
        .with("boot", &label.owner.boot)
        .with("host", &label.owner.host);
    Element::new("metadata").of([owner])
}

/// The label in the XML of a domain or network; none when the thing is not ours.
#[must_use]
pub fn label_of(xml: &str) -> Option<Label> {
    let root = Element::parse(xml).ok()?;
    // libvirt keeps the prefix we chose, but an element is what its namespace says.
    let ours = |element: &&Element| {
        let (prefix, local) = element.name.split_once(':').unwrap_or(("", &element.name));
        let declared = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
        local == "owner" && element.get(&declared) == Some(NAMESPACE)
    };
    let owner = root.child("metadata")?.children.iter().find(ours)?;
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
        let xml = Element::new("domain").of([Element::new("name").holding("x"), label_element(&label())]).to_string();
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

    #[rstest::rstest]
    #[case::none("<domain><name>x</name></domain>")]
    #[case::others("<domain><metadata><owner xmlns='urn:other' prefix='/p'/></metadata></domain>")]
    #[case::newer("<domain><metadata><polder:owner xmlns:polder='urn:polder:owner:2' prefix='/p'/></metadata></domain>")]
    #[case::incomplete("<network><metadata><polder:owner xmlns:polder='urn:polder:owner:1' prefix='/p'/></metadata></network>")]
    #[case::no_xml("<domain>")]
    fn what_is_not_ours_has_no_label(#[case] xml: &str) {
        assert_eq!(label_of(xml), None);
    }
}
