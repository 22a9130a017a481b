//! Looking from within: a script goes on looking in the guest and prints a line for each look, over one session that is
//! held as long as it is waited. Where no session can be held, or it breaks, the guest is asked anew. What the lines
//! mean is their verbs' business.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::Guest,
    limits,
    output::Output,
    run::{Chunk, Sink, Source},
    spec::Channel,
    waiting::{Seen, is_final, shorten},
};
use crate::base::{dial::BoxFuture, wait::Look};

/// Bytes of a line that are judged; what is longer is cut.
const LINE: usize = 64 * 1024;

/// What is looked at in a guest, as scripts of its shell.
pub(super) struct Sight {
    /// Prints what is there now.
    once: String,
    /// Goes on printing it.
    held: String,
    args: Vec<String>,
    /// Whether the held script is never silent for longer than a second or two.
    ticks: bool,
}

impl Sight {
    /// `look` defines the shell function of that name, which prints one line about its arguments. It is called five times
    /// a second.
    pub(super) fn of(look: &str, args: &[&str]) -> Self {
        let held = format!(
            "{look}\nlook \"$@\" || exit\nwhile sleep 0.2 2>/dev/null || sleep 1; do look \"$@\" || exit; done"
        );
        Self::new(look, held, args)
    }

    /// The same, but called when `bell` prints a line, and once a second.
    pub(super) fn on(bell: &str, look: &str, args: &[&str]) -> Self {
        let held = format!(
            "{look}\n{{ {bell} & while sleep 1; do echo || exit; done; }} 2>/dev/null </dev/null | \
             {{ look \"$@\" || exit; while read -r _; do look \"$@\" || exit; done; }}"
        );
        Self::new(look, held, args)
    }

    /// Lines of a text: all there are, and those that come.
    pub(super) fn lines(all: &str, following: &str, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { once: all.to_owned(), held: following.to_owned(), args, ticks: false }
    }

    fn new(look: &str, held: String, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { once: format!("{look}\nlook \"$@\""), held, args, ticks: true }
    }

    fn command(&self, script: &str) -> Command {
        // Bound to `$1`, `$2`... also when there is none.
        self.args.iter().fold(Command::script(script), |command, arg| command.arg(arg.as_str()))
    }
}

impl Guest {
    /// Waits until `judge` is content with a line of what is looked at.
    pub(super) async fn wait_for_sight<T>(
        &self,
        what: &str,
        sight: &Sight,
        limit: Duration,
        judge: impl Fn(&str) -> Look<T>,
    ) -> Result<T, GuestError> {
        // What cannot be tried at all is not waited for.
        if self.channels("run a command")?.first() != Some(&Channel::Ssh) {
            let once = sight.command(&sight.once).shown_as("look");
            return self.wait_for_output(what, &once, limit, |output| judge_all(output, &judge)).await;
        }
        let held = Mutex::new(None);
        let next = || async {
            let mut held = held.lock().await;
            let open = held.get_or_insert_with(|| Held::open(self, sight.command(&sight.held)));
            let silence = if sight.ticks { self.scaled(limits::LOOK) } else { limits::FOREVER };
            let seen = match tokio::time::timeout(silence, open.next()).await {
                Ok(Ok(line)) => return Seen::of(judge(&line)),
                Ok(Err(seen)) => seen,
                Err(_) => Seen::Away(format!("nothing was heard of it for {:.1} s", silence.as_secs_f64())),
            };
            *held = None;
            if !matches!(seen, Seen::Failed(_)) {
                tokio::time::sleep(limits::PAUSE).await;
            }
            seen
        };
        self.wait_for_news(what, limit, next).await
    }
}

/// The judgement of all lines of an output: the first that ends the wait, else the last.
fn judge_all<T>(output: &Output, judge: impl Fn(&str) -> Look<T>) -> Look<T> {
    let text = output.stdout.text();
    let mut last = Look::NotYet(ended(output));
    for line in text.lines() {
        last = judge(line);
        if !matches!(last, Look::NotYet(_)) {
            break;
        }
    }
    last
}

/// What is to be said of a look that told nothing.
fn ended(output: &Output) -> String {
    match shorten(&output.stderr.text()) {
        said if said.is_empty() => format!("looking ended with {}", output.status),
        said => format!("looking ended with {}, it printed: {said}", output.status),
    }
}

/// A script that goes on looking. It is ended in the guest when this is dropped.
struct Held {
    running: BoxFuture<'static, Result<Ran, GuestError>>,
    chunks: mpsc::Receiver<Chunk>,
    /// What came and was not yet taken.
    text: Vec<u8>,
}

impl Held {
    fn open(guest: &Guest, command: Command) -> Self {
        let (sender, chunks) = mpsc::channel(16);
        let guest = guest.clone();
        let running = Box::pin(async move {
            let stdin = Source::Bytes(Vec::new());
            guest.run_over(Channel::Ssh, &command, stdin, Sink::Chunks(sender), limits::FOREVER).await
        });
        Self { running, chunks, text: Vec::new() }
    }

    /// The next line, or why there is none.
    async fn next<T>(&mut self) -> Result<String, Seen<T>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(line);
            }
            tokio::select! {
                biased;
                chunk = self.chunks.recv() => match chunk {
                    Some(Ok(chunk)) => self.text.extend(chunk),
                    Some(Err(error)) => return Err(Seen::Away(error.to_string())),
                    None => return Err(gone((&mut self.running).await)),
                },
                ran = &mut self.running => {
                    while let Ok(Ok(chunk)) = self.chunks.try_recv() {
                        self.text.extend(chunk);
                    }
                    let gone = gone(ran);
                    // It is over: polling it again would not do.
                    self.running = Box::pin(std::future::pending());
                    let line = self.take_line();
                    return line.ok_or(gone);
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.text.iter().position(|&byte| byte == b'\n');
        let end = end.or((self.text.len() > LINE).then_some(LINE))?;
        let line: Vec<u8> = self.text.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// What it means that a script which was to go on did not.
fn gone<T>(ran: Result<Ran, GuestError>) -> Seen<T> {
    match ran {
        Ok(ran) => Seen::NotYet(ended(&ran.output)),
        Err(error) if is_final(&error) => Seen::Failed(error.brief()),
        Err(error) => Seen::Away(error.brief()),
    }
}
