//! `polder images`.

use serde_json::{Value, json};

use crate::{
    cli::{args::Images, context::Cx},
    env::{EnvError, Host},
    image::{self, State},
};

pub(in crate::cli) async fn run(cx: &Cx, what: Images) -> anyhow::Result<String> {
    let host = cx.host()?;
    match what {
        Images::List if !cx.for_people() => {
            let listed = host.images.list(image::recipes()).map_err(EnvError::from)?;
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
            let lines = store.list(image::recipes())?.into_iter().map(line);
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
        Images::Build { name } => {
            let recipe = image::recipe(&name)?;
            let info = store.ensure(recipe, &host.lab, &|text| eprintln!("{text}")).await?;
            Ok(info.dir.display().to_string())
        }
        Images::Path { name } => {
            let recipe = image::recipe(&name)?;
            let info = store.find(recipe).ok_or(image::ImageError::NotBuilt { image: name })?;
            Ok(info.dir.display().to_string())
        }
        Images::Prune => {
            let pruned = store.prune(image::recipes())?;
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

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
