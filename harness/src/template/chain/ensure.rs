//! Walking a chain of images down to its end, and putting a template where a backing file is missing.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    super::{
        error::{IoContext, TemplateError},
        files::remove,
        spec::{TemplateId, User},
        templates::Templates,
    },
    model::{Backing, Link},
    qemu,
};

impl Templates {
    /// Looks at `image` (of the format `format`) and everything below it, top first. A missing backing file that is
    /// named `TEMPLATE:VERSION` is fetched and linked to where the image looks for it.
    ///
    /// # Errors
    /// An image cannot be read, is its own backing file, or lies on one that cannot be had.
    pub async fn ensure_chain(
        &self,
        image: &Path,
        format: &str,
        user: Option<&User>,
    ) -> Result<Vec<Link>, TemplateError> {
        let mut path = std::path::absolute(image).or_cannot("find", image)?;
        let mut named = path.clone();
        let mut format = Some(format.to_owned());
        let mut chain: Vec<Link> = Vec::new();
        let mut seen = Vec::new();
        loop {
            let file = fs::metadata(&path).or_cannot("look at", &path)?;
            let identity = (file.dev(), file.ino());
            if seen.contains(&identity) {
                let names = chain.iter().map(|link| &link.path).chain([&path]);
                let chain = names.map(|path| path.display().to_string()).collect();
                return Err(TemplateError::Cycle { path, chain });
            }
            seen.push(identity);
            let info = qemu::info(&path, format.as_deref()).await?;
            chain.push(Link { named, path: path.clone(), format: info.format, size: info.size });
            let Some(backing) = info.backing else { return Ok(chain) };
            let stored = self.below(&path, &backing, user).await?;
            if backing.format.is_none() {
                let guessed = match stored {
                    true => "raw".to_owned(),
                    false => qemu::info(Path::new(&backing.full), None).await?.format,
                };
                let (image, backing) = (path, backing.name);
                return Err(TemplateError::BackingFormat { image, backing, format: guessed });
            }
            format = backing.format;
            (named, path) = (backing.name.into(), backing.full.into());
        }
    }

    /// Makes sure that the backing file is there, and says whether it is an image of the store.
    async fn below(
        &self,
        image: &Path,
        backing: &Backing,
        user: Option<&User>,
    ) -> Result<bool, TemplateError> {
        let path = Path::new(&backing.full);
        let lost = |why: String| TemplateError::BackingLost {
            backing: backing.name.clone().into(),
            image: image.to_owned(),
            why,
        };
        if !path.is_absolute() {
            return Err(lost(": only files can be backing files".into()));
        }
        let untrue = |source| TemplateError::Backing {
            backing: backing.name.clone().into(),
            image: image.to_owned(),
            source: Box::new(source),
        };
        if let Some(id) = self.stored(path) {
            self.use_stored(&id, user).await.map_err(untrue)?;
            return Ok(true);
        }
        match fs::metadata(path) {
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).or_cannot("look at", path),
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((template, version)) = name.split_once(':') else {
            return Err(lost(
                ", and it is not named like a version of a template (`TEMPLATE:VERSION`)".into(),
            ));
        };
        if Path::new(&backing.name).is_absolute() {
            return Err(lost(format!(
                "; it is not put into a folder of others. Let the image look for it beside itself: \
                 `qemu-img rebase -u -F raw -b './{name}' '{}'`",
                image.display()
            )));
        }
        let disk = self.resolve(template, Some(version), user).await.map_err(untrue)?;
        // A link whose target is gone may be there.
        remove(path)?;
        symlink(&disk.path, path).or_cannot("link", path)?;
        Ok(true)
    }

    /// The template whose image in the store `path` is or leads to, be it there or not.
    fn stored(&self, path: &Path) -> Option<TemplateId> {
        let target: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let store = fs::canonicalize(self.store_dir()).ok()?;
        let folder = target.parent().and_then(|folder| fs::canonicalize(folder).ok())?;
        let name = target.file_name()?.to_str()?;
        (folder == store).then(|| TemplateId::parse(name)).flatten()
    }
}
