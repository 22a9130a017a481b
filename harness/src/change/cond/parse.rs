//! A condition's tokens to its tree, with what can be said about types before there are results. Evaluates nothing.

use std::ops::Range;

use regex_lite::Regex;

use super::{
    error::ConditionError,
    expr::{Condition, Expr, Field, Function, Op},
    lexer::{Token, tokens},
    types::{BOOL, FLOAT, INT, NONE, NUMBER, STR, Types, named, types_of},
    xpath::XPath,
};
use crate::{base::text::did_you_mean, change::text::Part};

/// Nobody writes longer ones.
const LONGEST: usize = 8192;
/// How deep expressions may nest: everything after this walks the tree recursively.
const DEEPEST: usize = 32;
/// How deep texts may nest: printing a tree may put two levels of text around each of its own.
const DEEPEST_TEXT: usize = 2 * DEEPEST + 2;

pub(super) const SYNTAX: &str = "cond.syntax";
pub(super) const UNKNOWN: &str = "cond.unknown-name";
pub(super) const UNRESOLVABLE: &str = "subst.bad-percent";

/// Which files a condition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Files that are written for us.
    #[default]
    Current,
    /// Files of ModiPy's time: results may be named without `results.`, and numbers, strings and nothing may stand for true
    /// and false.
    Legacy,
}

impl Condition {
    /// Reads a condition. Types are checked as far as they are known without results.
    ///
    /// # Errors
    /// What is wrong with the text, and where; the first problem only.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, ConditionError> {
        if text.len() > LONGEST {
            let message = format!("the condition is longer than {LONGEST} bytes");
            return Err(ConditionError::syntax(0..0, message, None));
        }
        let tokens = tokens(text, dialect)?;
        let mut parser = Parser { tokens, at: 0, end: text.len(), dialect, depth: 0 };
        let whole = parser.or()?;
        if parser.at < parser.tokens.len() {
            let help = match parser.word() {
                Some("AND" | "OR" | "NOT") => Some("`and`, `or` and `not` are lower case"),
                _ if parser.comparison().is_some() => Some("comparisons do not chain; join two with `and`"),
                _ => None,
            };
            return Err(parser.unexpected("`and`, `or` or the end", help));
        }
        parser.truth(&whole)?;
        Ok(Self { expr: whole.expr, dialect })
    }
}

/// A tree with what is known of it.
struct Typed {
    expr: Expr,
    types: Types,
    span: Range<usize>,
    depth: usize,
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    end: usize,
    dialect: Dialect,
    depth: usize,
}

type Parsed = Result<Typed, ConditionError>;

impl Parser {
    fn or(&mut self) -> Parsed {
        self.deeper(|parser| parser.joined(Op::Or, |parser| parser.joined(Op::And, Self::not)))
    }

    fn joined(&mut self, op: Op, mut operand: impl FnMut(&mut Self) -> Parsed) -> Parsed {
        let mut left = operand(self)?;
        while self.take_word(op.sign()) {
            let right = operand(self)?;
            self.truth(&left)?;
            self.truth(&right)?;
            left = self.binary(op, left, right, BOOL)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Parsed {
        let start = self.here().start;
        if !self.take_word("not") {
            return self.compared();
        }
        let inner = self.deeper(Self::not)?;
        self.truth(&inner)?;
        let span = start..inner.span.end;
        self.made(Expr::Not(Box::new(inner.expr)), BOOL, span, inner.depth)
    }

    fn compared(&mut self) -> Parsed {
        let left = self.sum()?;
        let Some((op, length)) = self.comparison() else { return Ok(left) };
        self.at += length;
        let right = self.sum()?;
        let both = |types: Types| left.types & types != 0 && right.types & types != 0;
        let fits = match op {
            Op::Eq | Op::Ne => {
                both(NUMBER) || both(STR) || both(BOOL) || left.types == NONE || right.types == NONE
            }
            Op::Lt | Op::Le | Op::Gt | Op::Ge => both(NUMBER) || both(STR),
            _ => both(STR),
        };
        if !fits {
            let (sign, one, other) = (op.sign(), named(left.types), named(right.types));
            let span = left.span.start..right.span.end;
            return Err(ConditionError::syntax(
                span,
                format!("`{sign}` cannot compare {one} and {other}"),
                None,
            ));
        }
        if matches!(op, Op::Matches | Op::MatchesNot) {
            regex(&right)?;
        }
        self.binary(op, left, right, BOOL)
    }

    /// The comparison that comes next, and its number of tokens.
    fn comparison(&self) -> Option<(Op, usize)> {
        match (self.word(), self.tokens.get(self.at).map(|(token, _)| token)) {
            (Some("in"), _) => Some((Op::In, 1)),
            (Some("not"), _) => {
                let next = self.tokens.get(self.at + 1).map(|(token, _)| token);
                matches!(next, Some(Token::Word(word)) if word == "in").then_some((Op::NotIn, 2))
            }
            (_, Some(Token::Sign(sign))) => {
                Op::COMPARING.iter().find(|(known, _)| known == sign).map(|(_, op)| (*op, 1))
            }
            _ => None,
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.post()?;
        loop {
            let op = match self.sign() {
                Some("+") => Op::Add,
                Some("-") => Op::Sub,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.post()?;
            let numbers = left.types & NUMBER != 0 && right.types & NUMBER != 0;
            let texts = op == Op::Add && left.types & STR != 0 && right.types & STR != 0;
            let mut types = 0;
            if numbers {
                types |= (left.types | right.types) & NUMBER;
            }
            if texts {
                types |= STR;
            }
            if types == 0 {
                let (sign, one, other) = (op.sign(), named(left.types), named(right.types));
                let span = left.span.start..right.span.end;
                let message = format!("`{sign}` cannot be done with {one} and {other}");
                let help = (one == "a string" || other == "a string")
                    .then_some("`int(...)` makes a number of a string");
                return Err(ConditionError::syntax(span, message, help));
            }
            left = self.binary(op, left, right, types)?;
        }
    }

    /// A value and the methods that are called on it.
    fn post(&mut self) -> Parsed {
        let mut value = self.primary()?;
        while self.take(".") {
            let (name, span) = self.name("the name of a method")?;
            let Some((_, method, wanted, types)) =
                Function::METHODS.iter().find(|(known, ..)| *known == name)
            else {
                let known = Function::METHODS.iter().map(|(name, ..)| *name);
                return Err(unknown(span, "method", &name, known));
            };
            if value.types & STR == 0 {
                let message = format!("`{name}` is a method of strings, this is {}", named(value.types));
                return Err(ConditionError::syntax(value.span, message, None));
            }
            let mut operands = self.arguments(&name, &vec![STR; *wanted])?;
            let depth = operands.iter().map(|operand| operand.depth).fold(value.depth, usize::max);
            let span = value.span.start..self.before();
            operands.insert(0, value);
            let operands = operands.into_iter().map(|operand| operand.expr).collect();
            value = self.made(Expr::Call(*method, operands), *types, span, depth)?;
        }
        Ok(value)
    }

    fn primary(&mut self) -> Parsed {
        let span = self.here();
        let Some((token, _)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected("a value", None));
        };
        let leaf = |expr, types| Ok(Typed { expr, types, span: span.clone(), depth: 1 });
        match token {
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.or()?;
                self.expect(")")?;
                Ok(Typed { span: span.start..self.before(), ..inner })
            }
            Token::Sign("-") => {
                self.at += 1;
                let inner = self.deeper(Self::primary)?;
                if inner.types & NUMBER == 0 {
                    let message = format!("`-` cannot be done with {}", named(inner.types));
                    return Err(ConditionError::syntax(inner.span, message, None));
                }
                let (types, whole) = (inner.types & NUMBER, span.start..inner.span.end);
                self.made(Expr::Neg(Box::new(inner.expr)), types, whole, inner.depth)
            }
            Token::Sign(_) => Err(self.unexpected("a value", None)),
            Token::Word(word) => self.worded(&word, span),
            Token::Int(number) => {
                self.at += 1;
                leaf(Expr::Int(number), INT)
            }
            Token::Float(number) => {
                self.at += 1;
                leaf(Expr::Float(number), FLOAT)
            }
            Token::Str(text) => {
                self.at += 1;
                leaf(Expr::Str(text), STR)
            }
            Token::Var(key) => {
                self.at += 1;
                leaf(Expr::Var(key), STR)
            }
        }
    }

    fn worded(&mut self, word: &str, span: Range<usize>) -> Parsed {
        if matches!(word, "and" | "or" | "not" | "in") {
            return Err(self.unexpected("a value", None));
        }
        self.at += 1;
        let leaf = |expr, types, end| Ok(Typed { expr, types, span: span.start..end, depth: 1 });
        match word {
            "True" | "true" => leaf(Expr::Bool(true), BOOL, span.end),
            "False" | "false" => leaf(Expr::Bool(false), BOOL, span.end),
            "None" | "null" => leaf(Expr::None, NONE, span.end),
            "results" => {
                self.expect(".")?;
                let (name, at) = self.name("a field of the results")?;
                if name == "tree" {
                    self.expect(".")?;
                    let (method, at) = self.name("`xpath`")?;
                    if method != "xpath" {
                        return Err(unknown(at, "method of a tree", &method, ["xpath"]));
                    }
                    return self.xpath(span.start);
                }
                match Field::ALL.iter().find(|(known, _)| *known == name) {
                    Some((_, field)) => leaf(Expr::Field(*field), types_of(*field), at.end),
                    None => {
                        let known = Field::ALL.iter().map(|(name, _)| *name).chain(["tree"]);
                        Err(unknown(at, "field of the results", &name, known))
                    }
                }
            }
            "vars" => {
                self.expect(".")?;
                let (key, at) = self.name("the name of a variable")?;
                leaf(Expr::Named(key), STR, at.end)
            }
            "exitcode" | "cmdoutput" => {
                let field = if word == "exitcode" { Field::ExitCode } else { Field::CmdOutput };
                if self.dialect == Dialect::Legacy {
                    return leaf(Expr::Field(field), types_of(field), span.end);
                }
                let help = Some(format!("write `results.{word}`, or say `dialect` is `legacy`"));
                let message = format!("there is no `{word}` outside the results");
                Err(ConditionError { code: UNKNOWN, span, message, help })
            }
            "len" => self.call("len", span.start, Function::Len, &[STR], INT),
            "int" => self.call("int", span.start, Function::Int, &[STR | NUMBER | BOOL], INT),
            "xpath" => self.xpath(span.start),
            "re" => {
                self.expect(".")?;
                let (name, at) = self.name("`search` or `match`")?;
                let function = match name.as_str() {
                    "search" => Function::Search,
                    "match" => Function::Match,
                    _ => return Err(unknown(at, "function of `re`", &name, ["search", "match"])),
                };
                self.call(&name, span.start, function, &[STR, STR], BOOL)
            }
            _ => {
                let known = ["results", "vars", "len", "int", "re", "xpath", "true", "false", "null"];
                Err(unknown(span, "name", word, known))
            }
        }
    }

    fn call(
        &mut self,
        name: &str,
        start: usize,
        function: Function,
        wanted: &[Types],
        types: Types,
    ) -> Parsed {
        let operands = self.arguments(name, wanted)?;
        if let (Function::Search | Function::Match, Some(pattern)) = (function, operands.first()) {
            regex(pattern)?;
        }
        let depth = operands.iter().map(|operand| operand.depth).max().unwrap_or_default();
        let operands = operands.into_iter().map(|operand| operand.expr).collect();
        self.made(Expr::Call(function, operands), types, start..self.before(), depth)
    }

    fn xpath(&mut self, start: usize) -> Parsed {
        self.expect("(")?;
        let span = self.here();
        let Some((Token::Str(text), _)) = self.tokens.get(self.at).cloned() else {
            return Err(self.unexpected("a path in quotes", None));
        };
        self.at += 1;
        let path = XPath::parse(&text).map_err(|message| ConditionError::syntax(span, message, None))?;
        self.expect(")")?;
        Ok(Typed { expr: Expr::XPath(path), types: BOOL, span: start..self.before(), depth: 1 })
    }

    /// Arguments in parentheses, one for each of `wanted`.
    fn arguments(&mut self, name: &str, wanted: &[Types]) -> Result<Vec<Typed>, ConditionError> {
        let start = self.here().start;
        self.expect("(")?;
        let mut found = Vec::new();
        if !self.take(")") {
            loop {
                found.push(self.or()?);
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        if found.len() != wanted.len() {
            let message = format!("`{name}` takes {} arguments, here are {}", wanted.len(), found.len());
            return Err(ConditionError::syntax(start..self.before(), message, None));
        }
        for (argument, wanted) in found.iter().zip(wanted) {
            if argument.types & wanted == 0 {
                let message = format!("`{name}` cannot take {}", named(argument.types));
                return Err(ConditionError::syntax(argument.span.clone(), message, None));
            }
        }
        Ok(found)
    }

    /// What stands for true or false.
    fn truth(&self, value: &Typed) -> Result<(), ConditionError> {
        if value.types & BOOL != 0 || self.dialect == Dialect::Legacy {
            return Ok(());
        }
        let message = format!("this has to be true or false, it is {}", named(value.types));
        Err(ConditionError::syntax(value.span.clone(), message, Some("compare it with something")))
    }

    fn binary(&self, op: Op, left: Typed, right: Typed, types: Types) -> Parsed {
        let (span, depth) = (left.span.start..right.span.end, left.depth.max(right.depth));
        self.made(Expr::Binary(op, Box::new(left.expr), Box::new(right.expr)), types, span, depth)
    }

    /// A tree over others, the deepest of which has `depth` levels.
    fn made(&self, expr: Expr, types: Types, span: Range<usize>, depth: usize) -> Parsed {
        if depth >= DEEPEST {
            let message = format!("the condition nests deeper than {DEEPEST} levels");
            return Err(ConditionError::syntax(span, message, Some("make several conditions of it")));
        }
        Ok(Typed { expr, types, span, depth: depth + 1 })
    }

    fn deeper(&mut self, part: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth >= DEEPEST_TEXT {
            let message = format!("the condition nests deeper than {DEEPEST_TEXT} levels");
            return Err(ConditionError::syntax(self.here(), message, None));
        }
        self.depth += 1;
        let parsed = part(self);
        self.depth -= 1;
        parsed
    }

    fn here(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    /// Where the last token ended.
    fn before(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |(_, span)| span.end)
    }

    fn word(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some((Token::Word(word), _)) => Some(word),
            _ => None,
        }
    }

    fn sign(&self) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some((Token::Sign(sign), _)) => Some(sign),
            _ => None,
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.word() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.sign() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ConditionError> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"), None)) }
    }

    fn name(&mut self, what: &str) -> Result<(String, Range<usize>), ConditionError> {
        let span = self.here();
        match self.word().map(ToOwned::to_owned) {
            Some(word) => {
                self.at += 1;
                Ok((word, span))
            }
            None => Err(self.unexpected(what, None)),
        }
    }

    fn unexpected(&self, wanted: &str, help: Option<&str>) -> ConditionError {
        let is = if self.at < self.tokens.len() { "something else" } else { "the end" };
        ConditionError::syntax(self.here(), format!("expected {wanted}, here is {is}"), help)
    }
}

fn unknown<'k>(
    span: Range<usize>,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> ConditionError {
    let known: Vec<&str> = known.into_iter().collect();
    let help = match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    ConditionError { code: UNKNOWN, span, message: format!("there is no {what} `{name}`"), help: Some(help) }
}

/// Looks at a regular expression, if it is known already.
fn regex(pattern: &Typed) -> Result<(), ConditionError> {
    let text = match &pattern.expr {
        Expr::Str(text) => match text.parts() {
            [] => "",
            [Part::Text(text)] => text,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Regex::new(text).map(drop).map_err(|error| ConditionError {
        code: "expect.bad-regex",
        span: pattern.span.clone(),
        message: format!("bad regular expression: {error}"),
        help: None,
    })
}
