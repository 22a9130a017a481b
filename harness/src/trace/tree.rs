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
        self.push(Entry { parent, at, text: shorten(text), took: Took::Open })
    }

    /// Ends a span.
    pub(crate) fn close(&mut self, id: u64, at: Duration) {
        let index = id.checked_sub(self.dropped).and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.took = Took::Closed(at.saturating_sub(entry.at));
        }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, parent: Option<u64>, at: Duration, text: String) {
        self.push(Entry { parent, at, text: shorten(text), took: Took::Line });
    }

    /// The tree as text, indented; empty when nothing was recorded.
    pub(crate) fn render(&self) -> String {
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
            entry.write(&mut text, depth);
            below(&mut todo, Some(id), depth + 1);
        }
        text
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
    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let took = match &self.took {
            Took::Line => String::new(),
            Took::Open => " (not ended)".to_owned(),
            Took::Closed(took) => format!(" ({:.3} s)", took.as_secs_f64()),
        };
        let mut lines = self.text.lines();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(out, "{:9.3} {indent}{first}{took}", self.at.as_secs_f64());
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
        tree.line(Some(web), ms(2), "out: one\ntwo".into());
        tree.line(Some(db), ms(3), "out: three".into());
        tree.close(web, ms(1_204));
        tree.line(None, ms(1_300), "done".into());
        insta::assert_snapshot!(tree.render(), @r"
            0.000 exec vm=web (1.204 s)
            0.002   out: one
                    two
            0.001 exec vm=db (not ended)
            0.003   out: three
            1.300 done
        ");
    }

    #[test]
    fn stays_bounded_and_keeps_the_newest() {
        let mut tree = Tree::default();
        let first = tree.open(None, ms(0), "first".into());
        for n in 0..CAPACITY as u64 {
            tree.line(Some(first), ms(n), format!("line {n}"));
        }
        tree.close(first, ms(9));
        tree.line(None, ms(0), "é".repeat(TEXT + 1));
        let text = tree.render();
        assert!(text.starts_with("(2 older entries were dropped)\n    0.001 line 1\n"), "{}", &text[..80]);
        assert!(text.ends_with("é ...\n") && text.lines().count() == CAPACITY + 1);
    }
}
