//! Interim.
#![expect(missing_docs, clippy::missing_errors_doc, reason = "interim")]
use std::{fs, io::Write, path::{Path, PathBuf}, time::Duration};
#[derive(Debug, thiserror::Error)]
#[error("prefix")]
pub struct WorkdirError(#[from] std::io::Error);
#[derive(Debug, Clone)]
pub struct Prefix { path: PathBuf }
impl Prefix {
    pub fn at(path: PathBuf) -> Self { Self { path } }
    pub fn path(&self) -> &Path { &self.path }
    pub fn uuid(&self) -> Result<String, WorkdirError> { Ok(fs::read_to_string(self.path.join("uuid"))?) }
    pub fn protected(&self) -> Option<String> { fs::read_to_string(self.path.join("locked")).ok() }
    pub async fn lock(&self, _verb: &str, _wait: Duration) -> Result<LockedPrefix, WorkdirError> {
        let file = fs::File::create(self.path.join("lock"))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        Ok(LockedPrefix { prefix: self.clone(), _file: file })
    }
}
#[derive(Debug)]
pub struct LockedPrefix { prefix: Prefix, _file: fs::File }
impl LockedPrefix {
    pub fn prefix(&self) -> &Prefix { &self.prefix }
    pub fn makes(&self, kind: &str, name: &str) -> Result<(), WorkdirError> {
        let mut f = fs::File::options().create(true).append(true).open(self.prefix.path.join("journal.jsonl"))?;
        writeln!(f, "{{\"kind\":{kind:?},\"name\":{name:?}}}")?;
        Ok(())
    }
    pub fn mark_initialized(&self) -> Result<(), WorkdirError> { fs::write(self.prefix.path.join("initialized"), "")?; Ok(()) }
}
