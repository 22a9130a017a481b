//! Recipes in files of their own: an image of ours and what is added to it. Does not know who names such a file.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    error::{ImageError, IoContext},
    recipe::{GuestFile, Recipe, Userland},
    recipes::recipe,
};

/// What stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Additions {
    /// The image of ours it begins with.
    extends: String,
    /// Further Debian packages.
    #[serde(default)]
    packages: Vec<String>,
    /// Files that everyone may read, by path in the guest.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Files that everyone may run.
    #[serde(default)]
    programs: BTreeMap<String, String>,
    /// Units of systemd by name: what they say. They are started at boot.
    #[serde(default)]
    units: BTreeMap<String, String>,
    /// Units that are never started, although a package brings them.
    #[serde(default)]
    mask: Vec<String>,
    /// Least memory in MiB with which it boots, where that is more than what the other one needs.
    memory: Option<u32>,
}

impl Recipe {
    /// The recipe in the file at `path`, which is called what the file is without its ending.
    ///
    /// # Errors
    /// The file cannot be read, or makes no sense: [`ImageError::RecipeFile`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ImageError> {
        let text = fs::read_to_string(path).or_cannot("read", path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let wrong = |problem| ImageError::RecipeFile { path: path.to_owned(), problem };
        let recipe = parse(&name, &text).map_err(wrong)?;
        recipe.problem().map_or(Ok(recipe), |problem| Err(wrong(problem)))
    }
}

fn parse(name: &str, text: &str) -> Result<Recipe, String> {
    let added: Additions = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let base = recipe(&added.extends).map_err(|error| error.to_string())?;
    if recipe(name).is_ok() {
        return Err(format!(
            "`{name}` is the name of an image of Polder's own; call the file something else"
        ));
    }
    let is_bare = base.userland != Userland::Debian;
    if is_bare && !(added.packages.is_empty() && added.units.is_empty() && added.mask.is_empty()) {
        return Err(format!("`{}` has neither packages nor units, only files can be added to it", base.name));
    }
    let mut files = Vec::new();
    for (path, text) in &added.files {
        files.push(GuestFile::text(inside(path)?, text));
    }
    for (path, text) in &added.programs {
        files.push(GuestFile::program(inside(path)?, text));
    }
    for (unit, text) in &added.units {
        let at = format!("etc/systemd/system/{}", named(unit)?);
        files.push(GuestFile::text(&at, text));
        let wanted = format!("etc/systemd/system/multi-user.target.wants/{unit}");
        files.push(GuestFile::link(&wanted, &format!("/{at}")));
    }
    for unit in &added.mask {
        files.push(GuestFile::link(&format!("etc/systemd/system/{}", named(unit)?), "/dev/null"));
    }
    let kept = base.files.iter().filter(|ours| files.iter().all(|file| file.path != ours.path));
    Ok(Recipe {
        name: name.to_owned(),
        packages: base.packages.iter().chain(&added.packages).cloned().collect(),
        files: kept.chain(&files).cloned().collect(),
        min_memory_mib: base.min_memory_mib.max(added.memory.unwrap_or_default()),
        ..base.clone()
    })
}

/// A path in the guest, as recipes have it.
fn inside(path: &str) -> Result<&str, String> {
    path.strip_prefix('/').ok_or_else(|| format!("`{path}` must begin with `/`"))
}

fn named(unit: &str) -> Result<&str, String> {
    let is_one = unit.contains('.') && !unit.contains('/');
    is_one.then_some(unit).ok_or_else(|| format!("`{unit}` is not the name of a unit, such as `a.service`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Content;

    const ROUTER: &str = "
extends: debian12
packages: [frr]
memory: 224
files: {/etc/motd: \"hi\\n\"}
programs: {/usr/bin/greet: \"#!/bin/sh\\n\"}
units: {greet.service: \"[Service]\\nExecStart=greet\\n\"}
mask: [polder-dns.path]
";

    fn at<'a>(recipe: &'a Recipe, path: &str) -> Vec<&'a Content> {
        recipe.files.iter().filter(|file| file.path == path).map(|file| &file.content).collect()
    }

    #[test]
    fn a_file_adds_to_an_image_of_ours() {
        let (ours, router) = (recipe("debian12").unwrap(), parse("router", ROUTER).unwrap());
        assert_eq!(router.problem(), None);
        assert_eq!((router.name.as_str(), router.min_memory_mib), ("router", 224));
        assert_eq!(router.packages.split_last().unwrap(), (&"frr".to_owned(), ours.packages.as_slice()));
        assert_eq!(at(&router, "etc/motd"), [&Content::Text("hi\n".into())]);
        assert_eq!(at(&router, "usr/bin/greet"), [&Content::Program("#!/bin/sh\n".into())]);
        assert_eq!(
            at(&router, "etc/systemd/system/multi-user.target.wants/greet.service"),
            [&Content::Link("/etc/systemd/system/greet.service".into())]
        );
        assert_eq!(
            at(&router, "etc/systemd/system/polder-dns.path"),
            [&Content::Link("/dev/null".into())],
            "instead of ours"
        );
        assert_eq!(at(&router, "usr/lib/polder/dns").len(), 1);
        let another = parse("router", &ROUTER.replace("224", "100")).unwrap();
        assert_eq!(another.min_memory_mib, ours.min_memory_mib);
        assert_ne!(another.digest(), router.digest());
    }

    #[rstest::rstest]
    #[case("r", "packages: [frr]", "missing field `extends`")]
    #[case("r", "extends: debian", "no image `debian` (did you mean `debian12`?)")]
    #[case("r", "extends: debian12\npackage: [frr]", "unknown field `package`")]
    #[case("r", "extends: debian12\npackages: frr", "packages")]
    #[case("r", "extends: debian12\npackages: ['-oAPT::x']", "`-oAPT::x` is not the name of a package")]
    #[case("r", "extends: debian12\nfiles: {etc/motd: x}", "`etc/motd` must begin with `/`")]
    #[case("r", "extends: debian12\nfiles: {/etc/../motd: x}", "`etc/../motd` is not a path inside")]
    #[case("r", "extends: debian12\nunits: {../x.service: x}", "`../x.service` is not the name of a unit")]
    #[case("r", "extends: debian12\nmask: [frr]", "`frr` is not the name of a unit")]
    #[case("r", "extends: minimal\npackages: [frr]", "`minimal` has neither packages nor units")]
    #[case("debian12", "extends: debian12", "call the file something else")]
    #[case("a b", "extends: debian12", "`a b` is not a name for an image")]
    #[case("r", "extends: [", "line")]
    fn what_is_wrong_with_a_file_is_told(#[case] name: &str, #[case] text: &str, #[case] expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("{name}.yaml"));
        fs::write(&path, text).unwrap();
        let error = Recipe::load(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(&format!("{name}.yaml")), "{error}");
    }
}
