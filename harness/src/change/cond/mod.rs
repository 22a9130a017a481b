//! Conditions: what has to be true of a phase's results. A text is parsed when its file is read (`lexer`, `parse`), into a
//! tree (`expr`, which also prints it) that is held against results later (`eval`). No text is ever evaluated as code, and
//! values of variables go into parsed literals, so none can become part of the expression.

mod error;
mod eval;
mod expr;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;
mod types;
mod xpath;

pub use error::ConditionError;
pub use eval::{EvalError, Facts, Results};
pub use expr::Condition;
pub use parse::Dialect;
pub use xpath::Element;
