//! Files for guests, over HTTP: served where machines are reached, in the lab, for as long as somebody holds on to it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{Env, EnvError};
use crate::{
    repo::{Builder, Order, Server},
    template::{self, TemplateEvent},
    workdir::paths::PrefixPaths,
};

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

    /// Builds a repository of packages of the environment in place of the one of that name, and serves it from then on;
    /// returns where machines install from it, `http://GATEWAY:PORT/NAME`.
    ///
    /// # Errors
    /// It cannot be built from what is ordered, or not be served: see [`Env::serve_repo`].
    pub async fn build_repo(&self, order: &Order) -> Result<String, EnvError> {
        let told = |event: &TemplateEvent| tracing::info!(target: "polder", "{event}");
        let builder = Builder {
            folder: repo_folder(self.folder()),
            patience: self.host().lock_timeout,
            progress: template::Progress::new(told),
        };
        builder.build(order).await?;
        let url = self.serve_repo().await?;
        Ok(format!("{}/{}", url.unwrap_or_default(), order.name))
    }

    /// Serves the environment's repositories of packages, if it has any, at the port where machines expect them
    /// (`repo_port`), for as long as this process has the environment and it is up; returns where they are,
    /// `http://GATEWAY:PORT`. Suites and deploy scripts need not ask for it.
    ///
    /// # Errors
    /// As [`Env::serve`]; or somebody else uses the port.
    pub async fn serve_repo(&self) -> Result<Option<String>, EnvError> {
        let folder = repo_folder(self.folder());
        if !folder.is_dir() {
            return Ok(None);
        }
        let running = self.site().running()?;
        let mut repo = running.repo.lock().await;
        let served = match repo.take() {
            Some(served) => served,
            None => self.serve_at(&folder, self.host().repo_port).await?,
        };
        Ok(Some(repo.insert(served).url()))
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
