//! Holds a condition against the results of a phase. Everything it can say is a value or an error; nothing acts.

use std::{cmp::Ordering, fmt};

use regex_lite::Regex;

use super::{
    expr::{Condition, Expr, Field, Function, Op},
    parse::Dialect,
    xpath::Element,
};
use crate::change::text::{Unresolved, Values};

/// What a phase resulted in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// Of the last command; none if a signal ended it, or there was no command.
    pub exitcode: Option<i64>,
    /// What all commands of the phase wrote, in the order it came.
    pub cmdoutput: String,
    /// Of that, what went to the standard output.
    pub stdout: String,
    /// Of that, what went to the standard error.
    pub stderr: String,
    /// What the device's interface called it, such as `passed`.
    pub status: Option<String>,
    /// The number the device's interface gave for what went wrong.
    pub errno: Option<i64>,
    /// Its words for that.
    pub reason: Option<String>,
    /// How long the phase took.
    pub duration_ms: u64,
    /// Whether it took too long.
    pub timed_out: bool,
    /// The document it answered with.
    pub tree: Option<Element>,
}

/// What a condition may know.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The results of the phase.
    pub results: &'a Results,
    /// The variables.
    pub values: &'a dyn Values,
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("results", self.results).finish_non_exhaustive()
    }
}

/// Why a condition is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It needs a variable that nobody has set.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// A value is not of the type that it has to be.
    #[error("`{expr}` cannot be done: {why}")]
    Type {
        /// The part of the condition.
        expr: String,
        /// What is wrong.
        why: String,
    },
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    None,
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a string",
            Self::None => "nothing",
        }
    }
}

impl Condition {
    /// Whether it is true.
    ///
    /// # Errors
    /// A variable has no value, or a value is of the wrong type, such as an exit code that is not there and is ordered.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        Eval { facts: *facts, dialect: self.dialect }.truth(&self.expr)
    }

    /// What stands on both sides of the comparisons and calls that it is made of, for reports: `results.exitcode` and `1`.
    #[must_use]
    pub fn operands(&self, facts: &Facts<'_>) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let eval = Eval { facts: *facts, dialect: self.dialect };
        eval.operands(&self.expr, &mut found);
        found
    }
}

struct Eval<'a> {
    facts: Facts<'a>,
    dialect: Dialect,
}

impl Eval<'_> {
    fn truth(&self, expr: &Expr) -> Result<bool, EvalError> {
        match self.value(expr)? {
            Value::Bool(truth) => Ok(truth),
            value if self.dialect == Dialect::Current => {
                Err(wrong(expr, format!("it has to be true or false, it is {}", value.kind())))
            }
            Value::Int(number) => Ok(number != 0),
            Value::Float(number) => Ok(number != 0.0),
            Value::Str(text) => Ok(!text.is_empty()),
            Value::None => Ok(false),
        }
    }

    fn value(&self, expr: &Expr) -> Result<Value, EvalError> {
        Ok(match expr {
            Expr::Int(number) => Value::Int(*number),
            Expr::Float(number) => Value::Float(*number),
            Expr::Bool(truth) => Value::Bool(*truth),
            Expr::None => Value::None,
            Expr::Str(text) => Value::Str(text.fill(self.facts.values)?),
            Expr::Var(key) | Expr::Named(key) => match self.facts.values.value(key) {
                Some(value) => Value::Str(value.to_owned()),
                None => return Err(Unresolved { key: key.clone() }.into()),
            },
            Expr::Field(field) => self.field(*field),
            Expr::Not(inner) => Value::Bool(!self.truth(inner)?),
            Expr::Neg(inner) => match self.value(inner)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(|| too_large(expr))?,
                Value::Float(number) => Value::Float(-number),
                value => return Err(wrong(expr, format!("{} has no negative", value.kind()))),
            },
            Expr::Binary(Op::Or, left, right) => Value::Bool(self.truth(left)? || self.truth(right)?),
            Expr::Binary(Op::And, left, right) => Value::Bool(self.truth(left)? && self.truth(right)?),
            Expr::Binary(op, left, right) => binary(expr, *op, self.value(left)?, self.value(right)?)?,
            Expr::Call(function, operands) => self.call(expr, *function, operands)?,
            Expr::XPath(path) => match &self.facts.results.tree {
                Some(root) => Value::Bool(path.matches(root, self.facts.values)?),
                None => return Err(wrong(expr, "the results have no tree".to_owned())),
            },
        })
    }

    fn field(&self, field: Field) -> Value {
        let results = self.facts.results;
        let int = |number: Option<i64>| number.map_or(Value::None, Value::Int);
        let text = |text: &Option<String>| text.clone().map_or(Value::None, Value::Str);
        match field {
            Field::ExitCode => int(results.exitcode),
            Field::Errno => int(results.errno),
            Field::Status => text(&results.status),
            Field::Reason => text(&results.reason),
            Field::CmdOutput => Value::Str(results.cmdoutput.clone()),
            Field::Stdout => Value::Str(results.stdout.clone()),
            Field::Stderr => Value::Str(results.stderr.clone()),
            Field::DurationMs => Value::Int(i64::try_from(results.duration_ms).unwrap_or(i64::MAX)),
            Field::TimedOut => Value::Bool(results.timed_out),
        }
    }

    fn call(&self, expr: &Expr, function: Function, operands: &[Expr]) -> Result<Value, EvalError> {
        let mut values = operands.iter().map(|operand| self.value(operand));
        let first = values.next().transpose()?.unwrap_or(Value::None);
        if function == Function::Int {
            return whole(expr, first);
        }
        let text = string(expr, first)?;
        let mut other = || string(expr, values.next().transpose()?.unwrap_or(Value::None));
        let int = |number: usize| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(match function {
            Function::Find => {
                let before = text.find(&other()?).and_then(|at| text.get(..at));
                before.map_or(Value::Int(-1), |before| int(before.chars().count()))
            }
            Function::Count => int(text.matches(&other()?).count()),
            Function::StartsWith => Value::Bool(text.starts_with(&other()?)),
            Function::EndsWith => Value::Bool(text.ends_with(&other()?)),
            Function::Contains => Value::Bool(text.contains(&other()?)),
            Function::Lower => Value::Str(text.to_lowercase()),
            Function::Upper => Value::Str(text.to_uppercase()),
            Function::Strip => Value::Str(text.trim().to_owned()),
            Function::Len | Function::Int => int(text.chars().count()),
            Function::Search => Value::Bool(found(expr, &text, &other()?)?),
            Function::Match => Value::Bool(found(expr, &format!("\\A(?:{text})"), &other()?)?),
        })
    }

    fn operands(&self, expr: &Expr, found: &mut Vec<(String, String)>) {
        match expr {
            Expr::Not(inner) | Expr::Neg(inner) => self.operands(inner, found),
            Expr::Binary(_, left, right) => {
                self.operands(left, found);
                self.operands(right, found);
            }
            Expr::Call(_, operands) => operands.iter().for_each(|operand| self.operands(operand, found)),
            Expr::Var(_) | Expr::Named(_) | Expr::Field(_) | Expr::XPath(_) => {
                let value = match self.value(expr) {
                    Ok(Value::Str(text)) => format!("{text:?}"),
                    Ok(Value::Int(number)) => number.to_string(),
                    Ok(Value::Float(number)) => number.to_string(),
                    Ok(Value::Bool(truth)) => truth.to_string(),
                    Ok(Value::None) => "null".to_owned(),
                    Err(error) => error.to_string(),
                };
                let pair = (expr.to_string(), value);
                if !found.contains(&pair) {
                    found.push(pair);
                }
            }
            Expr::Int(_) | Expr::Float(_) | Expr::Str(_) | Expr::Bool(_) | Expr::None => {}
        }
    }
}

fn binary(expr: &Expr, op: Op, left: Value, right: Value) -> Result<Value, EvalError> {
    match op {
        Op::Eq => return equal(expr, &left, &right).map(Value::Bool),
        Op::Ne => return equal(expr, &left, &right).map(|equal| Value::Bool(!equal)),
        Op::Add | Op::Sub => return sum(expr, op, left, right),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            let order = ordered(expr, &left, &right)?;
            return Ok(Value::Bool(match op {
                Op::Lt => order == Ordering::Less,
                Op::Le => order != Ordering::Greater,
                Op::Gt => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }));
        }
        _ => {}
    }
    let (left, right) = (string(expr, left)?, string(expr, right)?);
    Ok(Value::Bool(match op {
        Op::In => right.contains(&left),
        Op::NotIn => !right.contains(&left),
        Op::Matches => found(expr, &right, &left)?,
        _ => !found(expr, &right, &left)?,
    }))
}

fn equal(expr: &Expr, left: &Value, right: &Value) -> Result<bool, EvalError> {
    match (left, right) {
        (Value::None, Value::None) => Ok(true),
        (Value::None, _) | (_, Value::None) => Ok(false),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        _ => ordered(expr, left, right).map(|order| order == Ordering::Equal),
    }
}

fn ordered(expr: &Expr, left: &Value, right: &Value) -> Result<Ordering, EvalError> {
    let order = match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Str(left), Value::Str(right)) => Some(left.cmp(right)),
        _ => float(left).zip(float(right)).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    order.ok_or_else(|| {
        let (left, right) = (left.kind(), right.kind());
        wrong(expr, format!("{left} and {right} cannot be compared"))
    })
}

fn sum(expr: &Expr, op: Op, left: Value, right: Value) -> Result<Value, EvalError> {
    match (left, right) {
        (Value::Str(left), Value::Str(right)) if op == Op::Add => Ok(Value::Str(left + &right)),
        (Value::Int(left), Value::Int(right)) => {
            let sum = if op == Op::Add { left.checked_add(right) } else { left.checked_sub(right) };
            sum.map(Value::Int).ok_or_else(|| too_large(expr))
        }
        (left, right) => match float(&left).zip(float(&right)) {
            Some((left, right)) => Ok(Value::Float(if op == Op::Add { left + right } else { left - right })),
            None => {
                let (left, right) = (left.kind(), right.kind());
                Err(wrong(expr, format!("one is {left}, the other {right}")))
            }
        },
    }
}

fn whole(expr: &Expr, value: Value) -> Result<Value, EvalError> {
    match value {
        Value::Int(_) => Ok(value),
        Value::Bool(truth) => Ok(Value::Int(truth.into())),
        Value::Float(number) if number.abs() < 9e15 => Ok(Value::Int(number.trunc() as i64)),
        Value::Str(text) => match text.trim().parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Err(wrong(expr, format!("{text:?} is no whole number"))),
        },
        Value::Float(_) => Err(too_large(expr)),
        Value::None => Err(wrong(expr, "nothing is no number".to_owned())),
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

fn string(expr: &Expr, value: Value) -> Result<String, EvalError> {
    match value {
        Value::Str(text) => Ok(text),
        value => Err(wrong(expr, format!("it needs a string, not {}", value.kind()))),
    }
}

/// Whether a regular expression is found. The engine's time grows with the text only, whatever the expression is.
fn found(expr: &Expr, pattern: &str, text: &str) -> Result<bool, EvalError> {
    match Regex::new(pattern) {
        Ok(regex) => Ok(regex.is_match(text)),
        Err(error) => Err(wrong(expr, format!("bad regular expression: {error}"))),
    }
}

fn wrong(expr: &Expr, why: String) -> EvalError {
    EvalError::Type { expr: expr.to_string(), why }
}

fn too_large(expr: &Expr) -> EvalError {
    wrong(expr, "the number is too large".to_owned())
}
