//! What was seen, what of it was to be, and what is said of the rest. Pure.

use std::collections::BTreeSet;

use crate::{base::id::MachineName, event::Trouble};

/// Sightings told of one step; more are counted.
const TOLD: usize = 10;

/// A machine that was seen in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The machine.
    pub machine: MachineName,
    /// What kind of trouble.
    pub trouble: Trouble,
    /// What the machine said.
    pub text: String,
    /// Whether it was to be.
    pub expected: bool,
}

/// Which trouble of a machine nobody is blamed for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// For as long as the environment is there.
    pub allowed: BTreeSet<Trouble>,
    /// Until the running step ends.
    pub expected: BTreeSet<Trouble>,
}

impl Tolerance {
    /// Whether nobody is blamed for it.
    #[must_use]
    pub fn covers(&self, trouble: Trouble) -> bool {
        self.allowed.contains(&trouble) || self.expected.contains(&trouble)
    }
}

/// What is said of a step in which that was seen; nothing, when all of it was to be.
#[must_use]
pub fn blame(seen: &[Sighting]) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    for Sighting { machine, trouble, text, .. } in seen.iter().filter(|sighting| !sighting.expected) {
        let line = format!("health: {machine}: {trouble}: {text}");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if more > 0 {
        lines.push(format!("health: and {more} more"));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(text: &str, expected: bool) -> Sighting {
        let (machine, trouble) = ("web".parse().unwrap(), Trouble::FailedUnit);
        Sighting { machine, trouble, text: text.to_owned(), expected }
    }

    #[test]
    fn what_was_to_be_is_nobodys_fault() {
        assert_eq!(blame(&[]), None);
        assert_eq!(blame(&[sighting("a", true)]), None);
        let said = blame(&[sighting("a", true), sighting("b", false), sighting("b", false)]);
        assert_eq!(said.as_deref(), Some("health: web: failed unit: b"));
        let many: Vec<Sighting> = (0..13).map(|i| sighting(&i.to_string(), false)).collect();
        let said = blame(&many).unwrap();
        assert!(said.ends_with("failed unit: 9\nhealth: and 3 more"), "{said}");
    }

    #[test]
    fn tolerance_is_of_one_kind() {
        let mut tolerance = Tolerance::default();
        tolerance.expected.insert(Trouble::Panic);
        tolerance.allowed.insert(Trouble::OutOfMemory);
        assert!(tolerance.covers(Trouble::Panic) && tolerance.covers(Trouble::OutOfMemory));
        assert!(!tolerance.covers(Trouble::Oops));
    }
}
