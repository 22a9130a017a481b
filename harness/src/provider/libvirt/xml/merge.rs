//! A person's last resort: a fragment of XML laid over the XML we make.
//!
//! The fragment is a `<domain>` with what is to be different in it:
//!
//! - an element meets the one of ours it means; its attributes and text replace ours, its elements are merged in turn
//! - elements of which there may be several are told apart by what identifies them: disks by `<target dev>`,
//!   interfaces by `<mac address>`, controllers by `type` and `index`, serial ports and consoles by `<target port>`,
//!   channels by `<target name>`, file systems by `<target dir>`, CPU features and timers by `name`
//! - what we have none of is added; so is every further device of a kind that nothing identifies (`hostdev`, `input`, ...)
//! - an element with the attribute `polder="remove"` removes the one it means

use super::element::{Element, XmlError};

/// The attribute by which a fragment speaks to us.
const ATTRIBUTE: &str = "polder";

/// Reads a fragment.
///
/// # Errors
/// It is not well formed, is no `<domain>`, or asks for something we do not know.
pub fn overlay(text: &str) -> Result<Element, XmlError> {
    let fragment = Element::parse(text)?;
    if fragment.name != "domain" {
        let what = format!("the outermost element must be `<domain>`, not `<{}>`", fragment.name);
        return Err(XmlError { line: 1, what });
    }
    // By these we find the machine again.
    if let Some(ours) = fragment.children.iter().find(|child| matches!(child.name.as_str(), "name" | "uuid" | "metadata")) {
        return Err(XmlError { line: 1, what: format!("`<{}>` is not for people to choose", ours.name) });
    }
    check(&fragment)?;
    Ok(fragment)
}

fn check(element: &Element) -> Result<(), XmlError> {
    match element.get(ATTRIBUTE) {
        None | Some("remove") => element.children.iter().try_for_each(check),
        Some(other) => {
            let what = format!("`{ATTRIBUTE}=\"{other}\"` of `<{}>` means nothing; there is `remove`", element.name);
            Err(XmlError { line: 1, what })
        }
    }
}

/// Lays `fragment` over `made`.
pub(super) fn merge(made: &mut Element, fragment: &Element) {
    for (name, value) in fragment.attributes.iter().filter(|(name, _)| name != ATTRIBUTE) {
        made.set(name, value);
    }
    if !fragment.text.is_empty() {
        made.text.clone_from(&fragment.text);
    }
    for part in &fragment.children {
        let met = made.children.iter().position(|ours| means(part, ours));
        match (met, part.get(ATTRIBUTE)) {
            (Some(position), Some(_)) => drop(made.children.remove(position)),
            (Some(position), None) => {
                if let Some(ours) = made.children.get_mut(position) {
                    merge(ours, part);
                }
            }
            (None, Some(_)) => {}
            (None, None) => made.children.push(part.clone()),
        }
    }
}

/// Whether `part` of a fragment means `ours`.
fn means(part: &Element, ours: &Element) -> bool {
    part.name == ours.name
        && match identity(part) {
            Identity::OnlyOne => true,
            key @ Identity::Key(_) => key == identity(ours),
            // Added, not changed; but the first of its kind can be removed.
            Identity::None => part.get(ATTRIBUTE).is_some(),
        }
}

/// What tells an element from others of its name.
#[derive(PartialEq)]
enum Identity {
    /// There is only one.
    OnlyOne,
    /// There may be several, told apart by this.
    Key(String),
    /// There may be several, and nothing tells which one is meant.
    None,
}

fn identity(element: &Element) -> Identity {
    let own = |name: &str| element.get(name).map(str::to_owned);
    let of = |child: &str, name: &str| element.child(child).and_then(|c| c.get(name)).map(str::to_owned);
    let key = match element.name.as_str() {
        "disk" => of("target", "dev"),
        "interface" => of("mac", "address").map(|mac| mac.to_ascii_lowercase()),
        "controller" => own("type").map(|kind| format!("{kind} {}", own("index").unwrap_or_else(|| "0".into()))),
        "serial" | "parallel" | "console" => of("target", "port"),
        "channel" => of("target", "name"),
        "filesystem" => of("target", "dir"),
        "feature" | "timer" => own("name"),
        // A device that adds memory, not the element that says how much there is.
        "memory" if element.get("model").is_some() => None,
        "boot" | "cell" | "entry" | "graphics" | "hostdev" | "hub" | "input" | "iothread" | "qemu:arg" | "qemu:env"
        | "redirdev" | "shmem" | "smartcard" | "sound" | "vcpupin" | "video" => None,
        _ => return Identity::OnlyOne,
    };
    key.map_or(Identity::None, Identity::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "<domain type='qemu'><memory unit='MiB'>512</memory><cpu mode='maximum'/><devices>\
        <disk type='file'><driver name='qemu' cache='unsafe'/><target dev='vda' bus='virtio'/></disk>\
        <disk type='file'><driver name='qemu' cache='unsafe'/><target dev='vdb' bus='virtio'/></disk>\
        <controller type='usb' model='none'/><interface type='network'><mac address='54:52:c0:a8:c8:0a'/></interface>\
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>";

    /// The lines that go and come.
    fn difference(fragment: &str) -> String {
        let mut made = Element::parse(MADE).unwrap();
        let before = made.to_string();
        merge(&mut made, &overlay(fragment).unwrap());
        let after = made.to_string();
        let gone = before.lines().filter(|line| !after.lines().any(|l| l == *line)).map(|l| format!("-{l}"));
        let come = after.lines().filter(|line| !before.lines().any(|l| l == *line)).map(|l| format!("+{l}"));
        gone.chain(come).collect::<Vec<_>>().join("\n")
    }

    #[rstest::rstest]
    #[case::nothing("<domain/>", "")]
    #[case::text("<domain><memory>768</memory></domain>", "-  <memory unit=\"MiB\">512</memory>\n+  <memory unit=\"MiB\">768</memory>")]
    #[case::attribute("<domain><cpu mode='custom' check='none'/></domain>", "-  <cpu mode=\"maximum\"/>\n+  <cpu mode=\"custom\" check=\"none\"/>")]
    #[case::root("<domain xmlns:qemu='urn:q'><qemu:commandline><qemu:arg value='-s'/><qemu:arg value='-S'/></qemu:commandline></domain>",
        "-<domain type=\"qemu\">\n+<domain type=\"qemu\" xmlns:qemu=\"urn:q\">\n+  <qemu:commandline>\n+    <qemu:arg value=\"-s\"/>\n+    <qemu:arg value=\"-S\"/>\n+  </qemu:commandline>")]
    #[case::one_disk("<domain><devices><disk><target dev='vdb'/><driver cache='none'/></disk></devices></domain>", "+      <driver name=\"qemu\" cache=\"none\"/>")]
    #[case::new_disk("<domain><devices><disk type='block'><target dev='vdc'/></disk></devices></domain>",
        "+    <disk type=\"block\">\n+      <target dev=\"vdc\"/>")]
    #[case::mac("<domain><devices><interface><mac address='54:52:C0:A8:C8:0A'/><link state='down'/></interface></devices></domain>",
        "-      <mac address=\"54:52:c0:a8:c8:0a\"/>\n+      <mac address=\"54:52:C0:A8:C8:0A\"/>\n+      <link state=\"down\"/>")]
    #[case::devices_without_name("<domain><devices><input type='tablet'/><memory model='dimm'/></devices></domain>",
        "+    <input type=\"tablet\"/>\n+    <memory model=\"dimm\"/>")]
    #[case::removed("<domain><devices><controller type='usb' polder='remove'/><controller type='usb' model='qemu-xhci'/></devices></domain>",
        "-    <controller type=\"usb\" model=\"none\"/>\n+    <controller type=\"usb\" model=\"qemu-xhci\"/>")]
    #[case::nothing_to_remove("<domain><devices><sound polder='remove'/></devices></domain>", "")]
    fn a_fragment_changes_what_it_means(#[case] fragment: &str, #[case] expected: &str) {
        assert_eq!(difference(fragment), expected);
    }

    #[rstest::rstest]
    #[case("<domain>\n<a>\n</domain>", "line 3: ")]
    #[case("<devices/>", "line 1: the outermost element must be `<domain>`, not `<devices>`")]
    #[case("<domain><uuid>1</uuid></domain>", "line 1: `<uuid>` is not for people to choose")]
    #[case("<domain><cpu polder='drop'/></domain>", "line 1: `polder=\"drop\"` of `<cpu>` means nothing; there is `remove`")]
    fn a_fragment_we_do_not_understand_is_refused(#[case] fragment: &str, #[case] expected: &str) {
        let said = overlay(fragment).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}
