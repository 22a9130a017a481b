//! `polder repo`.

use clap::{Args, Subcommand};

use crate::{
    cli::context::Cx,
    env::repo_folder,
    repo::{Builder, Order, Source},
    template::{Progress, TemplateEvent},
};

/// Options of `repo`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RepoArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a repository of the prefix from packages, in place of the one of that name.
    ///
    /// A package of a source is taken unless one named before has a package of that name, and of one source the newest.
    /// Machines then install from http://GATEWAY:8585/NAME, while `polder serve` runs.
    Build {
        /// Folders, packages (.deb, .rpm), and URLs of packages, of Debian indexes (`Packages`) and of repositories of RPMs
        /// (which have `repodata`), the most important first. Of a Debian mirror it is
        /// `MIRROR/dists/RELEASE/main/binary-ARCH`.
        #[arg(value_name = "SOURCE", required = true)]
        sources: Vec<String>,
        /// The repository's name.
        #[arg(long, default_value = "default")]
        name: String,
        /// Of indexes, take only these packages.
        #[arg(long, value_name = "PACKAGE", num_args = 1..)]
        only: Vec<String>,
    },
}

pub(in crate::cli) async fn run(cx: &Cx, args: &RepoArgs) -> anyhow::Result<String> {
    let Verb::Build { sources, name, only } = &args.verb;
    let prefix = cx.prefix()?;
    prefix.require_initialized()?;
    let sources = sources.iter().map(|source| match Source::parse(source) {
        Source::Path(path) => cx.absolute(&path).map(Source::Path),
        url @ Source::Url(_) => Ok(url),
    });
    let order = Order { name: name.clone(), sources: sources.collect::<Result<_, _>>()?, only: only.clone() };
    let builder = Builder {
        folder: repo_folder(prefix.path()),
        patience: cx.config.lock_timeout,
        progress: Progress::new(|event: &TemplateEvent| tracing::info!(target: "polder", "{event}")),
    };
    let built = builder.build(&order).await?;
    if !cx.for_people() {
        return cx.print(&built);
    }
    let mut lines =
        vec![format!("{}: {} packages in {}", built.name, built.packages.len(), built.folder.display())];
    lines.extend(built.packages.iter().map(|package| format!("  {}", package.file)));
    Ok(lines.join("\n"))
}
