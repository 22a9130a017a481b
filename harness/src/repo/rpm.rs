//! What a repository of RPMs says of itself: `repomd.xml` names the list of its packages, which is read here, too. Texts
//! only.

use std::collections::BTreeMap;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

use super::spec::{At, Package};

/// Where `repomd.xml` is in a repository.
pub(super) const INDEX: &str = "repodata/repomd.xml";

/// An entry of a list: its attributes as `@NAME`, the texts of its children as `CHILD`, and their attributes as
/// `CHILD@NAME`.
type Entry = BTreeMap<String, String>;

/// Where the list of packages is, as `repomd.xml` says.
pub(super) fn primary(repomd: &str) -> Result<String, String> {
    let mut found = None;
    entries(repomd, "data", |mut entry| {
        if entry.get("@type").is_some_and(|kind| kind == "primary") {
            found = entry.remove("location@href");
        }
    })?;
    found.ok_or_else(|| "it names no list of packages".to_owned())
}

/// The packages in such a list of a repository at `base`, and what is wrong with others; sources are left out.
pub(super) fn listed(base: &str, list: &str, wanted: impl Fn(&str) -> bool) -> Result<Listed, String> {
    let mut listed = Listed::default();
    entries(list, "package", |entry| {
        let (name, arch) = (get(&entry, "name").unwrap_or_default(), get(&entry, "arch").unwrap_or_default());
        if !wanted(&name) || matches!(arch.as_str(), "src" | "nosrc") {
            return;
        }
        match package(base, &entry) {
            Ok(package) => listed.packages.push(package),
            Err(why) => listed.problems.push(format!("package {name}: {why}")),
        }
    })?;
    Ok(listed)
}

/// What a list has.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) packages: Vec<Package>,
    pub(super) problems: Vec<String>,
}

fn get(entry: &Entry, key: &str) -> Result<String, String> {
    let value = entry.get(key).filter(|value| !value.is_empty());
    value.cloned().ok_or_else(|| format!("its entry has no `{}`", key.replace('@', " ")))
}

fn package(base: &str, entry: &Entry) -> Result<Package, String> {
    let get = |key: &str| get(entry, key);
    let kind = get("checksum@type")?;
    if kind != "sha256" {
        return Err(format!("its checksum is of the type `{kind}`, not `sha256`"));
    }
    let size = get("size@package")?.parse().map_err(|_| "its size is no number".to_owned())?;
    let (sha256, file) = (get("checksum")?.to_ascii_lowercase(), get("location@href")?);
    let base = entry.get("location@base").map_or(base, String::as_str).trim_end_matches('/');
    let at = At::Mirror { url: format!("{base}/{}", file.trim_start_matches('/')), size, sha256 };
    let epoch = entry.get("version@epoch").filter(|epoch| *epoch != "0").map(|epoch| format!("{epoch}:"));
    let version = format!("{}{}-{}", epoch.unwrap_or_default(), get("version@ver")?, get("version@rel")?);
    Package::from_rpm_list(&get("name")?, &version, &get("arch")?, at)
}

/// Hands out the elements called `name` that stand in the root of a document, one by one: lists can be very long.
fn entries(xml: &str, name: &str, mut each: impl FnMut(Entry)) -> Result<(), String> {
    let mut reader = Reader::from_str(xml.strip_prefix('\u{feff}').unwrap_or(xml));
    let mut open: Vec<String> = Vec::new();
    let mut entry = Entry::new();
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| format!("it is not XML at byte {at}: {error}"))?;
        match event {
            Event::Start(start) => {
                open.push(start.local_name().as_ref().to_owned());
                note(&mut entry, &open, &start)?;
            }
            Event::Empty(start) => {
                open.push(start.local_name().as_ref().to_owned());
                note(&mut entry, &open, &start)?;
                end(&mut entry, &mut open, name, &mut each);
            }
            Event::End(_) => end(&mut entry, &mut open, name, &mut each),
            Event::Text(text) => text_of(&mut entry, &open, &text),
            Event::CData(text) => text_of(&mut entry, &open, &text),
            Event::GeneralRef(name) => {
                let known = quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned);
                let number = name.resolve_char_ref().ok().flatten().map(String::from);
                text_of(&mut entry, &open, &known.or(number).unwrap_or_default());
            }
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err("it ends early".to_owned()),
            _ => {}
        }
    }
}

/// Notes the attributes of the element that was opened last, if it is an entry or a child of one.
fn note(entry: &mut Entry, open: &[String], start: &BytesStart<'_>) -> Result<(), String> {
    let child = match open {
        [_, _] => "",
        [_, _, child] => child.as_str(),
        _ => return Ok(()),
    };
    for attribute in start.attributes() {
        let wrong = |error: &dyn std::fmt::Display| format!("a `{child}` is wrong: {error}");
        let attribute = attribute.map_err(|error| wrong(&error))?;
        let value = attribute.normalized_value(XmlVersion::default()).map_err(|error| wrong(&error))?;
        let key = format!("{child}@{}", attribute.key.local_name().as_ref());
        entry.entry(key).or_insert_with(|| value.into_owned());
    }
    Ok(())
}

fn text_of(entry: &mut Entry, open: &[String], text: &str) {
    if let [_, _, child] = open {
        entry.entry(child.clone()).or_default().push_str(text.trim());
    }
}

/// Closes the innermost element, which may end an entry.
fn end(entry: &mut Entry, open: &mut Vec<String>, name: &str, each: &mut impl FnMut(Entry)) {
    let ended = open.pop();
    if open.len() == 1 {
        let whole = std::mem::take(entry);
        if ended.as_deref() == Some(name) {
            each(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="4">
<package type="rpm"><name>a</name><arch>x86_64</arch><version epoch="1" ver="2.0~rc1" rel="3.el9"/>
 <checksum type="sha256" pkgid="YES">AB</checksum><summary>x &amp; y</summary><size package="7" installed="0"/>
 <location href="Packages/a.rpm"/><format><rpm:provides><rpm:entry name="z" ver="9"/></rpm:provides></format></package>
<package type="rpm"><name>a</name><arch>src</arch></package>
<package type="rpm"><name>b</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>
 <checksum type="sha">cd</checksum><size package="7"/><location href="b.rpm"/></package>
<package type="rpm"><name>c/../d</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>
 <checksum type="sha256">cd</checksum><size package="7"/><location xml:base="http://other/" href="c.rpm"/></package>
</metadata>"#;

    #[test]
    fn a_list_of_packages_is_read_for_what_is_wanted() {
        let listed = |only: &str| listed("http://h/r", LIST, |name| only.is_empty() || name == only).unwrap();
        let Listed { packages, problems } = listed("");
        let shown: Vec<String> = packages
            .iter()
            .map(|one| format!("{} {} {} {:?}", one.file_name(), one.version, one.arch, one.at))
            .collect();
        assert_eq!(
            shown,
            [
                r#"a-2.0~rc1-3.el9.x86_64.rpm 1:2.0~rc1-3.el9 x86_64 Mirror { url: "http://h/r/Packages/a.rpm", size: 7, sha256: "ab" }"#
            ]
        );
        assert_eq!(
            problems,
            [
                "package b: its checksum is of the type `sha`, not `sha256`",
                "package c/../d: `c/../d` is no name of a package",
            ]
        );
        assert!(listed("a").problems.is_empty());
    }

    #[test]
    fn an_index_names_the_list() {
        let index = |text: &str| primary(&format!("<repomd><revision>1</revision>{text}</repomd>"));
        let data =
            |kind: &str| format!(r#"<data type="{kind}"><location href="repodata/{kind}.xml.gz"/></data>"#);
        assert_eq!(index(&(data("other") + &data("primary"))).unwrap(), "repodata/primary.xml.gz");
        assert_eq!(index(&data("primary_db")).unwrap_err(), "it names no list of packages");
        assert!(primary("<repomd><data>").unwrap_err().contains("ends early"));
        assert!(primary("<a></b>").unwrap_err().starts_with("it is not XML at byte "));
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_list_says_becomes_no_path(
            name in "[a-z./\\-]{0,8}", ver in "[0-9a/:.~^]{0,6}", rel in "[0-9/]{0,3}", arch in "[a-z/._]{0,6}",
        ) {
            let list = format!(
                r#"<m><package><name>{name}</name><arch>{arch}</arch><version epoch="0" ver="{ver}" rel="{rel}"/>
                <checksum type="sha256">a</checksum><size package="1"/><location href="x"/></package></m>"#
            );
            for package in listed("http://h", &list, |_| true).unwrap().packages {
                let name = package.file_name();
                proptest::prop_assert!(!name.contains('/') && !name.starts_with('.'), "{}", name);
            }
        }
    }
}
