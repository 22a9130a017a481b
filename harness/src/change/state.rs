//! What becomes of changes. Pure.

use std::fmt;

use super::model::OnFail;

/// What became of a change; the numbers are those of files and reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Applied and verified everywhere.
    Success = 0,
    /// Not run yet.
    #[default]
    Pending = 1,
    /// Failed on some devices.
    PartialFailure = 2,
    /// Failed, and nothing was changed.
    TotalFailure = 3,
    /// Failed, and was undone.
    BackoutOk = 4,
    /// Failed, and could not be undone.
    BackoutFailed = 5,
    /// Failed, and is to be tried again.
    Retry = 6,
    /// Waits until it is tried again.
    RetryPending = 7,
    /// Left out because somebody said so.
    Skipped = 8,
    /// Runs.
    Running = 9,
    /// Never begun, because of something else.
    NotAttempted = 10,
    /// Ended by the operator.
    BailedOut = 11,
}

impl State {
    /// All of them, each at its number.
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Pending,
        Self::PartialFailure,
        Self::TotalFailure,
        Self::BackoutOk,
        Self::BackoutFailed,
        Self::Retry,
        Self::RetryPending,
        Self::Skipped,
        Self::Running,
        Self::NotAttempted,
        Self::BailedOut,
    ];

    /// The number that files have for it.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The state of a number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether it counts as a failure in the end.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::PartialFailure
                | Self::TotalFailure
                | Self::BackoutOk
                | Self::BackoutFailed
                | Self::BailedOut
        )
    }

    /// Whether what waits for a change in this state may begin, where the change has this policy.
    #[must_use]
    pub fn satisfies(self, on_fail: OnFail) -> bool {
        match self {
            Self::Success | Self::Skipped => true,
            Self::PartialFailure | Self::TotalFailure | Self::BackoutOk | Self::BackoutFailed => {
                on_fail == OnFail::Continue
            }
            _ => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::PartialFailure => "partial_failure",
            Self::TotalFailure => "total_failure",
            Self::BackoutOk => "backout_ok",
            Self::BackoutFailed => "backout_failed",
            Self::Retry => "retry",
            Self::RetryPending => "retry_pending",
            Self::Skipped => "skipped",
            Self::Running => "running",
            Self::NotAttempted => "not_attempted",
            Self::BailedOut => "bailed_out",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_numbers_and_words() {
        let words = "success pending partial_failure total_failure backout_ok backout_failed retry retry_pending \
                     skipped running not_attempted bailed_out";
        for (number, word) in words.split(' ').enumerate() {
            let number = u8::try_from(number).expect("there are few");
            let state = State::of_number(number).expect(word);
            assert_eq!((state.number(), state.to_string().as_str()), (number, word));
        }
        assert_eq!(State::of_number(12), None);
    }

    #[rstest::rstest]
    #[case(State::Success, true, true)]
    #[case(State::Pending, false, false)]
    #[case(State::PartialFailure, false, true)]
    #[case(State::TotalFailure, false, true)]
    // By itself being undone satisfies nobody.
    #[case(State::BackoutOk, false, true)]
    #[case(State::BackoutFailed, false, true)]
    #[case(State::Retry, false, false)]
    #[case(State::RetryPending, false, false)]
    #[case(State::Skipped, true, true)]
    #[case(State::Running, false, false)]
    #[case(State::NotAttempted, false, false)]
    #[case(State::BailedOut, false, false)]
    fn what_waits_begins_only_after_success(#[case] state: State, #[case] stop: bool, #[case] go_on: bool) {
        assert_eq!((state.satisfies(OnFail::Stop), state.satisfies(OnFail::Continue)), (stop, go_on));
        assert_eq!(state.satisfies(OnFail::RollbackAll), stop);
    }
}
