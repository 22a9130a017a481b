//! The folder of an environment that needs no lab, among those of labs: nothing runs there. It goes with its owner; what one leaves
//! who was killed is removed by the next start.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use super::{LabError, LabHost, error::host, paths::LabPaths, warden};

/// A folder that is locked as long as this lives, and gone afterwards.
#[derive(Debug)]
pub struct Plot {
    paths: LabPaths,
    env: PathBuf,
    _lock: OwnedFd,
}

impl Plot {
    /// Makes one, after what others have left is removed.
    ///
    /// # Errors
    /// [`LabError::Host`] when the folder of labs cannot be used.
    pub async fn make(on: &LabHost) -> Result<Self, LabError> {
        let paths = on.new_paths().await?;
        let failed = host("make the folder", &paths.folder);
        let made = tokio::task::spawn_blocking(move || {
            let (env, lock) = (paths.env(), warden::claim(&paths)?);
            // From here on it is removed whatever happens.
            let plot = Self { paths, env, _lock: lock };
            fs::create_dir(&plot.env)?;
            Ok(plot)
        });
        made.await.map_err(io::Error::other).flatten().map_err(failed)
    }

    /// Where the environment keeps its files.
    #[must_use]
    pub fn env(&self) -> &Path {
        &self.env
    }
}

impl Drop for Plot {
    fn drop(&mut self) {
        warden::remove_folder(&self.paths.folder);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::lab::sweep;

    fn place(root: &Path) -> LabHost {
        LabHost { root: root.into(), cache: root.into(), launcher: "/bin/false".into() }
    }

    fn folders(root: &Path) -> usize {
        fs::read_dir(root).unwrap().flatten().filter(|entry| entry.path().is_dir()).count()
    }

    /// Run as a process of its own by the test below, until it is killed.
    #[tokio::test]
    #[ignore = "a victim"]
    async fn has_one_for_ever() {
        let root = PathBuf::from(std::env::var_os("POLDER_TEST_ROOT_OF_PLOTS").unwrap());
        let plot = Plot::make(&place(&root)).await.unwrap();
        fs::write(plot.env().join("key"), "secret").unwrap();
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn it_goes_with_its_owner_however_that_ends() {
        let dir = tempfile::tempdir().unwrap();
        let plot = Plot::make(&place(dir.path())).await.unwrap();
        assert!(plot.env().is_dir() && sweep(dir.path()).unwrap().is_empty());
        drop(plot);
        assert_eq!(folders(dir.path()), 0);

        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "lab::plot::tests::has_one_for_ever"])
            .env("POLDER_TEST_ROOT_OF_PLOTS", dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let has_key = || {
            let entries = fs::read_dir(dir.path()).unwrap().flatten();
            entries
                .map(|entry| entry.path().join("env/key"))
                .any(|key| fs::read(key).is_ok_and(|k| k == b"secret"))
        };
        while !has_key() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Others leave it alone while it lives.
        drop(Plot::make(&place(dir.path())).await.unwrap());
        assert!(has_key());
        victim.kill().unwrap();
        victim.wait().unwrap();
        drop(Plot::make(&place(dir.path())).await.unwrap());
        assert_eq!(folders(dir.path()), 0);
    }
}
