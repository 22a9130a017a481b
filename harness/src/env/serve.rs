//! Files for guests, over HTTP: served where machines are reached, in the lab, for as long as somebody holds on to it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Env, EnvError};
use crate::{repo::Server, workdir::paths::PrefixPaths};

/// A folder that guests can fetch files from, until this is dropped.
#[derive(Debug)]
#[must_use = "it is not served any more when this is dropped"]
pub struct Served {
    at: SocketAddr,
    folder: PathBuf,
    _server: Server,
}

impl Served {
    /// Where it is, as machines on the management net see it: `http://GATEWAY:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.folder.display(), self.url())
    }
}

impl Env {
    /// Serves the folder `dir` at the gateway of the management net, at any port that is free.
    ///
    /// # Errors
    /// The environment is not started, has no net with an address, or the folder cannot be opened.
    pub async fn serve(&self, dir: impl AsRef<Path>) -> Result<Served, EnvError> {
        self.serve_at(dir.as_ref(), 0).await
    }

    /// Serves the environment's repository of packages, if it has one, at the port where machines expect it
    /// (`repo_port`).
    ///
    /// # Errors
    /// As [`Env::serve`]; or the port is in use.
    pub async fn serve_repo(&self) -> Result<Option<Served>, EnvError> {
        let folder = repo_folder(self.folder());
        match folder.is_dir() {
            true => self.serve_at(&folder, self.host().repo_port).await.map(Some),
            false => Ok(None),
        }
    }

    /// Serves the folder `dir` at that port; 0 is any that is free.
    pub(crate) async fn serve_at(&self, dir: &Path, port: u16) -> Result<Served, EnvError> {
        let lab = self.site().running()?.lab.clone();
        let at = SocketAddr::new(self.serving_address()?, port);
        let failed = |source: io::Error| EnvError::Serve { folder: dir.to_owned(), at, source };
        let listener =
            lab.listen(at).await.map_err(|error| failed(io::Error::other(super::error::chain(&error))))?;
        let at = listener.local_addr().map_err(failed)?;
        // Its socket would keep the lab's network in being.
        let ended = async move { drop(lab.broken().await) };
        let server = Server::start(listener, dir, ended).map_err(failed)?;
        Ok(Served { at, folder: dir.to_owned(), _server: server })
    }

    /// The address at which machines are reached by their host.
    fn serving_address(&self) -> Result<IpAddr, EnvError> {
        let nets = &self.plan().nets;
        let address = nets.iter().filter(|net| net.management).find_map(|net| net.server());
        address.ok_or(EnvError::NowhereToServe)
    }
}

/// The folder of the repositories of the environment in a folder: ours, else Lago's, if that is there.
pub(crate) fn repo_folder(env: &Path) -> PathBuf {
    let paths = PrefixPaths { root: env.to_owned() };
    let (ours, lagos) = (paths.repo(), paths.lago_repo());
    if !ours.is_dir() && lagos.is_dir() { lagos } else { ours }
}
