//! What a repository is built from: packages, where they come from, and which of two is newer.

use std::{cmp::Ordering, fmt, path::PathBuf, str::FromStr};

use debversion::Version;
use rpm_version::{Nevra, rpm_evr_compare};
use serde::Serialize;

/// A repository to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its name: its folder's, and the first part of its URL.
    pub name: String,
    /// Where packages come from, the most important first.
    pub sources: Vec<Source>,
    /// Names of the packages that are taken from mirrors; all of them when empty.
    pub only: Vec<String>,
}

/// A place packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A package, or a folder with packages at any depth.
    Path(PathBuf),
    /// A package, an index (`Packages`, also compressed, or `repodata/repomd.xml`), or a folder that has one.
    Url(String),
}

impl Source {
    /// What a person calls it: a URL, or a path as it is.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let url = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if url { Self::Url(text.to_owned()) } else { Self::Path(text.into()) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// The kinds of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian's.
    Deb,
    /// Those of Fedora, SUSE and their like.
    Rpm,
}

impl Format {
    /// The format of a file of that name, if it is a package to install: not one of sources.
    #[must_use]
    pub fn of(file: &str) -> Option<Self> {
        let source = [".src.rpm", ".nosrc.rpm"].iter().any(|end| file.ends_with(end));
        match file.rsplit_once('.')?.1 {
            "deb" => Some(Self::Deb),
            "rpm" if !source => Some(Self::Rpm),
            _ => None,
        }
    }
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its format.
    pub format: Format,
    /// Its name.
    pub name: String,
    /// Its version, with epoch and revision.
    pub version: String,
    /// Its architecture.
    pub arch: String,
    /// What it says of itself, without what says where its file is; empty for those of [`Format::Rpm`].
    pub control: String,
    /// Where its file is.
    pub at: At,
}

/// Where a package's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// On this host.
    File(PathBuf),
    /// On a mirror, whose index says what to expect.
    Mirror {
        /// The URL.
        url: String,
        /// Its size in bytes.
        size: u64,
        /// Its SHA-256, in hexadecimal digits.
        sha256: String,
    },
}

/// Fields that say where a file is and what is in it: a repository has its own.
const OF_FILES: &[&str] = &["filename", "size", "md5sum", "sha1", "sha256", "sha512"];

impl Package {
    /// The package that a paragraph of control data describes.
    ///
    /// # Errors
    /// What is wrong with the paragraph.
    pub fn from_control(paragraph: &str, at: At) -> Result<Self, String> {
        let get = |name: &str| field(paragraph, name).ok_or_else(|| format!("it has no field `{name}`"));
        let (name, version, arch) = (get("Package")?, get("Version")?, get("Architecture")?);
        // They become the name of a file.
        if !made_of(name, "+-._") {
            return Err(format!("`{name}` is no name of a package"));
        }
        if !made_of(arch, "-_") {
            return Err(format!("`{arch}` is no architecture"));
        }
        if !made_of(version, "+-.~:") || Version::from_str(version).is_err() {
            return Err(format!("`{version}` is no version"));
        }
        let (name, version, arch) = (name.to_owned(), version.to_owned(), arch.to_owned());
        let control = fields(paragraph)
            .filter(|(name, _)| !OF_FILES.iter().any(|of_file| name.eq_ignore_ascii_case(of_file)))
            .map(|(_, whole)| whole)
            .collect();
        Ok(Self { format: Format::Deb, name, version, arch, control, at })
    }

    /// The package of [`Format::Rpm`] in a file of that name, which says what it is.
    ///
    /// # Errors
    /// The name does not.
    pub fn from_rpm_name(file: &str, at: At) -> Result<Self, String> {
        let nevra = Nevra::parse(file.strip_suffix(".rpm").unwrap_or(file));
        let (name, epoch, version, release, arch) = nevra.values();
        if [name, version, release, arch].iter().any(|part| part.is_empty()) {
            return Err("its name is not NAME-VERSION-RELEASE.ARCH.rpm".to_owned());
        }
        let epoch = if epoch.is_empty() { String::new() } else { format!("{epoch}:") };
        let version = format!("{epoch}{version}-{release}");
        let (name, arch) = (name.to_owned(), arch.to_owned());
        Ok(Self { format: Format::Rpm, name, version, arch, control: String::new(), at })
    }

    /// A package of [`Format::Rpm`] as the list of its repository describes it; `version` has epoch and release.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn from_rpm_list(name: &str, version: &str, arch: &str, at: At) -> Result<Self, String> {
        if !made_of(name, "+-._") {
            return Err(format!("`{name}` is no name of a package"));
        }
        if !made_of(arch, "-_") {
            return Err(format!("`{arch}` is no architecture"));
        }
        if !made_of(version, "+-.~^:_") {
            return Err(format!("`{version}` is no version"));
        }
        let (name, version, arch) = (name.to_owned(), version.to_owned(), arch.to_owned());
        Ok(Self { format: Format::Rpm, name, version, arch, control: String::new(), at })
    }

    /// The name of its file in a repository.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { name, version, arch, .. } = self;
        let plain = version.split_once(':').map_or(version.as_str(), |(_, plain)| plain);
        match self.format {
            Format::Deb => format!("{name}_{plain}_{arch}.deb"),
            Format::Rpm => format!("{name}-{plain}.{arch}.rpm"),
        }
    }

    /// Which of two packages of one name and format is the newer one.
    #[must_use]
    pub fn age(&self, other: &Self) -> Ordering {
        match self.format {
            Format::Deb => {
                // One that is no version was not made.
                let version = |of: &Self| Version::from_str(&of.version).ok();
                version(self).cmp(&version(other))
            }
            Format::Rpm => rpm_evr_compare(&self.version, &other.version),
        }
    }
}

/// Whether it begins with a letter or a digit and has else only those and some `more`.
fn made_of(text: &str, more: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// The paragraphs of control data.
pub(super) fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches(['\n', '\r']);
            if rest.is_empty() {
                return None;
            }
            let (paragraph, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
            rest = after;
            if !paragraph.trim().is_empty() {
                return Some(paragraph);
            }
        }
    })
}

/// The fields of a paragraph: their names, and their lines with what continues them.
fn fields(paragraph: &str) -> impl Iterator<Item = (&str, String)> {
    let mut lines = paragraph.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let first = lines.next()?;
            let mut whole = format!("{first}\n");
            while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
                whole.push_str(more);
                whole.push('\n');
            }
            if let Some((name, _)) =
                first.split_once(':').filter(|(name, _)| !name.starts_with([' ', '\t', '#']))
            {
                return Some((name, whole));
            }
        }
    })
}

/// The value of a field of one line.
pub(super) fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let values = paragraph.lines().filter_map(|line| line.split_once(':'));
    let mut values = values.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deb(control: &str) -> Result<Package, String> {
        Package::from_control(control, At::File("/x.deb".into()))
    }

    fn version(version: &str) -> Package {
        deb(&format!("Package: x\nVersion: {version}\nArchitecture: all")).unwrap()
    }

    #[test]
    fn a_paragraph_is_taken_without_what_it_says_of_its_file() {
        let text = "Package: tool\nSource: tools\nVersion: 1:2.0~rc1-1\nArchitecture: amd64\nfilename: ../../x\n\
                    SHA256: 00\nDescription: a tool\n with a\n .\n long text\nsize: 1";
        let package = deb(text).unwrap();
        assert_eq!(package.file_name(), "tool_2.0~rc1-1_amd64.deb");
        let expected = "Package: tool\nSource: tools\nVersion: 1:2.0~rc1-1\nArchitecture: amd64\n\
                        Description: a tool\n with a\n .\n long text\n";
        assert_eq!(package.control, expected);
    }

    #[rstest::rstest]
    #[case("Version: 1\nArchitecture: all", "it has no field `Package`")]
    #[case("Package: x\nVersion:\nArchitecture: all", "it has no field `Version`")]
    #[case("Package: ../x\nVersion: 1\nArchitecture: all", "`../x` is no name of a package")]
    #[case("Package: x\nVersion: 1/2\nArchitecture: all", "`1/2` is no version")]
    #[case("Package: x\nVersion: 1\nArchitecture: a/b", "`a/b` is no architecture")]
    #[case("", "it has no field `Package`")]
    fn bad_control_data_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(deb(text).unwrap_err(), expected);
    }

    #[rstest::rstest]
    #[case("bash-5.1.8-6.el9.x86_64.rpm", Ok(("bash", "5.1.8-6.el9", "x86_64")))]
    #[case("python3-foo-1-2.noarch.rpm", Ok(("python3-foo", "1-2", "noarch")))]
    #[case("bash.rpm", Err(()))]
    #[case(".rpm", Err(()))]
    fn names_of_rpms_say_what_they_are(#[case] file: &str, #[case] expected: Result<(&str, &str, &str), ()>) {
        let package = Package::from_rpm_name(file, At::File("/x".into()));
        let parts = package.as_ref().map(|p| (p.name.as_str(), p.version.as_str(), p.arch.as_str()));
        assert_eq!(parts.map_err(|_| ()), expected);
        if let Ok(package) = package {
            assert_eq!(package.file_name(), file);
        }
    }

    #[rstest::rstest]
    #[case("a_1_all.deb", Some(Format::Deb))]
    #[case("a-1-1.x86_64.rpm", Some(Format::Rpm))]
    #[case("a-1-1.src.rpm", None)]
    #[case("a.udeb", None)]
    #[case("deb", None)]
    fn files_are_told_apart(#[case] file: &str, #[case] expected: Option<Format>) {
        assert_eq!(Format::of(file), expected);
    }

    #[test]
    fn paragraphs_are_apart() {
        let all: Vec<_> = paragraphs("\n\nA: 1\nB: 2\n\n\nA: 3\n\n").collect();
        assert_eq!(all, ["A: 1\nB: 2", "A: 3"]);
        assert_eq!(paragraphs(" \n\n").count(), 0);
    }

    /// What Debian's own program says; where there is none, the test is of no use and says so.
    fn dpkg_says(a: &str, b: &str) -> Option<Ordering> {
        let is = |relation: &str| {
            let mut dpkg = std::process::Command::new("dpkg");
            dpkg.args(["--compare-versions", a, relation, b]).stderr(std::process::Stdio::null());
            dpkg.status().ok().map(|status| status.success())
        };
        Some(if is("lt")? {
            Ordering::Less
        } else if is("gt")? {
            Ordering::Greater
        } else {
            Ordering::Equal
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn versions_are_ordered_as_dpkg_orders_them(
            a in "([01]:)?[0-9][0-9a-b.+~]{0,5}(-[0-9a-b.+~]{1,3})?",
            b in "([01]:)?[0-9][0-9a-b.+~]{0,5}(-[0-9a-b.+~]{1,3})?",
        ) {
            match dpkg_says(&a, &b) {
                Some(expected) => prop_assert_eq!(version(&a).age(&version(&b)), expected, "{} {}", a, b),
                None => eprintln!("NOT TESTED: there is no dpkg"),
            }
        }

        #[test]
        fn whatever_an_index_holds_is_a_package_with_a_harmless_name_or_refused(
            text in "(Package: [^\n]{0,12}\n)?(Version: [^\n]{0,8}\n)?(Architecture: [^\n]{0,8}\n)?.{0,20}",
        ) {
            for paragraph in paragraphs(&text) {
                if let Ok(package) = deb(paragraph) {
                    let name = package.file_name();
                    prop_assert!(!name.contains(['/', '\0']) && !name.starts_with('.'), "{}", name);
                    prop_assert!(!package.control.contains("\n\n"));
                }
            }
        }
    }
}
