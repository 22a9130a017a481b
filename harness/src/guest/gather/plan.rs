//! What there is of the wanted paths, as the guest told it; what is fetched of it and how; what its `tar` complained of.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::{base::text::flat_names, guest::Channel};

/// How many bytes are taken at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Of each path that was found. The end of a longer file is taken; files of a folder beyond it are left out.
    pub path: u64,
    /// Of all paths together.
    pub machine: u64,
}

/// What is taken at failures: 16 MiB of each path, 64 MiB of a machine.
impl Default for Caps {
    fn default() -> Self {
        Self { path: 16 << 20, machine: 64 << 20 }
    }
}

/// What became of one path, or of one pattern that nothing fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// What was wanted.
    pub wanted: String,
    /// What it stands for in the guest.
    pub path: PathBuf,
    /// Where it is below the folder it was brought to.
    pub place: PathBuf,
    /// How many bytes came; nothing when nothing came.
    pub bytes: Option<u64>,
    /// Why it did not come, or not whole.
    pub missing: Option<String>,
    /// How it came, or should have.
    pub over: Channel,
}

/// Says what there is of `$2`..., which may be patterns, and which files of it are longer than `$1` bytes.
///
/// Without field separators a pattern is only matched against names: no part of it is evaluated, and blanks stay.
pub(super) const LOOK: &str = r#"
cap=$1; shift
case $(tar --version 2>/dev/null) in *GNU*) printf 'gnu\0';; *) printf 'other\0';; esac
IFS=
say() {
  for f; do
    r=$f k=file
    if [ -L "$f" ]; then r=$(readlink -f -- "$f"); fi
    if [ -z "$r" ] || [ ! -e "$r" ]; then [ -L "$f" ] || continue; k=dangling
    elif [ -d "$r" ]; then k=folder
    else case $r in /proc/*|/sys/*) k=made;; esac
    fi
    printf 'path\0%s\0%s\0%s\0%s\0' "$i" "$k" "$f" "$r"
  done
  find -H "$@" -type f -size +"$cap"c -exec \
    sh -c 'for f; do printf "long\0%s\0%s\0" "$(stat -c %s -- "$f")" "$f"; done' sh {} + 2>/dev/null
}
# Without the folder itself and the one above.
hidden() {
  for f; do shift; case $f in */.|*/..) ;; *) set -- "$@" "$f";; esac; done
  say "$@"
}
i=0
for p; do
  if [ -e "$p" ] || [ -L "$p" ]; then say "$p"
  else case ${p##*/} in .*) hidden $p;; *) say $p;; esac
  fi
  i=$((i+1))
done
exit 0
"#;

/// Sends what stands on standard input below `$1`, without what the other arguments exclude. For GNU's tar.
///
/// In pieces of 32 KiB: what reads them in the guest is woken less often than by the 10 KiB that are usual.
pub(in crate::guest) const SEND_LISTED: &str =
    r#"d=$1; shift; exec tar -c -b 64 -S -f - -C "$d" "$@" --null -T -"#;

/// Sends `$2`... below `$1`. For any tar.
pub(in crate::guest) const SEND_NAMED: &str = r#"d=$1; shift; exec tar -c -f - -C "$d" "$@""#;

/// Bytes of names that are given as arguments at once.
const AT_ONCE: usize = 64 * 1024;

/// What is fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the guest's tar is GNU's.
    pub(super) gnu: bool,
    /// Every path that was found, in the order it was asked for.
    pub(super) found: Vec<Found>,
    /// Wanted ones of which there is nothing.
    pub(super) nothing: Vec<usize>,
    /// Paths without a leading slash that go through `tar`, none of which lies in another one.
    pub(super) roots: Vec<PathBuf>,
    /// Files that are longer than allowed, and how long; without a leading slash.
    pub(super) long: BTreeMap<PathBuf, u64>,
}

/// A path that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which of the wanted ones it stands for.
    pub(super) wanted: usize,
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// Where it really is, without a leading slash.
    pub(super) real: PathBuf,
    /// What it is called here.
    pub(super) place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// The kernel makes it when it is read, so that nobody knows its length.
    Made,
    /// A link to nothing.
    Dangling,
}

/// What is to be fetched when the guest answered `said` to [`LOOK`].
///
/// # Errors
/// The guest did not answer as expected; what it said.
pub(super) fn plan(wanted: &[String], said: &[u8]) -> Result<Plan, String> {
    let mut fields = said.split(|&byte| byte == 0);
    let odd = |what: &[u8]| format!("it answered `{}`", String::from_utf8_lossy(what));
    let gnu = match fields.next() {
        Some(b"gnu") => true,
        Some(b"other") => false,
        other => return Err(odd(other.unwrap_or_default())),
    };
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let mut found: Vec<Found> = Vec::new();
    let mut long = BTreeMap::new();
    while let Some(record) = fields.next() {
        let mut next = || fields.next().ok_or_else(|| odd(record));
        match record {
            b"path" => {
                let (index, kind, shown, real) = (next()?, next()?, next()?, next()?);
                let index = number(index).and_then(|n| usize::try_from(n).ok());
                let wanted = index.filter(|&n| n < wanted.len()).ok_or_else(|| odd(record))?;
                let kind = match kind {
                    b"file" => Kind::File,
                    b"folder" => Kind::Folder,
                    b"made" => Kind::Made,
                    b"dangling" => Kind::Dangling,
                    other => return Err(odd(other)),
                };
                let (path, real) = (path(shown), below_root(&path(real)));
                found.push(Found { wanted, kind, path, real, place: String::new() });
            }
            b"long" => {
                let size = next()?;
                long.insert(path(next()?), number(size).ok_or_else(|| odd(size))?);
            }
            b"" => {}
            other => return Err(odd(other)),
        }
    }
    // One path may be wanted twice.
    let mut known = BTreeSet::new();
    found.retain(|found| known.insert(found.path.clone()));
    let names = flat_names(found.iter().map(|found| found.path.as_path()));
    for (found, name) in found.iter_mut().zip(names) {
        found.place = name;
    }
    // Files are named as they were found: below a link that was wanted, where they really are is another matter.
    let really = |path: &Path| {
        let through = found.iter().find_map(|f| match path.strip_prefix(&f.path).ok()? {
            // Joining nothing would make a folder of a file.
            rest if rest.as_os_str().is_empty() => Some(f.real.clone()),
            rest => Some(f.real.join(rest)),
        });
        through.unwrap_or_else(|| below_root(path))
    };
    let long = long.iter().map(|(path, &size)| (really(path), size)).collect();
    let nothing = (0..wanted.len()).filter(|&n| found.iter().all(|f| f.wanted != n)).collect();
    let through_tar = found.iter().filter(|f| matches!(f.kind, Kind::File | Kind::Folder));
    let all: BTreeSet<&Path> = through_tar.map(|f| f.real.as_path()).collect();
    let inner = |path: &Path| path.ancestors().skip(1).any(|above| all.contains(above));
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in found.iter().map(|f| f.real.as_path()).filter(|path| all.contains(path)) {
        if !inner(path) && !roots.iter().any(|root| root == path) {
            roots.push(path.to_owned());
        }
    }
    Ok(Plan { gnu, found, nothing, roots, long })
}

/// `names` in parts that fit into a command line.
pub(in crate::guest) fn batches(names: &[PathBuf]) -> Vec<&[PathBuf]> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, name) in names.iter().enumerate() {
        // Each byte may have to be quoted.
        let more = name.as_os_str().len() * 2 + 8;
        if at > from && bytes + more > AT_ONCE {
            parts.extend(names.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    parts.extend(names.get(from..).filter(|rest| !rest.is_empty()));
    parts
}

/// The option that keeps GNU's tar from a file below the folder it stands in.
pub(super) fn exclude(path: &Path) -> String {
    let mut pattern = String::from("--exclude=./");
    for sign in path.to_string_lossy().chars() {
        if matches!(sign, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(sign);
    }
    pattern
}

/// What `tar` said about one of `roots`: which one, and the words.
pub(super) fn complaint<'a>(line: &'a str, roots: &[PathBuf]) -> Option<(usize, &'a str)> {
    // It says its own name as it was called.
    let (program, words) = line.split_once(": ")?;
    if !program.ends_with("tar") {
        return None;
    }
    // Nobody misses those.
    if words.contains("socket ignored") {
        return None;
    }
    let named = words.trim_start_matches(['\'', '"', '\u{2018}']);
    let named = named.strip_prefix("./").unwrap_or(named);
    let about = |root: &&PathBuf| {
        let rest = named.strip_prefix(&*root.to_string_lossy());
        rest.is_some_and(|rest| rest.starts_with(['/', ':', '\'', '"', '\u{2019}']))
    };
    Some((roots.iter().position(|root| about(&root))?, words))
}

/// A path of the guest without its leading slash, and without `.` and doubled slashes.
fn below_root(path: &Path) -> PathBuf {
    path.components().skip_while(|part| matches!(part, std::path::Component::RootDir)).collect()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&p| p.to_owned()).collect()
    }

    fn shell(cap: u64, paths: &[String]) -> Vec<u8> {
        let mut command = std::process::Command::new("sh");
        let output = command.args(["-c", LOOK, "sh", &cap.to_string()]).args(paths).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    #[test]
    fn patterns_are_matched_and_nothing_of_them_is_evaluated() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for name in ["a b.log", "c.log", "[x].log", "deep/nested/f", "; touch gone", ".hidden"] {
            std::fs::create_dir_all(base.join(name).parent().unwrap()).unwrap();
            std::fs::write(base.join(name), "12345").unwrap();
        }
        std::fs::write(base.join("deep/long"), [b'x'; 100]).unwrap();
        std::os::unix::fs::symlink(base.join("deep"), base.join("link")).unwrap();
        std::os::unix::fs::symlink("/nowhere", base.join("dangling")).unwrap();
        let at = |name: &str| base.join(name).display().to_string();
        let asked = [
            at("*.log"),
            at("link"),
            at("deep/nested"),
            at("[x].log"),
            at("; touch gone"),
            at("$(touch evil)"),
            at("`touch evil`*"),
            at("dangling"),
            at(".*"),
            "/proc/version".to_owned(),
            at("deep/long"),
        ];
        let plan = plan(&asked, &shell(50, &asked)).unwrap();
        let found: Vec<_> = plan.found.iter().map(|f| (f.wanted, f.kind, f.path.clone())).collect();
        let path = |name: &str| base.join(name);
        assert_eq!(
            found,
            [
                (0, Kind::File, path("[x].log")),
                (0, Kind::File, path("a b.log")),
                (0, Kind::File, path("c.log")),
                (1, Kind::Folder, path("link")),
                (2, Kind::Folder, path("deep/nested")),
                (4, Kind::File, path("; touch gone")),
                (7, Kind::Dangling, path("dangling")),
                (8, Kind::File, path(".hidden")),
                (9, Kind::Made, "/proc/version".into()),
                (10, Kind::File, path("deep/long")),
            ]
        );
        assert_eq!(plan.nothing, [3, 5, 6], "the fourth was found by the first one's pattern");
        let inside = |name: &str| base.strip_prefix("/").unwrap().join(name);
        assert_eq!(plan.roots.len(), 6);
        assert!(plan.roots.contains(&inside("deep")) && !plan.roots.contains(&inside("deep/nested")));
        assert_eq!(plan.long, BTreeMap::from([(inside("deep/long"), 100)]));
        assert!(!base.join("evil").exists() && !Path::new("evil").exists());
    }

    #[test]
    fn an_answer_that_is_none_is_told() {
        let asked = wanted(&["/a"]);
        for said in ["", "sh: not found", "gnu\0path\x000\0", "gnu\0path\x007\0file\0/a\0/a\0", "gnu\0what\0"]
        {
            assert!(plan(&asked, said.as_bytes()).unwrap_err().starts_with("it answered `"), "{said:?}");
        }
    }

    #[test]
    fn names_go_in_parts_that_fit() {
        let names: Vec<PathBuf> = (0..20_000).map(|n| format!("var/log/some/file-{n}").into()).collect();
        let parts = batches(&names);
        assert_eq!(parts.concat(), names);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < 1_500));
        assert!(batches(&[]).is_empty());
    }

    #[rstest::rstest]
    #[case("tar: ./var/log/a: Cannot open: Permission denied", Some(0))]
    #[case("tar: ./var/log: file changed as we read it", Some(0))]
    #[case("/usr/bin/tar: ./etc/x y: File removed before we read it", Some(1))]
    #[case("tar: can't open './etc/x y': No such file", None)]
    #[case("tar: ./var/logs: Cannot stat", None)]
    #[case("tar: ./var/log/s: socket ignored", None)]
    #[case("tar: Exiting with failure status due to previous errors", None)]
    fn complaints_belong_to_a_path(#[case] line: &str, #[case] root: Option<usize>) {
        let roots = [PathBuf::from("var/log"), PathBuf::from("etc/x y")];
        assert_eq!(complaint(line, &roots).map(|(root, _)| root), root);
    }
}
