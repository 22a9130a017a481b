//! `polder destroy` and `polder down`.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use anyhow::Context;

use crate::{
    cli::{
        args::Destroy,
        context::Cx,
        exit::{BadInput, Left},
    },
    env::{Destroyed, Env, EnvError},
    workdir::{Prefix, Workdir},
};

pub(in crate::cli) async fn down(cx: &Cx) -> anyhow::Result<String> {
    run(cx, &Destroy { yes: true, all_prefixes: false }).await
}

pub(in crate::cli) async fn run(cx: &Cx, args: &Destroy) -> anyhow::Result<String> {
    let (path, prefixes) = if args.all_prefixes {
        let workdir = cx.workdir()?;
        (workdir.path().to_owned(), all(&workdir)?)
    } else {
        let prefix = cx.choice().find(&cx.cwd)?;
        (prefix.path().to_owned(), vec![prefix])
    };
    if !args.yes && !confirmed(&path)? {
        return Ok("nothing was destroyed".into());
    }
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove the link {}", path.display()))?;
        return Ok(format!("removed the link {}; what it led to stays", path.display()));
    }
    let mut said = vec![];
    for prefix in prefixes {
        said.extend(destroy(cx, &prefix).await?);
    }
    Ok(if cx.for_people() { said.join("\n") } else { cx.print(&said)? })
}

fn all(workdir: &Workdir) -> anyhow::Result<Vec<Prefix>> {
    Ok(workdir.prefixes()?.iter().map(|name| workdir.prefix(name)).collect::<Result<_, _>>()?)
}

/// Removes one prefix with everything it made; says what was found.
async fn destroy(cx: &Cx, prefix: &Prefix) -> anyhow::Result<Vec<String>> {
    let workdir = prefix.workdir();
    let found = left(Env::destroy(&cx.host()?, prefix, false, &cx.progress()).await)?;
    if let Some(workdir) = workdir {
        workdir.forget_log(&prefix.name())?;
    }
    Ok(found.into_iter().chain([format!("destroyed {}", prefix.path().display())]).collect())
}

/// What was found, when nothing of it is left.
pub(super) fn left(destroyed: Result<Destroyed, EnvError>) -> anyhow::Result<Vec<String>> {
    let Destroyed { found, left } = destroyed?;
    if left.is_empty() {
        return Ok(found);
    }
    let lines = left.into_iter().map(|error| format!("\n  {:#}", anyhow::Error::from(error)));
    Err(Left(format!("could not be removed:{}", lines.collect::<String>())).into())
}

/// Asks on the terminal; nothing typed means yes.
fn confirmed(path: &Path) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        let what = format!(
            "destroy asks before it removes {}, but there is no terminal; give `--yes`",
            path.display()
        );
        return Err(BadInput(what).into());
    }
    eprint!("destroy {}, with its machines and disks? [Y/n] ", path.display());
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    // An end of input is no answer.
    Ok(answer.ends_with('\n') && matches!(answer.trim().chars().next(), None | Some('y' | 'Y')))
}
