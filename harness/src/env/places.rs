//! Folders that are configured as `auto`: Lago's own where this process may write there, so that an existing store
//! keeps working and leases are shared with everybody on the host; else one of this user's.

use std::path::{Path, PathBuf};

use crate::config::Config;

/// Folders that everything here shares with one another and with Lago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where template images are kept.
    pub template_store: PathBuf,
    /// Where template repositories are kept.
    pub template_repos: PathBuf,
    /// Where system labs lease subnets.
    pub lease_dir: PathBuf,
}

impl Places {
    /// Those of a configuration; `cache` is where everything is kept that has no folder of its own.
    #[must_use]
    pub fn of(config: &Config, cache: &Path) -> Self {
        let choose = |given: &Option<PathBuf>, lagos: &str, own: &str| {
            given.clone().unwrap_or_else(|| choose(Path::new("/var/lib/lago"), lagos, &cache.join(own)))
        };
        Self {
            template_store: choose(&config.template_store, "store", "templates/store"),
            template_repos: choose(&config.template_repos, "repos", "templates/repos"),
            lease_dir: choose(&config.lease_dir, "subnets", "subnets"),
        }
    }

    /// The folder of a key of the configuration.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Path> {
        match key {
            "template_store" => Some(&self.template_store),
            "template_repos" => Some(&self.template_repos),
            "lease_dir" => Some(&self.lease_dir),
            _ => None,
        }
    }
}

fn choose(lago: &Path, lagos: &str, own: &Path) -> PathBuf {
    let shared = lago.join(lagos);
    let writable = rustix::fs::access(&shared, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    if shared.is_dir() && writable.is_ok() { shared } else { own.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagos_folder_is_used_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        assert_eq!(choose(dir.path(), "store", &own), own);
        std::fs::write(dir.path().join("store"), "no folder").unwrap();
        assert_eq!(choose(dir.path(), "store", &own), own);
        std::fs::create_dir(dir.path().join("subnets")).unwrap();
        assert_eq!(choose(dir.path(), "subnets", &own), dir.path().join("subnets"));
    }
}
