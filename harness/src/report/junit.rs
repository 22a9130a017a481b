//! What all documents in JUnit's form have in common: counts that add up, properties, times. Pure.
//!
//! The form is that of Ant's task as Jenkins, GitLab and others read it, with what Surefire adds for tests that were tried again.

use super::tag::Tag;

/// How many test cases of each kind there are, and how long they took.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::report) struct Counts {
    pub(in crate::report) tests: usize,
    pub(in crate::report) failures: usize,
    pub(in crate::report) errors: usize,
    pub(in crate::report) skipped: usize,
    pub(in crate::report) millis: u64,
}

impl Counts {
    fn on(self, tag: Tag) -> Tag {
        tag.with("tests", self.tests)
            .with("failures", self.failures)
            .with("errors", self.errors)
            .with("skipped", self.skipped)
            .with("time", seconds(self.millis))
    }
}

/// A document.
pub(in crate::report) struct Document {
    pub(in crate::report) name: String,
    /// When it all began, in UTC.
    pub(in crate::report) began: Option<String>,
    /// How long it all took.
    pub(in crate::report) millis: u64,
    suites: Vec<Tag>,
    all: Counts,
}

impl Document {
    /// One without any suite.
    pub(in crate::report) fn new(name: &str, began: Option<String>, millis: u64) -> Self {
        Self { name: name.to_owned(), began, millis, suites: Vec::new(), all: Counts::default() }
    }

    /// With a suite of these cases; it began when all did, unless `began` says when.
    pub(in crate::report) fn suite(
        &mut self,
        name: &str,
        began: Option<String>,
        properties: &[(&str, String)],
        counts: Counts,
        cases: Vec<Tag>,
    ) {
        self.all.tests += counts.tests;
        self.all.failures += counts.failures;
        self.all.errors += counts.errors;
        self.all.skipped += counts.skipped;
        let suite = counts.on(Tag::new("testsuite").with("name", name));
        let suite =
            began.or_else(|| self.began.clone()).iter().fold(suite, |suite, at| suite.with("timestamp", at));
        self.suites.push(suite.of([self::properties(properties)]).of(cases));
    }

    /// Its text.
    pub(in crate::report) fn text(self) -> String {
        let all = Counts { millis: self.millis, ..self.all };
        let root = all.on(Tag::new("testsuites").with("name", &self.name));
        let root = self.began.iter().fold(root, |root, at| root.with("timestamp", at));
        root.of(self.suites).document("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
    }
}

/// Properties.
pub(in crate::report) fn properties(properties: &[(&str, String)]) -> Tag {
    let property =
        |(name, value): &(&str, String)| Tag::new("property").with("name", name).with("value", value);
    Tag::new("properties").of(properties.iter().map(property))
}

/// A number of milliseconds, in seconds.
pub(in crate::report) fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
