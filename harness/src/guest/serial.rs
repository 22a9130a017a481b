//! The serial console as a way to run commands when nothing else answers: logs in, types the command, and reads what
//! comes back among whatever else is printed there. Slow, one command at a time, and for a POSIX shell with `base64`.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::Mutex,
};

use super::{
    limits,
    machine::MachinePort,
    output::Status,
    run::{Call, RunError, Source, Stage, Streams, Transport, kill_script},
    spec::Login,
};
use crate::base::{dial::BoxFuture, wait::Deadline};

/// Bytes typed at once; the terminal of the guest keeps no more than 4095 of a line.
const TYPED: usize = 768;
/// The longest input a command can be given here; it is typed.
const MAX_INPUT: usize = 256 * 1024;
/// How long a console says nothing until it is asked again who is there.
const QUIET: Duration = Duration::from_millis(700);
/// Stops a line that was begun and whatever runs, and asks for a prompt.
const ANYBODY: &[u8] = b"\x03\x15\r";
/// Ends the input of the shell that reads our lines.
const END: &[u8] = b"\x04";

/// The console cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// It cannot be opened.
    #[error("cannot open the console")]
    Open(#[source] io::Error),
    /// It broke while it was used.
    #[error("the console broke")]
    Broken(#[source] io::Error),
    /// Nobody is there.
    #[error("nothing answers on the console within {:.1} s: neither a login nor a shell runs there", limit.as_secs_f64())]
    Silent {
        /// How long it had.
        limit: Duration,
    },
    /// Somebody is there who takes no commands.
    #[error("nothing on the console takes commands within {:.1} s; it says `{said}`", limit.as_secs_f64())]
    Deaf {
        /// How long it had.
        limit: Duration,
        /// The end of what it said.
        said: String,
    },
    /// It asks for a password and there is none to tell.
    #[error(
        "the console asks for a password, and none is known for `{user}` (`root-password` in the init file)"
    )]
    NoPassword {
        /// Who tried.
        user: String,
    },
    /// The user is not let in.
    #[error("the console does not let `{user}` in with the password that is known")]
    Refused {
        /// Who tried.
        user: String,
    },
    /// There is more input than can be typed.
    #[error("at most {MAX_INPUT} bytes of input can be typed on a console")]
    TooMuch,
    /// Something else was printed in the middle of the command's output.
    #[error("something else was printed on the console in the middle of the output: {line}")]
    Garbled {
        /// What cannot be read.
        line: String,
    },
}

impl ConsoleError {
    /// Whether another attempt cannot end otherwise.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::NoPassword { .. } | Self::Refused { .. } | Self::TooMuch)
    }
}

/// The console of one guest.
pub(super) struct Serial {
    port: Arc<dyn MachinePort>,
    login: Login,
    time_factor: f64,
    /// One types at a time.
    turn: Mutex<()>,
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({:?})", self.port)
    }
}

impl Serial {
    pub(super) fn new(port: Arc<dyn MachinePort>, login: Login, time_factor: f64) -> Self {
        Self { port, login, time_factor, turn: Mutex::new(()) }
    }

    async fn run_alone(&self, call: &Call, streams: &mut Streams) -> Result<Status, RunError> {
        let before = |error: ConsoleError| RunError::Before(Arc::new(error).into());
        let during = |error: ConsoleError| RunError::During(Arc::new(error).into());
        let opening = Deadline::within(call.opening);
        let queued = tokio::time::timeout(opening.left(), self.turn.lock()).await;
        let _turn = queued.map_err(|_| RunError::Deadline { stage: Stage::Queueing, killed: true })?;
        let stream = self.port.console(opening.left()).await.map_err(|e| before(ConsoleError::Open(e)))?;
        let mut session = Session { stream, seen: Vec::new(), late: None, mark: call.mark.clone() };
        session.enter(&self.login, opening).await.map_err(before)?;

        let late = || RunError::Deadline { stage: Stage::Starting, killed: true };
        let input = tokio::time::timeout(call.deadline.left(), streams.stdin.whole()).await;
        let input = input.map_err(|_| late())?.map_err(RunError::Local)?;
        if input.len() > MAX_INPUT {
            streams.stdin = Source::Bytes(input);
            return Err(before(ConsoleError::TooMuch));
        }
        let typed = tokio::time::timeout(call.opening, async {
            session.begin().await?;
            session.keep("c", call.line.as_bytes()).await?;
            session.keep("i", &input).await
        });
        let never_begun = |error, streams: &mut Streams, input| {
            streams.stdin = Source::Bytes(input);
            Err(before(error))
        };
        match typed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return never_begun(error, streams, input),
            Err(_) => return Err(late()),
        }
        let ended = async {
            session.go().await.map_err(during)?;
            session.follow(streams, during).await
        };
        match tokio::time::timeout(call.deadline.left(), ended).await {
            Ok(Ok(status)) => {
                // Whoever comes next finds a prompt; if not, they ask for one.
                let _ = session.stream.write_all(END).await;
                let _ = tokio::time::timeout(QUIET, session.line()).await;
                Ok(status)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // First a shell has to be found again.
                let limit = limits::scaled(limits::OPEN + limits::KILL, self.time_factor);
                session.late = Some(session.seen.clone());
                let killed = tokio::time::timeout(limit, session.kill(&self.login, limit)).await;
                session.take_late(streams).await.map_err(RunError::Local)?;
                Err(RunError::Deadline { stage: Stage::Running, killed: matches!(killed, Ok(Ok(true))) })
            }
        }
    }
}

impl Transport for Serial {
    fn run<'a>(
        &'a self,
        call: &'a Call,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<Status, RunError>> {
        Box::pin(self.run_alone(call, streams))
    }
}

/// An open console.
struct Session {
    stream: UnixStream,
    /// What was read and not looked at yet.
    seen: Vec<u8>,
    /// All that was read since the deadline: the end of the outputs is among it.
    late: Option<Vec<u8>>,
    /// In everything that is printed for us.
    mark: String,
}

impl Session {
    /// Logs in where that is needed, until a shell answers.
    async fn enter(&mut self, login: &Login, deadline: Deadline) -> Result<(), ConsoleError> {
        let start = Instant::now();
        let refused = || ConsoleError::Refused { user: login.user.clone() };
        let (mut tries, mut last, mut patience) = (0, String::new(), QUIET * 3);
        self.type_in(ANYBODY).await?;
        loop {
            let said = self.hear(QUIET, deadline).await?;
            if said.contains(&self.answer()) {
                // To a question that was given up: a busy guest answers late, but a shell it is.
                self.seen.clear();
                return Ok(());
            }
            let prompt = said.trim_end().to_lowercase();
            if let Some(line) = said.lines().map(str::trim).rfind(|line| !line.is_empty()) {
                line.clone_into(&mut last);
            }
            if deadline.passed() {
                let limit = start.elapsed();
                return Err(match last {
                    _ if tries > 1 => refused(),
                    said if said.is_empty() => ConsoleError::Silent { limit },
                    said => ConsoleError::Deaf { limit, said },
                });
            }
            self.seen.clear();
            if prompt.ends_with("login:") {
                tries += 1;
                if tries > 2 {
                    return Err(refused());
                }
                self.reply(&login.user, &login.user, deadline).await?;
            } else if prompt.ends_with("password:") {
                let Some(password) = &login.password else {
                    return Err(ConsoleError::NoPassword { user: login.user.clone() });
                };
                self.reply(password, "", deadline).await?;
            } else if self.is_shell(Deadline::within(patience).min(deadline)).await? {
                return Ok(());
            } else if tries == 0 {
                // This throws away what nobody has read yet, our question among it: the next one gets more time.
                self.type_in(ANYBODY).await?;
                patience *= 2;
            }
            // Whoever is being let in is not interrupted: that ends a shell which only starts.
        }
    }

    /// Answers a question, and waits until something is said to it: what is typed before goes to nobody knows whom. `echo`
    /// is what is shown of the answer.
    async fn reply(&mut self, answer: &str, echo: &str, deadline: Deadline) -> Result<(), ConsoleError> {
        self.type_in(format!("{answer}\r").as_bytes()).await?;
        loop {
            let said = String::from_utf8_lossy(&self.seen);
            let said = said.trim_start();
            if !said.strip_prefix(echo).unwrap_or(said).trim().is_empty() {
                return Ok(());
            }
            match tokio::time::timeout(deadline.left(), self.read()).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// What a shell says to the question whether it is one.
    fn answer(&self) -> String {
        format!("{}42", self.mark)
    }

    /// Whether a shell evaluates what is typed, until `deadline`.
    async fn is_shell(&mut self, deadline: Deadline) -> Result<bool, ConsoleError> {
        let question = format!("stty echo; echo \"{}\"\"$((6*7))\"\r", self.mark);
        self.type_in(question.as_bytes()).await?;
        let answer = self.answer();
        while !deadline.passed() {
            let said = self.hear(QUIET, deadline).await?;
            if said.contains(&answer) {
                self.seen.clear();
                return Ok(true);
            }
            let prompt = said.trim_end().to_lowercase();
            if prompt.ends_with("login:") || prompt.ends_with("password:") {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// From here on a shell reads our lines that edits nothing and prints nothing of its own.
    async fn begin(&mut self) -> Result<(), ConsoleError> {
        // An editing shell reads ahead: the next line must not be typed before it has let go. And no `cat` in between:
        // that of busybox holds the pipe while it waits for more.
        let line = format!(" stty -echo; echo {}\"\":b:; sh /proc/self/fd/0; stty echo\r", self.mark);
        self.type_in(line.as_bytes()).await?;
        self.answered().await
    }

    /// Gives the shell `bytes` as its variable `name`, in base64.
    async fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<(), ConsoleError> {
        let text = BASE64.encode(bytes);
        let mut rest = text.as_str();
        self.ask(&format!("{name}=; echo {}:b:", self.mark)).await?;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(TYPED));
            self.ask(&format!("{name}=${{{name}}}{piece}; echo {}:b:", self.mark)).await?;
            rest = after;
        }
        Ok(())
    }

    /// Types a line that ends in printing the mark, and waits for that: the guest takes no more at once than it can hold.
    async fn ask(&mut self, line: &str) -> Result<(), ConsoleError> {
        self.type_in(format!("{line}\n").as_bytes()).await?;
        self.answered().await
    }

    async fn answered(&mut self) -> Result<(), ConsoleError> {
        let answer = format!("{}:b:", self.mark);
        // An echo of what was typed has more on its line.
        while last_of(&self.line().await?) != answer {}
        Ok(())
    }

    /// Runs what was kept. Each line of either output comes with our mark before it, in base64.
    async fn go(&mut self) -> Result<(), ConsoleError> {
        let mark = &self.mark;
        // What interrupts the command leaves those alone that hold the end of its outputs.
        let line = format!(
            "exec 4>&1; m() {{ trap '' INT; base64 | sed \"s/^/{mark}:$1:/\" >&4; }}; \
             s=$({{ {{ {{ printf %s \"$i\" | base64 -d | {{ sh -c \"$(printf %s \"$c\" | base64 -d)\" 2>&3; echo $? >&5; }} \
             | m o; }} 3>&1 >&4 | m e; }} 5>&1; }}); echo \"{mark}:s:$s:\"\n"
        );
        self.type_in(line.as_bytes()).await
    }

    /// Takes the outputs until the command has ended.
    async fn follow(
        &mut self,
        streams: &mut Streams,
        during: impl Fn(ConsoleError) -> RunError,
    ) -> Result<Status, RunError> {
        loop {
            let line = self.line().await.map_err(&during)?;
            let Some((kind, text)) = self.ours(&line) else { continue };
            let garbled = || during(ConsoleError::Garbled { line: line.trim().to_owned() });
            let bytes = || BASE64.decode(text.trim()).map_err(|_| garbled());
            match kind {
                "o" => streams.stdout.write(&bytes()?).await.map_err(RunError::Local)?,
                "e" => streams.stderr.write(&bytes()?).await.map_err(RunError::Local)?,
                "s" => {
                    let code = text.trim().trim_end_matches(':').parse();
                    return code.map(Status::Code).map_err(|_| garbled());
                }
                _ => {}
            }
        }
    }

    /// What kind of line of ours it is, and what it says.
    fn ours<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (_, ours) = line.split_once(&format!("{}:", self.mark))?;
        Some(ours.split_once(':').unwrap_or((ours, "")))
    }

    /// Takes what came of the outputs since the deadline; what cannot be read of it was cut off there.
    async fn take_late(&mut self, streams: &mut Streams) -> io::Result<()> {
        let late = self.late.take().unwrap_or_default();
        for line in String::from_utf8_lossy(&late).lines() {
            let Some((kind, text)) = self.ours(line) else { continue };
            let Ok(bytes) = BASE64.decode(text.trim()) else { continue };
            match kind {
                "o" => streams.stdout.write(&bytes).await?,
                "e" => streams.stderr.write(&bytes).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends what runs under our mark; false when something is left.
    async fn kill(&mut self, login: &Login, limit: Duration) -> Result<bool, ConsoleError> {
        let kill = format!(" {} && echo \"{}\"killed\r", kill_script(&self.mark), self.mark);
        self.enter(login, Deadline::within(limit)).await?;
        self.type_in(kill.as_bytes()).await?;
        let answer = format!("{}killed", self.mark);
        while last_of(&self.line().await?) != answer {}
        // What held its outputs says the rest of them now.
        let _ = self.hear(QUIET, Deadline::within(QUIET * 2)).await;
        Ok(true)
    }

    async fn type_in(&mut self, bytes: &[u8]) -> Result<(), ConsoleError> {
        self.stream.write_all(bytes).await.map_err(ConsoleError::Broken)
    }

    /// All that was said and not taken yet, once it is `quiet` for so long, or at the deadline.
    async fn hear(&mut self, quiet: Duration, deadline: Deadline) -> Result<String, ConsoleError> {
        while let Ok(more) = tokio::time::timeout(quiet.min(deadline.left()), self.read()).await {
            more?;
        }
        Ok(String::from_utf8_lossy(&self.seen).into_owned())
    }

    /// The next line.
    async fn line(&mut self) -> Result<String, ConsoleError> {
        loop {
            if let Some(end) = self.seen.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.seen.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), ConsoleError> {
        let before = self.seen.len();
        match self.stream.read_buf(&mut self.seen).await {
            Ok(0) => Err(ConsoleError::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {
                let new = self.seen.get(before..).unwrap_or_default();
                self.late.iter_mut().for_each(|late| late.extend_from_slice(new));
                Ok(())
            }
            Err(error) => Err(ConsoleError::Broken(error)),
        }
    }
}

/// A line without what a shell that edits lines does to its terminal before a command prints.
fn last_of(line: &str) -> &str {
    line.trim().rsplit('\r').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_does_to_its_terminal_is_no_answer() {
        for (line, last) in [
            ("x:b:\r\n", "x:b:"),
            ("\u{1b}[?2004l\rx:b:\r\n", "x:b:"),
            ("c=; echo x:b:\r\n", "c=; echo x:b:"),
        ] {
            assert_eq!(last_of(line), last);
        }
    }
}
