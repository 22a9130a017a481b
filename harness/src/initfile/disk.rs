//! The `disks` of a machine: their keys to values, and what two disks of one machine may not share.

use std::path::{Path, PathBuf};

use serde_json::Map;

use super::{
    check::Surroundings,
    diagnostic::Problems,
    expand, keys,
    parse::{Node, Value},
    reader::{self, Fields},
    spec::{DiskFormat, DiskSource, DiskSpec},
};
use crate::base::id::DiskName;

/// The disks of one machine, no two alike.
pub(crate) fn read_all(
    items: &[Node],
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Vec<DiskSpec> {
    let mut disks: Vec<DiskSpec> = Vec::new();
    for item in items {
        let Some(disk) = disk(item, surroundings, problems) else {
            continue;
        };
        let spot = |key: &str| match item.value() {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text() == key).map_or(item, |(_, v)| v),
            Value::List(_) | Value::Scalar { .. } => item,
        };
        if disks.iter().any(|d| d.dev == disk.dev) {
            let message = format!("this machine has two disks at `{}`", disk.dev);
            problems.add("init::duplicate-dev", &spot("dev").span, message, free_dev(&disk.dev, &disks));
        }
        if disks.iter().any(|d| d.name == disk.name) {
            let message = format!("this machine has two disks named `{}`", disk.name);
            problems.add("init::duplicate-disk", &spot("name").span, message, None);
        }
        disks.push(disk);
    }
    disks
}

fn free_dev(dev: &str, disks: &[DiskSpec]) -> Option<String> {
    let bus = dev.get(..2)?;
    let free = ('a'..='z').map(|c| format!("{bus}{c}")).find(|dev| disks.iter().all(|d| d.dev != *dev))?;
    Some(format!("`{free}` is free"))
}

/// What a disk is made from, before its own keys are looked at.
#[derive(Clone, Copy, PartialEq)]
enum DiskType {
    Template,
    Empty,
    File,
}

fn disk(node: &Node, surroundings: &Surroundings<'_>, problems: &mut Problems) -> Option<DiskSpec> {
    let fields = Fields::read(node, &node.span, &keys::DISK, problems)?;
    let types = [("template", DiskType::Template), ("empty", DiskType::Empty), ("file", DiskType::File)];
    let formats = [("qcow2", DiskFormat::Qcow2), ("raw", DiskFormat::Raw), ("iso", DiskFormat::Iso)];
    let name: Option<DiskName> = fields
        .require("name", problems)
        .and_then(|n| reader::parsed(n, "the disk's name", "init::bad-name", problems));
    let format_node = fields.require("format", problems);
    let format = format_node.and_then(|n| reader::choice(n, "`format`", &formats, &[], problems));
    let dev = fields.require("dev", problems).and_then(|n| dev(n, format, problems));
    let kind = fields
        .require("type", problems)
        .and_then(|n| reader::choice(n, "`type` of a disk", &types, &[], problems))?;

    let (own, allowed): (&[&str], &[DiskFormat]) = match kind {
        DiskType::Template => (&["template_name", "template_type"], &[DiskFormat::Qcow2]),
        DiskType::Empty => (&["size"], &[DiskFormat::Qcow2, DiskFormat::Raw]),
        DiskType::File => (&["path"], &[DiskFormat::Qcow2, DiskFormat::Raw, DiskFormat::Iso]),
    };
    for key in ["template_name", "template_type", "size", "path"] {
        if let Some(node) = fields.get(key).filter(|_| !own.contains(&key)) {
            let help = Some(format!("it takes {}", reader::listed(own)));
            problems.add(
                "init::misplaced-key",
                &node.span,
                format!("this type of disk takes no `{key}`"),
                help,
            );
        }
    }
    if let (Some(format), Some(node)) = (format, format_node)
        && !allowed.contains(&format)
    {
        let words: Vec<&str> = formats.iter().filter(|(_, f)| allowed.contains(f)).map(|(w, _)| *w).collect();
        let message = format!("this type of disk cannot have the format `{}`", node.text());
        problems.add(
            "init::bad-format",
            &node.span,
            message,
            Some(format!("use {}", reader::listed(&words))),
        );
    }

    let mut at = problems.place(&node.span);
    let source = match kind {
        DiskType::Template => {
            if let Some(node) = fields.get("template_type") {
                reader::choice(node, "`template_type`", &[("lago", ())], &["qcow2"], problems);
            }
            let template = fields.require("template_name", problems)?;
            at = problems.place(&template.span);
            let name = reader::text(template, "`template_name`", problems)?.to_owned();
            DiskSource::Template { name, version: None }
        }
        DiskType::Empty => DiskSource::Empty { size: size(fields.require("size", problems)?, problems)? },
        DiskType::File => {
            let path = file(fields.require("path", problems)?, surroundings, problems)?;
            DiskSource::File { path: Some(path), url: None, copy: false }
        }
    };
    Some(DiskSpec {
        name: name?,
        at,
        dev: dev?,
        bus: None,
        serial: None,
        boot: None,
        format: format?,
        source,
        metadata: Map::new(),
        build: Vec::new(),
        skip_export: false,
    })
}

/// A guest device: `vd` for virtio, `sd` for virtio-scsi, `hd` for a CD-ROM.
fn dev(node: &Node, format: Option<DiskFormat>, problems: &mut Problems) -> Option<String> {
    let text = reader::text(node, "`dev`", problems)?;
    let known = text.split_at_checked(2).filter(|(bus, letter)| {
        matches!(*bus, "vd" | "sd" | "hd")
            && letter.len() == 1
            && letter.chars().all(|c| c.is_ascii_lowercase())
    });
    let Some((bus, _)) = known else {
        let message = format!("`dev` must be a guest device, this is `{text}`");
        let help = match text.strip_prefix("/dev/") {
            Some(short) => format!("write `{short}`"),
            None => "write `vd`, `sd` or `hd` and a letter, such as `vda`".to_owned(),
        };
        problems.add("init::bad-dev", &node.span, message, Some(help));
        return None;
    };
    let help = match (bus, format) {
        ("hd", Some(DiskFormat::Qcow2 | DiskFormat::Raw)) => {
            "use `vd` (virtio) or `sd` (virtio-scsi) and a letter"
        }
        ("vd", Some(DiskFormat::Iso)) => "use `hd` or `sd` and a letter",
        _ => return Some(text.to_owned()),
    };
    let what =
        if bus == "hd" { "is for CD-ROMs (format `iso`) alone" } else { "cannot be a CD-ROM (format `iso`)" };
    problems.add("init::bad-dev", &node.span, format!("`{text}` {what}"), Some(help.to_owned()));
    None
}

fn size(node: &Node, problems: &mut Problems) -> Option<u64> {
    let text = reader::text(node, "`size`", problems)?;
    match expand::size(text) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            problems.add("init::bad-size", &node.span, format!("`{text}` is not a disk's size: {why}"), None);
            None
        }
    }
}

fn file(node: &Node, surroundings: &Surroundings<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let text = reader::text(node, "`path`", problems)?;
    let lookup = |name: &str| match name {
        "LAGO_INITFILE_PATH" => Some(surroundings.folder.to_string_lossy().into_owned()),
        _ => (surroundings.options.env)(name),
    };
    let expanded = match expand::variables(text, &lookup) {
        Ok(expanded) => expanded,
        Err(errors) => {
            let span = &node.span;
            errors.into_iter().for_each(|why| problems.add("init::unset-variable", span, why, None));
            return None;
        }
    };
    let path = surroundings.folder.join(&expanded);
    if let Err(error) = (surroundings.check_file)(&path) {
        let message = format!("cannot use the file {}: {error}", path.display());
        let folder = surroundings.folder.display();
        let help = Path::new(&expanded).is_relative().then(|| format!("a relative path starts at {folder}"));
        problems.add("init::bad-file", &node.span, message, help);
        return None;
    }
    Some(path)
}
