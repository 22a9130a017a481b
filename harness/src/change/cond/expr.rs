//! The tree of a condition, and its text. Evaluates nothing.

use std::fmt;

use super::{
    parse::Dialect,
    types::{BOOL, INT, STR, Types},
    xpath::XPath,
};
use crate::change::text::{Part, Text};

/// Something that has to be true of the results of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub(super) expr: Expr,
    pub(super) dialect: Dialect,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Int(i64),
    Float(f64),
    Str(Text),
    Bool(bool),
    None,
    /// `%(key)s`
    Var(String),
    /// `vars.key`
    Named(String),
    Field(Field),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    XPath(XPath),
}

/// What results have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    ExitCode,
    CmdOutput,
    Stdout,
    Stderr,
    Status,
    Errno,
    Reason,
    DurationMs,
    TimedOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Matches,
    MatchesNot,
    Add,
    Sub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Find,
    Count,
    StartsWith,
    EndsWith,
    Lower,
    Upper,
    Strip,
    Contains,
    Len,
    Int,
    Search,
    Match,
}

impl Field {
    pub(super) const ALL: [(&'static str, Self); 9] = [
        ("exitcode", Self::ExitCode),
        ("cmdoutput", Self::CmdOutput),
        ("stdout", Self::Stdout),
        ("stderr", Self::Stderr),
        ("status", Self::Status),
        ("errno", Self::Errno),
        ("reason", Self::Reason),
        ("duration_ms", Self::DurationMs),
        ("timed_out", Self::TimedOut),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map(|(name, _)| *name).unwrap_or_default()
    }
}

impl Op {
    /// The operators that compare; none of them chains.
    pub(super) const COMPARING: [(&'static str, Self); 8] = [
        ("==", Self::Eq),
        ("!=", Self::Ne),
        ("<", Self::Lt),
        ("<=", Self::Le),
        (">", Self::Gt),
        (">=", Self::Ge),
        ("=~", Self::Matches),
        ("!~", Self::MatchesNot),
    ];

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::In => "in",
            Self::NotIn => "not in",
            Self::Add => "+",
            Self::Sub => "-",
            _ => {
                Self::COMPARING.iter().find(|(_, op)| *op == self).map(|(sign, _)| *sign).unwrap_or_default()
            }
        }
    }

    fn level(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Add | Self::Sub => 5,
            _ => 4,
        }
    }
}

impl Function {
    /// The methods of strings, how many arguments each has, and what it gives.
    pub(super) const METHODS: [(&'static str, Self, usize, Types); 8] = [
        ("find", Self::Find, 1, INT),
        ("count", Self::Count, 1, INT),
        ("startswith", Self::StartsWith, 1, BOOL),
        ("endswith", Self::EndsWith, 1, BOOL),
        ("lower", Self::Lower, 0, STR),
        ("upper", Self::Upper, 0, STR),
        ("strip", Self::Strip, 0, STR),
        ("contains", Self::Contains, 1, BOOL),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Len => "len",
            Self::Int => "int",
            Self::Search => "re.search",
            Self::Match => "re.match",
            _ => {
                let method = Self::METHODS.iter().find(|(_, method, ..)| *method == self);
                method.map(|(name, ..)| *name).unwrap_or_default()
            }
        }
    }

    fn is_method(self) -> bool {
        Self::METHODS.iter().any(|(_, method, ..)| *method == self)
    }
}

impl Condition {
    /// The variables that it needs values for.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.expr.collect_keys(&mut found);
        found
    }
}

impl Expr {
    fn collect_keys<'e>(&'e self, found: &mut Vec<&'e str>) {
        match self {
            Self::Str(text) => found.extend(text.keys()),
            Self::Var(key) | Self::Named(key) => found.push(key),
            Self::XPath(path) => found.extend(path.keys()),
            Self::Not(inner) | Self::Neg(inner) => inner.collect_keys(found),
            Self::Binary(_, left, right) => {
                left.collect_keys(found);
                right.collect_keys(found);
            }
            Self::Call(_, operands) => operands.iter().for_each(|operand| operand.collect_keys(found)),
            Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::None | Self::Field(_) => {}
        }
    }

    /// How tightly it holds together.
    fn level(&self) -> u8 {
        match self {
            Self::Binary(op, ..) => op.level(),
            Self::Not(_) => 3,
            Self::Call(function, _) if function.is_method() => 6,
            _ => 7,
        }
    }

    /// With parentheses where it stands as part of something that holds together more tightly.
    fn write(&self, f: &mut fmt::Formatter<'_>, level: u8) -> fmt::Result {
        if self.level() < level { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

/// A text that is read as the same condition.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Str(text) => write_string(f, text),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::None => f.write_str("null"),
            Self::Var(key) => write!(f, "%({key})s"),
            Self::Named(key) => write!(f, "vars.{key}"),
            Self::Field(field) => write!(f, "results.{}", field.name()),
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, 3)
            }
            Self::Neg(inner) => {
                f.write_str("-")?;
                inner.write(f, 7)
            }
            Self::Binary(op, left, right) => {
                // The left operand may be of the same level, except of comparisons, which do not chain.
                let level = op.level();
                left.write(f, if level == 4 { 5 } else { level })?;
                write!(f, " {} ", op.sign())?;
                right.write(f, level + 1)
            }
            Self::Call(function, operands) => {
                let (receiver, arguments) = match operands.split_first() {
                    Some((receiver, arguments)) if function.is_method() => (Some(receiver), arguments),
                    _ => (None, operands.as_slice()),
                };
                if let Some(receiver) = receiver {
                    receiver.write(f, 6)?;
                    f.write_str(".")?;
                }
                write!(f, "{}(", function.name())?;
                for (at, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::XPath(path) => {
                f.write_str("xpath(")?;
                write_string(f, &path.text())?;
                f.write_str(")")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &Text) -> fmt::Result {
    f.write_str("\"")?;
    for part in text.parts() {
        match part {
            Part::Key(key) => write!(f, "%({key})s")?,
            Part::Text(text) => {
                for c in text.chars() {
                    match c {
                        '\n' => f.write_str("\\n")?,
                        '\t' => f.write_str("\\t")?,
                        '\r' => f.write_str("\\r")?,
                        '"' => f.write_str("\\\"")?,
                        '\\' => f.write_str("\\\\")?,
                        '%' => f.write_str("%%")?,
                        c => write!(f, "{c}")?,
                    }
                }
            }
        }
    }
    f.write_str("\"")
}
