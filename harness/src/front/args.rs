//! libtest's command line, as libtest-mimic knows it, and what is missing there.

use std::{num::NonZero, str::FromStr};

use clap::Parser;
use libtest_mimic::{Arguments, ColorSetting, FormatSetting};

use crate::{
    report::term::Style,
    suite::order::{Filter, Ignored},
};

/// The command line of a suite binary.
#[derive(Debug, Parser)]
#[command(
    disable_version_flag = true,
    after_help = "Suites run side by side, at most as many as --test-threads says (default: one per core); the \
                  scenarios of a suite run one after another, in source order. Selecting a scenario also runs what it \
                  needs. Output of scenarios is not captured; lines written with `polder::log!` are shown when the \
                  scenario fails, or as they come with --nocapture."
)]
pub(super) struct CommandLine {
    #[command(flatten)]
    known: Arguments,
    /// More filters; a scenario matching any of them is selected.
    #[arg(value_name = "FILTERS")]
    more: Vec<String>,
    /// Select only scenarios with this tag, or with any of several.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Leave out scenarios with this tag; may be given several times.
    #[arg(long = "skip-tag", value_name = "TAG")]
    skip_tags: Vec<String>,
    /// Run only the I-th of N parts of the suites, which each belong to one part: `1/3`, `2/3` and `3/3` together are all.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Select only scenarios that did not go well when they were last run, and what they need.
    #[arg(long = "rerun-failed")]
    rerun_failed: bool,
    /// Show everything that scenarios do as they do it: operations, waits and what they see, lines, states of machines.
    #[arg(long)]
    verbose: bool,
    /// Another spelling of --nocapture.
    #[arg(long = "no-capture")]
    no_capture: bool,
}

/// The command line of suite binaries as a value, for what describes it or checks lines somebody wrote.
#[must_use]
pub fn command() -> clap::Command {
    <CommandLine as clap::CommandFactory>::command().name("suite")
}

/// One of several parts of the suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    /// From 1.
    part: usize,
    of: NonZero<usize>,
}

impl FromStr for Shard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(part, of)| {
            let shard = Self { part: part.parse().ok()?, of: of.parse().ok()? };
            (1..=shard.of.get()).contains(&shard.part).then_some(shard)
        });
        parsed.ok_or_else(|| "say which part of how many, such as `1/3`".to_owned())
    }
}

impl Shard {
    /// Parts `suites`, which are in the same order everywhere: those of this part, and the others.
    pub(super) fn part<T>(self, suites: Vec<T>) -> (Vec<T>, Vec<T>) {
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for (index, suite) in suites.into_iter().enumerate() {
            if index % self.of == self.part - 1 { ours.push(suite) } else { others.push(suite) }
        }
        (ours, others)
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Pretty,
    Terse,
    Json,
}

impl CommandLine {
    /// What is selected.
    pub(super) fn filter(&self) -> Filter {
        let Arguments { skip, exact, include_ignored, ignored, .. } = &self.known;
        let ignored = match (include_ignored, ignored) {
            (true, _) => Ignored::Include,
            (false, true) => Ignored::Only,
            (false, false) => Ignored::Skip,
        };
        let only = self.known.filter.iter().chain(&self.more).cloned().collect();
        let (tags, skip_tags) = (self.tags.clone(), self.skip_tags.clone());
        Filter { only, skip: skip.clone(), exact: *exact, tags, skip_tags, ignored, among: None }
    }

    /// Which part of the suites is run, if not all of them.
    pub(super) fn shard(&self) -> Option<Shard> {
        self.shard
    }

    /// Whether only what failed last is selected.
    pub(super) fn rerun_failed(&self) -> bool {
        self.rerun_failed
    }

    /// Whether there is nothing to run or list: suites are tests, and benchmarks are asked for.
    pub(super) fn benchmarks_only(&self) -> bool {
        self.known.bench
    }

    /// Whether to list only.
    pub(super) fn list(&self) -> bool {
        self.known.list
    }

    /// The format of results.
    pub(super) fn format(&self) -> Format {
        match (self.known.quiet, self.known.format) {
            (true, _) | (_, Some(FormatSetting::Terse)) => Format::Terse,
            (false, Some(FormatSetting::Json)) => Format::Json,
            (false, None | Some(FormatSetting::Pretty)) => Format::Pretty,
        }
    }

    /// How lines look where `welcome` says whether colours are, unless it is said here.
    pub(super) fn style(&self, welcome: bool) -> Style {
        let colour = match self.known.color.unwrap_or_default() {
            ColorSetting::Auto => welcome,
            ColorSetting::Always => true,
            ColorSetting::Never => false,
        };
        let live_log = self.known.nocapture || self.no_capture || self.known.show_output;
        let (terse, verbose) = (self.format() == Format::Terse, self.verbose);
        Style { colour, terse, live_log, verbose, is_watched: false }
    }

    /// How many suites may run side by side, if it says.
    pub(super) fn threads(&self) -> Option<usize> {
        self.known.test_threads
    }

    /// The file that receives the results instead of the standard output.
    pub(super) fn logfile(&self) -> Option<&str> {
        self.known.logfile.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> CommandLine {
        CommandLine::try_parse_from(std::iter::once("suite").chain(line.split_whitespace())).unwrap()
    }

    #[test]
    fn is_a_valid_command() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[rstest::rstest]
    #[case("", &[], Ignored::Skip)]
    #[case("a --exact --nocapture", &["a"], Ignored::Skip)]
    #[case("a b c --include-ignored", &["a", "b", "c"], Ignored::Include)]
    #[case("--ignored a --no-capture", &["a"], Ignored::Only)]
    fn filters_are_all_taken(#[case] line: &str, #[case] only: &[&str], #[case] ignored: Ignored) {
        let filter = parse(line).filter();
        assert_eq!(filter.only, only);
        assert_eq!(filter.ignored, ignored);
    }

    #[test]
    fn tags_stand_beside_names() {
        let filter = parse("a --tag net --skip x --tag slow --skip-tag flaky b").filter();
        assert_eq!((filter.only, filter.skip), (vec!["a".into(), "b".into()], vec!["x".into()]));
        assert_eq!(
            (filter.tags, filter.skip_tags),
            (vec!["net".into(), "slow".into()], vec!["flaky".into()])
        );
        assert!(CommandLine::try_parse_from(["suite", "--tag"]).is_err());
    }

    #[test]
    fn shards_are_all_suites_together_and_none_twice() {
        for of in 1..6 {
            let shard = |part: usize| Shard::from_str(&format!("{part}/{of}")).unwrap();
            let mut all: Vec<i32> = (1..=of).flat_map(|part| shard(part).part((0..7).collect()).0).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
        }
        assert_eq!(
            Shard::from_str("2/3").unwrap().part(vec!["a", "b", "c", "d"]),
            (vec!["b"], vec!["a", "c", "d"])
        );
        for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/3/5", "-1/3"] {
            assert!(Shard::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn formats() {
        assert_eq!(parse("-q").format(), Format::Terse);
        assert_eq!(parse("--format terse").format(), Format::Terse);
        assert_eq!(parse("-Z unstable-options --format=json").format(), Format::Json);
        assert!(parse("--color always").style(false).colour && !parse("--color never").style(true).colour);
        assert!(parse("--verbose").style(false).verbose && !parse("--nocapture").style(false).verbose);
        assert!(CommandLine::try_parse_from(["suite", "--frobnicate"]).is_err());
        assert!(CommandLine::try_parse_from(["suite", "--test-threads", "many"]).is_err());
    }
}
