//! The texts of deploy scripts. They are copied when the environment is made; one that has changed since is run as it is
//! now, one that is gone as it was then.

use std::{fs, path::Path};

use crate::{
    base::store,
    env::{Env, EnvError, Progress, error::file},
};

/// Copies the scripts of all machines, so that they can be run wherever the environment goes.
pub(in crate::env) fn copy(env: &Env, progress: &Progress) -> Result<(), EnvError> {
    for machine in &env.plan().machines {
        for script in &machine.deploy_scripts {
            text(env.folder(), &script.path, progress)?;
        }
    }
    Ok(())
}

/// The text of a script as it is now, or as it was when it could be read last; keeps a copy of it.
pub(super) fn text(folder: &Path, script: &Path, progress: &Progress) -> Result<Vec<u8>, EnvError> {
    let copies = folder.join("scripts");
    if script.starts_with(&copies) {
        return fs::read(script).map_err(file("read", script));
    }
    let copy = copies.join(script.to_string_lossy().replace('/', "_"));
    let kept = fs::read(&copy).ok();
    match (fs::read(script), kept) {
        (Ok(now), Some(kept)) if now == kept => Ok(now),
        (Ok(now), kept) => {
            if kept.is_some() {
                progress.say(&format!("{} has changed: it is run as it is now", script.display()));
            }
            fs::create_dir_all(&copies).map_err(file("make", &copies))?;
            store::replace(&copy, &now).map_err(file("write", &copy))?;
            Ok(now)
        }
        (Err(_), Some(kept)) => {
            progress.say(&format!("{} cannot be read: it is run as it was", script.display()));
            Ok(kept)
        }
        (Err(error), None) => Err(file("read", script)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_run_as_it_is_now_and_as_it_was_when_it_is_gone() {
        use std::sync::{Arc, Mutex};
        let dir = tempfile::tempdir().unwrap();
        let (folder, script) = (dir.path().join("prefix"), dir.path().join("a b.sh"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let progress = Progress::new(move |line| teller.lock().unwrap().push(line.to_owned()));
        let read = || text(&folder, &script, &progress);
        assert!(read().is_err());
        for (content, said) in [("one", 0), ("one", 0), ("two", 1)] {
            fs::write(&script, content).unwrap();
            assert_eq!(read().unwrap(), content.as_bytes());
            assert_eq!(told.lock().unwrap().len(), said);
        }
        fs::remove_file(&script).unwrap();
        assert_eq!(read().unwrap(), b"two");
        assert!(told.lock().unwrap()[1].ends_with("cannot be read: it is run as it was"));
        let copies: Vec<_> =
            fs::read_dir(folder.join("scripts")).unwrap().flatten().map(|e| e.path()).collect();
        assert_eq!(copies, [folder.join("scripts").join(script.to_string_lossy().replace('/', "_"))]);
        // Lago's are copies already.
        assert_eq!(text(&folder, &copies[0], &progress).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.join("scripts")).unwrap().count(), 1);
    }
}
