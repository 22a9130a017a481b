//! Running `qemu-img`. Paths are absolute, formats named: nothing is guessed from what a guest may have written.

use std::{path::Path, time::Duration};

use super::{super::error::TemplateError, model::ImageInfo};
use crate::base::{process, wait::Deadline};

/// Looking at an image reads a few blocks.
const INFO: Duration = Duration::from_secs(30);

/// What an image is; `format` when it is known, else it is recognised by its content.
pub(crate) async fn info(path: &Path, format: Option<&str>) -> Result<ImageInfo, TemplateError> {
    let mut argv = vec!["qemu-img", "info", "--force-share", "--output=json"];
    argv.extend(format.into_iter().flat_map(|format| ["-f", format]));
    let name = path.to_string_lossy();
    argv.push(&name);
    let json = process::stdout(&argv, INFO).await.map_err(|source| TemplateError::Qemu {
        what: "look into",
        path: path.to_owned(),
        source,
    })?;
    ImageInfo::parse(path, &json).map_err(|source| TemplateError::Info { path: path.to_owned(), source })
}

/// An image that is to be taken in: recognised by its content, and refused when it is more than one file.
pub(crate) async fn standalone(path: &Path) -> Result<ImageInfo, TemplateError> {
    let info = info(path, None).await?;
    match info.needs() {
        Some(needs) => Err(TemplateError::NotAlone { path: path.to_owned(), needs }),
        None => Ok(info),
    }
}

/// Writes the content of an image into a new one of the format `to_format`.
pub(crate) async fn convert(
    from: &ImageInfo,
    to: &Path,
    to_format: &str,
    deadline: Deadline,
) -> Result<(), TemplateError> {
    let (source, target) = (from.path.to_string_lossy(), to.to_string_lossy());
    let argv = ["qemu-img", "convert", "-f", &from.format, "-O", to_format, &source, &target];
    process::stdout(&argv, deadline.left()).await.map(drop).map_err(|source| TemplateError::Qemu {
        what: "convert",
        path: from.path.clone(),
        source,
    })
}
