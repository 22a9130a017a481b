//! Where a repository's images come from: the trait, and the two kinds every manifest may name. Stores nothing.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{
    error::{IoContext, TemplateError},
    fetch::{Answer, Http, is_url, shown},
    files::{SparseFile, blocking, copy, read_if_there},
    progress::Progress,
    spec::Metadata,
};
use crate::base::{dial::BoxFuture, wait::Deadline};

/// What a fetch may take and whom it tells.
#[derive(Debug, Clone)]
pub struct FetchCx {
    /// Everything about one template has to be done by then.
    pub deadline: Deadline,
    /// Receives what is told.
    pub progress: Progress,
}

/// A place images come from; `handle` is what the manifest calls an image there.
///
/// An image may be compressed with `xz`; that is seen from its content.
pub trait TemplateSource: fmt::Debug + Send + Sync {
    /// What messages call the image.
    fn place(&self, handle: &str) -> String;

    /// SHA-1 of the image, uncompressed, in hexadecimal digits.
    fn hash<'a>(&'a self, handle: &'a str, cx: &'a FetchCx) -> BoxFuture<'a, Result<String, TemplateError>>;

    /// What is known about the image.
    fn metadata<'a>(
        &'a self,
        handle: &'a str,
        cx: &'a FetchCx,
    ) -> BoxFuture<'a, Result<Metadata, TemplateError>>;

    /// Brings the image into the file `to` and says whether an earlier, interrupted fetch into that file was continued
    /// (then a wrong hash is worth a second fetch).
    fn fetch<'a>(
        &'a self,
        handle: &'a str,
        to: &'a Path,
        cx: &'a FetchCx,
    ) -> BoxFuture<'a, Result<bool, TemplateError>>;
}

/// What a manifest says of a source.
#[derive(Debug, Clone, Copy)]
pub struct SourceArgs<'a> {
    /// The arguments as the manifest has them.
    pub args: &'a Map<String, Value>,
    /// The folder the manifest lies in, when it is a file.
    pub folder: Option<&'a Path>,
}

/// Makes a source from its arguments, or says what is wrong with them.
pub type SourceFactory = Arc<dyn Fn(SourceArgs<'_>) -> Result<Arc<dyn TemplateSource>, String> + Send + Sync>;

/// Finds environment variables.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Images below a folder.
#[derive(Debug)]
pub(super) struct FileSource {
    root: PathBuf,
}

/// Images below a URL.
#[derive(Debug)]
pub(super) struct HttpSource {
    base: String,
    http: Http,
}

impl FileSource {
    pub(super) fn new(args: SourceArgs<'_>, env: &Lookup) -> Result<Self, String> {
        let root = PathBuf::from(expand(text(args.args, "root")?, env)?);
        Ok(Self { root: args.folder.map(|folder| folder.join(&root)).unwrap_or(root) })
    }

    /// The image, or what else there is of it, as it lies there.
    fn find(&self, handle: &str, suffix: &str) -> Result<PathBuf, TemplateError> {
        let places = [format!("{handle}{suffix}"), format!("{handle}.xz{suffix}")].map(|p| self.root.join(p));
        let [plain, packed] = &places;
        if plain.is_file() {
            Ok(plain.clone())
        } else if packed.is_file() {
            Ok(packed.clone())
        } else {
            let what = describe(suffix, handle);
            Err(TemplateError::NotThere { what, places: places.map(|p| p.display().to_string()).into() })
        }
    }

    fn side(&self, handle: &str, suffix: &str) -> Result<(String, String), TemplateError> {
        let path = self.find(handle, suffix)?;
        let text = read_if_there(&path)?.unwrap_or_default();
        Ok((path.display().to_string(), text))
    }
}

impl TemplateSource for FileSource {
    fn place(&self, handle: &str) -> String {
        self.root.join(handle).display().to_string()
    }

    fn hash<'a>(&'a self, handle: &'a str, _: &'a FetchCx) -> BoxFuture<'a, Result<String, TemplateError>> {
        Box::pin(async move { self.side(handle, ".hash").and_then(|(place, text)| hash(place, &text)) })
    }

    fn metadata<'a>(
        &'a self,
        handle: &'a str,
        _: &'a FetchCx,
    ) -> BoxFuture<'a, Result<Metadata, TemplateError>> {
        Box::pin(
            async move { self.side(handle, ".metadata").and_then(|(place, text)| metadata(place, &text)) },
        )
    }

    fn fetch<'a>(
        &'a self,
        handle: &'a str,
        to: &'a Path,
        cx: &'a FetchCx,
    ) -> BoxFuture<'a, Result<bool, TemplateError>> {
        Box::pin(async move {
            let from = self.find(handle, "")?;
            let (target, cx) = (to.to_owned(), cx.clone());
            blocking("write", to, move || copy_image(&from, &target, &cx)).await?;
            Ok(false)
        })
    }
}

/// Copies an image with its holes and returns its SHA-1 hash.
pub(super) fn copy_image(from: &Path, to: &Path, cx: &FetchCx) -> Result<String, TemplateError> {
    let mut file = File::open(from).or_cannot("open", from)?;
    let length = file.metadata().or_cannot("look at", from)?.len();
    let mut target = SparseFile::create(to)?;
    let mut meter = cx.progress.meter(format!("copying {}", from.display()), 0, Some(length));
    let copied = copy(&mut file, &mut target, cx.deadline, &mut meter);
    let hash = copied.and_then(|hash| target.finish().map(|()| hash)).or_cannot("copy", from)?;
    meter.end();
    Ok(hash)
}

impl HttpSource {
    pub(super) fn new(args: SourceArgs<'_>, http: Http) -> Result<Self, String> {
        let base = text(args.args, "baseurl")?;
        if is_url(base) {
            Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
        } else {
            Err(format!("its `baseurl` {base:?} does not begin with `http://` or `https://`"))
        }
    }

    /// Where an image, or what else there is of it, can be.
    fn places(&self, handle: &str, suffix: &str) -> [String; 2] {
        [".xz", ""].map(|xz| format!("{}/{}{xz}{suffix}", self.base, handle.trim_start_matches('/')))
    }

    async fn side(
        &self,
        handle: &str,
        suffix: &str,
        cx: &FetchCx,
    ) -> Result<(String, String), TemplateError> {
        let mut tried = Vec::new();
        for url in self.places(handle, suffix) {
            match self.http.text(&url, cx.deadline, self.http.attempts()).await? {
                Answer::Have(text) => return Ok((shown(&url), text)),
                Answer::No(status) => tried.push(format!("{} ({status})", shown(&url))),
            }
        }
        Err(TemplateError::NotThere { what: describe(suffix, handle), places: tried })
    }
}

impl TemplateSource for HttpSource {
    fn place(&self, handle: &str) -> String {
        let [_, plain] = self.places(handle, "");
        shown(&plain)
    }

    fn hash<'a>(&'a self, handle: &'a str, cx: &'a FetchCx) -> BoxFuture<'a, Result<String, TemplateError>> {
        Box::pin(async move {
            let (place, text) = self.side(handle, ".hash", cx).await?;
            hash(place, &text)
        })
    }

    fn metadata<'a>(
        &'a self,
        handle: &'a str,
        cx: &'a FetchCx,
    ) -> BoxFuture<'a, Result<Metadata, TemplateError>> {
        Box::pin(async move {
            let (place, text) = self.side(handle, ".metadata", cx).await?;
            metadata(place, &text)
        })
    }

    fn fetch<'a>(
        &'a self,
        handle: &'a str,
        to: &'a Path,
        cx: &'a FetchCx,
    ) -> BoxFuture<'a, Result<bool, TemplateError>> {
        Box::pin(async move {
            let mut tried = Vec::new();
            for url in self.places(handle, "") {
                match self.http.download(&url, to, cx.deadline, &cx.progress).await? {
                    Answer::Have(resumed) => return Ok(resumed),
                    Answer::No(status) => tried.push(format!("{} ({status})", shown(&url))),
                }
            }
            Err(TemplateError::NotThere { what: describe("", handle), places: tried })
        })
    }
}

fn describe(suffix: &str, handle: &str) -> String {
    match suffix.strip_prefix('.') {
        Some(what) => format!("the {what} file of image `{handle}`"),
        None => format!("image `{handle}`"),
    }
}

/// An argument that must be a text.
fn text<'a>(args: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    match args.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(other) => Err(format!("its `{key}` must be a text, not {other}")),
        None => Err(format!("it has no `{key}`")),
    }
}

/// Replaces `$NAME`, `${NAME}` and a leading `~`.
pub(super) fn expand(text: &str, env: &Lookup) -> Result<String, String> {
    let value = |name: &str| env(name).ok_or_else(|| format!("the environment variable `{name}` is not set"));
    let (mut out, mut rest) = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => (value("HOME")?, rest),
        _ => (String::new(), text),
    };
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{');
        let name = braced.unwrap_or(after);
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
        let (name, tail) = name.split_at(end);
        rest = match (name, braced) {
            ("", None) => {
                out.push('$');
                tail
            }
            (_, None) => {
                out.push_str(&value(name)?);
                tail
            }
            (_, Some(_)) => {
                let tail = tail.strip_prefix('}').filter(|_| !name.is_empty());
                let tail = tail.ok_or_else(|| format!("`${after}` is not a variable; write `${{NAME}}`"))?;
                out.push_str(&value(name)?);
                tail
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads a hash file: the hash, perhaps with a name after it.
pub(super) fn hash(place: String, text: &str) -> Result<String, TemplateError> {
    let word = text.split_whitespace().next().unwrap_or_default();
    if word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(word.to_ascii_lowercase())
    } else {
        Err(TemplateError::HashFile { place, text: text.chars().take(60).collect() })
    }
}

/// Reads a metadata file.
pub(super) fn metadata(place: String, text: &str) -> Result<Metadata, TemplateError> {
    serde_json::from_str(text).map_err(|source| TemplateError::MetadataFile { place, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/a/b", Ok("/a/b"))]
    #[case("~/x", Ok("/home/me/x"))]
    #[case("~", Ok("/home/me"))]
    #[case("~you/x", Ok("~you/x"))]
    #[case("$HOME/x$A${A}", Ok("/home/me/xoneone"))]
    #[case("5$ $", Ok("5$ $"))]
    #[case("$NO/x", Err("the environment variable `NO` is not set"))]
    #[case("${A", Err("`${A` is not a variable; write `${NAME}`"))]
    #[case("${}", Err("`${}` is not a variable; write `${NAME}`"))]
    fn roots_are_expanded(#[case] text: &str, #[case] expected: Result<&str, &str>) {
        let env: Lookup = Arc::new(|name| match name {
            "HOME" => Some("/home/me".into()),
            "A" => Some("one".into()),
            _ => None,
        });
        assert_eq!(expand(text, &env).as_deref().map_err(String::as_str), expected);
    }

    #[rstest::rstest]
    #[case("DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\n", true)]
    #[case("  da39a3ee5e6b4b0d3255bfef95601890afd80709  image.qcow2\n", true)]
    #[case("da39a3ee", false)]
    #[case("", false)]
    #[case("<html>", false)]
    fn hash_files(#[case] text: &str, #[case] good: bool) {
        assert_eq!(hash("x.hash".into(), text).is_ok(), good);
    }

    #[rstest::rstest]
    #[case("{}", "it has no `baseurl`")]
    #[case(r#"{"baseurl": 1}"#, "its `baseurl` must be a text, not 1")]
    #[case(
        r#"{"baseurl": "ftp://x"}"#,
        "its `baseurl` \"ftp://x\" does not begin with `http://` or `https://`"
    )]
    fn arguments_are_checked(#[case] args: &str, #[case] problem: &str) {
        let args: Map<String, Value> = serde_json::from_str(args).unwrap();
        let http = Http::new(super::super::spec::Limits::default());
        let source = HttpSource::new(SourceArgs { args: &args, folder: None }, http);
        assert_eq!(source.unwrap_err(), problem);
    }
}
