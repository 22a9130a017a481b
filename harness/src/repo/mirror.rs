//! Finds packages on mirrors: Debian's and those of RPMs, whose indexes name all of them, and single ones.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    RepoError, deb,
    error::file,
    read, rpm,
    spec::{At, Format, Package, field, paragraphs},
};
use crate::{
    base::wait::Deadline,
    template::{Answer, Http, Limits, Progress},
};

/// Names an index goes by, the smallest file first.
const INDEXES: [&str; 3] = ["Packages.xz", "Packages.gz", "Packages"];
/// No index is longer, unpacked: Debian's own has some 50 MiB.
const LONGEST: u64 = 1024 * 1024 * 1024;

/// Downloads.
pub(super) struct Mirrors {
    http: Http,
    limits: Limits,
    progress: Progress,
}

impl Mirrors {
    pub(super) fn new(progress: Progress) -> Self {
        let limits = Limits::default();
        Self { http: Http::new(limits), limits, progress }
    }

    /// The packages at `url`. Files are written to the folder `to`, which nobody else uses.
    pub(super) async fn packages(
        &self,
        url: &str,
        only: &[String],
        to: &Path,
        problems: &mut Vec<String>,
    ) -> Result<Vec<Package>, RepoError> {
        let name = url.rsplit('/').next().unwrap_or_default();
        if let Some(format) = Format::of(name) {
            let path = to.join(name);
            if !self.get(url, &path).await? {
                problems.push(format!("there is no package at {url}"));
                return Ok(Vec::new());
            }
            let package = read::package(&path, format).map_err(|why| problems.push(format!("{url}: {why}")));
            return Ok(package.into_iter().collect());
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
        let folder = url.trim_end_matches('/');
        if let Some(base) = folder.strip_suffix(rpm::INDEX) {
            let found = self.rpms(base.trim_end_matches('/'), wanted, to, problems).await?;
            return Ok(found.unwrap_or_else(|| {
                problems.push(format!("there is no index of packages at {url}"));
                Vec::new()
            }));
        }
        let urls = match INDEXES.contains(&name) {
            true => vec![url.to_owned()],
            false => INDEXES.map(|index| format!("{folder}/{index}")).to_vec(),
        };
        for url in &urls {
            let path = to.join("index");
            if self.get(url, &path).await? {
                let text = unpacked(url, &path)?;
                return Ok(listed(url, &text, wanted, problems));
            }
        }
        if !INDEXES.contains(&name)
            && let Some(found) = self.rpms(folder, wanted, to, problems).await?
        {
            return Ok(found);
        }
        let rpms = (!INDEXES.contains(&name)).then(|| format!("{folder}/{}", rpm::INDEX));
        let tried: Vec<String> = urls.into_iter().chain(rpms).collect();
        problems.push(format!("there is no index of packages; tried {}", tried.join(", ")));
        Ok(Vec::new())
    }

    /// The RPMs of the repository at `base`; nothing when there is none.
    async fn rpms(
        &self,
        base: &str,
        wanted: impl Fn(&str) -> bool,
        to: &Path,
        problems: &mut Vec<String>,
    ) -> Result<Option<Vec<Package>>, RepoError> {
        let (url, path) = (format!("{base}/{}", rpm::INDEX), to.join("index"));
        if !self.get(&url, &path).await? {
            return Ok(None);
        }
        let list = match rpm::primary(&unpacked(&url, &path)?) {
            Ok(href) => format!("{base}/{href}"),
            Err(why) => {
                problems.push(format!("{url}: {why}"));
                return Ok(Some(Vec::new()));
            }
        };
        if !self.get(&list, &path).await? {
            problems.push(format!("{url} names {list}, which is not there"));
            return Ok(Some(Vec::new()));
        }
        let found = rpm::listed(base, &unpacked(&list, &path)?, wanted);
        let rpm::Listed { packages, problems: wrong } =
            found.unwrap_or_else(|why| rpm::Listed { packages: Vec::new(), problems: vec![why] });
        problems.extend(wrong.iter().map(|why| format!("{list}: {why}")));
        Ok(Some(packages))
    }

    /// Downloads `url` to the file `to`; `false` when the server does not have it.
    pub(super) async fn get(&self, url: &str, to: &Path) -> Result<bool, RepoError> {
        let deadline = Deadline::within(self.limits.total);
        let answer = self.http.download(url, to, deadline, &self.progress).await?;
        Ok(matches!(answer, Answer::Have(_)))
    }
}

fn unpacked(url: &str, path: &Path) -> Result<String, RepoError> {
    let read = || -> io::Result<String> {
        let mut bytes = Vec::new();
        deb::unpacked(url, File::open(path)?)?.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(file("unpack", path))
}

/// What the index at `url` lists.
fn listed(url: &str, text: &str, wanted: impl Fn(&str) -> bool, problems: &mut Vec<String>) -> Vec<Package> {
    let mut packages = Vec::new();
    for paragraph in paragraphs(text) {
        let Some(name) = field(paragraph, "Package").filter(|name| wanted(name)) else { continue };
        match entry(url, paragraph) {
            Ok(package) => packages.push(package),
            Err(why) => problems.push(format!("{url}: package {name}: {why}")),
        }
    }
    packages
}

fn entry(url: &str, paragraph: &str) -> Result<Package, String> {
    let get = |name: &str| field(paragraph, name).ok_or_else(|| format!("it has no field `{name}`"));
    let size = get("Size")?.parse().map_err(|_| "its `Size` is no number".to_owned())?;
    let sha256 = get("SHA256")?.to_ascii_lowercase();
    // Of an archive with distributions, paths begin above those; else where the index is.
    let base = match url.split_once("/dists/") {
        Some((base, _)) => base,
        None => url.rsplit_once('/').map_or(url, |(base, _)| base),
    };
    let path = get("Filename")?.trim_start_matches("./");
    Package::from_control(paragraph, At::Mirror { url: format!("{base}/{path}"), size, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a.deb\nSize: 3\nSHA256: AB\n\n\
                         Package: b\nVersion: 1\nArchitecture: all\nFilename: ./b.deb\nSize: x\nSHA256: cd\n\n\
                         Package: c\nVersion: 1\nArchitecture: all\n";

    fn urls(url: &str, only: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut problems = vec![];
        let wanted = |name: &str| only.is_empty() || only.contains(&name);
        let found = listed(url, INDEX, wanted, &mut problems);
        let url = |package: &Package| match &package.at {
            At::Mirror { url, sha256, .. } => format!("{url} {sha256}"),
            At::File(_) => panic!("{package:?}"),
        };
        (found.iter().map(url).collect(), problems)
    }

    #[test]
    fn an_index_is_read_for_what_is_wanted() {
        let (found, problems) = urls("http://h/debian/dists/x/main/binary-amd64/Packages.xz", &["a"]);
        assert_eq!((found, problems), (vec!["http://h/debian/pool/a.deb ab".to_owned()], vec![]));
        let (found, problems) = urls("http://h/flat/Packages", &[]);
        assert_eq!(found, ["http://h/flat/pool/a.deb ab"]);
        assert_eq!(
            problems,
            [
                "http://h/flat/Packages: package b: its `Size` is no number",
                "http://h/flat/Packages: package c: it has no field `Size`"
            ]
        );
    }
}
