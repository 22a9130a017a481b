//! `polder destroy` and `polder down`.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use anyhow::Context;

use crate::{
    base::exit::Exit,
    cli::{
        args::Destroy,
        context::Cx,
        exit::{BadInput, Left, exit_of},
    },
    env::{Destroyed, Env, EnvError},
    workdir::{Prefix, Workdir},
};

pub(in crate::cli) async fn down(cx: &Cx) -> anyhow::Result<String> {
    run(cx, &Destroy { yes: true, force: false, all_prefixes: false }).await
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
    let (mut said, mut failed) = (vec![], vec![]);
    for prefix in prefixes {
        match destroy(cx, &prefix, args.force).await {
            Ok(found) => said.extend(found),
            Err(error) => failed.push((prefix, error)),
        }
    }
    let text = if cx.for_people() { said.join("\n") } else { cx.print(&said)? };
    let count = failed.len();
    match failed.pop() {
        None => Ok(text),
        Some((_, only)) if count == 1 && said.is_empty() => Err(only),
        Some(last) => {
            // What is gone is told all the same.
            println(&text);
            if count == 1 {
                return Err(last.1);
            }
            let line = |(prefix, error): (Prefix, anyhow::Error)| format!("\n  {}: {error:#}", prefix.name());
            failed.push(last);
            let codes: Vec<Exit> = failed.iter().map(|(_, error)| exit_of(error)).collect();
            let lines: String = failed.into_iter().map(line).collect();
            let message = format!("not everything could be destroyed:{lines}");
            // Where all were refused for one reason, that is the reason.
            Err(match codes.iter().all(|code| *code == Exit::Failed) {
                true => anyhow::anyhow!(message),
                false => Left(message).into(),
            })
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is the result, also when something else failed")]
fn println(text: &str) {
    println!("{text}");
}

fn all(workdir: &Workdir) -> anyhow::Result<Vec<Prefix>> {
    Ok(workdir.prefixes()?.iter().map(|name| workdir.prefix(name)).collect::<Result<_, _>>()?)
}

/// Removes one prefix with everything it made; says what was found.
async fn destroy(cx: &Cx, prefix: &Prefix, force: bool) -> anyhow::Result<Vec<String>> {
    let workdir = prefix.workdir();
    let found = left(Env::destroy(&cx.host()?, prefix, force, &cx.progress()).await)?;
    if let Some(workdir) = workdir {
        workdir.forget_log(&prefix.name())?;
        workdir.forget_logs()?;
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

/// Asks; an empty line means yes. An answer may come from a program, too.
fn confirmed(path: &Path) -> anyhow::Result<bool> {
    eprint!("destroy {}, with its machines and disks? [Y/n] ", path.display());
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let is_terminal = io::stdin().is_terminal();
    if !is_terminal {
        eprintln!();
    }
    if answer.is_empty() && !is_terminal {
        let what = format!(
            "destroy asks before it removes {}, but there is no terminal; give `--yes`",
            path.display()
        );
        return Err(BadInput(what).into());
    }
    // An end of input is no answer.
    let ends = answer.ends_with('\n') || !answer.trim().is_empty();
    Ok(ends && matches!(answer.trim().chars().next(), None | Some('y' | 'Y')))
}
