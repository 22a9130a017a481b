//! What becomes of runs of changes whose process was killed: they are named, with what goes on with them or undoes them. Nobody
//! but a person knows which of the two is wanted. Pure.

use std::{collections::BTreeSet, path::PathBuf};

use super::plan::Fate;
use crate::change::{Key, Outcome, Record, Recorded, model::Phase};

/// How many devices are named.
const NAMED: usize = 8;

/// A run of changes that has not come to an end, as its journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// Whose it is.
    pub owner: String,
    /// On which host.
    pub host: String,
    /// Whether somebody still works on it.
    pub is_busy: bool,
    /// Whether it was to undo all of its file, whatever had been done.
    pub is_undoing: bool,
    /// What it may have left changed, in words.
    pub changed: Vec<String>,
}

impl Run {
    /// One that has not come to an end; `is_busy` if somebody still works on it.
    pub(super) fn unfinished(recorded: &Recorded, is_busy: bool) -> Option<Self> {
        let last = recorded.entries.last().map(|entry| &entry.record);
        if matches!(last, None | Some(Record::Over { .. })) {
            return None;
        }
        Some(Self {
            folder: recorded.folder.clone(),
            owner: recorded.head.owner.to_string(),
            host: recorded.head.owner.host.clone(),
            is_busy,
            is_undoing: recorded.head.backout_only,
            changed: changed(recorded).into_iter().map(|key| key.to_string()).collect(),
        })
    }

    /// What is said of it, seen from the host called `host`.
    pub(super) fn fate(&self, host: &str) -> Fate {
        let Self { owner, changed, .. } = self;
        if self.host != host {
            return Fate::Stays(format!("it is of {owner}, which only that host can judge"));
        }
        if self.is_busy {
            return Fate::Fine;
        }
        let name = self.folder.file_name().unwrap_or_default().display();
        let resume = format!("`polder change resume {name}` goes on");
        if self.is_undoing {
            return Fate::Stays(format!(
                "it was of {owner}, which is gone, and was undoing all of its file; {resume}"
            ));
        }
        if changed.is_empty() {
            return Fate::Stays(format!(
                "it was of {owner}, which is gone; nothing is left changed; {resume}"
            ));
        }
        let mut what: Vec<&str> = changed.iter().take(NAMED).map(String::as_str).collect();
        let more = changed.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        what.extend(more.as_deref());
        Fate::Stays(format!(
            "it was of {owner}, which is gone; it may have left changed: {}; {resume}, `polder change rollback {name}` undoes it",
            what.join(", ")
        ))
    }
}

/// What was applied, or may have been, and is not known to be undone.
fn changed(recorded: &Recorded) -> BTreeSet<Key> {
    let mut changed = BTreeSet::new();
    for entry in &recorded.entries {
        let (Record::Begin { key, phase, .. } | Record::End { key, phase, .. }) = &entry.record else {
            continue;
        };
        // Whichever attempt it was: a device has it or not.
        let key = Key { attempt: 0, ..key.clone() };
        let is_changed = match (&entry.record, phase) {
            (Record::Begin { .. }, Phase::Apply) => true,
            (Record::End { outcome: Outcome::Failed(_), .. }, Phase::VerifyRollback) => true,
            (Record::End { outcome: Outcome::Ok { .. }, .. }, Phase::Rollback) => false,
            // What sent nothing changed nothing.
            (Record::End { outcome: Outcome::Ok { sent: false }, .. }, Phase::Apply) => false,
            (Record::End { outcome: Outcome::Failed(failure), .. }, Phase::Apply) if !failure.sent => false,
            _ => continue,
        };
        if is_changed {
            changed.insert(key);
        } else {
            changed.remove(&key);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::{
        super::plan::{Seen, plan},
        *,
    };
    use crate::change::{Entry, Head};

    const HERE: &str = "here";

    fn recorded(records: &str) -> Recorded {
        let key = |word: &str| Key { step: word.to_owned(), device: "sw1".to_owned(), row: None, attempt: 1 };
        let record = |word: &str| {
            let (what, step) = word.split_once(':').unwrap_or((word, ""));
            let (key, ok) = (key(step), Outcome::Ok { sent: what != "looked" });
            let end = |phase| Record::End { key: key.clone(), phase, outcome: ok.clone(), took: 1 };
            match what {
                "begin" => Record::Begin { key, phase: Phase::Apply, way: 0 },
                "check" => Record::Begin { key, phase: Phase::Precheck, way: 0 },
                "done" | "looked" => end(Phase::Apply),
                "undone" => end(Phase::Rollback),
                "undo" => Record::Undo,
                _ => Record::Over { exit: 0 },
            }
        };
        let entries = records.split_whitespace().map(|word| Entry { at: 1, record: record(word) });
        let mut head = Head::new("d".to_owned()).unwrap();
        (head.owner.pid, head.owner.host) = (7, HERE.to_owned());
        Recorded { folder: "/c/r1".into(), head, entries: entries.collect() }
    }

    #[rstest::rstest]
    #[case("", None)]
    #[case("begin:a done:a over", None)]
    #[case("check:a", Some(""))]
    #[case("begin:a", Some("a on sw1"))]
    #[case("begin:a looked:a check:b", Some(""))]
    #[case("begin:a done:a begin:b done:b", Some("a on sw1, b on sw1"))]
    #[case("begin:a done:a over undo undone:a", Some(""))]
    #[case("begin:a done:a begin:b done:b undo undone:b", Some("a on sw1"))]
    fn a_run_without_an_end_tells_what_it_changed(#[case] records: &str, #[case] expected: Option<&str>) {
        let run = Run::unfinished(&recorded(records), false);
        assert_eq!(run.map(|run| run.changed.join(", ")).as_deref(), expected);
    }

    #[test]
    fn runs_are_named_with_what_undoes_them_and_never_removed() {
        let run = |records: &str, is_busy, host: &str| {
            let run = Run::unfinished(&recorded(records), is_busy).unwrap();
            Run { host: host.to_owned(), ..run }
        };
        let many: String = ('a'..='k').map(|step| format!("begin:{step} ")).collect();
        let runs = vec![
            run("begin:a done:a", false, HERE),
            run("check:a", false, HERE),
            run("begin:a", true, HERE),
            run("begin:a", false, "there"),
            run(&many, false, HERE),
            Run { is_undoing: true, ..run("begin:a", false, HERE) },
        ];
        insta::assert_snapshot!(plan(&Seen { host: HERE.into(), runs, ..Seen::default() }), @r"
        nothing to remove
        keep    run of changes /c/r1: it was of process 7 on here, which is gone; it may have left changed: a on sw1; `polder change resume r1` goes on, `polder change rollback r1` undoes it
        keep    run of changes /c/r1: it was of process 7 on here, which is gone; nothing is left changed; `polder change resume r1` goes on
        keep    run of changes /c/r1: it is of process 7 on here, which only that host can judge
        keep    run of changes /c/r1: it was of process 7 on here, which is gone; it may have left changed: a on sw1, b on sw1, c on sw1, d on sw1, e on sw1, f on sw1, g on sw1, h on sw1, 3 more; `polder change resume r1` goes on, `polder change rollback r1` undoes it
        keep    run of changes /c/r1: it was of process 7 on here, which is gone, and was undoing all of its file; `polder change resume r1` goes on
        ");
    }
}
