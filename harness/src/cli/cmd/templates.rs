//! `polder templates`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::{
    base::exit::Exit,
    cli::{context::Cx, exit::BadInput, init_args::TemplateFlags, run::Said},
    template::{
        Listed, Metadata, NewImage, Pruned, RepoListed, TemplateDisk, TemplateId, Updated, Verdict, Verified,
    },
};

const MIB: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct TemplatesArgs {
    #[command(flatten)]
    templates: TemplateFlags,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List templates: in the store, and what else the repository has.
    List,
    /// Fetch a template into the store, also when its source has another image by now.
    Fetch {
        /// Its name.
        name: String,
        /// Its version; the newest without.
        version: Option<String>,
    },
    /// Read whole images of the store and compare them with what was stored.
    Verify {
        /// Templates as `list` prints them (`REPO:TEMPLATE:VERSION`); all without.
        templates: Vec<String>,
    },
    /// Remove templates that no prefix uses any more, and what interrupted downloads left.
    Prune,
    /// Add an image to a repository of this host, with hash and metadata.
    Add {
        /// The image, of any format `qemu-img` recognises.
        image: PathBuf,
        /// Name of the template; the image's name without.
        #[arg(long)]
        name: Option<String>,
        /// Name of the version; the next number without.
        #[arg(long)]
        version: Option<String>,
        /// Name of the repository, made when it is not there.
        #[arg(long, default_value = "local")]
        repo: String,
        /// What is known about it, such as `distro=el7` or `root-partition=/dev/vda1`.
        #[arg(long = "metadata", value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// Registered repositories.
    Repo {
        #[command(subcommand)]
        verb: RepoVerb,
    },
}

#[derive(Debug, Subcommand)]
enum RepoVerb {
    /// Register the repository whose manifest is at a path or URL.
    Add {
        /// The manifest.
        at: String,
    },
    /// Copy the manifests of registered repositories again from where they came from.
    Update {
        /// Their names; all without.
        names: Vec<String>,
    },
    /// List registered repositories.
    List,
}

/// Does it; programs get what people read as a value.
pub(in crate::cli) async fn run(cx: &Cx, args: TemplatesArgs) -> anyhow::Result<Said> {
    let (text, value, exit) = act(cx, args).await?;
    let text = if cx.for_people() { text } else { cx.print(&value)? };
    Ok(Said::from(text).with(exit))
}

async fn act(cx: &Cx, args: TemplatesArgs) -> anyhow::Result<(String, Value, Exit)> {
    let templates = cx.host()?.templates;
    match args.verb {
        Verb::List => {
            templates.learn().await;
            done(templates.list()?, |all| lines(all, "no templates", listed))
        }
        Verb::Fetch { name, version } => {
            let disk = templates.fetch(&name, version.as_deref()).await?;
            done(disk, |disk: &TemplateDisk| disk.path.display().to_string())
        }
        Verb::Verify { templates: names } => {
            let verified = templates.verify(&ids(&names)?).await?;
            let good = verified.iter().all(|v| matches!(v.verdict, Verdict::Good | Verdict::New));
            let (text, value, _) = done(verified, |all| lines(all, "no templates", verdict))?;
            Ok((text, value, if good { Exit::Done } else { Exit::Failed }))
        }
        Verb::Prune => {
            let pruned = templates.prune()?;
            let exit = if pruned.errors.is_empty() { Exit::Done } else { Exit::Left };
            let (text, value, _) = done(pruned, what_pruned)?;
            Ok((text, value, exit))
        }
        Verb::Add { image, name, version, repo, metadata } => {
            let stem = image.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let template = name.or(stem).unwrap_or_default();
            let metadata = pairs(&metadata)?;
            let new = NewImage { image, repo, template, version, metadata };
            done(templates.add(&new).await?, TemplateId::to_string)
        }
        Verb::Repo { verb: RepoVerb::Add { at } } => done(templates.add_repo(&at).await?, repo),
        Verb::Repo { verb: RepoVerb::List } => {
            done(templates.repos()?, |all| lines(all, "no repositories are registered", repo))
        }
        Verb::Repo { verb: RepoVerb::Update { names } } => {
            let updated = templates.update_repos(&names).await?;
            let good = updated.iter().all(|one| one.problem.is_none());
            let (text, value, _) = done(updated, |all| lines(all, "nothing to update", update))?;
            Ok((text, value, if good { Exit::Done } else { Exit::Failed }))
        }
    }
}

fn done<T: Serialize>(value: T, text: impl Fn(&T) -> String) -> anyhow::Result<(String, Value, Exit)> {
    Ok((text(&value), serde_json::to_value(&value)?, Exit::Done))
}

fn lines<T>(all: &[T], none: &str, line: impl Fn(&T) -> String) -> String {
    if all.is_empty() { none.to_owned() } else { all.iter().map(line).collect::<Vec<_>>().join("\n") }
}

fn listed(listed: &Listed) -> String {
    let id = listed.id.to_string();
    if listed.path.is_none() {
        return format!("{id:<40} not fetched");
    }
    let users = match &listed.users {
        None => "users unknown".to_owned(),
        Some(users) if users.is_empty() => "unused".to_owned(),
        Some(users) => format!("used by {}", users.join(", ")),
    };
    format!("{id:<40} {:>6} MiB  {users}", listed.bytes / MIB)
}

fn verdict(verified: &Verified) -> String {
    let text = match &verified.verdict {
        Verdict::Good => "good",
        Verdict::New => "digest noted; nothing was known about it",
        Verdict::Damaged => "DAMAGED; the next use fetches it again",
        Verdict::Missing => "not in the store",
        Verdict::Unknown(why) => why,
    };
    format!("{:<40} {text}", verified.id.to_string())
}

fn what_pruned(pruned: &Pruned) -> String {
    let removed = pruned.removed.iter().map(|(what, bytes)| format!("removed {what} ({} MiB)", bytes / MIB));
    let kept = pruned.kept.iter().map(|(id, why)| format!("kept {id}: {why}"));
    let errors = pruned.errors.iter().cloned();
    let all: Vec<String> = removed.chain(kept).chain(errors).collect();
    lines(&all, "nothing to remove", String::clone)
}

fn repo(repo: &RepoListed) -> String {
    let origin = repo.origin.as_deref().unwrap_or("grows here");
    let what = match &repo.problem {
        Some(problem) => problem.clone(),
        None => format!("{} templates, {origin}", repo.templates),
    };
    format!("{:<20} {what}", repo.name)
}

fn update(updated: &Updated) -> String {
    let names = |mark: char, ids: &[TemplateId]| {
        ids.iter().map(|id| format!(" {mark}{}", id.without_repo())).collect::<String>()
    };
    match &updated.problem {
        Some(problem) => format!("{}: stays as it was: {problem}", updated.name),
        None if updated.new.is_empty() && updated.gone.is_empty() => format!("{}: no change", updated.name),
        None => format!("{}:{}{}", updated.name, names('+', &updated.new), names('-', &updated.gone)),
    }
}

fn ids(names: &[String]) -> Result<Vec<TemplateId>, BadInput> {
    let id = |name: &String| match TemplateId::parse(name) {
        Some(id) => Ok(id),
        None => Err(BadInput(format!(
            "`{name}` is not `REPO:TEMPLATE:VERSION`; `polder templates list` prints them"
        ))),
    };
    names.iter().map(id).collect()
}

fn pairs(texts: &[String]) -> Result<Metadata, BadInput> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Value::from(value))),
        _ => Err(BadInput(format!("`{text}` is not `KEY=VALUE`"))),
    };
    texts.iter().map(pair).collect()
}
