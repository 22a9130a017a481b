//! `polder new`.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::{
    cli::{
        context::Cx,
        init_args::Reading,
        new::{self, Ci, Described, Ground, Library, Name, Wanted, relative},
    },
    env::{Env, EnvError, Names},
};

/// Options of `new`.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The name of the suite, and of the package that is made for it unless one stands in a package.
    name: Name,
    /// Test the machines of this init file, which stays where it is, instead of one made for it.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Take the library from this folder, a checkout of its repository, instead of from where this command is from.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// For which CI services files are made.
    #[arg(long, value_enum, value_name = "SERVICE", value_delimiter = ',', default_value = "github,gitlab")]
    ci: Vec<Ci>,
}

/// Makes a suite, in the package one stands in or in a new one.
pub(in crate::cli) fn run(cx: &Cx, args: &NewArgs) -> anyhow::Result<String> {
    let from = args.from.as_ref().map(|file| described(cx, file)).transpose()?;
    let library = args.path.as_deref().map_or_else(|| Ok(Library::of_command()), Library::at)?;
    let ground = Ground::look(&cx.cwd, &args.name)?;
    if args.ci != [Ci::None] && !library.is_had_with(&ground) {
        cx.warn(
            &"the library is outside of the repository, where jobs of CI services do not find it: \
             docs/how-to/runners.md has what they can have instead",
        );
    }
    let wanted = Wanted { name: args.name.clone(), library, from, ci: args.ci.clone() };
    let new::Made { made, kept } = new::write(&new::plan(&ground, &wanted)?)?;
    if !cx.for_people() {
        return cx.print(&json!({ "package": ground.folder(), "made": made, "kept": kept }));
    }
    let here = fs::canonicalize(&cx.cwd).context("cannot find the current folder")?;
    let mut lines = Vec::new();
    for (what, paths) in [("made", made), ("there already, and left as it is", kept)] {
        lines.extend(paths.iter().map(|path| format!("{what}: {}", relative(&here, path).display())));
    }
    let folder = relative(&here, ground.folder());
    let there =
        if folder.as_os_str() == "." { String::new() } else { format!("cd {} && ", folder.display()) };
    lines.push(format!("to run it: {there}cargo test --test {}", args.name));
    Ok(lines.join("\n"))
}

/// The machines of an init file; everything that is wrong with it at once.
fn described(cx: &Cx, file: &std::path::Path) -> anyhow::Result<Described> {
    let spec = super::init::read(cx, file, &Reading::default(), &cx.planned_prefix(None)?)?.spec;
    let host = cx.host()?;
    let warnings = Env::check(&host, &spec).map_err(EnvError::from)?;
    warnings.iter().for_each(|warning| cx.warn(warning));
    let file = fs::canonicalize(file).with_context(|| format!("cannot find {}", file.display()))?;
    Ok(Described { file, answering: Env::answering(&host, &spec), names: Names::of(&host, &spec) })
}
