//! Alerts: what people read, and the command that is run for each.

use std::{
    io::{Read, Seek, Write},
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    base::{process, text::plain},
    change::Key,
    report::changes::Alerted,
};

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of what it said is told, in bytes.
const SAID: u64 = 4096;
/// How many lines of what the device said last are shown.
const SHOWN: usize = 5;

/// In words: what is left changed, why, and what was heard last.
pub(super) fn told(key: &Key, alert: &Alerted) -> String {
    let (what, why) = (plain(&key.to_string()), plain(&alert.why));
    let mut text = format!("{what} is left changed, a person is needed: {why}");
    if let Some(phase) = alert.phase {
        text += &format!("; the last failure was in {phase}");
    }
    let lines: Vec<&str> = alert.tail.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
        text += &format!("\n  < {}", plain(line));
    }
    text
}

/// Gives an alert to a command, as JSON on its standard input.
pub(super) async fn give(alert: &Alerted, command: &[String]) -> anyhow::Result<()> {
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let mut input = tempfile::tempfile()?;
    input.write_all(&serde_json::to_vec(alert)?)?;
    input.rewind()?;
    let errors = tempfile::tempfile()?;
    let streams = [input.into(), null()?, errors.try_clone()?.into()];
    let argv: Vec<&str> = command.iter().map(String::as_str).collect();
    let status = process::run(&argv, streams, Vec::new(), LIMIT).await?;
    if status == 0 {
        return Ok(());
    }
    let mut said = Vec::new();
    rewound(errors)?.take(SAID).read_to_end(&mut said).context("cannot read what it said")?;
    bail!("it ended with status {status}: {}", plain(&String::from_utf8_lossy(&said).replace('\n', " ")))
}

fn rewound(mut file: std::fs::File) -> std::io::Result<std::fs::File> {
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::model::Phase;

    fn alert() -> Alerted {
        Alerted {
            step: "mtu".to_owned(),
            device: "sw1".to_owned(),
            row: Some(2),
            why: "it could not be undone, rollback failed: no".to_owned(),
            phase: Some(Phase::Rollback),
            tail: "one\n\ntwo\n\u{1b}[1mthree\u{7}\nfour\nfive\nsix\n".to_owned(),
        }
    }

    #[test]
    fn people_read_what_why_and_what_was_heard_last() {
        let key = Key { step: "mtu".to_owned(), device: "sw1".to_owned(), row: Some(1), attempt: 1 };
        let expected = "mtu on sw1 row 2 is left changed, a person is needed: it could not be undone, rollback failed: no; the \
                        last failure was in rollback\n  < two\n  < three\n  < four\n  < five\n  < six";
        assert_eq!(told(&key, &alert()), expected);
    }

    #[tokio::test]
    async fn a_command_gets_it_as_json_and_its_failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alert.json");
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(ToString::to_string).collect() };
        give(&alert(), &words(&["cp", "/dev/stdin", file.to_str().unwrap()])).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            (&json["step"], &json["row"], &json["phase"]),
            (&"mtu".into(), &2.into(), &"rollback".into())
        );
        let error = give(&alert(), &words(&["sh", "-c", "echo no way >&2; exit 4"])).await.unwrap_err();
        assert_eq!(error.to_string(), "it ended with status 4: no way");
        let error = give(&alert(), &words(&["/no/such/program"])).await.unwrap_err();
        assert!(format!("{error:#}").contains("cannot start `/no/such/program`"), "{error:#}");
    }
}
