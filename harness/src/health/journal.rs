//! systemd's journal, followed: the command, and what its lines mean.
//!
//! Lines of ours stand among those of the guest: whoever reads one knows that everything before it has come. They take the
//! way of the kernel's log, which a shell can write to without starting anything.
//!
//! systemd-journald tells its readers of what it has written a quarter to half a second later. They look at once when any
//! file is written to beside its own, which is what a nudge does.

use std::time::Duration;

use serde_json::Value;

use crate::event::Trouble;

/// By which lines of ours are known.
const OURS: &str = "polder-health";

/// systemd's own numbers for what it says of units, and its core collector's.
const UNIT_FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
const CORE_DUMPED: &str = "fc2e22bc6ee647b6b90729ab34a250b1";
/// Of a process of a unit that ended, and how that is said when it left a core.
const PROCESS_ENDED: &str = "98e322203f7a4ed290d09fe03c09fe15";
const DUMPED: &str = "dumped";

/// Every line of its input becomes one of ours, and an empty one a nudge. Where the kernel's log may not be written, it is
/// said directly. It ends with its input, because there is nobody then who wants to know, and with what follows the journal.
const SCRIPT: &str = r#"exec 3<&0
journalctl "$@" 3<&- & follower=$!
{
    while read -r mark; do
        if [ -z "$mark" ]; then
            { true >/run/log/journal/polder-health; } 2>/dev/null
            continue
        fi
        { echo "<14>polder-health: $mark" >/dev/kmsg; } 2>/dev/null ||
            echo "{\"SYSLOG_IDENTIFIER\":\"polder-health\",\"MESSAGE\":\"$mark\"}"
    done
    kill $follower
} <&3 & reader=$!
wait $follower
status=$?
kill $reader 2>/dev/null
exit $status"#;

/// With which status the script ends where there is no journal.
pub const ABSENT: i32 = 127;

/// What a line of a journal means to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It is the one of that number that was asked for.
    Mark(u64),
    /// Something went wrong: what, in the guest's words.
    Trouble(Trouble, String),
}

/// A line of a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// What it means to us.
    pub said: Option<Said>,
    /// Where it stands.
    pub cursor: Option<String>,
    /// When it came, by the guest's clock that only goes forward.
    pub at: Option<Duration>,
}

/// Which of a journal's lines are news: happened since we watch.
#[derive(Debug)]
pub struct News {
    /// What came before the first mark, and when.
    early: Option<Vec<(Duration, Said)>>,
    watched: Duration,
    /// Our first mark.
    first: u64,
}

impl News {
    /// Of one that goes on where it was lost: all of it. Marks from `first` on are ours.
    #[must_use]
    pub fn all(first: u64) -> Self {
        Self { early: None, watched: Duration::ZERO, first }
    }

    /// Of one that is told from the guest's start: what comes from our first mark on, and what came before it for as long as
    /// we had `watched` when that was asked for. What happened at the very begin, for as long as it then took to be written,
    /// is not among it: rather than to blame somebody for what was before.
    #[must_use]
    pub fn since(watched: Duration, first: u64) -> Self {
        Self { early: Some(Vec::new()), watched, first }
    }

    /// What is known with that line.
    pub fn of(&mut self, line: Line) -> Vec<Said> {
        let Some(said) = line.said else { return Vec::new() };
        match (&mut self.early, said) {
            (_, Said::Mark(mark)) if mark < self.first => Vec::new(),
            (None, said) => vec![said],
            (Some(early), mark @ Said::Mark(_)) => {
                let begun = line.at.map(|at| at.saturating_sub(self.watched));
                let early = std::mem::take(early).into_iter();
                self.early = None;
                let news =
                    early.filter(|(at, _)| begun.is_some_and(|begun| *at >= begun)).map(|(_, said)| said);
                news.chain([mark]).collect()
            }
            (Some(early), said) => {
                early.extend(line.at.map(|at| (at, said)));
                Vec::new()
            }
        }
    }
}

/// The script for the guest's shell that follows the journal, and its arguments: from behind `cursor` on, or else from the
/// guest's start.
#[must_use]
pub fn follow(cursor: Option<&str>) -> (&'static str, Vec<String>) {
    let ids = [UNIT_FAILED, CORE_DUMPED, PROCESS_ENDED].map(|id| format!("MESSAGE_ID={id}"));
    let from = cursor.map_or_else(|| "--boot".to_owned(), |cursor| format!("--after-cursor={cursor}"));
    let fields = "--output-fields=MESSAGE,MESSAGE_ID,SYSLOG_IDENTIFIER,EXIT_CODE,_TRANSPORT";
    let how = ["--follow", "--no-tail", "--quiet", "--output=json", fields].map(str::to_owned);
    let ours = format!("SYSLOG_IDENTIFIER={OURS}");
    let or = ["+", &ours, "+", "_TRANSPORT=kernel"].map(str::to_owned);
    (SCRIPT, how.into_iter().chain([from]).chain(ids).chain(or).collect())
}

/// Reads a line of the journal.
#[must_use]
pub fn read(line: &str) -> Line {
    let Ok(entry) = serde_json::from_str::<Value>(line) else { return Line::default() };
    let field = |name: &str| entry.get(name).map(text).unwrap_or_default();
    let message = field("MESSAGE");
    let said = match field("MESSAGE_ID").as_str() {
        UNIT_FAILED => Some(Said::Trouble(Trouble::FailedUnit, message)),
        CORE_DUMPED => Some(Said::Trouble(Trouble::CoreDump, first_line(&message))),
        PROCESS_ENDED if field("EXIT_CODE") == DUMPED => Some(Said::Trouble(Trouble::CoreDump, message)),
        _ if field("SYSLOG_IDENTIFIER") == OURS => message.trim().parse().ok().map(Said::Mark),
        // Of processes that crash, the kernel does not tell the console; all else is heard there.
        _ if field("_TRANSPORT") == "kernel" => Trouble::of_kernel(&message)
            .filter(|trouble| *trouble == Trouble::CoreDump)
            .map(|trouble| Said::Trouble(trouble, message)),
        _ => None,
    };
    let at = field("__MONOTONIC_TIMESTAMP").parse().ok().map(Duration::from_micros);
    Line { said, cursor: entry.get("__CURSOR").map(text), at }
}

/// A field: text, or bytes where it is none.
fn text(field: &Value) -> String {
    match field {
        Value::Array(bytes) => {
            let bytes = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
            String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(trouble: Trouble, text: &str) -> Option<Said> {
        Some(Said::Trouble(trouble, text.to_owned()))
    }

    #[rstest::rstest]
    #[case("", None)]
    #[case("-- Boot 5f --", None)]
    #[case("[]", None)]
    #[case(r#"{"MESSAGE":null,"MESSAGE_ID":7}"#, None)]
    #[case(r#"{"MESSAGE":"hello"}"#, None)]
    #[case(r#"{"SYSLOG_IDENTIFIER":"polder-health","MESSAGE":"12"}"#, Some(Said::Mark(12)))]
    #[case(r#"{"SYSLOG_IDENTIFIER":"polder-health","MESSAGE":"x"}"#, None)]
    #[case(r#"{"MESSAGE_ID":"d9b373ed55a64feb8242e02dbe79a49c","MESSAGE":"a.service: Failed with result 'exit-code'."}"#,
        trouble(Trouble::FailedUnit, "a.service: Failed with result 'exit-code'."))]
    #[case(
        r#"{"MESSAGE_ID":"fc2e22bc6ee647b6b90729ab34a250b1","MESSAGE":[80,255,10,83]}"#,
        trouble(Trouble::CoreDump, "P\u{fffd}")
    )]
    #[case(
        r#"{"MESSAGE_ID":"98e322203f7a4ed290d09fe03c09fe15","MESSAGE":"m","EXIT_CODE":"dumped"}"#,
        trouble(Trouble::CoreDump, "m")
    )]
    #[case(
        r#"{"_TRANSPORT":"kernel","MESSAGE":"web[7]: segfault at 0 ip 55 sp 7f error 4 in web[55+1]"}"#,
        trouble(Trouble::CoreDump, "web[7]: segfault at 0 ip 55 sp 7f error 4 in web[55+1]")
    )]
    #[case(r#"{"_TRANSPORT":"stdout","MESSAGE":"web[7]: segfault at 0 ip 55 sp 7f"}"#, None)]
    #[case(r#"{"_TRANSPORT":"kernel","MESSAGE":"Oops: 0002 [#1] SMP"}"#, None)]
    #[case(r#"{"MESSAGE_ID":"98e322203f7a4ed290d09fe03c09fe15","MESSAGE":"m","EXIT_CODE":"exited"}"#, None)]
    fn lines_mean_something(#[case] line: &str, #[case] expected: Option<Said>) {
        assert_eq!(read(line).said, expected);
    }

    /// Runs the script with this `journalctl`, for as long as somebody types.
    fn run(journalctl: &str, input: &str) -> (String, Option<i32>) {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("journalctl");
        std::fs::write(&program, format!("#!/bin/sh\n{journalctl}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        // Not the kernel's log of this host.
        let script = SCRIPT.replace("/dev/kmsg", "/nowhere/kmsg");
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
        let mut child = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("PATH", path)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take();
        stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        // Who types nothing has not hung up.
        stdin.take_if(|_| !input.is_empty());
        let out = child.wait_with_output().unwrap();
        (String::from_utf8(out.stdout).unwrap(), out.status.code())
    }

    #[test]
    fn the_script_ends_with_its_input_and_with_the_follower() {
        assert_eq!(run("echo line", ""), ("line\n".to_owned(), Some(0)));
        assert_eq!(run("exec /nowhere/journalctl", "").1, Some(ABSENT));
        let (said, _) = run("exec sleep 1000", "\n7\n");
        assert_eq!(read(said.trim()).said, Some(Said::Mark(7)));
    }

    #[test]
    fn it_goes_on_behind_the_cursor() {
        let Line { cursor, .. } = read(r#"{"__CURSOR":"s=1;i=2","MESSAGE":"m"}"#);
        assert!(follow(cursor.as_deref()).1.contains(&"--after-cursor=s=1;i=2".to_owned()));
        assert!(follow(None).1.contains(&"--boot".to_owned()));
    }

    #[test]
    fn what_came_before_the_first_mark_is_news_if_we_watched_by_then() {
        let failed = |at: u64, unit: &str| {
            let id = UNIT_FAILED;
            read(&format!(r#"{{"MESSAGE_ID":"{id}","MESSAGE":"{unit}","__MONOTONIC_TIMESTAMP":"{at}"}}"#))
        };
        let mark = |number: u64, at: &str| {
            read(&format!(r#"{{"SYSLOG_IDENTIFIER":"polder-health","MESSAGE":"{number}"{at}}}"#))
        };
        let heard = |mut news: News, ours: Line| {
            // One of somebody else's comes first.
            let others = mark(6, r#","__MONOTONIC_TIMESTAMP":"500000""#);
            let lines =
                [others, failed(1_000_000, "early"), failed(8_000_000, "late"), Line::default(), ours];
            let lines = lines.into_iter().chain([failed(9_500_000, "then")]);
            let said = lines.flat_map(|line| news.of(line)).map(|said| match said {
                Said::Mark(mark) => mark.to_string(),
                Said::Trouble(_, text) => text,
            });
            said.collect::<Vec<_>>().join(" ")
        };
        let stamped = || mark(7, r#","__MONOTONIC_TIMESTAMP":"9000000""#);
        let since = |seconds: u64| News::since(Duration::from_secs(seconds), 7);
        assert_eq!(heard(since(0), stamped()), "7 then");
        assert_eq!(heard(since(2), stamped()), "late 7 then");
        assert_eq!(heard(since(20), stamped()), "early late 7 then");
        assert_eq!(heard(since(20), mark(7, "")), "7 then");
        assert_eq!(heard(News::all(7), stamped()), "early late 7 then");
    }
}
