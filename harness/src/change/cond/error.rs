//! Why a text is no condition.

use std::ops::Range;

use super::parse::SYNTAX;

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
pub struct ConditionError {
    /// The kind of problem, such as `cond.syntax`.
    pub code: &'static str,
    /// Where in the text, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ConditionError {
    pub(super) fn syntax(span: Range<usize>, message: String, help: Option<&str>) -> Self {
        Self { code: SYNTAX, span, message, help: help.map(ToOwned::to_owned) }
    }
}
