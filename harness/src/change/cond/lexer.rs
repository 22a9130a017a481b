//! A condition's text to tokens with their places. What they mean together is not known here.

use std::ops::Range;

use super::{
    error::ConditionError,
    parse::{Dialect, UNRESOLVABLE},
};
use crate::change::text::{Part, Text, key};

/// A piece of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Int(i64),
    Float(f64),
    Str(Text),
    /// `%(key)s` outside a string.
    Var(String),
    Word(String),
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] = &["==", "!=", "<=", ">=", "=~", "!~", "<", ">", "+", "-", "(", ")", ",", "."];

/// All tokens, each with where it stands.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<(Token, Range<usize>)>, ConditionError> {
    let mut lexer = Lexer { text, at: 0, dialect };
    let mut found = Vec::new();
    loop {
        lexer.skip(char::is_whitespace);
        let start = lexer.at;
        let Some(token) = lexer.token()? else { return Ok(found) };
        found.push((token, start..lexer.at));
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    dialect: Dialect,
}

impl Lexer<'_> {
    fn token(&mut self) -> Result<Option<Token>, ConditionError> {
        let Some(c) = self.peek() else { return Ok(None) };
        let start = self.at;
        let token = match c {
            '\'' | '"' => {
                self.at += 1;
                Token::Str(self.string(c, start)?)
            }
            '%' => {
                let Some((name, length)) = key(self.rest()) else { return Err(self.stray_percent(start)) };
                let name = name.to_owned();
                self.at += length;
                Token::Var(name)
            }
            c if c.is_ascii_digit() => self.number()?,
            c if c.is_alphabetic() || c == '_' => {
                self.skip(|c| c.is_alphanumeric() || c == '_');
                Token::Word(self.text.get(start..self.at).unwrap_or_default().to_owned())
            }
            c => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Token::Sign(sign)
                }
                None => {
                    let span = start..start + c.len_utf8();
                    let help = match c {
                        '=' => Some("equality is `==`"),
                        '&' => Some("write `and`"),
                        '|' => Some("write `or`"),
                        '!' => Some("write `not`"),
                        _ => None,
                    };
                    return Err(ConditionError::syntax(span, format!("`{c}` means nothing here"), help));
                }
            },
        };
        Ok(Some(token))
    }

    fn number(&mut self) -> Result<Token, ConditionError> {
        let start = self.at;
        let mut whole = true;
        self.skip(|c| c.is_ascii_digit());
        if self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            whole = false;
            self.at += 1;
            self.skip(|c| c.is_ascii_digit());
        }
        if let Some(rest) = self.rest().strip_prefix(['e', 'E']) {
            let digits = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                whole = false;
                self.at += 1 + rest.len() - digits.len();
                self.skip(|c| c.is_ascii_digit());
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let number = if whole {
            text.parse().ok().map(Token::Int)
        } else {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Token::Float)
        };
        number.ok_or_else(|| {
            ConditionError::syntax(start..self.at, format!("the number {text} is too large"), None)
        })
    }

    /// The rest of a string that began with `quote` at `start`.
    fn string(&mut self, quote: char, start: usize) -> Result<Text, ConditionError> {
        let mut parts = Vec::new();
        loop {
            let at = self.at;
            let Some(c) = self.next() else {
                let message = format!("the string has no closing {quote}");
                return Err(ConditionError::syntax(start..self.text.len(), message, None));
            };
            match c {
                c if c == quote => return Ok(Text::from_parts(parts)),
                '\\' => self.escape(at, &mut parts)?,
                '%' => match key(self.text.get(at..).unwrap_or_default()) {
                    Some((name, length)) => {
                        self.at = at + length;
                        parts.push(Part::Key(name.to_owned()));
                    }
                    None if self.peek() == Some('%') => {
                        self.at += 1;
                        parts.push(Part::Text("%".to_owned()));
                    }
                    None => return Err(self.stray_percent(at)),
                },
                c => parts.push(Part::Text(c.into())),
            }
        }
    }

    fn escape(&mut self, at: usize, parts: &mut Vec<Part>) -> Result<(), ConditionError> {
        let c = self.next();
        let text = match c {
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('r') => "\r".to_owned(),
            Some(c @ ('\\' | '\'' | '"')) => c.into(),
            Some('x') => {
                let digits = self.rest().get(..2);
                let code = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(code) = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    let message = "`\\x` needs two hexadecimal digits".to_owned();
                    return Err(ConditionError::syntax(at..self.at, message, None));
                };
                self.at += 2;
                char::from(code).into()
            }
            // As Python has it; people wrote regular expressions like that.
            Some(c) if self.dialect == Dialect::Legacy => format!("\\{c}"),
            _ => {
                let message = format!("there is no escape `\\{}`", c.map(String::from).unwrap_or_default());
                return Err(ConditionError::syntax(
                    at..self.at,
                    message,
                    Some("a backslash is written `\\\\`"),
                ));
            }
        };
        parts.push(Part::Text(text));
        Ok(())
    }

    fn stray_percent(&self, at: usize) -> ConditionError {
        let help = "a variable is `%(name)s`, a percent sign in a string is `%%`".to_owned();
        ConditionError {
            code: UNRESOLVABLE,
            span: at..at + 1,
            message: "this `%` begins no variable".to_owned(),
            help: Some(help),
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, fits: impl Fn(char) -> bool) {
        self.at += self.rest().len() - self.rest().trim_start_matches(fits).len();
    }
}
