//! What can go wrong in a machine whatever is tested there, and how its kernel says so. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of trouble a machine can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The kernel has stopped.
    Panic,
    /// The kernel went wrong and tries to go on.
    Oops,
    /// A process waits in the kernel and does not come back.
    HungTask,
    /// The kernel killed a process to get memory.
    OutOfMemory,
    /// A unit of systemd ended in a way it should not.
    FailedUnit,
    /// A process crashed: it left a core, or would have, had it been allowed to.
    CoreDump,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "kernel panic",
            Self::Oops => "kernel oops",
            Self::HungTask => "hung task",
            Self::OutOfMemory => "out of memory",
            Self::FailedUnit => "failed unit",
            Self::CoreDump => "core dump",
        })
    }
}

/// What the kernel says last of a panic, whose first words it repeats.
const END_OF_PANIC: &str = "---[ end Kernel panic";

/// Words of a kernel's line, all of them, and what they mean; the first that fits counts. Not among them: stalls and
/// soft lockups, which a host under load makes as well.
const SIGNS: &[(&[&str], Trouble)] = &[
    (&["Kernel panic - not syncing"], Trouble::Panic),
    (&["BUG: unable to handle"], Trouble::Oops),
    (&["BUG: kernel NULL pointer"], Trouble::Oops),
    (&["kernel BUG at "], Trouble::Oops),
    (&["Oops: "], Trouble::Oops),
    (&["INFO: task ", " blocked for more than "], Trouble::HungTask),
    (&["Out of memory: Kill"], Trouble::OutOfMemory),
    (&["Memory cgroup out of memory: Kill"], Trouble::OutOfMemory),
    // Whatever becomes of its core, and whoever collects those.
    (&["]: segfault at ", " ip "], Trouble::CoreDump),
    (&["traps: ", "] trap ", " ip:"], Trouble::CoreDump),
    (&["traps: ", "] general protection fault ip:"], Trouble::CoreDump),
];

impl Trouble {
    /// What a line of a kernel's log, without control characters, says is wrong.
    #[must_use]
    pub fn of_kernel(line: &str) -> Option<Self> {
        if line.contains(END_OF_PANIC) {
            return None;
        }
        let sign = SIGNS.iter().find(|(words, _)| words.iter().all(|words| line.contains(words)));
        sign.map(|&(_, trouble)| trouble).or_else(|| is_exception(line).then_some(Self::Oops))
    }
}

/// Whether that is how the kernel begins to tell of an exception of its own, whichever that is: `invalid opcode: 0000 [#1]`,
/// with the error's code and the number of such stories.
fn is_exception(line: &str) -> bool {
    let Some((before, number)) = line.split_once(" [#") else { return false };
    let code = before.rsplit_once(": ").map_or("", |(_, code)| code);
    let is_code = code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_code && number.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("", None)]
    #[case("Bug: nothing to see", None)]
    #[case(
        "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        Some(Trouble::Panic)
    )]
    #[case("[    1.4] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---", None)]
    #[case("x] Oops: 0002 [#1] PREEMPT SMP", Some(Trouble::Oops))]
    #[case("x] BUG: kernel NULL pointer dereference, address: 0", Some(Trouble::Oops))]
    #[case(
        "x] general protection fault, probably for non-canonical address 0x1: 0000 [#1] SMP",
        Some(Trouble::Oops)
    )]
    #[case("x] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI", Some(Trouble::Oops))]
    #[case("x] divide error: 0000 [#12] SMP", Some(Trouble::Oops))]
    #[case("x] issue: fixed [#1]", None)]
    #[case(
        "traps: web[7] general protection fault ip:55 sp:7f error:0 in web[55+1]",
        Some(Trouble::CoreDump)
    )]
    #[case("x] traps: web[7] trap invalid opcode ip:55 sp:7f error:0", Some(Trouble::CoreDump))]
    #[case("x] web[7]: segfault at 0 ip 000055 sp 00007f error 4 in web[55+1]", Some(Trouble::CoreDump))]
    #[case("x] web[7]: segfault at the sea", None)]
    #[case("x] INFO: task fsync:77 blocked for more than 120 seconds.", Some(Trouble::HungTask))]
    #[case("x] Out of memory: Killed process 7 (hog)", Some(Trouble::OutOfMemory))]
    #[case("x] Memory cgroup out of memory: Killed process 7 (hog)", Some(Trouble::OutOfMemory))]
    #[case("y] watchdog: BUG: soft lockup - CPU#0 stuck", None)]
    fn kernels_say_what_is_wrong(#[case] line: &str, #[case] expected: Option<Trouble>) {
        assert_eq!(Trouble::of_kernel(line), expected);
    }
}
