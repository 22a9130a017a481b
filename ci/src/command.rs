//! Running other programs where people can see it. Does not decide what to run.

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
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

/// The cargo that started us, as if typed by hand: with what it told us of ourselves, build scripts that look at it would
/// run again whenever it is called this way after the other.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| told(name))
    {
        command.env_remove(name);
    }
    command
}

/// Prints the command, runs it with our own input and output, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Prints the command and how long it took; what it wrote is shown only when it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let started = Instant::now();
    let output = command.output().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("`{}` ended with {}", shown(command), output.status);
    }
    println!("  done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command without showing it and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", shown(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How long a process that ended may leave its output open: what holds it then is something it left behind.
const GRACE: Duration = Duration::from_secs(2);

/// Prints the command, runs it and hands each line of its standard output to `look`.
/// Returns the exit code, or `None` when a signal ended it. After `limit` it is killed with everything it started.
pub(crate) fn watched(
    command: &mut Command,
    limit: Duration,
    mut look: impl FnMut(&str),
) -> Result<Option<i32>> {
    println!("$ {}", shown(command));
    let context = format!("could not run `{}`", shown(command));
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| context.clone())?;
    let lines = child.stdout.take().map(lines).with_context(|| context.clone())?;
    let mut ended = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => {
                look(line.trim_end());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() && child.try_wait().with_context(|| context.clone())?.is_some() {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|ended| ended.elapsed() > GRACE) {
            println!("warning: something that `{}` started outlives it and holds its output", shown(command));
            break;
        }
        if ended.is_none() && started.elapsed() > limit {
            kill_family(child.id());
            child.wait().context(context)?;
            bail!("`{}` had not ended after {limit:?} and was killed; see its last lines", shown(command));
        }
    }
    Ok(child.wait().context(context)?.code())
}

/// The lines of a pipe, from a thread of its own, so that waiting for one can have an end.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        // Bytes, not `lines()`: what a test prints need not be UTF-8.
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    receive
}

/// Kills a process and all its descendants: a test that hangs is no child of ours but of cargo.
fn kill_family(root: u32) {
    let parents: Vec<(u32, u32)> = processes().collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let killed = Command::new("kill").arg("-KILL").args(family.iter().map(ToString::to_string)).status();
    if let Err(error) = killed {
        println!("warning: could not start `kill`: {error}");
    }
}

/// All processes with their parents.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // The name before the state may hold anything, parentheses too.
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
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

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let mut command = command(&["sh", "-c", "echo begun; sh -c 'sleep 1000; true'; true"]);
        let started = Instant::now();
        let error = watched(&mut command, Duration::from_millis(200), |_| {}).unwrap_err().to_string();
        assert!(error.contains("had not ended after 200ms"), "{error}");
        assert!(started.elapsed() < MINUTE);
    }

    #[test]
    fn what_outlives_the_command_does_not_hold_us() {
        let mut command = command(&["sh", "-c", "sleep 6 & echo last"]);
        let mut lines = vec![];
        let started = Instant::now();
        let code = watched(&mut command, MINUTE, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!((code, lines.as_slice()), (Some(0), &["last".to_owned()][..]));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn watched_lines_and_the_exit_code_arrive() {
        let mut lines = vec![];
        let code = watched(&mut command(&["sh", "-c", r"printf 'one\n\377two'; exit 7"]), MINUTE, |l| {
            lines.push(l.to_owned())
        });
        assert_eq!(code.unwrap(), Some(7));
        assert_eq!(lines, ["one", "\u{fffd}two"]);
    }

    #[test]
    fn a_failing_command_names_itself_and_what_it_said() {
        let error =
            output(&mut command(&["sh", "-c", "echo no such luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains("exit status: 3"), "{error}");
        let error = format!("{:#}", run(&mut command(&["polder-no-such-program"])).unwrap_err());
        assert!(error.contains("could not start `polder-no-such-program`"), "{error}");
    }
}
