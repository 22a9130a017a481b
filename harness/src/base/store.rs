//! Interim: versioned documents.
use std::{fs, io, path::{Path, PathBuf}};
use serde::{Serialize, de::DeserializeOwned};
/// Interim.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", path.display())]
pub struct StoreError { what: &'static str, path: PathBuf, #[source] source: io::Error }
#[derive(Serialize, serde::Deserialize)]
struct Doc<T> { version: u32, content: T }
/// Interim.
pub fn write<T: Serialize>(path: &Path, version: u32, value: &T) -> Result<(), StoreError> {
    let text = serde_json::to_vec_pretty(&Doc { version, content: value }).unwrap_or_default();
    let temp = path.with_extension("new");
    fs::write(&temp, text).and_then(|()| fs::rename(&temp, path)).map_err(|source| StoreError { what: "write", path: path.to_owned(), source })
}
/// Interim.
pub fn read<T: DeserializeOwned>(path: &Path, _version: u32) -> Result<T, StoreError> {
    let err = |source| StoreError { what: "read", path: path.to_owned(), source };
    let text = fs::read(path).map_err(err)?;
    let doc: Doc<T> = serde_json::from_slice(&text).map_err(|e| err(e.into()))?;
    Ok(doc.content)
}
