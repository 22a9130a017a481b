//! The index apt reads: `Packages` and `Release`. Texts only.

use std::{collections::BTreeSet, time::SystemTime};

use super::spec::Package;

/// A file of a repository, as its index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// Its name.
    pub(super) name: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub(super) sha256: String,
}

/// The paragraph of a package.
pub(super) fn entry(package: &Package, file: &FileFacts) -> String {
    let FileFacts { name, size, sha256 } = file;
    format!("{}Filename: ./{name}\nSize: {size}\nSHA256: {sha256}\n\n", package.control)
}

/// The file that names the index files.
pub(super) fn release(name: &str, packages: &[Package], files: &[FileFacts], at: SystemTime) -> String {
    let archs: BTreeSet<&str> = packages.iter().map(|package| package.arch.as_str()).collect();
    let archs = archs.into_iter().collect::<Vec<_>>().join(" ");
    let date = httpdate::fmt_http_date(at);
    let mut text = format!("Origin: polder\nLabel: {name}\nDate: {date}\nArchitectures: {archs}\nSHA256:\n");
    for FileFacts { name, size, sha256 } in files {
        text.push_str(&format!(" {sha256} {size} {name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::repo::spec::At;

    #[test]
    fn an_index_says_what_apt_asks_for() {
        let control = "Package: tool\nVersion: 1\nArchitecture: all\nFilename: elsewhere\nDescription: x";
        let package = Package::from_control(control, At::File("/x".into())).unwrap();
        let file = FileFacts { name: package.file_name(), size: 7, sha256: "ab".into() };
        insta::assert_snapshot!(entry(&package, &file), @r"
        Package: tool
        Version: 1
        Architecture: all
        Description: x
        Filename: ./tool_1_all.deb
        Size: 7
        SHA256: ab
        ");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_237_403);
        let index = FileFacts { name: "Packages".into(), size: 9, sha256: "cd".into() };
        insta::assert_snapshot!(release("default", &[package], &[index], at), @r"
        Origin: polder
        Label: default
        Date: Sat, 21 Nov 2026 05:03:23 GMT
        Architectures: all
        SHA256:
         cd 9 Packages
        ");
    }
}
