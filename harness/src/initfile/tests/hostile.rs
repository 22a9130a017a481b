//! Files nobody means well with: an answer in the end, never a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

proptest! {
    /// Nonsense gets an answer with at least one problem, never a panic.
    #[test]
    fn any_text_is_answered(text in "[-a-z0-9 :,{}\\[\\]&*!|>'\"%#$\n\t<~é]{0,80}") {
        if let Err(InitFileError::Invalid(problems)) = read(&text) {
            prop_assert!(problems.iter().any(|d| d.severity == Severity::Error));
        }
    }
}

#[test]
fn nested_aliases_and_deep_nesting_end_early() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        laughs += &format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(", "));
    }
    assert!(read(&laughs).unwrap_err().to_string().contains("stand for more than"));
    let deep = "[".repeat(100);
    assert!(read(&deep).unwrap_err().to_string().contains("nest deeper"));
    for hostile in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(read(&hostile).is_err());
    }
}

#[test]
fn variables_and_prototypes_stand_for_so_much_and_no_more() {
    let long = "x".repeat(100_000);
    let uses = "- ${A}${A}${A}${A}\n".repeat(1000);
    let error = read(&format!("variables: {{A: {long}}}\nx-uses:\n{uses}")).unwrap_err();
    assert!(error.to_string().contains("stand for more than"), "{}", error.to_string().len());

    let items = vec!["x"; 1000].join(", ");
    let mut text = format!("nets: {{n: {{}}}}\nprototypes: {{p: {{groups: [{items}]}}}}\ndomains:\n");
    (0..1000).for_each(|i| text += &format!("  d{i}: {{based-on: p}}\n"));
    assert!(read(&text).unwrap_err().to_string().contains("values from prototypes"));
}

#[test]
fn so_many_problems_are_told_and_no_more() {
    let keys: String = (0..5000).map(|i| format!("k{i}: 1\n")).collect();
    let InitFileError::Invalid(all) = read(&keys).unwrap_err() else { panic!("nothing is read") };
    assert_eq!(all.len(), 1001);
    assert!(all.iter().any(|d| d.code == "init::too-many"));
}

/// Every file of the corpus with pieces taken out, doubled, exchanged or replaced, for two seconds; always the same.
#[test]
fn broken_corpus_is_answered() {
    let cases: Vec<_> = corpus::malformed().into_iter().chain(corpus::good()).collect();
    let pieces: Vec<&str> =
        cases.iter().flat_map(|case| case.text.split_inclusive([' ', ',', '\n'])).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let begun = Instant::now();
    let mut round = 0;
    // Time bounds the search, not the verdict.
    while round < 300 || (begun.elapsed() < Duration::from_secs(2) && round < 20_000) {
        let case = &cases[random.below(cases.len())];
        let text = broken(&case.text, &pieces, &mut random);
        let result = read_with(&text, &case.files, &BTreeMap::new(), round % 2 == 0);
        let all = match &result {
            Ok(loaded) => &loaded.warnings,
            Err(InitFileError::Invalid(all)) => all,
            Err(InitFileError::Unreadable { .. }) => unreachable!("nothing is read"),
        };
        let errors = all.iter().filter(|d| d.severity == Severity::Error).count();
        assert_eq!(result.is_err(), errors > 0, "{text}\n{}", listed(all));
        for d in all {
            let inside = d.source.inner().get(d.start..).is_some_and(|rest| rest.starts_with(&d.text));
            assert!(inside && d.line > 0 && d.column > 0, "{d:?} in\n{text}");
            assert_eq!(d.file.display().to_string(), d.source.name(), "the source is that of the file");
        }
        let _ = super::super::render(all, false);
        round += 1;
    }
}

/// What a fuzzer would begin with.
#[test]
fn the_corpus_is_what_fuzzers_take() {
    for case in corpus::malformed().iter().chain(&corpus::good()) {
        fuzz_text(&case.text).unwrap();
        fuzz_text(&format!("include: other.yaml\n@@@\n{}", case.text)).unwrap();
    }
}

/// A text with a few accidents.
fn broken(text: &str, pieces: &[&str], random: &mut Random) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(4) {
        let (from, len) = (random.below(text.len() + 1), random.below(24));
        let to = (from + len).min(text.len());
        match random.below(5) {
            0 => drop(text.drain(from..to)),
            1 => {
                let twice: Vec<char> = text[from..to].to_vec();
                text.splice(to..to, twice);
            }
            2 => drop(text.splice(from..from, pieces[random.below(pieces.len())].chars())),
            3 => drop(text.splice(from..to, pieces[random.below(pieces.len())].chars())),
            _ => {
                let odd =
                    ['\t', '\0', '{', '}', '[', ']', '*', '&', '$', '\u{feff}', 'é', '\r', '"', '%', '~'];
                text.insert(from, odd[random.below(odd.len())]);
            }
        }
    }
    text.into_iter().collect()
}

/// Marsaglia's xorshift: the same accidents each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % bound.max(1)
    }
}
