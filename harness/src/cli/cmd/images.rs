//! `polder images`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    cli::{args::Images, context::Cx},
    env::{EnvError, Host},
    image::{self, ImageStore, Recipe, State},
};

pub(in crate::cli) async fn run(cx: &Cx, what: Images) -> anyhow::Result<String> {
    let host = cx.host()?;
    match what {
        Images::List if !cx.for_people() => {
            let listed = list(&host.images)?;
            cx.print(&listed.iter().map(value).collect::<Vec<_>>())
        }
        what => Ok(for_people(&host, what).await?),
    }
}

fn value(image: &image::Listed) -> Value {
    let state = match image.state {
        State::Built => "built",
        State::Missing => "not built",
        State::Stale => "stale",
    };
    json!({
        "name": image.name, "digest": image.digest, "state": state, "bytes": image.size, "path": image.path,
    })
}

async fn for_people(host: &Host, what: Images) -> Result<String, EnvError> {
    let store = &host.images;
    match what {
        Images::List => {
            let line = |image: image::Listed| {
                let state = match image.state {
                    State::Built => {
                        format!("{:>5} MiB  {}", image.size / (1024 * 1024), image.path.display())
                    }
                    State::Missing => "not built".to_owned(),
                    State::Stale => format!("stale      {}", image.path.display()),
                };
                format!("{:<12} {}  {state}", image.name, short(&image.digest))
            };
            let lines = list(store)?.into_iter().map(line);
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Images::Build { name } => {
            let tell = |text: &str| eprintln!("{text}");
            let info = match file(&name) {
                Some(path) => store.ensure_file(path, &host.lab, &tell).await?,
                None => store.ensure(image::recipe(&name)?, &host.lab, &tell).await?,
            };
            Ok(info.dir.display().to_string())
        }
        Images::Path { name } => {
            let recipe = match file(&name) {
                Some(path) => Recipe::load(path)?,
                None => image::recipe(&name)?.clone(),
            };
            let info = store.find(&recipe).ok_or(image::ImageError::NotBuilt { image: name })?;
            Ok(info.dir.display().to_string())
        }
        Images::Prune => {
            let pruned = store.prune(&store.recipes()?)?;
            let removed = pruned
                .removed
                .iter()
                .map(|(path, bytes)| format!("removed {} ({} MiB)", path.display(), bytes / (1024 * 1024)));
            let failed = pruned.errors.iter().map(|error| format!("kept: {error}"));
            let lines: Vec<String> = removed.chain(failed).collect();
            Ok(if lines.is_empty() { "nothing to remove".into() } else { lines.join("\n") })
        }
    }
}

fn list(store: &ImageStore) -> Result<Vec<image::Listed>, EnvError> {
    Ok(store.list(&store.recipes()?)?)
}

/// The file with a recipe that is meant, if it is one.
fn file(name: &str) -> Option<&Path> {
    Some(Path::new(name)).filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
