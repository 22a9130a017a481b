//! What the attributes take: each argument with how it is written and what it means. The book's reference is made from it.

/// Arguments that `#[suite]` takes.
pub(crate) const OF_SUITES: &[(&str, &str, &str)] = &[
    ("env", "env = \"lab.yaml\"", "Its init file, beside the source file; without it there are no machines."),
    (
        "cvp",
        "cvp, cvp = \"portal.json\"",
        "A session at a portal: the one of `POLDER_CVP_URL`, else one of the suite's own, which begins with the state in the file.",
    ),
    (
        "changes",
        "changes = \"changes.yaml\"",
        "A file of changes beside the source file, whose changes scenarios may make.",
    ),
    (
        "timeout",
        "timeout = \"10m\"",
        "For environment, set-up and scenarios together; time in which it waits for the host or stands still does not count.",
    ),
    ("needs", "needs(..)", "As if it stood at each of its scenarios."),
    ("tags", "tags(\"slow\", ..)", "As if they stood at each of its scenarios."),
    ("stop_on_failure", "stop_on_failure", "After a failure only what `always` runs is begun."),
    ("if_var", "if_var = \"NAME\"", "It is there only when that environment variable is set."),
    (
        "crate",
        "crate = path::to::polder",
        "Where the library is, for crates that have it under another name or pass it on; as seen from inside the module.",
    ),
];

/// Arguments that `#[test]` takes.
pub(crate) const OF_SCENARIOS: &[(&str, &str, &str)] = &[
    (
        "after",
        "after(a, b)",
        "It runs only if these, which stand above it, passed; of one with cases, all of its cases.",
    ),
    (
        "always",
        "always",
        "It runs whatever became of those, and after the suite stopped at a failure: for checks and for cleaning up.",
    ),
    (
        "cached",
        "cached",
        "The state it leaves is kept for later runs of the same executable, which begin there where they can.",
    ),
    (
        "case",
        "case(small = 512, large = 9000)",
        "One scenario for each, called `name[small]`; the parameter marked `#[case]` is given the value.",
    ),
    (
        "expect_fail",
        "expect_fail(until = \"2027-01-31\", reason = \"..\")",
        "That it fails is known, until the end of that day.",
    ),
    ("from", "from(a)", "As `after(a)`, and it begins in exactly the state that `a` left."),
    (
        "needs",
        "needs(kvm, memory = \"4G\", ..)",
        "What has to be there; else it is not run, with the reason.",
    ),
    ("retries", "retries = 2", "How often it is tried again when it fails, 1 to 99 times."),
    ("tags", "tags(\"slow\", \"net\")", "Words by which it is selected: `--tag`, `--skip-tag`."),
    ("timeout", "timeout = \"30s\"", "For one attempt; five minutes if nothing is said."),
    ("values", "values(512, 9000)", "As `case`, with names made from the values: `name[512]`."),
];

/// Arguments that `#[setup]` takes.
pub(crate) const OF_SETUP: &[(&str, &str, &str)] = &[
    (
        "cached",
        "cached",
        "The state it leaves is kept for later runs of the same executable, which do not run it again.",
    ),
    TIMEOUT,
];

/// Arguments that `#[teardown]` takes.
pub(crate) const OF_TEARDOWN: &[(&str, &str, &str)] = &[TIMEOUT];

const TIMEOUT: (&str, &str, &str) =
    ("timeout", "timeout = \"2m\"", "For the whole of it; five minutes if nothing is said.");
