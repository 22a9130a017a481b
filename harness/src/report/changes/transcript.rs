//! A run's transcript, taken apart: what was said in each phase. Pure.
//!
//! A part begins with a line that names its phase; lines that were sent, expected or heard begin with signs of their own. Parts
//! stand in the order in which phases ended. Of a process that was killed there may be one whose end is in no journal.

use crate::change::{Key, model::Phase};

/// What a part begins with.
const BEGIN: &str = "--- ";

/// A transcript that is read from its beginning to its end.
pub(super) struct Transcript<'t> {
    parts: Vec<Part<'t>>,
    next: usize,
}

struct Part<'t> {
    at: &'t str,
    head: &'t str,
    said: &'t str,
}

impl<'t> Transcript<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
        starts.retain(|&at| at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n'));
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let parts = starts.iter().zip(ends).filter_map(|(&start, end)| {
            let part = text.get(start + BEGIN.len()..end)?;
            let (head, said) = part.split_once('\n').unwrap_or((part, ""));
            let (at, head) = head.split_once(' ')?;
            at.ends_with('Z').then_some(Part { at, head, said })
        });
        Self { parts: parts.collect(), next: 0 }
    }

    /// What was said in the phase that ends next, and began at `since`. One that nothing is known of said nothing.
    pub(super) fn of(&mut self, key: &Key, phase: Phase, since: &str) -> &'t str {
        let head = format!("{key}: {phase}: ");
        let is_it = |part: &Part<'_>| part.at >= since && part.head.starts_with(&head);
        let found = self.parts.iter().enumerate().skip(self.next).find(|(_, part)| is_it(part));
        let Some((at, part)) = found else { return "" };
        self.next = at + 1;
        part.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_order_and_those_of_killed_processes_left_out() {
        let text = "--- 2026-11-21T05:00:00Z mtu on sw1: apply: ok\n> set\n< --- 2026-11-21T05:00:00Z mtu on sw2: apply: ok\n\
                    --- 2026-11-21T05:00:09Z mtu on sw1: apply: failed: `a\nb`: exit status 1\n> again\n\
                    --- 2026-11-21T05:00:09Z mtu on sw2: apply: ok\n";
        let key = |device: &str| Key { step: "mtu".into(), device: device.into(), row: None, attempt: 1 };
        let mut transcript = Transcript::new(text);
        // The first one is of a process that was killed before it could write that it was over.
        let said = transcript.of(&key("sw1"), Phase::Apply, "2026-11-21T05:00:05Z");
        assert_eq!(said, "b`: exit status 1\n> again\n");
        assert_eq!(transcript.of(&key("sw3"), Phase::Apply, ""), "");
        assert_eq!(transcript.of(&key("sw2"), Phase::Apply, ""), "");
        let mut transcript = Transcript::new(text);
        let said = transcript.of(&key("sw1"), Phase::Apply, "2026-11-21T05:00:00Z");
        assert!(said.starts_with("> set\n< --- "), "{said}");
        assert_eq!(Transcript::new("").of(&key("sw1"), Phase::Apply, ""), "");
    }
}
