//! Where this host gets Debian bookworm from: read out of its own apt configuration, so that images are built from
//! the mirrors, proxies and keys that work here. Fetches nothing itself.

use std::path::Path;

/// The release all our images are made from.
const SUITE: &str = "bookworm";

/// What the files of an apt source list are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `deb [options] uri suite component...`
    OneLine,
    /// Stanzas of `Key: value` (deb822).
    Stanzas,
}

/// The host's sources of bookworm in deb822 form; empty when it has none (another release or distribution).
///
/// Files that cannot be read are left out, as apt does for users who may not.
pub(crate) fn of_host(etc_apt: &Path) -> String {
    let mut paths = vec![etc_apt.join("sources.list")];
    let parts = std::fs::read_dir(etc_apt.join("sources.list.d")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(|entry| entry.path()).collect();
    parts.sort();
    paths.extend(parts);
    let files = paths.iter().filter_map(|path| {
        let style = match path.extension()?.to_str()? {
            "list" => Style::OneLine,
            "sources" => Style::Stanzas,
            _ => return None,
        };
        Some((style, std::fs::read_to_string(path).ok()?))
    });
    bookworm(files)
}

/// The stanzas that are Debian's own bookworm, component `main`, in deb822 form.
pub(crate) fn bookworm(files: impl IntoIterator<Item = (Style, String)>) -> String {
    let entries = files.into_iter().flat_map(|(style, text)| match style {
        Style::OneLine => text.lines().filter_map(one_line).collect::<Vec<_>>(),
        Style::Stanzas => stanzas(&text),
    });
    entries.filter_map(|entry| entry.to_bookworm()).collect::<Vec<_>>().join("\n")
}

/// One source, whichever style it was written in.
#[derive(Debug, Default)]
struct Entry {
    types: String,
    uris: String,
    suites: String,
    components: String,
    /// As written, with continuation lines when the key itself stands there.
    signed_by: Option<String>,
    trusted: Option<String>,
    enabled: Option<String>,
}

impl Entry {
    fn to_bookworm(&self) -> Option<String> {
        let has = |list: &str, word: &str| list.split_whitespace().any(|w| w == word);
        let off = self.enabled.as_deref().is_some_and(|v| matches!(v, "no" | "false" | "0"));
        let cdrom = self.uris.contains("cdrom:");
        // Others name their suite `bookworm` too; they come with a key of their own.
        let debian = self
            .signed_by
            .as_deref()
            .is_none_or(|key| key.contains("debian-archive") || key.contains("BEGIN PGP"));
        if off || cdrom || !debian || !has(&self.types, "deb") || !has(&self.components, "main") {
            return None;
        }
        let wanted = [SUITE, &format!("{SUITE}-updates"), &format!("{SUITE}-security")];
        let suites: Vec<&str> = self.suites.split_whitespace().filter(|s| wanted.contains(s)).collect();
        if suites.is_empty() {
            return None;
        }
        let mut text =
            format!("Types: deb\nURIs: {}\nSuites: {}\nComponents: main\n", self.uris, suites.join(" "));
        for (key, value) in [("Signed-By", &self.signed_by), ("Trusted", &self.trusted)] {
            if let Some(value) = value {
                let space = if value.starts_with('\n') { "" } else { " " };
                text.push_str(&format!("{key}:{space}{value}\n"));
            }
        }
        Some(text)
    }
}

fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next()?.trim();
    let (types, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let option = |name: &str| {
        let found = options.split_whitespace().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    Some(Entry {
        types: types.to_owned(),
        uris: words.next()?.to_owned(),
        suites: words.next()?.to_owned(),
        components: words.collect::<Vec<_>>().join(" "),
        signed_by: option("signed-by"),
        trusted: option("trusted"),
        enabled: None,
    })
}

fn stanzas(text: &str) -> Vec<Entry> {
    let mut entries = vec![];
    let mut entry = Entry::default();
    let mut last: Option<&mut String> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            last = None;
            entries.push(std::mem::take(&mut entry));
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = &mut last {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            let field = match key.to_ascii_lowercase().as_str() {
                "types" => &mut entry.types,
                "uris" => &mut entry.uris,
                "suites" => &mut entry.suites,
                "components" => &mut entry.components,
                "signed-by" => entry.signed_by.insert(String::new()),
                "trusted" => entry.trusted.insert(String::new()),
                "enabled" => entry.enabled.insert(String::new()),
                _ => {
                    last = None;
                    continue;
                }
            };
            value.trim().clone_into(field);
            last = Some(field);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(style: Style, text: &str) -> String {
        bookworm([(style, text.to_owned())])
    }

    #[test]
    fn one_line_entries_become_stanzas() {
        let text = "# deb http://old bookworm main\n\
            deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] http://m/debian bookworm main contrib # here\n\
            deb-src http://m/debian bookworm main\n\
            deb http://m/debian-security bookworm-security main\n\
            deb http://m/debian trixie main\n\
            deb http://m/debian bookworm contrib\n\
            deb cdrom:[Debian] bookworm main\n";
        insta::assert_snapshot!(check(Style::OneLine, text), @r"
        Types: deb
        URIs: http://m/debian
        Suites: bookworm
        Components: main
        Signed-By: /k/debian-archive-keyring.gpg

        Types: deb
        URIs: http://m/debian-security
        Suites: bookworm-security
        Components: main
        ");
    }

    #[test]
    fn stanzas_keep_suites_of_bookworm_and_the_key() {
        let text = "Types: deb deb-src\nURIs: http://m/debian\n# a comment\nSuites: bookworm bookworm-updates bookworm-backports\n\
            Components: main contrib\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xyz\n\n\
            Enabled: no\nTypes: deb\nURIs: http://m/off\nSuites: bookworm\nComponents: main\n\n\
            types: deb\nuris: http://m/debian-security\nsuites: bookworm-security\ncomponents: main\nX-Other: 1\n more\n";
        insta::assert_snapshot!(check(Style::Stanzas, text), @r"
        Types: deb
        URIs: http://m/debian
        Suites: bookworm bookworm-updates
        Components: main
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         xyz

        Types: deb
        URIs: http://m/debian-security
        Suites: bookworm-security
        Components: main
        ");
    }

    #[rstest::rstest]
    #[case(Style::OneLine, "deb [signed-by=/k/microsoft.gpg] https://p/debian/12/prod bookworm main")]
    #[case(Style::OneLine, "deb https://d/linux/debian bookworm stable")]
    #[case(Style::OneLine, "deb [broken http://m/debian bookworm main")]
    #[case(Style::OneLine, "deb")]
    #[case(Style::Stanzas, "Types: deb\nURIs: http://a\nSuites: noble\nComponents: main\n")]
    #[case(Style::Stanzas, " dangling\n\n:::\nno colon")]
    #[case(Style::Stanzas, "")]
    fn what_is_not_debian_bookworm_is_left_out(#[case] style: Style, #[case] text: &str) {
        assert_eq!(check(style, text), "");
    }

    #[test]
    fn reads_lists_and_sources_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("sources.list.d");
        std::fs::create_dir(&parts).unwrap();
        for (path, host) in [("a.list", "one"), ("b.list.disabled", "two"), ("b.save", "three")] {
            std::fs::write(parts.join(path), format!("deb http://{host}/debian bookworm main\n")).unwrap();
        }
        let text = of_host(dir.path());
        assert!(text.contains("//one/") && !text.contains("//two/") && !text.contains("//three/"), "{text}");
        assert_eq!(of_host(&dir.path().join("nowhere")), "");
    }
}
