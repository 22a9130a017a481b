//! The one table of exit codes, for every verb and binary.

/// How a process ends. Suite binaries answer 101 for failed tests, as libtest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A scenario or a change failed.
    Failed = 1,
    /// Wrong usage or bad input.
    Usage = 2,
    /// Something was left that needs a person.
    Left = 3,
    /// Stopped by the operator.
    Stopped = 4,
    /// The environment or the harness failed, not what was tested.
    Environment = 5,
    /// Tests failed, in libtest's own number.
    TestsFailed = 101,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
