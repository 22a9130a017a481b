//! What the descriptor of an archive says of a machine. Pure.

use super::tree::Element;

/// Kinds of hardware, by their numbers in descriptors.
const PROCESSOR: &str = "3";
const MEMORY: &str = "4";
const DISK: &str = "17";

/// A machine as its descriptor has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
    pub(super) disks: Vec<DiskRef>,
}

/// A disk of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DiskRef {
    /// A name for it, of its file's.
    pub(super) name: String,
    /// Where the archive can have its file, relative to the descriptor's root, likeliest first.
    pub(super) places: Vec<String>,
}

impl Descriptor {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// Everything that is wrong with it or cannot be taken.
    pub(super) fn parse(xml: &str) -> Result<Self, Vec<String>> {
        let root = Element::parse(xml).map_err(|problem| vec![format!("its descriptor is {problem}")])?;
        let mut problems = Vec::new();
        let hardware = root.all(&is_hardware);
        let [hardware] = hardware.as_slice() else {
            let many = hardware.len();
            return Err(vec![format!("its descriptor has {many} sections of virtual hardware, not one")]);
        };
        let items = hardware.all(&|e| matches!(e.name.as_str(), "Item" | "StorageItem"));
        let of_kind = |kind: &str| -> Vec<&Element> {
            items.iter().copied().filter(|item| item.text_of("ResourceType") == Some(kind)).collect()
        };
        let mut note = |result: Result<u64, String>| result.map_err(|problem| problems.push(problem)).ok();
        let vcpus = note(first(&of_kind(PROCESSOR), "processors").and_then(vcpus));
        let memory_mib = note(first(&of_kind(MEMORY), "memory").and_then(memory_mib));
        let mut disks = Vec::new();
        for item in of_kind(DISK) {
            match disk(item, &root) {
                Ok(disk) => disks.push(disk),
                Err(problem) => problems.push(problem),
            }
        }
        if disks.is_empty() && problems.is_empty() {
            problems.push("its descriptor names no disk".into());
        }
        match (vcpus.and_then(|n| u32::try_from(n).ok()), memory_mib) {
            (Some(vcpus), Some(memory_mib)) if problems.is_empty() => {
                unique(&mut disks);
                Ok(Self { vcpus, memory_mib, disks })
            }
            _ => Err(problems),
        }
    }
}

fn is_hardware(element: &Element) -> bool {
    element.name == "VirtualHardwareSection"
        || (element.name == "Section"
            && element.attribute("type").is_some_and(|t| t.ends_with("VirtualHardwareSection_Type")))
}

fn first<'a>(items: &[&'a Element], what: &str) -> Result<&'a Element, String> {
    items
        .first()
        .copied()
        .ok_or_else(|| format!("its descriptor does not say how much {what} the machine has"))
}

fn number(item: &Element, name: &str) -> Result<u64, String> {
    let text = item.text_of(name).ok_or_else(|| format!("an item of its descriptor has no `{name}`"))?;
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{name}` in its descriptor is `{text}`, not a number above 0"))
}

fn vcpus(item: &Element) -> Result<u64, String> {
    if item.text_of("num_of_sockets").is_none() && item.text_of("cpu_per_socket").is_none() {
        return number(item, "VirtualQuantity");
    }
    let product = number(item, "cpu_per_socket")?.checked_mul(number(item, "num_of_sockets")?);
    let product = product.filter(|n| u32::try_from(*n).is_ok());
    product.ok_or_else(|| "its descriptor asks for too many processors".into())
}

fn memory_mib(item: &Element) -> Result<u64, String> {
    let quantity = number(item, "VirtualQuantity")?;
    let unit = item.text_of("AllocationUnits").unwrap_or_default();
    let bytes = unit_bytes(unit).ok_or_else(|| {
        format!("its descriptor gives the memory in `{unit}`; units such as `MegaBytes` or `byte * 2^20` are understood")
    })?;
    let bytes = quantity.checked_mul(bytes).ok_or("its descriptor asks for too much memory")?;
    Ok(bytes.div_ceil(1 << 20))
}

/// Bytes of a unit. The words mean powers of 1024, as programs write them.
fn unit_bytes(unit: &str) -> Option<u64> {
    let compact: String = unit.to_ascii_lowercase().split_whitespace().collect();
    if let Some(power) = compact.strip_prefix("byte*2^").or_else(|| compact.strip_prefix("bytes*2^")) {
        return 1_u64.checked_shl(power.parse().ok()?);
    }
    let shift = match compact.as_str() {
        "byte" | "bytes" | "b" => 0,
        "kilobytes" | "kilobyte" | "kb" | "kib" => 10,
        "megabytes" | "megabyte" | "mb" | "mib" => 20,
        "gigabytes" | "gigabyte" | "gb" | "gib" => 30,
        "terabytes" | "terabyte" | "tb" | "tib" => 40,
        _ => return None,
    };
    Some(1 << shift)
}

/// The disk an item means: by the identifiers of the standard, or by the path oVirt writes.
fn disk(item: &Element, root: &Element) -> Result<DiskRef, String> {
    let resource = item.text_of("HostResource").filter(|resource| !resource.is_empty());
    let resource = resource.ok_or("a disk in its descriptor has no `HostResource`")?;
    let path = resource.strip_prefix("ovf:").unwrap_or(resource);
    let with_id = |name: &str, key: &str, id: &str| -> Result<&Element, String> {
        let found = root.all(&|e| e.name == name && e.attribute(key) == Some(id));
        found.first().copied().ok_or_else(|| format!("its descriptor has no `{name}` with the {key} `{id}`"))
    };
    let file = if let Some(id) = path.strip_prefix("/disk/") {
        let disk = with_id("Disk", "diskId", id)?;
        let file = disk.attribute("fileRef");
        Some(file.ok_or_else(|| format!("disk `{id}` of its descriptor has no content (`fileRef`)"))?)
    } else {
        path.strip_prefix("/file/")
    };
    let Some(file) = file else {
        let last = path.rsplit('/').next().unwrap_or(path);
        let places = vec![format!("images/{path}"), path.to_owned(), last.to_owned()];
        return Ok(DiskRef { name: name_of(last), places });
    };
    let file = with_id("File", "id", file)?;
    let href = file.attribute("href").filter(|href| !href.is_empty());
    let href = href.ok_or("a file in its descriptor has no `href`")?;
    match file.attribute("compression") {
        None | Some("" | "identity") => {}
        Some(other) => return Err(format!("{href} is compressed with `{other}`, which is not understood")),
    }
    let last = href.rsplit('/').next().unwrap_or(href);
    Ok(DiskRef { name: name_of(last), places: vec![href.to_owned()] })
}

/// A disk's name made of its file's.
fn name_of(file: &str) -> String {
    let known = [".vmdk", ".qcow2", ".raw", ".img", ".vhd", ".vdi"];
    let stem = known.iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = stem.chars().map(|c| if good(c) { c } else { '-' }).take(60).collect();
    let name = name.trim_start_matches(['-', '_', '.']);
    if name.is_empty() { "disk".into() } else { name.into() }
}

/// Numbers names that are there twice.
fn unique(disks: &mut [DiskRef]) {
    let mut names: Vec<String> = Vec::new();
    for disk in disks {
        let mut number = 2;
        let base = disk.name.clone();
        while names.contains(&disk.name) {
            disk.name = format!("{base}-{number}");
            number += 1;
        }
        names.push(disk.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As oVirt writes it.
    pub(crate) const OVIRT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/" xmlns:rasd="r" xmlns:xsi="x">
  <References><File ovf:href="g1/i1" ovf:id="i1"/></References>
  <Content ovf:id="out">
    <Name>vm &amp; co</Name>
    <Section xsi:type="ovf:VirtualHardwareSection_Type">
      <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:num_of_sockets>2</rasd:num_of_sockets>
        <rasd:cpu_per_socket>3</rasd:cpu_per_socket></Item>
      <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits></Item>
      <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>g1/i1</rasd:HostResource></Item>
      <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>g2/i1</rasd:HostResource></Item>
    </Section>
  </Content>
</ovf:Envelope>"#;

    /// As the standard has it.
    const STANDARD: &str = r#"<Envelope xmlns:ovf="o">
  <References><File ovf:id="file1" ovf:href="box-disk001.vmdk"/></References>
  <DiskSection><Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="10"/></DiskSection>
  <VirtualSystem><VirtualHardwareSection>
    <Item><ResourceType>3</ResourceType><VirtualQuantity>2</VirtualQuantity></Item>
    <Item><ResourceType>4</ResourceType><VirtualQuantity>512</VirtualQuantity>
      <AllocationUnits>byte * 2^20</AllocationUnits></Item>
    <Item><ResourceType>17</ResourceType><HostResource>ovf:/disk/vmdisk1</HostResource></Item>
  </VirtualHardwareSection></VirtualSystem>
</Envelope>"#;

    #[test]
    fn machines_are_read() {
        let machine = Descriptor::parse(OVIRT).unwrap();
        assert_eq!((machine.vcpus, machine.memory_mib), (6, 1024));
        let names: Vec<_> = machine.disks.iter().map(|d| (d.name.as_str(), d.places[0].as_str())).collect();
        assert_eq!(names, [("i1", "images/g1/i1"), ("i1-2", "images/g2/i1")]);
        let machine = Descriptor::parse(STANDARD).unwrap();
        assert_eq!((machine.vcpus, machine.memory_mib), (2, 512));
        let disk = DiskRef { name: "box-disk001".into(), places: vec!["box-disk001.vmdk".into()] };
        assert_eq!(machine.disks, [disk]);
    }

    #[rstest::rstest]
    #[case("MegaBytes", Some(1 << 20))]
    #[case("byte * 2^30", Some(1 << 30))]
    #[case("GB", Some(1 << 30))]
    #[case("byte", Some(1))]
    #[case("byte * 2^64", None)]
    #[case("parsecs", None)]
    #[case("", None)]
    fn units(#[case] unit: &str, #[case] bytes: Option<u64>) {
        assert_eq!(unit_bytes(unit), bytes);
    }

    #[rstest::rstest]
    #[case("", "it ends early")]
    #[case("<a>", "it ends early")]
    #[case("<a></b>", "not XML at byte")]
    #[case("<a>&nope;</a>", "unknown entity `&nope;`")]
    #[case("<a/>", "0 sections of virtual hardware, not one")]
    #[case("<a><VirtualHardwareSection/><VirtualHardwareSection/></a>", "2 sections of virtual hardware")]
    #[case("<a><VirtualHardwareSection/></a>", "does not say how much processors")]
    fn broken_descriptors(#[case] xml: &str, #[case] problem: &str) {
        let problems = Descriptor::parse(xml).unwrap_err().join("\n");
        assert!(problems.contains(problem), "{problems}");
    }

    #[rstest::rstest]
    #[case("MegaBytes", "Furlongs", "the memory in `Furlongs`")]
    #[case(
        "<rasd:num_of_sockets>2<",
        "<rasd:num_of_sockets>two<",
        "`num_of_sockets` in its descriptor is `two`"
    )]
    #[case("<rasd:HostResource>g1/i1<", "<rasd:HostResource><", "no `HostResource`")]
    #[case("<rasd:HostResource>g1/i1<", "<rasd:HostResource>ovf:/disk/x<", "no `Disk` with the diskId `x`")]
    #[case("1024", "99999999999999999999", "not a number above 0")]
    fn wrong_values(#[case] from: &str, #[case] to: &str, #[case] problem: &str) {
        let problems = Descriptor::parse(&OVIRT.replacen(from, to, 1)).unwrap_err().join("\n");
        assert!(problems.contains(problem), "{problems}");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "<a>".repeat(100_000);
        assert!(Descriptor::parse(&deep).unwrap_err()[0].contains("nested too deeply"));
    }
}
