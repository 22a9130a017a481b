//! Reading Rust source just well enough to ask which paths it names. Pure; not a parser, and blind to what macros make.

/// The same text with comments, string contents and test-only items blanked out; lines stay where they are.
pub(crate) fn code(text: &str) -> String {
    without_tests(&without_prose(text))
}

/// A path named by the source, in full (`use a::{b, c::d}` names `a::b` and `a::c::d`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The line it stands on, from 1.
    pub(crate) line: usize,
    /// Its segments.
    pub(crate) path: Vec<String>,
}

/// Every path in `code` that begins with one of `roots`.
pub(crate) fn paths(code: &str, roots: &[&str]) -> Vec<Named> {
    let tokens = tokens(code);
    let mut found = vec![];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let inside = at > 0
            && tokens
                .get(at - 1)
                .is_some_and(|t| t.text == "::" || t.text == ".");
        let heads = tokens.get(at + 1).is_some_and(|t| t.text == "::");
        if !inside && heads && roots.contains(&token.text) {
            at = tree(&tokens, at, &mut vec![], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one use tree or path beginning at `at`; returns where it ends.
fn tree(tokens: &[Token<'_>], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Named>) -> usize {
    let depth = prefix.len();
    let mut line = tokens.get(at).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|t| t.text != "}") {
                let next = tree(tokens, at, prefix, found);
                at = if next == at { at + 1 } else { next };
                if tokens.get(at).is_some_and(|t| t.text == ",") {
                    at += 1;
                }
            }
            prefix.truncate(depth);
            return at + 1;
        }
        if !token.is_word() && token.text != "*" {
            break;
        }
        line = token.line;
        prefix.push(token.text.to_owned());
        at += 1;
        if tokens.get(at).is_none_or(|t| t.text != "::") {
            break;
        }
        at += 1;
    }
    if tokens.get(at).is_some_and(|t| t.text == "as") {
        at += 2;
    }
    if prefix.len() > depth {
        found.push(Named {
            line,
            path: prefix.clone(),
        });
    }
    prefix.truncate(depth);
    at
}

struct Token<'a> {
    line: usize,
    text: &'a str,
}

impl Token<'_> {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = vec![];
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                line: number + 1,
                text,
            });
            rest = after.trim_start();
        }
    }
    tokens
}

/// Blanks comments and what stands in string and character literals.
fn without_prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let (length, blank) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            (block_comment(rest), true)
        } else if let Some(length) = (!after_word).then(|| raw_string(rest)).flatten() {
            (length, true)
        } else if first == '"' {
            (string(rest), true)
        } else if let Some(length) = (first == '\'').then(|| character(rest)).flatten() {
            (length, true)
        } else {
            (first.len_utf8(), false)
        };
        let (piece, after) = rest.split_at(length);
        if blank {
            blank_into(piece, &mut out);
        } else {
            out.push_str(piece);
        }
        rest = after;
    }
    out
}

fn blank_into(piece: &str, out: &mut String) {
    out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(tail) = rest.get(at..) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            let Some(c) = tail.chars().next() else { break };
            at += c.len_utf8();
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let body = ["br", "cr", "r"]
        .iter()
        .find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body.get(hashes..)?.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = inner.find(&close).map_or(inner.len(), |i| i + close.len());
    Some(rest.len() - inner.len() + end)
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal, or `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
}

/// Blanks items under `#[cfg(test)]`; takes text without prose, so that braces and semicolons are what they seem.
fn without_tests(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, item)) = rest.split_once(MARK) {
        out.push_str(before);
        let length = item_length(item);
        let (item, after) = item.split_at(length);
        blank_into(MARK, &mut out);
        blank_into(item, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Up to the `;` or the closing brace that ends the item; other brackets are skipped whole (`[u8; 4]`, attributes).
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[&str]) {
        let found = paths(&code(source), &["crate", "super", "std", "tokio"]);
        let found: Vec<_> = found
            .iter()
            .map(|n| format!("{}:{}", n.line, n.path.join("::")))
            .collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn paths_are_found_in_full() {
        check("use crate::base::sys;", &["1:crate::base::sys"]);
        check(
            "use crate::{\n    base::{id::Mac, wait},\n    event::Usage as U,\n};",
            &[
                "2:crate::base::id::Mac",
                "2:crate::base::wait",
                "3:crate::event::Usage",
            ],
        );
        check(
            "fn f(x: crate::env::Env) -> std::io::Result<()> {}",
            &["1:crate::env::Env", "1:std::io::Result"],
        );
        check(
            "use std::{self, fs::*, io};",
            &["1:std::self", "1:std::fs::*", "1:std::io"],
        );
        check(
            "tokio::spawn(super::super::run())",
            &["1:tokio::spawn", "1:super::super::run"],
        );
        check("let x = Some::<crate::a::B>(c);", &["1:crate::a::B"]);
        check("use ::std::fs;", &[]);
        check("mycrate::base::x; a.crate::b", &[]);
    }

    #[test]
    fn prose_names_nothing() {
        check(
            "// crate::a::b\n/* crate::c /* crate::d */ crate::e */ crate::f::g",
            &["2:crate::f::g"],
        );
        check(
            r##"let s = "crate::a \" crate::b"; let r = r#"crate::c " crate::d"#; crate::e::f"##,
            &["1:crate::e::f"],
        );
        check(
            "let c = '\"'; let d = '\\''; fn f<'a>(x: &'a str) { crate::g::h(\"x\") }",
            &["1:crate::g::h"],
        );
        check("let bar\"\" = b\"crate::a\"; crate::k::l", &["1:crate::k::l"]);
    }

    #[test]
    fn test_code_names_nothing() {
        check(
            "use crate::a::b;\n#[cfg(test)]\nmod tests {\n use crate::c::d;\n fn f() { {} }\n}\nuse crate::e::f;",
            &["1:crate::a::b", "7:crate::e::f"],
        );
        check(
            "#[cfg(test)]\n#[path = \"x\"]\nuse crate::c::d;\nuse crate::e::f;",
            &["4:crate::e::f"],
        );
        check(
            "#[cfg(test)]\nfn f(a: [u8; 4]) { crate::c::d }\ncrate::e::f",
            &["3:crate::e::f"],
        );
        check("#[cfg(not(test))]\nuse crate::c::d;", &["2:crate::c::d"]);
    }

    #[test]
    fn unfinished_source_ends() {
        for source in [
            "use crate::{",
            "/* ",
            "\"",
            "r#\"",
            "'",
            "'\\",
            "#[cfg(test)]",
            "crate::",
            "use crate::{{",
            "use crate::{,}",
        ] {
            let _ = paths(&code(source), &["crate"]);
            assert_eq!(code(source).lines().count(), source.lines().count());
        }
    }
}
