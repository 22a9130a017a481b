//! The `disks` of a machine: their keys to [`DiskSpec`]s, and what two disks of one machine may not share.

use std::path::PathBuf;

use super::{
    expand,
    files::Files,
    parse::Node,
    problems::{Problems, Span},
    reader::{self, Fields, json},
    shape::{listed, shown},
    spec::{DiskBus, DiskFormat, DiskSource, DiskSpec, Place},
};

const FORMATS: &[(&str, DiskFormat)] =
    &[("qcow2", DiskFormat::Qcow2), ("raw", DiskFormat::Raw), ("iso", DiskFormat::Iso)];
const BUSES: &[(&str, DiskBus)] =
    &[("virtio", DiskBus::Virtio), ("scsi", DiskBus::Scsi), ("sata", DiskBus::Sata), ("ide", DiskBus::Ide)];

/// Keys of which each kind of disk takes some.
const OF_SOURCES: &[&str] =
    &["size", "template_name", "template_version", "template_type", "recipe", "path", "url", "make_a_copy"];

/// The disks of one machine, no two alike.
pub(crate) fn read_all(items: &[Node], files: &Files<'_>, problems: &mut Problems) -> Vec<DiskSpec> {
    let mut disks: Vec<DiskSpec> = Vec::new();
    for item in items {
        let fields = Fields::of(item);
        let Some(disk) = disk(item, fields, files, problems) else {
            continue;
        };
        let mut clash = |code, key, message, help| {
            let span = fields.get(key).map_or(item.span, |node| node.span);
            problems.add(code, &span, message, help);
        };
        if disks.iter().any(|d| d.dev == disk.dev) {
            let message = format!("this machine has two disks at `{}`", disk.dev);
            clash("init::duplicate-dev", "dev", message, free_dev(&disk.dev, &disks));
        }
        if let Some(other) = disks.iter().find(|d| d.dev != disk.dev && same_address(d, &disk)) {
            let message = format!("`{}` and `{}` are one place on the bus of this disk", disk.dev, other.dev);
            clash("init::duplicate-dev", "dev", message, Some("use another last letter".to_owned()));
        }
        if disk.bus == Some(DiskBus::Ide) && disk.dev.ends_with(|c: char| c > 'd') {
            let message = format!("there is no `{}` on the bus `ide`, which has four disks", disk.dev);
            clash("init::bad-dev", "dev", message, Some("use a last letter from `a` to `d`".to_owned()));
        }
        if disks.iter().any(|d| d.name == disk.name) {
            let message = format!("this machine has two disks named `{}`", disk.name);
            clash("init::duplicate-disk", "name", message, None);
        }
        if let Some(boot) = disk.boot.filter(|_| disks.iter().any(|d| d.boot == disk.boot)) {
            let message = format!("this machine has two disks with `boot` {boot}");
            clash("init::duplicate-boot", "boot", message, None);
        }
        disks.push(disk);
    }
    disks
}

/// Whether two disks would be in one place: on SATA and IDE that is the last letter of the device alone.
fn same_address(one: &DiskSpec, other: &DiskSpec) -> bool {
    let last = |disk: &DiskSpec| disk.dev.chars().last();
    matches!(one.bus, Some(DiskBus::Sata | DiskBus::Ide)) && one.bus == other.bus && last(one) == last(other)
}

fn free_dev(dev: &str, disks: &[DiskSpec]) -> Option<String> {
    let bus = dev.get(..2)?;
    let free = ('a'..='z').map(|c| format!("{bus}{c}")).find(|dev| disks.iter().all(|d| d.dev != *dev))?;
    Some(format!("`{free}` is free"))
}

fn disk(node: &Node, fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<DiskSpec> {
    let name =
        fields.get("name").and_then(|n| reader::parsed(n, "the disk's name", "init::bad-name", problems));
    let format = known(fields, "format", FORMATS);
    let bus = known(fields, "bus", BUSES);
    let dev = fields.get("dev").and_then(|node| dev(node, fields, format, bus, problems));
    let serial = fields.get("serial").and_then(|node| serial(node, problems));
    let (source, at, recipe) = source(node, fields, format, files, problems)?;
    Some(DiskSpec {
        name: name?,
        at,
        dev: dev?,
        bus,
        serial,
        boot: fields.parsed("boot"),
        format: format?,
        source,
        recipe,
        metadata: fields.free("metadata"),
        build: fields.list("build").iter().map(json).collect(),
        build_folder: problems.folder(node.span.file).to_owned(),
        skip_export: fields.flag("skip-export").unwrap_or_default(),
    })
}

fn known<T: Copy>(fields: Fields<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
    let text = fields.text(key)?;
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

/// What the disk is made from, the place to name when that cannot be had, and the recipe of its image where the file names one.
fn source(
    node: &Node,
    fields: Fields<'_>,
    format: Option<DiskFormat>,
    files: &Files<'_>,
    problems: &mut Problems,
) -> Option<(DiskSource, Place, Option<PathBuf>)> {
    use DiskFormat::{Iso, Qcow2, Raw};
    let qcow2 = fields.text("template_type") == Some("qcow2");
    let (what, own, allowed): (&str, &[&str], &[DiskFormat]) = match fields.text("type")? {
        "template" if qcow2 => ("a disk of `template_type` `qcow2`", &["template_type", "path"], &[Qcow2]),
        "template" if fields.get("recipe").is_some() => {
            ("a disk with a `recipe`", &["recipe", "template_type"], &[Qcow2])
        }
        "template" => {
            let own = &["template_name", "template_version", "template_type", "recipe"];
            ("a disk of type `template`", own, &[Qcow2])
        }
        "empty" => ("a disk of type `empty`", &["size"], &[Qcow2, Raw]),
        "file" => ("a disk of type `file`", &["path", "url", "make_a_copy"], &[Qcow2, Raw, Iso]),
        _ => return None,
    };
    for key in OF_SOURCES.iter().filter(|key| !own.contains(key)).filter_map(|key| fields.key(key)) {
        let message = format!("{what} takes no `{}`", key.text());
        problems.unknown(
            "init::misplaced-key",
            &key.span,
            message,
            Some(format!("it takes {}", listed(own))),
        );
    }
    if let (Some(format), Some(node)) = (format, fields.get("format"))
        && !allowed.contains(&format)
    {
        let words: Vec<&str> = FORMATS.iter().filter(|(_, f)| allowed.contains(f)).map(|(w, _)| *w).collect();
        let message = format!("{what} cannot have the format `{}`", node.text());
        problems.add("init::bad-format", &node.span, message, Some(format!("use {}", listed(&words))));
    }

    let at = &node.span;
    let source = match fields.text("type")? {
        "template" if qcow2 => {
            let path = fields.require("path", at, what, problems)?;
            DiskSource::Qcow2 { path: files.existing_image(path, problems)? }
        }
        "template" => {
            if let Some(node) = fields.get("recipe") {
                let path = files.existing(node, problems)?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let source = DiskSource::Template { name, version: None };
                return Some((source, problems.place(&node.span), Some(path)));
            }
            let name = fields.require("template_name", at, what, problems)?;
            let source = DiskSource::Template {
                name: reader::text(name)?.to_owned(),
                version: fields.owned("template_version"),
            };
            return Some((source, problems.place(&name.span), None));
        }
        "empty" => DiskSource::Empty { size: size(fields.require("size", at, what, problems)?, problems)? },
        _ => file(at, fields, files, problems)?,
    };
    Some((source, problems.place(at), None))
}

fn file(at: &Span, fields: Fields<'_>, files: &Files<'_>, problems: &mut Problems) -> Option<DiskSource> {
    let url = fields.get("url");
    let path = match (fields.get("path"), url) {
        // With both, the path is where the download goes.
        (Some(path), Some(_)) => Some(files.path(path, problems)?),
        (Some(path), None) => Some(files.existing_image(path, problems)?),
        (None, Some(_)) => None,
        (None, None) => {
            let message = "a disk of type `file` needs the key `path` or `url`".to_owned();
            problems.add("init::missing-key", at, message, None);
            return None;
        }
    };
    let url = match url {
        Some(url) => Some(files.url(url, problems)?),
        None => None,
    };
    Some(DiskSource::File { path, url, copy: fields.flag("make_a_copy").unwrap_or_default() })
}

/// A guest device: `vd` for virtio, `sd` for SCSI and SATA, `hd` for IDE and CD-ROMs.
fn dev(
    node: &Node,
    fields: Fields<'_>,
    format: Option<DiskFormat>,
    bus: Option<DiskBus>,
    problems: &mut Problems,
) -> Option<String> {
    let text = reader::text(node)?;
    let known = text.split_at_checked(2).filter(|(kind, letter)| {
        matches!(*kind, "vd" | "sd" | "hd")
            && letter.len() == 1
            && letter.chars().all(|c| c.is_ascii_lowercase())
    });
    let Some((kind, _)) = known else {
        let message = format!("`dev` must be a guest device, this is `{}`", shown(text));
        let help = match text.strip_prefix("/dev/") {
            Some(short) => format!("write `{}`", shown(short)),
            None => "write `vd`, `sd` or `hd` and a letter, such as `vda`".to_owned(),
        };
        problems.add("init::bad-dev", &node.span, message, Some(help));
        return None;
    };
    let cdrom = format == Some(DiskFormat::Iso);
    let fits = match bus {
        Some(DiskBus::Virtio) => kind == "vd",
        Some(DiskBus::Scsi | DiskBus::Sata) => kind == "sd" || (kind == "hd" && cdrom),
        Some(DiskBus::Ide) => kind == "hd",
        None => true,
    };
    if let Some(bus) = fields.text("bus").filter(|_| !fits) {
        let message = format!("`{text}` is no device of the bus `{bus}`");
        let kind = if bus == "virtio" { "vd" } else { "sd" };
        let kind = if bus == "ide" { "hd" } else { kind };
        problems.add("init::bad-dev", &node.span, message, Some(format!("use `{kind}` and a letter")));
        return None;
    }
    if kind == "vd" && cdrom {
        let message = format!("`{text}` cannot be a CD-ROM (format `iso`)");
        problems.add("init::bad-dev", &node.span, message, Some("use `hd` or `sd` and a letter".to_owned()));
        return None;
    }
    Some(text.to_owned())
}

/// What the guest sees as serial number: longer ones are cut off by the devices, other characters by libvirt.
fn serial(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = reader::text(node)?;
    let fits = (1..=20).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | ' '));
    if !fits {
        let message = format!("`{}` cannot be a serial number", shown(text));
        let help = "use at most 20 letters, digits, `_`, `.`, `+`, `-` and blanks".to_owned();
        problems.add("init::bad-serial", &node.span, message, Some(help));
    }
    fits.then(|| text.to_owned())
}

fn size(node: &Node, problems: &mut Problems) -> Option<u64> {
    let text = reader::text(node)?;
    match expand::size(text) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            let message = format!("`{}` is not a disk's size: {why}", shown(text));
            problems.add("init::bad-size", &node.span, message, None);
            None
        }
    }
}
