//! Waiting for a line of a log: the journal, one unit's part of it, or a file. Lines are followed in the guest and judged
//! here.

use std::{fmt, time::Duration};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::{Guest, timed, verb},
    limits,
    pattern::Pattern,
    wait_held::Sight,
};
use crate::{base::wait::Look, image::Ability};

/// A log of a guest, from some place on: all of it that there is (of the journal, since the machine started), or what
/// came after [`Guest::end_of`] it.
///
/// ```no_run
/// # async fn example(vm: &polder::guest::Guest) -> polder::Result {
/// use polder::{guest::Log, prelude::*};
/// let now = vm.end_of(&Log::file("/var/log/messages")).await?;
/// vm.succeed("logger hello").await?;
/// vm.wait_for_log(&now, "hello", secs(5)).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    kind: Kind,
    /// A cursor of the journal, or a number of bytes; absent: from the start.
    after: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Journal,
    Unit(String),
    File(String),
}

impl Log {
    /// The journal, message by message.
    #[must_use]
    pub fn journal() -> Self {
        Self { kind: Kind::Journal, after: None }
    }

    /// What a systemd unit wrote, and systemd about it.
    #[must_use]
    pub fn unit(name: impl Into<String>) -> Self {
        Self { kind: Kind::Unit(name.into()), after: None }
    }

    /// A file, which may be replaced by a new one meanwhile, or not be there yet.
    #[must_use]
    pub fn file(path: impl Into<String>) -> Self {
        Self { kind: Kind::File(path.into()), after: None }
    }

    /// Whether it is a part of the journal.
    fn is_journal(&self) -> bool {
        !matches!(self.kind, Kind::File(_))
    }

    fn sight(&self) -> Sight {
        let after = self.after.as_deref().unwrap_or_default();
        match &self.kind {
            Kind::File(path) => {
                // One that has become shorter is another one.
                let from =
                    r#"from=${2:-0}; [ "$(wc -c <"$1" || echo 0)" -ge "$from" ] 2>/dev/null || from=0; "#;
                let tail = |follow: &str| format!("{from} exec tail -c \"+$((from+1))\" {follow} \"$1\"");
                Sight::lines(&tail(""), &tail("-F"), &[path, after])
            }
            Kind::Journal | Kind::Unit(_) => {
                let unit = if let Kind::Unit(name) = &self.kind { name.as_str() } else { "" };
                let show = |follow: &str| {
                    format!(
                        "exec journalctl --quiet --output=cat --boot --no-pager {follow} ${{1:+--unit=\"$1\"}} \
                         ${{2:+--after-cursor=\"$2\"}}"
                    )
                };
                Sight::lines(&show(""), &show("--no-tail --follow"), &[unit, after])
            }
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Journal => f.write_str("the journal"),
            Kind::Unit(name) => write!(f, "the journal of `{name}`"),
            Kind::File(path) => write!(f, "`{path}`"),
        }
    }
}

impl Guest {
    /// The log from its present end on: what is written from now.
    ///
    /// # Errors
    /// As [`Guest::execute`] when it cannot be asked; [`GuestError::Unsupported`] without a journal.
    pub async fn end_of(&self, log: &Log) -> Result<Log, GuestError> {
        timed(verb!(self, "end_of", log = log), async {
            let ask = match &log.kind {
                Kind::File(path) => Command::script(r#"if [ -e "$1" ]; then wc -c <"$1"; else echo 0; fi"#).arg(path),
                Kind::Journal | Kind::Unit(_) => {
                    self.require(Ability::Journal, "read the journal")?;
                    Command::script(
                        "journalctl --sync 2>/dev/null; journalctl --quiet --no-pager --lines=1 --output=cat --show-cursor",
                    )
                }
            };
            let Ran { output, .. } = Box::pin(self.run(&ask, self.scaled(limits::COMMAND))).await?;
            let text = output.stdout.text();
            let last = text.lines().last().unwrap_or_default();
            let after = match log.is_journal() {
                true => last.strip_prefix("-- cursor: "),
                false => Some(last),
            };
            Ok(Log { kind: log.kind.clone(), after: after.map(|place| place.trim().to_owned()) })
        })
        .await
    }

    /// Waits until a log has a line that fits; returns the line.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; as [`Guest::execute`] when it cannot look at all;
    /// [`GuestError::Unsupported`] without a journal.
    pub async fn wait_for_log(
        &self,
        log: &Log,
        pattern: impl Into<Pattern>,
        limit: Duration,
    ) -> Result<String, GuestError> {
        let pattern = pattern.into();
        timed(verb!(self, "wait_for_log", log = log, pattern = pattern), async {
            if log.is_journal() {
                self.require(Ability::Journal, "wait for a line of the journal")?;
            }
            let judge = |line: &str| {
                if pattern.is_in(line) { Look::Ready(line.to_owned()) } else { Look::NotYet(line.to_owned()) }
            };
            self.wait_for_sight(&format!("{pattern} in {log}"), &log.sight(), limit, judge).await
        })
        .await
    }
}
