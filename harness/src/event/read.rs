//! Reading what a run wrote, also one that was killed, or written by another version. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::{RunEvent, Stamped, VERSION};

/// What a file of events has in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    /// The events, in the order they happened.
    pub events: Vec<Stamped>,
    /// Whether the last line is cut short: whoever wrote it was killed amid.
    pub torn: bool,
    /// Events of kinds that are not known here: a later version wrote them.
    pub unknown: usize,
}

/// A file that cannot be understood as events.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not one event.
    #[error("it has no event in it")]
    Empty,
    /// Another file, or one of which the beginning is lost.
    #[error("line 1 is no `run_started`, with which the events of a run begin")]
    Headless,
    /// It says something else with the same words.
    #[error(
        "it is in version {found} of the vocabulary, and this program knows versions up to {VERSION}: read it with a later one"
    )]
    Newer {
        /// The version.
        found: u64,
    },
    /// Not as it was written.
    #[error("line {line} is no event")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the events of a run. Kinds and fields that are not known are passed over, and so is a last line that was cut short.
///
/// # Errors
/// It is not what a run writes, or in a later version of the vocabulary.
pub fn read(bytes: &[u8]) -> Result<Recording, ReadError> {
    // What a killed process left may end amid a character.
    let text = String::from_utf8_lossy(bytes);
    let mut recording = Recording::default();
    let lines = text.split_inclusive('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut is_first = true;
    for (number, line) in lines {
        let failed = |source| ReadError::Line { line: number + 1, source };
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(_) if !line.ends_with('\n') => {
                recording.torn = true;
                break;
            }
            Err(source) => return Err(failed(source)),
        };
        if std::mem::take(&mut is_first) {
            check_head(&value)?;
        }
        let kind = value.pointer("/event/kind").and_then(Value::as_str);
        let is_known = kind.is_none_or(|kind| RunEvent::KINDS.contains(&kind));
        if is_known {
            recording.events.push(Stamped::deserialize(value).map_err(failed)?);
        } else {
            recording.unknown += 1;
        }
    }
    if recording.events.is_empty() { Err(ReadError::Empty) } else { Ok(recording) }
}

/// Whether that is how events begin that can be understood.
fn check_head(value: &Value) -> Result<(), ReadError> {
    let event = &value["event"];
    if event["kind"] != "run_started" {
        return Err(ReadError::Headless);
    }
    match event["version"].as_u64() {
        Some(found) if found > u64::from(VERSION) => Err(ReadError::Newer { found }),
        _ => Ok(()),
    }
}
