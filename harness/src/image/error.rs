//! What can go wrong with guest images.

use std::{io, path::PathBuf, time::Duration};

use crate::base::wait::WaitError;

/// An image that could not be found, built or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No recipe has this name.
    #[error("no image `{name}`{}; there are {}",
        suggestion.as_ref().map(|s| format!(" (did you mean `{s}`?)")).unwrap_or_default(), known.join(", "))]
    Unknown {
        /// The name as given.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// It has not been built yet.
    #[error("image `{image}` is not built yet; `polder images build {image}` builds it")]
    NotBuilt {
        /// The image.
        image: String,
    },
    /// The recipe makes no sense.
    #[error("recipe of image `{image}` is wrong: {problem}")]
    Recipe {
        /// The image.
        image: String,
        /// What is wrong.
        problem: String,
    },
    /// A file with a recipe makes no sense.
    #[error("{} is no recipe of an image: {problem}", path.display())]
    RecipeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A program that builds images is not installed.
    #[error(
        "cannot build image `{image}`: `{tool}` is not installed (`cargo ci setup` installs it, `polder doctor` says how)"
    )]
    MissingTool {
        /// The image.
        image: String,
        /// The program.
        tool: String,
    },
    /// Disk, or the memory behind the builder's `/tmp`, is full.
    #[error("no space left while building image `{image}` (step: {step}) in {} or in memory; log: {}", dir.display(), log.display())]
    Full {
        /// The image.
        image: String,
        /// The step that failed.
        step: String,
        /// The cache folder.
        dir: PathBuf,
        /// The build's log.
        log: PathBuf,
    },
    /// The packages could not be had.
    #[error("cannot fetch the packages of image `{image}` with this host's apt sources; log: {}, ending in\n{tail}", log.display())]
    Fetch {
        /// The image.
        image: String,
        /// The build's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Any other failure of the build.
    #[error("building image `{image}` failed (step: {step}, exit status {status}); log: {}, ending in\n{tail}", log.display())]
    Build {
        /// The image.
        image: String,
        /// The step that failed.
        step: String,
        /// Exit status of the builder.
        status: i32,
        /// The build's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The build did not end in time and was killed.
    #[error("building image `{image}` did not end within {} s (step: {step}); log: {}", limit.as_secs(), log.display())]
    TimedOut {
        /// The image.
        image: String,
        /// The step it was in.
        step: String,
        /// The limit.
        limit: Duration,
        /// The build's log.
        log: PathBuf,
    },
    /// The sandbox did not come up.
    #[error("cannot start the builder of image `{image}`")]
    Sandbox {
        /// The image.
        image: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else is building it and does not get done.
    #[error("image `{image}` is being built by {holder}, which does not get done")]
    Busy {
        /// The image.
        image: String,
        /// Who.
        holder: String,
        /// How long was waited.
        #[source]
        source: WaitError,
    },
    /// A file of the cache.
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

/// Names the file an I/O error is about.
pub(super) trait IoContext<T> {
    fn or_cannot(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, ImageError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn or_cannot(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, ImageError> {
        self.map_err(|source| ImageError::Io { what, path: path.into(), source })
    }
}
