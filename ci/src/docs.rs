//! `cargo ci docs`: whether the book says what is so; with `--write`, what is made from code is made anew. Where mdBook is installed,
//! the web site is built, too.

use std::{
    io,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, cargo},
    workspace,
};

/// What to do with the book.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the reference and the picture of a run anew, instead of comparing them.
    #[arg(long)]
    write: bool,
}

/// The verb: the tests of the harness that read the book, and do on machines what it says.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut tests =
        cargo(&["test", "--workspace", "--test", "it", "--quiet", "--", "book::", "walkthrough::"]);
    if args.write {
        tests.env("POLDER_BLESS", "1");
    }
    command::run(tests.current_dir(workspace::root()))?;
    site(Command::new("mdbook").args(["build", "docs"]))?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the web site. mdBook's own idea of success includes warnings; ours does not.
fn site(mdbook: &mut Command) -> Result<()> {
    mdbook.current_dir(workspace::root()).stdin(Stdio::null());
    let output = match mdbook.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!(
                "\nThe web site was NOT built: there is no `mdbook` (`cargo install mdbook --locked`). Everything else was checked."
            );
            return Ok(());
        }
        output => output.with_context(|| format!("could not start `{}`", command::shown(mdbook)))?,
    };
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{said}");
    if !output.status.success() || said.lines().any(|line| line.contains("WARN") || line.contains("ERROR")) {
        bail!("`{}` is not content with the book, see above", command::shown(mdbook));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_is_not_as_it_should_be_is_told() {
        let told =
            |script: &str| site(Command::new("sh").args(["-c", script])).map_err(|error| error.to_string());
        assert_eq!(told("echo INFO Book building has started >&2"), Ok(()));
        assert!(told("echo WARN no such page >&2").unwrap_err().contains("not content"));
        assert!(told("exit 101").unwrap_err().contains("not content"));
        assert!(site(&mut Command::new("no-such-mdbook")).is_ok(), "it is no requirement");
    }
}
