//! What `qemu-img info` says of an image, read. Pure.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One image as `qemu-img` sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The image, absolute.
    pub path: PathBuf,
    /// Its format, in `qemu-img`'s words.
    pub format: String,
    /// Size in bytes, as a guest sees it.
    pub size: u64,
    /// The image below it.
    pub backing: Option<Backing>,
    /// Other files it is made of, besides itself and the backing file.
    pub others: Vec<String>,
}

/// The image below an overlay, as its header names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// As it stands in the header.
    pub name: String,
    /// With the overlay's folder before it, when it is relative.
    pub full: String,
    /// Its format, when the header names it.
    pub format: Option<String>,
}

/// One image of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The image, absolute.
    pub path: PathBuf,
    /// Its format, in `qemu-img`'s words.
    pub format: String,
    /// Size in bytes, as a guest sees it.
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    full_backing_filename: Option<String>,
    backing_filename_format: Option<String>,
    #[serde(default)]
    format_specific: Value,
}

impl ImageInfo {
    /// Reads the JSON that `qemu-img info` printed of the image `path`.
    pub(crate) fn parse(path: &Path, json: &str) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_str(json)?;
        let backing = raw.backing_filename.map(|name| {
            let full = raw.full_backing_filename.unwrap_or_else(|| name.clone());
            Backing { name, full, format: raw.backing_filename_format }
        });
        let data = raw.format_specific.get("data").unwrap_or(&Value::Null);
        let extents = data.get("extents").and_then(Value::as_array).into_iter().flatten();
        let named = extents.filter_map(|extent| extent.get("filename")).chain(data.get("data-file"));
        let others = named.filter_map(Value::as_str).filter(|other| Path::new(other) != path);
        let others = others.map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), format: raw.format, size: raw.virtual_size, backing, others })
    }

    /// The other files without which this image is nothing, in words.
    #[must_use]
    pub fn needs(&self) -> Option<String> {
        let backing = self.backing.as_ref().map(|backing| backing.name.as_str());
        let names: Vec<&str> = backing.into_iter().chain(self.others.iter().map(String::as_str)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> ImageInfo {
        ImageInfo::parse(Path::new("/i/image"), json).unwrap()
    }

    #[test]
    fn a_plain_image_needs_nothing() {
        let info = parse(
            r#"{"virtual-size": 1048576, "filename": "/i/image", "format": "raw", "dirty-flag": false}"#,
        );
        assert_eq!((info.format.as_str(), info.size, info.needs()), ("raw", 1 << 20, None));
    }

    #[test]
    fn an_overlay_names_what_is_below() {
        let info = parse(
            r#"{"virtual-size": 512, "format": "qcow2", "backing-filename": "./el:v1",
                "full-backing-filename": "/i/./el:v1", "backing-filename-format": "raw",
                "format-specific": {"type": "qcow2", "data": {"compat": "1.1"}}}"#,
        );
        let backing = info.backing.clone().unwrap();
        assert_eq!((backing.full.as_str(), backing.format.as_deref()), ("/i/./el:v1", Some("raw")));
        assert_eq!(info.needs().as_deref(), Some("./el:v1"));
    }

    #[rstest::rstest]
    #[case(r#"{"type": "qcow2", "data": {"data-file": "/etc/shadow"}}"#, Some("/etc/shadow"))]
    #[case(r#"{"type": "vmdk", "data": {"extents": [{"filename": "/i/image"}]}}"#, None)]
    #[case(
        r#"{"type": "vmdk", "data": {"extents": [{"filename": "/i/image"}, {"filename": "/a"}]}}"#,
        Some("/a")
    )]
    fn files_beside_it_are_seen(#[case] specific: &str, #[case] needs: Option<&str>) {
        let json = format!(r#"{{"virtual-size": 512, "format": "x", "format-specific": {specific}}}"#);
        assert_eq!(parse(&json).needs().as_deref(), needs);
    }

    #[rstest::rstest]
    #[case("")]
    #[case("{}")]
    #[case(r#"{"format": "raw", "virtual-size": -1}"#)]
    fn other_output_is_refused(#[case] json: &str) {
        assert!(ImageInfo::parse(Path::new("/i/image"), json).is_err());
    }
}
