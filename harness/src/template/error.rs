//! What can go wrong with templates, images and their chains.

use std::{error::Error, io, path::PathBuf, time::Duration};

use super::spec::TemplateId;
use crate::base::{process::ProcessError, wait::WaitError};

/// A template, image or archive that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Nobody said where templates come from.
    #[error("no template repository is configured; name a manifest (path or URL) or a registered repository")]
    NoRepo,
    /// No registered repository has this name.
    #[error("no template repository `{name}` below {}; {hint}{}", folder.display(),
        broken.iter().map(|b| format!("\nnot looked into: {b}")).collect::<String>())]
    UnknownRepo {
        /// The name as given.
        name: String,
        /// The folder of registered repositories.
        folder: PathBuf,
        /// What was probably meant, or all names.
        hint: String,
        /// Manifests that cannot be read, and why.
        broken: Vec<String>,
    },
    /// A repository of this name is registered already.
    #[error("a template repository `{name}` is registered already ({})", path.display())]
    RepoExists {
        /// Its name.
        name: String,
        /// Its manifest.
        path: PathBuf,
    },
    /// A repository to which images cannot be added.
    #[error("template repository `{name}` has no source of type `file`: images cannot be added to it")]
    RepoNotLocal {
        /// Its name.
        name: String,
    },
    /// A version that is there already.
    #[error("`{id}` is there already; name another version")]
    VersionExists {
        /// The template.
        id: TemplateId,
    },
    /// A name that cannot be one of a template.
    #[error("the {what} {problem}")]
    Name {
        /// Of what.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A manifest is no JSON of the right shape.
    #[error("manifest {origin} is not a template repository's")]
    ManifestSyntax {
        /// Path or URL.
        origin: String,
        /// Line, column and what is there.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest contradicts itself; everything that is wrong with it.
    #[error("{}", problems.iter().map(|p| format!("manifest {origin}: {p}")).collect::<Vec<_>>().join("\n"))]
    Manifest {
        /// Path or URL.
        origin: String,
        /// Never empty.
        problems: Vec<String>,
    },
    /// The repository has no such template.
    #[error("no template `{name}` in {origin}; {hint}")]
    UnknownTemplate {
        /// The name as given.
        name: String,
        /// Path or URL of the manifest.
        origin: String,
        /// What was probably meant, or all names.
        hint: String,
    },
    /// The template has no such version.
    #[error("template `{template}` has no version `{version}` in {origin}; {hint}")]
    UnknownVersion {
        /// The template.
        template: String,
        /// The version as given.
        version: String,
        /// Path or URL of the manifest.
        origin: String,
        /// What was probably meant, or all names.
        hint: String,
    },
    /// The arguments of a source in a manifest.
    #[error("source `{name}` of manifest {origin}: {problem}")]
    SourceArgs {
        /// Name of the source.
        name: String,
        /// Path or URL of the manifest.
        origin: String,
        /// What is wrong with them.
        problem: String,
    },
    /// Something is at none of the places where it may be.
    #[error("{what} is not there; looked for {}", places.join(" and "))]
    NotThere {
        /// What was looked for.
        what: String,
        /// Paths or URLs, with what they answered.
        places: Vec<String>,
    },
    /// A source failed in a way of its own (sources of extensions use this one).
    #[error("cannot fetch {what}")]
    Source {
        /// What was to be fetched, from where.
        what: String,
        /// What the source said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A download that did not come to its end.
    #[error("cannot download {url}: got {} in {attempts} {} and {:.1} s",
        of(*got, *total), if *attempts == 1 { "attempt" } else { "attempts" }, took.as_secs_f64())]
    Download {
        /// From where.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// Bytes there are, when that is known.
        total: Option<u64>,
        /// How often it was tried.
        attempts: u32,
        /// How long it took in all.
        took: Duration,
        /// What ended the last attempt.
        #[source]
        source: Box<Fault>,
    },
    /// Secure connections cannot be prepared.
    #[error("cannot prepare for downloads")]
    Client(#[source] reqwest::Error),
    /// A hash file that holds no hash.
    #[error("{place} holds no SHA-1 hash but {text:?}")]
    HashFile {
        /// Path or URL.
        place: String,
        /// Its beginning.
        text: String,
    },
    /// A metadata file that holds no JSON object.
    #[error("{place} is not metadata of an image")]
    MetadataFile {
        /// Path or URL.
        place: String,
        /// Line, column and what is there.
        #[source]
        source: serde_json::Error,
    },
    /// An image is not what its hash says.
    #[error(
        "the image of `{id}` from {place} has the SHA-1 hash {found}, but {expected} is promised; it was thrown away"
    )]
    Hash {
        /// The template.
        id: Box<TemplateId>,
        /// Path or URL.
        place: String,
        /// The published hash.
        expected: String,
        /// The image's.
        found: String,
    },
    /// A file is not what its hash says.
    #[error("{place} has the SHA-1 hash {found}, but {expected} is promised; it was thrown away")]
    FileHash {
        /// Path or URL.
        place: String,
        /// The published hash.
        expected: String,
        /// The file's.
        found: String,
    },
    /// An image does not say of what format the image is that it lies on, and libvirt does not guess.
    #[error(
        "{} does not say the format of its backing file {backing}; \
         `qemu-img rebase -u -f qcow2 -F {format} -b '{backing}' '{}'` lets it do so",
        image.display(), image.display()
    )]
    BackingFormat {
        /// The image.
        image: PathBuf,
        /// What it lies on, as it names it.
        backing: String,
        /// The format that seems to have.
        format: String,
    },
    /// Compressed data is broken.
    #[error("cannot uncompress {}", path.display())]
    Uncompress {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The time for a template is up.
    #[error("{what} did not end within {} s", limit.as_secs_f64())]
    Deadline {
        /// What was under way.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// `qemu-img` could not do its part.
    #[error("cannot {what} {}", path.display())]
    Qemu {
        /// A verb, such as `convert`.
        what: &'static str,
        /// The image.
        path: PathBuf,
        /// What it said.
        #[source]
        source: ProcessError,
    },
    /// `qemu-img` said something that is not understood.
    #[error("cannot understand what `qemu-img info` says of {}", path.display())]
    Info {
        /// The image.
        path: PathBuf,
        /// What is not understood.
        #[source]
        source: serde_json::Error,
    },
    /// An image that needs other files where it must not.
    #[error("{} cannot be taken as it is: it needs {needs}; flatten it first (`qemu-img convert`)", path.display())]
    NotAlone {
        /// The image.
        path: PathBuf,
        /// The files.
        needs: String,
    },
    /// An image of the store was changed and cannot be fetched again.
    #[error("{} was changed since it was stored (size or content), and it cannot be fetched again{}; remove it when nobody needs it",
        path.display(), if *used { " while prefixes use it" } else { "" })]
    Damaged {
        /// The image.
        path: PathBuf,
        /// Whether its source has something else now and prefixes still use this one.
        used: bool,
        /// Why it could not be fetched again.
        #[source]
        source: Option<Box<TemplateError>>,
    },
    /// The source has another image under the same name, and prefixes use the old one.
    #[error("`{id}` is another image at its source now, but is in use by {}; it was left as it is", users.join(", "))]
    InUse {
        /// The template.
        id: TemplateId,
        /// Folders of the prefixes.
        users: Vec<String>,
    },
    /// The lock is not had in time.
    #[error("{what} is being worked on by {holder}, which does not get done")]
    Busy {
        /// Of what.
        what: String,
        /// Who.
        holder: String,
        /// How long was waited.
        #[source]
        source: Box<WaitError>,
    },
    /// A chain of images that leads back to itself.
    #[error("image {} is its own backing file: {}", path.display(), chain.join(" -> "))]
    Cycle {
        /// The image met twice.
        path: PathBuf,
        /// The chain so far.
        chain: Vec<String>,
    },
    /// A backing file that is neither there nor in the store.
    #[error("the backing file {} of {} is missing{why}", backing.display(), image.display())]
    BackingLost {
        /// The backing file as the image has it.
        backing: PathBuf,
        /// The image.
        image: PathBuf,
        /// What else is to be said: what was tried, what to do.
        why: String,
    },
    /// The template a missing backing file is named after cannot be had.
    #[error("the backing file {} of {} is missing", backing.display(), image.display())]
    Backing {
        /// The backing file as the image has it.
        backing: PathBuf,
        /// The image.
        image: PathBuf,
        /// Why the template cannot be had.
        #[source]
        source: Box<TemplateError>,
    },
    /// An archive that is not an OVA we can take; everything that is wrong with it.
    #[error("{}", problems.iter().map(|p| format!("{}: {p}", archive.display())).collect::<Vec<_>>().join("\n"))]
    Ova {
        /// The archive.
        archive: PathBuf,
        /// Never empty.
        problems: Vec<String>,
    },
    /// A file or folder of ours.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// A verb, such as `read`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl TemplateError {
    /// Whether what was asked for is wrong, rather than that it cannot be had.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::NoRepo
            | Self::UnknownRepo { .. }
            | Self::RepoExists { .. }
            | Self::RepoNotLocal { .. }
            | Self::VersionExists { .. }
            | Self::Name { .. }
            | Self::ManifestSyntax { .. }
            | Self::Manifest { .. }
            | Self::UnknownTemplate { .. }
            | Self::UnknownVersion { .. }
            | Self::SourceArgs { .. }
            | Self::NotAlone { .. }
            | Self::Cycle { .. }
            | Self::BackingLost { .. }
            | Self::BackingFormat { .. }
            | Self::Ova { .. } => true,
            Self::Backing { source, .. } => source.is_input(),
            _ => false,
        }
    }
}

/// What ended an attempt to download something.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The server said no.
    #[error("the server answers {0}")]
    Status(reqwest::StatusCode),
    /// No connection, or it broke.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// Nothing arrived for too long.
    #[error("nothing arrived for {} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// The server ended early.
    #[error("the server ended early")]
    Truncated,
    /// The answer is longer than can be.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The time for everything is up.
    #[error("it did not end within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// The file that takes it.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl Fault {
    /// Whether another attempt can end otherwise.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Status(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Connection(error) => !error.is_builder() && !error.is_redirect(),
            Self::Stalled(_) | Self::Truncated => true,
            Self::TooLong(_) | Self::Deadline(_) | Self::Write(..) => false,
        }
    }
}

fn of(got: u64, total: Option<u64>) -> String {
    total.map_or_else(|| format!("{got} bytes"), |total| format!("{got} of {total} bytes"))
}

/// Names the file an I/O error is about.
pub(super) trait IoContext<T> {
    fn or_cannot(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, TemplateError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn or_cannot(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, TemplateError> {
        self.map_err(|source| TemplateError::Io { what, path: path.into(), source })
    }
}
