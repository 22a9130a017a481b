//! A tree of spans and lines as it grows, and as text. Pure; bounded: the oldest entries go first.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    time::Duration,
};

/// Entries kept; what happened last explains a failure best.
const CAPACITY: usize = 5_000;
/// Characters kept of one text.
const TEXT: usize = 2_000;

/// Spans and lines of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    entries: VecDeque<Entry>,
    /// Number of entries that had to go; the first one kept has this id.
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    parent: Option<u64>,
    at: Duration,
    text: String,
    /// How long a span took, once it has ended; nothing for a line.
    took: Took,
    /// The weightiest line in it, or its own.
    weight: Weight,
}

/// How much a line matters to who reads of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// What an operation says of itself; nobody needs it of one that went well.
    Detail,
    /// What the author wrote, and what was done on purpose.
    Said,
    /// Something went wrong.
    Wrong,
}

#[derive(Debug)]
enum Took {
    Line,
    Open,
    Closed(Duration),
}

impl Tree {
    /// Adds a span that began `at` after the scenario; returns its id.
    pub(crate) fn open(&mut self, parent: Option<u64>, at: Duration, text: String) -> u64 {
        self.push(Entry { parent, at, text: shorten(text), took: Took::Open, weight: Weight::Detail })
    }

    /// Ends a span.
    pub(crate) fn close(&mut self, id: u64, at: Duration) {
        if let Some(entry) = self.entry(id) {
            entry.took = Took::Closed(at.saturating_sub(entry.at));
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, parent: Option<u64>, at: Duration, text: String, weight: Weight) {
        self.push(Entry { parent, at, text: shorten(text), took: Took::Line, weight });
        // Whatever it is in has something that weighs as much.
        let mut around = parent;
        while let Some(entry) = around.and_then(|id| self.entry(id)) {
            entry.weight = entry.weight.max(weight);
            around = entry.parent;
        }
    }

    /// The tree as text, indented, operations marked with `@`; empty when nothing was recorded.
    pub(crate) fn render(&self) -> String {
        self.text(|_, _| true)
    }

    /// The same, of operations that went well and in which the author said nothing their heads alone; the last one is whole
    /// when nothing else tells where it failed: what came of it was not as it should be.
    pub(crate) fn render_folded(&self) -> String {
        let is_telling = |entry: &Entry| entry.weight == Weight::Wrong || matches!(entry.took, Took::Open);
        let outer = |(_, entry): &(u64, &Entry)| entry.parent.is_none() && !matches!(entry.took, Took::Line);
        let last = (self.dropped..).zip(&self.entries).filter(outer).last().map(|(id, _)| id);
        let last = last.filter(|_| !self.entries.iter().any(is_telling));
        self.text(|id, entry| entry.weight > Weight::Detail || is_telling(entry) || Some(id) == last)
    }

    fn text(&self, is_shown: impl Fn(u64, &Entry) -> bool) -> String {
        let mut children: BTreeMap<Option<u64>, Vec<u64>> = BTreeMap::new();
        for (id, entry) in (self.dropped..).zip(&self.entries) {
            // A child of what had to go stands at the top.
            let parent = entry.parent.filter(|parent| *parent >= self.dropped);
            children.entry(parent).or_default().push(id);
        }
        let mut text = String::new();
        if self.dropped > 0 {
            let _ = writeln!(text, "({} older entries were dropped)", self.dropped);
        }
        let mut todo: Vec<(u64, usize)> = Vec::new();
        let below = |todo: &mut Vec<(u64, usize)>, parent: Option<u64>, depth: usize| {
            todo.extend(children.get(&parent).into_iter().flatten().rev().map(|id| (*id, depth)));
        };
        below(&mut todo, None, 0);
        while let Some((id, depth)) = todo.pop() {
            let index = usize::try_from(id - self.dropped).unwrap_or(usize::MAX);
            let Some(entry) = self.entries.get(index) else {
                continue;
            };
            if is_shown(id, entry) {
                entry.write(&mut text, depth, 0);
                below(&mut todo, Some(id), depth + 1);
            } else {
                entry.write(&mut text, depth, self.within(id, &children));
            }
        }
        text
    }

    /// How many lines are in an entry.
    fn within(&self, id: u64, children: &BTreeMap<Option<u64>, Vec<u64>>) -> usize {
        let (mut todo, mut lines) = (vec![id], 0);
        while let Some(id) = todo.pop() {
            let children = children.get(&Some(id)).into_iter().flatten();
            todo.extend(children.clone());
            lines += children.count();
        }
        lines
    }

    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        let index = usize::try_from(id.checked_sub(self.dropped)?).ok()?;
        self.entries.get_mut(index)
    }

    fn push(&mut self, entry: Entry) -> u64 {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
        self.dropped + self.entries.len() as u64 - 1
    }
}

impl Entry {
    fn write(&self, out: &mut String, depth: usize, hidden: usize) {
        let indent = "  ".repeat(depth);
        let hidden = match hidden {
            0 => String::new(),
            1 => ", 1 line".to_owned(),
            lines => format!(", {lines} lines"),
        };
        let wrong = if self.weight == Weight::Wrong { ": FAILED" } else { "" };
        let (mark, took) = match &self.took {
            Took::Line => ("", String::new()),
            Took::Open => ("@ ", format!("{wrong} (not ended)")),
            Took::Closed(took) => ("@ ", format!("{wrong} ({:.3} s{hidden})", took.as_secs_f64())),
        };
        let mut lines = self.text.lines();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(out, "{:9.3} {indent}{mark}{first}{took}", self.at.as_secs_f64());
        for line in lines {
            let _ = writeln!(out, "{:9} {indent}{line}", "");
        }
    }
}

fn shorten(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(TEXT) {
        text.truncate(cut);
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn children_stand_below_their_span_however_they_came() {
        let mut tree = Tree::default();
        let web = tree.open(None, ms(0), "exec vm=web".into());
        let db = tree.open(None, ms(1), "exec vm=db".into());
        tree.line(Some(web), ms(2), "out: one\ntwo".into(), Weight::Detail);
        tree.line(Some(db), ms(3), "out: three".into(), Weight::Detail);
        tree.close(web, ms(1_204));
        tree.line(None, ms(1_300), "done".into(), Weight::Detail);
        insta::assert_snapshot!(tree.render(), @r"
            0.000 @ exec vm=web (1.204 s)
            0.002   out: one
                    two
            0.001 @ exec vm=db (not ended)
            0.003   out: three
            1.300 done
        ");
    }

    #[test]
    fn what_went_well_is_folded_and_the_way_to_what_did_not_is_shown() {
        let mut tree = Tree::default();
        let detail = |tree: &mut Tree, parent, at| tree.line(parent, ms(at), "out".into(), Weight::Detail);
        let good = tree.open(None, ms(0), "succeed a".into());
        let deep = tree.open(Some(good), ms(1), "exec a".into());
        detail(&mut tree, Some(deep), 2);
        tree.close(deep, ms(3));
        detail(&mut tree, Some(good), 4);
        tree.close(good, ms(5));
        let idle = tree.open(None, ms(6), "exec b".into());
        tree.close(idle, ms(7));
        let said = tree.open(None, ms(8), "my own".into());
        tree.line(Some(said), ms(9), "by the author".into(), Weight::Said);
        tree.close(said, ms(10));
        let bad = tree.open(None, ms(11), "reboot".into());
        let fine = tree.open(Some(bad), ms(12), "exec c".into());
        detail(&mut tree, Some(fine), 13);
        tree.close(fine, ms(14));
        let wait = tree.open(Some(bad), ms(15), "wait_for_ssh".into());
        tree.line(Some(wait), ms(16), "no route".into(), Weight::Wrong);
        tree.close(wait, ms(17));
        tree.close(bad, ms(18));
        let open = tree.open(None, ms(19), "exec d".into());
        detail(&mut tree, Some(open), 20);
        detail(&mut tree, None, 21);
        insta::assert_snapshot!(tree.render_folded(), @r"
            0.000 @ succeed a (0.005 s, 3 lines)
            0.006 @ exec b (0.001 s)
            0.008 @ my own (0.002 s)
            0.009   by the author
            0.011 @ reboot: FAILED (0.007 s)
            0.012   @ exec c (0.002 s, 1 line)
            0.015   @ wait_for_ssh: FAILED (0.002 s)
            0.016     no route
            0.019 @ exec d (not ended)
            0.020   out
            0.021 out
        ");
        assert_eq!(tree.render().lines().count(), 15);
        assert!(
            tree.render().contains("    0.011 @ reboot: FAILED (0.007 s)\n    0.012   @ exec c (0.002 s)\n")
        );
    }

    #[test]
    fn the_last_operation_is_shown_when_none_went_wrong() {
        let mut tree = Tree::default();
        for at in [0, 5] {
            let span = tree.open(None, ms(at), format!("succeed {at}"));
            tree.line(Some(span), ms(at + 1), format!("out {at}"), Weight::Detail);
            tree.close(span, ms(at + 2));
        }
        insta::assert_snapshot!(tree.render_folded(), @r"
            0.000 @ succeed 0 (0.002 s, 1 line)
            0.005 @ succeed 5 (0.002 s)
            0.006   out 5
        ");
    }

    #[test]
    fn stays_bounded_and_keeps_the_newest() {
        let mut tree = Tree::default();
        let first = tree.open(None, ms(0), "first".into());
        for n in 0..CAPACITY as u64 {
            tree.line(Some(first), ms(n), format!("line {n}"), Weight::Wrong);
        }
        tree.close(first, ms(9));
        tree.line(None, ms(0), "é".repeat(TEXT + 1), Weight::Detail);
        let text = tree.render();
        assert!(text.starts_with("(2 older entries were dropped)\n    0.001 line 1\n"), "{}", &text[..80]);
        assert!(text.ends_with("é ...\n") && text.lines().count() == CAPACITY + 1);
    }
}
