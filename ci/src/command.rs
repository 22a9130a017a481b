//! Running other programs where people can see it. Does not decide what to run.

use std::{
    fmt,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Something a person must do first; ends the run with exit code 2.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A command from its words.
pub(crate) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().map_or(("false", &[][..]), |(p, a)| (*p, a));
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The cargo that started us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Prints the command, runs it with our own input and output, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a command without showing it and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints the command, runs it, passes its standard output on line by line and hands each line to `look` as well.
/// Returns the exit code, or `None` when a signal ended it.
pub(crate) fn watched(command: &mut Command, mut look: impl FnMut(&str)) -> Result<Option<i32>> {
    println!("$ {}", shown(command));
    let context = || format!("could not run `{}`", shown(command));
    let context = context();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| context.clone())?;
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        // Bytes, not `lines()`: what a test prints need not be UTF-8.
        while reader
            .read_until(b'\n', &mut line)
            .with_context(|| context.clone())?
            > 0
        {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            look(text.trim_end());
            line.clear();
        }
    }
    Ok(child.wait().context(context)?.code())
}

/// The command as one would type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    let name = command.get_program().to_string_lossy();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command.get_args().map(|a| quoted(&a.to_string_lossy()));
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let shown = shown(&command(&["/usr/bin/printf", "a b", "it's", "", "x=1"]));
        assert_eq!(shown, r"printf 'a b' 'it'\''s' '' x=1");
    }

    #[test]
    fn watched_lines_and_the_exit_code_arrive() {
        let mut lines = vec![];
        let code = watched(
            &mut command(&["sh", "-c", r"printf 'one\n\377two'; exit 7"]),
            |l| lines.push(l.to_owned()),
        );
        assert_eq!(code.unwrap(), Some(7));
        assert_eq!(lines, ["one", "\u{fffd}two"]);
    }

    #[test]
    fn a_failing_command_names_itself_and_what_it_said() {
        let error = output(&mut command(&["sh", "-c", "echo no such luck >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no such luck") && error.contains("exit status: 3"),
            "{error}"
        );
        let error = format!(
            "{:#}",
            run(&mut command(&["polder-no-such-program"])).unwrap_err()
        );
        assert!(
            error.contains("could not start `polder-no-such-program`"),
            "{error}"
        );
    }
}
