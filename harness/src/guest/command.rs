//! A command for a guest as a value, and the one line a remote POSIX shell is given for it.
//! Nothing is run here.

use std::{borrow::Cow, fmt, path::PathBuf, time::Duration};

use super::spec::Channel;
use crate::base::place::Place;

/// The variable by which everything a command started is found again, to kill it after a deadline.
pub(super) const CALL_VARIABLE: &str = "POLDER_CALL";
/// The longest line the kernel takes as one argument, and so the longest a login shell can be given.
const MAX_LINE: usize = 128 * 1024 - 1;

/// A command for a guest: a shell script (`&str`), a program with arguments that no shell evaluates, or a script that
/// becomes a file there for as long as it runs.
///
/// ```
/// use polder::guest::Command;
/// let script = Command::from("cd /srv && ls | wc -l");
/// let argv = Command::new("grep").arg("-c").arg("$HOME; `no` evaluation").arg("/etc/passwd");
/// assert_eq!(argv.to_string(), "grep -c '$HOME; `no` evaluation' /etc/passwd");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    what: What,
    /// What people are shown instead, for scripts of our own.
    shown: Option<&'static str>,
    env: Vec<(String, String)>,
    cwd: Option<String>,
    user: Option<String>,
    /// What everything it starts is found by, where that is decided already.
    pub(super) mark: Option<String>,
    pub(super) stdin: Input,
    pub(super) limit: Option<Duration>,
    pub(super) over: Option<Channel>,
    /// The first mistake that was made with it, and where.
    wrong: Option<(CommandError, Place)>,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Script(String),
    Argv(Vec<String>),
    Upload { text: Vec<u8>, args: Vec<String> },
}

/// What a command is given to read.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Input {
    Bytes(Vec<u8>),
    /// A file of this host.
    File(PathBuf),
}

/// A script that has to be a file in the guest before it can run.
pub(super) struct Upload<'a> {
    pub(super) text: &'a [u8],
    /// Who has to be able to read it, if it is not who logs in.
    pub(super) user: Option<&'a str>,
}

/// A command that cannot be given to a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Programs, arguments and environments end at a zero byte.
    #[error("{part} contains a zero byte")]
    Nul {
        /// Which part.
        part: String,
    },
    /// Not the name of an environment variable.
    #[error("`{0}` is not a name for an environment variable")]
    BadVariable(String),
    /// Not the name of a user.
    #[error("`{0}` is not a name for a user")]
    BadUser(String),
    /// There is no program to run.
    #[error("the command is empty")]
    Empty,
    /// Longer than the kernel passes on.
    #[error("the command has {len} bytes, at most {MAX_LINE} are possible; write it to a file or to stdin")]
    TooLong {
        /// Its length in bytes, quoted.
        len: usize,
    },
    /// Any of the mistakes above, made where the command was built.
    #[error("{wrong}{at}")]
    Built {
        /// The mistake.
        wrong: Box<CommandError>,
        /// In which line.
        at: Place,
    },
}

impl Command {
    /// The program `program`, looked up in the guest's `PATH`; its arguments reach it exactly as given.
    #[must_use]
    #[track_caller]
    pub fn new(program: impl Into<String>) -> Self {
        Self::of(What::Argv(vec![program.into()])).checked(Self::what, Place::of_caller())
    }

    /// A script for the guest's `sh`; the same as `Command::from(text)`, easier to chain on.
    #[must_use]
    #[track_caller]
    pub fn script(text: impl Into<String>) -> Self {
        Self::of(What::Script(text.into())).checked(Self::what, Place::of_caller())
    }

    /// A script that is written to a file of the guest, run by what its first line names (`#!/bin/bash -ex`), `sh` if
    /// it names nothing, and removed afterwards.
    #[must_use]
    #[track_caller]
    pub fn upload(text: impl Into<Vec<u8>>) -> Self {
        Self::of(What::Upload { text: text.into(), args: Vec::new() }).checked(Self::what, Place::of_caller())
    }

    /// One more argument: of the program, or `$1`, `$2`... of the script.
    #[must_use]
    #[track_caller]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        let arg = arg.into();
        let number = match &self.what {
            What::Argv(argv) => argv.len(),
            What::Upload { args, .. } => args.len() + 1,
            What::Script(_) => 1,
        };
        let wrong = quote(&arg, || format!("argument {number}")).err();
        match &mut self.what {
            What::Argv(argv) => argv.push(arg),
            What::Upload { args, .. } => args.push(arg),
            What::Script(text) => {
                let argv = ["sh", "-c", text, "sh"].map(str::to_owned);
                self.what = What::Argv(argv.into_iter().chain([arg]).collect());
            }
        }
        self.blamed(wrong, Place::of_caller())
    }

    /// More arguments.
    #[must_use]
    #[track_caller]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    /// Bytes for its standard input, which otherwise is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// A file of this host for its standard input, read while it runs.
    #[must_use]
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Input::File(path.into());
        self
    }

    /// Its deadline instead of [`COMMAND`](super::limits::COMMAND); multiplied by the guest's time factor.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// An environment variable, added to what the guest's login shell has.
    #[must_use]
    #[track_caller]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        let wrong = assignment(&name, &value).err();
        self.env.push((name, value));
        self.blamed(wrong, Place::of_caller())
    }

    /// Its working directory instead of the login directory; one that is not there gives status 126.
    #[must_use]
    #[track_caller]
    pub fn cwd(mut self, dir: impl Into<String>) -> Self {
        let dir = dir.into();
        let wrong = directory(&dir).err();
        self.cwd = Some(dir);
        self.blamed(wrong, Place::of_caller())
    }

    /// The user of the guest it runs as, instead of who logs in: by `runuser` or `su` if that is root, else by `sudo`.
    /// Being ended by a signal, it then leaves 128 and the signal's number as its status; a user that is not there gives
    /// status 126.
    #[must_use]
    #[track_caller]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let wrong = user_name(&name).err();
        self.user = Some(name);
        self.blamed(wrong, Place::of_caller())
    }

    /// The one way to the guest that may be taken, instead of the first that answers.
    #[must_use]
    pub fn over(mut self, channel: Channel) -> Self {
        self.over = Some(channel);
        self
    }

    /// With the standard input, and on the way, of `other`.
    pub(super) fn input_of(mut self, other: &Self) -> Self {
        self.stdin = other.stdin.clone();
        self.over = other.over;
        self
    }

    /// People are shown `text` instead of the command itself.
    pub(crate) fn shown_as(mut self, text: &'static str) -> Self {
        self.shown = Some(text);
        self
    }

    fn of(what: What) -> Self {
        let stdin = Input::Bytes(Vec::new());
        let (env, [cwd, user, mark]) = (Vec::new(), [const { None }; 3]);
        Self { what, shown: None, env, cwd, user, mark, stdin, limit: None, over: None, wrong: None }
    }

    /// Remembers what `check` finds, and that it was made at `at`.
    fn checked(self, check: impl Fn(&Self) -> Result<String, CommandError>, at: Place) -> Self {
        let wrong = check(&self).err();
        self.blamed(wrong, at)
    }

    fn blamed(mut self, wrong: Option<CommandError>, at: Place) -> Self {
        self.wrong = self.wrong.or_else(|| Some((wrong?, at)));
        self
    }

    /// The file it needs in the guest, if it needs one.
    pub(super) fn needs_file(&self) -> Option<Upload<'_>> {
        match &self.what {
            What::Upload { text, .. } => Some(Upload { text, user: self.user.as_deref() }),
            What::Script(_) | What::Argv(_) => None,
        }
    }

    /// The same, with the file it needs at `path`, and under this mark.
    pub(super) fn with_file_at(&self, path: &str, mark: &str) -> Self {
        let mut placed = Self { mark: Some(mark.to_owned()), ..self.clone() };
        if let What::Upload { text, args } = &self.what {
            let by_itself = text.starts_with(b"#!");
            let program = [path.to_owned()];
            let argv = if by_itself { vec![] } else { vec!["sh".to_owned()] };
            placed.what = What::Argv(argv.into_iter().chain(program).chain(args.iter().cloned()).collect());
        }
        placed
    }

    /// The line for the guest's login shell. `call` marks everything the command starts.
    pub(super) fn line(&self, call: &str) -> Result<String, CommandError> {
        if let Some((wrong, at)) = &self.wrong {
            return Err(CommandError::Built { wrong: Box::new(wrong.clone()), at: *at });
        }
        let own = self.own_line(call)?;
        let line = match &self.user {
            None => own,
            Some(user) => as_user(user, &own, call)?,
        };
        if line.len() > MAX_LINE { Err(CommandError::TooLong { len: line.len() }) } else { Ok(line) }
    }

    /// The line for a shell of the user it runs as.
    fn own_line(&self, call: &str) -> Result<String, CommandError> {
        let mut line = format!("export {CALL_VARIABLE}={call}");
        for (name, value) in &self.env {
            line += &assignment(name, value)?;
        }
        if let Some(dir) = &self.cwd {
            line += &directory(dir)?;
        }
        Ok(line + "; exec" + &self.what()?)
    }

    /// The part of the line that says what is run.
    fn what(&self) -> Result<String, CommandError> {
        match &self.what {
            What::Script(text) if text.trim().is_empty() => Err(CommandError::Empty),
            What::Script(text) => Ok(format!(" sh -c {}", quote(text, || "the script".to_owned())?)),
            What::Upload { text, .. } if text.trim_ascii().is_empty() => Err(CommandError::Empty),
            // Without a place it cannot be run; it gets one first.
            What::Upload { .. } => Ok(" false".to_owned()),
            What::Argv(argv) if argv.first().is_none_or(String::is_empty) => Err(CommandError::Empty),
            What::Argv(argv) => {
                let part = |i| if i == 0 { "the program".into() } else { format!("argument {i}") };
                let word = |(i, word): (usize, &String)| Ok(format!(" {}", quote(word, || part(i))?));
                argv.iter().enumerate().map(word).collect()
            }
        }
    }
}

/// The part of a line that sets a variable.
fn assignment(name: &str, value: &str) -> Result<String, CommandError> {
    if !is_variable(name) {
        return Err(CommandError::BadVariable(name.to_owned()));
    }
    Ok(format!(" {name}={}", quote(value, || format!("the variable `{name}`"))?))
}

/// The part of a line that goes to a folder.
fn directory(dir: &str) -> Result<String, CommandError> {
    Ok(format!("; cd -- {} || exit 126", quote(dir, || "the working directory".to_owned())?))
}

fn user_name(name: &str) -> Result<&str, CommandError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(is_name) {
        return Err(CommandError::BadUser(name.to_owned()));
    }
    Ok(name)
}

/// `line` given to a shell of `user` by whoever logs in.
fn as_user(user: &str, line: &str, call: &str) -> Result<String, CommandError> {
    let user = user_name(user)?;
    let line = quote(line, || "the command".to_owned())?;
    Ok(format!(
        "export {CALL_VARIABLE}={call}; l={line}; [ \"$(id -un)\" != {user} ] || exec sh -c \"$l\"; \
         id -u {user} >/dev/null || exit 126; [ \"$(id -u)\" = 0 ] || exec sudo -n -u {user} sh -c \"$l\"; \
         command -v runuser >/dev/null && exec runuser -s /bin/sh -c \"$l\" {user}; exec su -s /bin/sh -c \"$l\" {user}"
    ))
}

impl From<&str> for Command {
    fn from(text: &str) -> Self {
        Self::script(text)
    }
}

impl From<String> for Command {
    fn from(text: String) -> Self {
        Self::script(text)
    }
}

impl From<&Self> for Command {
    fn from(command: &Self) -> Self {
        command.clone()
    }
}

/// As a person would type it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.shown, &self.what) {
            (Some(text), _) => f.write_str(text),
            (None, What::Script(text)) => f.write_str(text.trim()),
            (None, What::Upload { text, args }) => {
                let text = String::from_utf8_lossy(text);
                let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                write!(f, "(script beginning with `{first}`)")?;
                args.iter().try_for_each(|arg| {
                    write!(f, " {}", quote(arg, String::new).unwrap_or(Cow::Borrowed(arg)))
                })
            }
            (None, What::Argv(argv)) => {
                for (i, word) in argv.iter().enumerate() {
                    let word = quote(word, String::new).unwrap_or(Cow::Borrowed(word));
                    write!(f, "{}{word}", if i == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self})")
    }
}

/// One word of a POSIX shell that stands for exactly `word`.
pub(super) fn quote(word: &str, part: impl FnOnce() -> String) -> Result<Cow<'_, str>, CommandError> {
    shlex::try_quote(word).map_err(|_| CommandError::Nul { part: part() })
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `sh`, given the line of `command`, writes to standard output.
    fn sh(command: &Command) -> Vec<u8> {
        let line = command.line("test").unwrap();
        let output = std::process::Command::new("sh").arg("-c").arg(&line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        output.stdout
    }

    #[rstest::rstest]
    #[case(&["ls", "-l"], "ls -l")]
    #[case(&["echo", ""], "echo ''")]
    #[case(&["echo", "two words"], "echo 'two words'")]
    #[case(&["echo", "$(reboot)"], "echo '$(reboot)'")]
    #[case(&["a\nb"], "'a\nb'")]
    fn reads_as_typed(#[case] argv: &[&str], #[case] expected: &str) {
        let (program, args) = argv.split_first().unwrap();
        assert_eq!(Command::new(*program).args(args.iter().copied()).to_string(), expected);
    }

    #[rstest::rstest]
    #[case("it's")]
    #[case("a\nb\n")]
    #[case("*.txt ~root $HOME `id` $(id) ${x} !! \\ \" '' ; & | < >")]
    #[case("-n")]
    #[case("grüße 漢字 🦆 \u{7f}\u{1}")]
    #[case("")]
    fn arguments_reach_the_program_exactly(#[case] arg: &str) {
        assert_eq!(sh(&Command::new("printf").arg("%s|").arg(arg)), format!("{arg}|").into_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn any_text_survives_the_shell(words in prop::collection::vec("[^\u{0}]{0,12}", 1..4), value in "[^\u{0}]{0,12}") {
            let expected: String = words.iter().map(|w| format!("{w}\u{1}")).collect();
            prop_assert_eq!(sh(&Command::new("printf").arg("%s\u{1}").args(words)), expected.into_bytes());
            let script = Command::script("printf %s \"$V\"").env("V", &value);
            prop_assert_eq!(sh(&script), value.into_bytes());
        }
    }

    #[test]
    fn scripts_take_arguments_environment_and_directory() {
        let script = Command::script("echo \"$1 $0 $V\"; pwd").arg("a  b").env("V", "x'y").cwd("/usr/bin");
        assert_eq!(sh(&script), b"a  b sh x'y\n/usr/bin\n");
    }

    #[test]
    fn who_we_are_already_needs_nobodys_leave() {
        let us = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
        let us = String::from_utf8(us).unwrap();
        let script = Command::script("echo \"$0 $1\"; id -un").arg("a 'b'").user(us.trim());
        assert_eq!(sh(&script), format!("sh a 'b'\n{us}").into_bytes());
    }

    #[rstest::rstest]
    #[case("#!/bin/bash -ex\necho", "/tmp/f 'a b'")]
    #[case("\necho", "sh /tmp/f 'a b'")]
    fn a_script_is_run_by_what_its_first_line_names(#[case] text: &str, #[case] expected: &str) {
        let command = Command::upload(text).arg("a b");
        assert_eq!(command.with_file_at("/tmp/f", "m").to_string(), expected);
        assert!(command.to_string().ends_with("`) 'a b'"), "{command}");
    }

    #[test]
    fn a_missing_user_is_status_126() {
        let line = Command::from("true").user("polder-nobody").line("x").unwrap();
        let status = std::process::Command::new("sh").args(["-c", &line]).output().unwrap().status;
        assert_eq!(status.code(), Some(126));
    }

    #[test]
    fn a_missing_directory_is_status_126() {
        let line = Command::from("true").cwd("/does/not/exist").line("x").unwrap();
        let status = std::process::Command::new("sh").args(["-c", &line]).output().unwrap().status;
        assert_eq!(status.code(), Some(126));
    }

    #[rstest::rstest]
    #[case(Command::new("a\0"), "the program contains a zero byte")]
    #[case(Command::new("a").arg("b").arg("\0"), "argument 2 contains a zero byte")]
    #[case(Command::from("true").env("A", "\0"), "the variable `A` contains a zero byte")]
    #[case(Command::from("true").env("1A", ""), "`1A` is not a name for an environment variable")]
    #[case(Command::from("true").env("A;id", ""), "`A;id` is not a name for an environment variable")]
    #[case(Command::from(" \n"), "the command is empty")]
    #[case(Command::upload(" \n"), "the command is empty")]
    #[case(Command::from("id").user(""), "`` is not a name for a user")]
    #[case(Command::from("id").user("-c"), "`-c` is not a name for a user")]
    #[case(Command::from("id").user("a b"), "`a b` is not a name for a user")]
    #[case(Command::from("id").user("$(id)"), "`$(id)` is not a name for a user")]
    #[case(Command::new(""), "the command is empty")]
    #[case(Command::new("x").arg("y".repeat(200_000)), "the command has 200032 bytes, at most 131071 are possible; write it to a file or to stdin")]
    fn what_no_guest_takes_is_refused(#[case] command: Command, #[case] message: &str) {
        assert_eq!(command.line("call").unwrap_err().to_string(), message);
    }
}
