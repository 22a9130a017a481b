//! The benchmarks: data. What they do is in `suites/bench/`: a program that takes a benchmark's name, does it once our
//! way and once with the plain tool, and prints `{"name": "...", "side": "ours" | "plain", "seconds": ...}` lines,
//! and `{"name": "...", "value": ..., "unit": "..."}` for what is compared with nothing.

/// The package that holds the program.
pub(super) const PACKAGE: &str = "polder-suites";
/// The program, an example target of it.
pub(super) const PROGRAM: &str = "bench";

/// One benchmark.
pub(super) struct Benchmark {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Ours is to take at most this many times the plain tool's time.
    pub(super) goal: f64,
    /// The same for rows whose names end like this.
    pub(super) other_goals: &'static [(&'static str, f64)],
    /// Whether it is compiled for speed: what is measured is work of ours, and not waiting for machines.
    pub(super) is_optimised: bool,
    /// How often the program runs; each run gives one pair of a name, or several in turn.
    pub(super) runs: u32,
}

/// The table.
pub(super) const BENCHMARKS: &[Benchmark] = &[
    Benchmark {
        name: "up",
        what: "from nothing until 1, 2 and 4 debian12 machines answer, next to virsh and ssh by hand",
        goal: 1.15,
        other_goals: &[],
        is_optimised: false,
        runs: 3,
    },
    Benchmark {
        name: "env",
        what: "the life of 1, 2, 4 and 8 minimal machines in a prefix, step by step, next to virsh and qemu-img by hand",
        goal: 1.15,
        other_goals: &[],
        is_optimised: false,
        runs: 3,
    },
    Benchmark {
        name: "checkpoints",
        what: "from nothing until 1, 2 and 4 debian12 machines go on where they were kept, and 2 of them back to a moment, next to virsh by hand; what emulators have of memory",
        goal: 1.2,
        other_goals: &[],
        is_optimised: false,
        runs: 2,
    },
    Benchmark {
        name: "exec",
        what: "one command in a guest over the connection we keep, next to a new ssh process",
        goal: 1.0,
        other_goals: &[],
        is_optimised: false,
        runs: 1,
    },
    Benchmark {
        name: "copy",
        what: "a file into a guest and back, next to scp",
        goal: 1.0,
        other_goals: &[],
        is_optimised: false,
        runs: 5,
    },
    Benchmark {
        name: "bulk",
        what: "2 GiB into a guest and back, next to scp; half an hour without KVM",
        goal: 1.1,
        other_goals: &[],
        is_optimised: false,
        runs: 1,
    },
    Benchmark {
        name: "guest",
        what: "one command over the connection we keep and over the guest agent, next to ssh with a ControlMaster; 20,000 small files, next to ssh and tar",
        goal: 1.0,
        other_goals: &[],
        is_optimised: false,
        runs: 3,
    },
    Benchmark {
        name: "lab",
        what: "a lab from nothing until its daemon answers, and away again, next to unshare and virsh",
        goal: 1.15,
        other_goals: &[],
        is_optimised: false,
        runs: 5,
    },
    Benchmark {
        name: "cvp",
        what: "1,000 configlets made, read, listed and deleted by our client, next to cvprac 2.3.0; and a large portal of our own",
        goal: 0.67,
        other_goals: &[("16 at once", 0.2)],
        is_optimised: true,
        runs: 1,
    },
    Benchmark {
        name: "runner",
        what: "1,000 scenarios in 100 suites that do nothing, without machines and with some in memory, and the list of them, next to libtest-mimic; how soon a failure is told",
        goal: 50.0,
        other_goals: &[("--list", 10.0), ("of 2 machines in memory", 200.0)],
        is_optimised: false,
        runs: 1,
    },
    Benchmark {
        name: "change",
        what: "three commands on each of 500 ssh servers as the phases of a change, next to ansible-core; 10,000 changes planned",
        goal: 0.2,
        other_goals: &[],
        is_optimised: true,
        runs: 1,
    },
];
