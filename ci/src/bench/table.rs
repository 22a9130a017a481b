//! The benchmarks: data. What they measure is in `suites/examples/bench.rs` and, for plain tools, in `ci/plain/`.

/// The package and the example that hold our side.
pub(super) const PACKAGE: &str = "polder-suites";
/// The example.
pub(super) const PROGRAM: &str = "bench";
/// How commands below name it.
pub(super) const OURS: &str = "ours";

/// One benchmark.
pub(super) struct Benchmark {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Ours is to take at most this many times the plain tool's time.
    pub(super) goal: f64,
    /// How often each side runs.
    pub(super) pairs: u32,
    pub(super) programs: Programs,
}

/// What is run for one pair. A program prints `{"name": "...", "seconds": ...}` on lines of their own.
pub(super) enum Programs {
    /// Two programs, one after the other.
    Pair {
        ours: &'static [&'static str],
        plain: &'static [&'static str],
    },
    /// One program that measures both in turn on the same machines and adds `"side": "ours"` or `"plain"`.
    Both(&'static [&'static str]),
}

/// The table.
pub(super) const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "up",
        what: "from nothing until 1, 2 and 4 debian12 machines answer, next to virsh and ssh by hand",
        goal: 1.15,
        pairs: 3,
        programs: Programs::Pair {
            ours: &[OURS, "up", "1", "2", "4"],
            plain: &["ci/plain/up.sh", "1", "2", "4"],
        },
    },
    Benchmark {
        name: "exec",
        what: "one command in a guest over the connection we keep, next to a new ssh process",
        goal: 1.0,
        pairs: 1,
        programs: Programs::Both(&[OURS, "exec"]),
    },
    Benchmark {
        name: "copy",
        what: "a file into a guest and back, next to scp",
        goal: 1.0,
        pairs: 1,
        programs: Programs::Both(&[OURS, "copy"]),
    },
    Benchmark {
        name: "lab",
        what: "a lab with its daemon from nothing to the first answer and away again, next to unshare and virsh",
        goal: 1.15,
        pairs: 5,
        programs: Programs::Pair {
            ours: &[OURS, "lab"],
            plain: &["ci/plain/lab.sh"],
        },
    },
];
