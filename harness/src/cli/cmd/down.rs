//! `polder down`.

use std::{path::Path, time::Duration};

use crate::{
    cli::pointer::Pointer,
    lab::{Hermetic, Lab},
};

const LIMIT: Duration = Duration::from_secs(10);

pub(in crate::cli) async fn run(file: &Path) -> anyhow::Result<String> {
    let Some(pointer) = Pointer::load(file)? else {
        Pointer::forget(file)?;
        return Ok(format!("the environment of {} is not up", file.display()));
    };
    match Hermetic::join(&pointer.lab) {
        Ok(lab) => lab.end(LIMIT).await?,
        // Its warden was killed: everything inside died with it, files are all that is left.
        Err(_) => drop(crate::lab::sweep(pointer.lab.parent().unwrap_or(Path::new("/")))?),
    }
    Pointer::forget(file)?;
    Ok("down; nothing is left".into())
}
