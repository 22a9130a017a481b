//! Layers in the cache of images: what the steps of a `build` made of some image, kept by the digest of both, so that they
//! are carried out once. Does not know what a step is.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
};

use super::{
    build::Progress,
    error::{ImageError, IoContext},
    store::{ImageStore, PARTIAL, remove},
};

/// What folders of layers begin with.
const LAYER: &str = "built-";
/// Folder in that of a layer, with a file for each environment that uses it.
const USERS: &str = "users";

/// Where the disk of a layer is that is made, or will be, in the store whose images are in the folder `images`.
#[must_use]
pub fn layer_disk(images: &Path, digest: &str) -> PathBuf {
    images.join(folder(digest)).join("disk")
}

fn folder(digest: &str) -> String {
    format!("{LAYER}{}", digest.get(..24).unwrap_or(digest))
}

impl ImageStore {
    /// Has the layer `digest` in the store: `make` makes its disk at the path it is given, unless it is there. Waits when
    /// another process is at it.
    ///
    /// # Errors
    /// The store cannot be written, or whatever `make` says; nothing is left then.
    pub async fn ensure_layer<E, F>(
        &self,
        digest: &str,
        progress: Progress<'_>,
        make: impl FnOnce(PathBuf) -> F,
    ) -> Result<(), E>
    where
        E: From<ImageError>,
        F: Future<Output = Result<(), E>>,
    {
        let (folder, disk) = (folder(digest), layer_disk(&self.folder(), digest));
        if disk.is_file() {
            return Ok(());
        }
        let _lock = self.lock(&folder, &folder, progress).await?;
        if disk.is_file() {
            return Ok(());
        }
        let work = self.folder().join(format!("{PARTIAL}{folder}"));
        remove(&work)?;
        fs::create_dir(&work).or_cannot("create", &work)?;
        let made = work.join("disk");
        let done = async {
            make(made.clone()).await?;
            // It survives a crash of the host once it has its name.
            fs::File::open(&made).and_then(|file| file.sync_all()).or_cannot("finish", &made)?;
            let mut permissions = fs::metadata(&made).or_cannot("look at", &made)?.permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&made, permissions).or_cannot("finish", &made)?;
            let place = self.folder().join(&folder);
            fs::rename(&work, &place).or_cannot("create", &place)?;
            Ok(())
        };
        let done: Result<(), E> = done.await;
        if done.is_err() {
            remove(&work)?;
        }
        done
    }

    /// Notes that the environment `uuid` uses the layer `digest` as long as the file at `uuid_file` says so.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn use_layer(&self, digest: &str, uuid: &str, uuid_file: &Path) -> Result<(), ImageError> {
        let users = self.folder().join(folder(digest)).join(USERS);
        fs::create_dir_all(&users).or_cannot("create", &users)?;
        let user = users.join(uuid);
        fs::write(&user, uuid_file.as_os_str().as_encoded_bytes()).or_cannot("write", user)
    }

    /// Whether what is in the folder `name` is a layer that an environment uses.
    pub(super) fn is_used(&self, name: &str) -> bool {
        let users = fs::read_dir(self.folder().join(name).join(USERS)).into_iter().flatten().flatten();
        name.starts_with(LAYER)
            && users.into_iter().any(|user| {
                let uuid_file = fs::read_to_string(user.path()).unwrap_or_default();
                let uuid = fs::read_to_string(uuid_file).unwrap_or_default();
                user.file_name().to_str() == Some(uuid.trim())
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::image::{State, recipes};

    #[tokio::test]
    async fn a_layer_is_made_once_whole_or_not_at_all_and_kept_while_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::new(dir.path().to_owned());
        let made = AtomicUsize::new(0);
        let quiet = |_: &str| {};
        let begun = &tokio::sync::Notify::new();
        let ensure = |fails: bool| {
            store.ensure_layer("abc", &quiet, move |path| async move {
                fs::write(&path, "half").unwrap();
                if fails {
                    return Err(ImageError::NotBuilt { image: "x".into() });
                }
                begun.notify_one();
                std::future::pending().await
            })
        };
        let names = || {
            let entries = fs::read_dir(store.folder()).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().into_string().unwrap());
            names.filter(|name| !name.starts_with(".lock-")).collect::<Vec<_>>()
        };
        assert!(ensure(true).await.unwrap_err().to_string().contains("not built"));
        assert!(names().is_empty());
        let count = |path: PathBuf| async {
            made.fetch_add(1, Ordering::SeqCst);
            fs::write(path, "whole").or_cannot("write", "x")
        };
        tokio::select! {
            _ = ensure(false) => panic!("it takes for ever"),
            () = begun.notified() => {}
        }
        assert_eq!(names(), [".partial-built-abc"], "of one that was ended");
        let (one, two) =
            tokio::join!(store.ensure_layer("abc", &quiet, count), store.ensure_layer("abc", &quiet, count));
        one.unwrap();
        two.unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert_eq!(fs::read_to_string(layer_disk(&store.folder(), "abc")).unwrap(), "whole");

        let uuid_file = dir.path().join("uuid");
        fs::write(&uuid_file, "u1\n").unwrap();
        store.use_layer("abc", "u1", &uuid_file).unwrap();
        let state =
            || store.list(recipes()).unwrap().into_iter().find(|one| one.name == "built").unwrap().state;
        assert_eq!(state(), State::Built);
        assert!(store.prune(recipes()).unwrap().removed.is_empty());
        fs::write(&uuid_file, "u2\n").unwrap();
        assert_eq!(state(), State::Stale);
        assert_eq!(store.prune(recipes()).unwrap().removed.len(), 1);
        assert!(names().is_empty());
    }
}
