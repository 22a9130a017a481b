//! What stands in the attributes: arguments as values. Does not look across items.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Token, parenthesized,
    parse::{ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::errors::{Errors, suggestion};

/// Arguments of `#[suite]`.
#[derive(Default)]
pub(crate) struct SuiteArgs {
    pub(crate) env: Option<LitStr>,
    pub(crate) cvp: Option<PortalArg>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) if_var: Option<LitStr>,
}

/// `cvp`, alone or with a file.
pub(crate) enum PortalArg {
    /// The portal that is configured, or one with devices to play with.
    Any,
    /// One that begins with the state in this file, unless another is configured.
    State(LitStr),
}

/// Arguments of `#[test]`, `#[setup]` and `#[teardown]`; the last two take a `timeout` alone.
#[derive(Default)]
pub(crate) struct StepArgs {
    pub(crate) after: Vec<Ident>,
    pub(crate) needs: Vec<Capability>,
    pub(crate) timeout: Option<Duration>,
}

/// Something a machine must be capable of.
pub(crate) struct Capability {
    /// The role of the machine, if that matters.
    pub(crate) role: Option<Ident>,
    pub(crate) name: LitStr,
}

/// Reads the arguments of `#[suite(..)]`.
pub(crate) fn suite(tokens: TokenStream, errors: &mut Errors) -> SuiteArgs {
    let mut args = SuiteArgs::default();
    each(tokens, &["env", "cvp", "timeout", "if_var"], errors, |word, meta, errors| match word {
        "env" => args.env = text(meta, "env = \"demo.yaml\"", errors),
        "cvp" => args.cvp = portal(meta, errors),
        "if_var" => args.if_var = text(meta, "if_var = \"RUN_SLOW\"", errors),
        _ => args.timeout = timeout(meta, errors),
    });
    args
}

/// Reads the arguments of a function's attribute; `known` are those it takes.
pub(crate) fn step(attr: &Attribute, known: &[&str], errors: &mut Errors) -> StepArgs {
    let mut args = StepArgs::default();
    let tokens = match &attr.meta {
        Meta::Path(_) => return args,
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(pair) => {
            errors.at(pair, "arguments go in parentheses");
            return args;
        }
    };
    each(tokens, known, errors, |word, meta, errors| match word {
        "after" => args.after = names(meta, errors),
        "needs" => args.needs = capabilities(meta, errors),
        _ => args.timeout = timeout(meta, errors),
    });
    args
}

/// Reads `#[role("server")]` of a parameter.
pub(crate) fn role(attr: &Attribute, errors: &mut Errors) -> Option<LitStr> {
    match attr.meta.require_list().and_then(|list| list.parse_args::<LitStr>()) {
        Ok(role) => Some(role),
        Err(_) => {
            errors.at(attr, "write #[role(\"server\")]");
            None
        }
    }
}

/// Reads `#[ignore]` or `#[ignore = "why"]`; the outer option says whether it is there.
pub(crate) fn ignore(attr: &Attribute, errors: &mut Errors) -> Option<LitStr> {
    match &attr.meta {
        Meta::Path(_) => None,
        meta => text(meta, "#[ignore] or #[ignore = \"why\"]", errors),
    }
}

fn each(
    tokens: TokenStream,
    known: &[&str],
    errors: &mut Errors,
    mut take: impl FnMut(&str, &Meta, &mut Errors),
) {
    let metas = match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(metas) => metas,
        Err(error) => return errors.push(error),
    };
    let mut seen = Vec::new();
    for meta in &metas {
        let word = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
        if !known.contains(&word.as_str()) {
            let hint = suggestion(&word, known.iter().copied());
            errors.at(meta.path(), format!("unknown argument{hint} (known: {})", list(known)));
        } else if seen.contains(&word) {
            errors.at(meta.path(), format!("`{word}` is given twice"));
        } else {
            take(&word, meta, errors);
            seen.push(word);
        }
    }
}

/// "`a`, `b` and `c`".
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

fn text(meta: &Meta, form: &str, errors: &mut Errors) -> Option<LitStr> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
    {
        return Some(text.clone());
    }
    errors.at(meta, format!("write {form}"));
    None
}

fn portal(meta: &Meta, errors: &mut Errors) -> Option<PortalArg> {
    match meta {
        Meta::Path(_) => Some(PortalArg::Any),
        meta => text(meta, "cvp or cvp = \"portal.json\"", errors).map(PortalArg::State),
    }
}

fn names(meta: &Meta, errors: &mut Errors) -> Vec<Ident> {
    let list = meta
        .require_list()
        .and_then(|list| list.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated));
    match list {
        Ok(names) if !names.is_empty() => return names.into_iter().collect(),
        Ok(_) => errors.at(meta, "write after(earlier_scenario)"),
        Err(error) => errors.push(quoted(meta).unwrap_or(error)),
    }
    Vec::new()
}

/// `needs("ipv6", router("bgp", "ospf"))`.
fn capabilities(meta: &Meta, errors: &mut Errors) -> Vec<Capability> {
    let list = meta.require_list().and_then(|list| list.parse_args_with(capability_list));
    match list {
        Ok(capabilities) if !capabilities.is_empty() => capabilities,
        _ => {
            errors.at(meta, "write needs(\"ipv6\") or needs(router(\"bgp\"))");
            Vec::new()
        }
    }
}

fn capability_list(input: ParseStream<'_>) -> syn::Result<Vec<Capability>> {
    let mut capabilities = Vec::new();
    while !input.is_empty() {
        if input.peek(LitStr) {
            capabilities.push(Capability { role: None, name: input.parse()? });
        } else {
            let role: Ident = input.parse()?;
            let content;
            parenthesized!(content in input);
            let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
            if names.is_empty() {
                return Err(content.error("name what it must be capable of"));
            }
            let of_role = |name| Capability { role: Some(role.clone()), name };
            capabilities.extend(names.into_iter().map(of_role));
        }
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(capabilities)
}

/// A better message for `after("name")`.
fn quoted(meta: &Meta) -> Option<syn::Error> {
    let literal: LitStr = meta.require_list().ok()?.parse_args().ok()?;
    Some(syn::Error::new(literal.span(), "name the scenario without quotes"))
}

fn timeout(meta: &Meta, errors: &mut Errors) -> Option<Duration> {
    let text = text(meta, "timeout = \"30s\"", errors)?;
    match duration(&text.value()) {
        Some(duration) => Some(duration),
        None => {
            errors.push(syn::Error::new(
                text.span(),
                "not a time; write a whole number above 0 and one of `ms`, `s`, `m`, `h`, such as \"90s\"",
            ));
            None
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    // More than a century is a mistake, and would overflow the clock's arithmetic later.
    let total = number.checked_mul(milliseconds).filter(|&ms| ms > 0 && ms < 100 * 366 * 24 * 3_600_000)?;
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("10m", Some(600_000)),
            ("2h", Some(7_200_000)),
            ("0s", None),
            ("s", None),
            ("", None),
            ("10", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("10S", None),
            ("99999999999999999999h", None),
            ("999999999999h", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    fn messages(tokens: &str) -> Vec<String> {
        let mut errors = Errors::default();
        suite(tokens.parse().unwrap(), &mut errors);
        errors.messages()
    }

    #[test]
    fn every_wrong_argument_is_reported() {
        assert_eq!(
            messages("evn = \"x\", timeout = 5, timeout = \"1s\", whatever, cvp = 7"),
            [
                "unknown argument; did you mean `env`? (known: `env`, `cvp`, `timeout` and `if_var`)",
                "write timeout = \"30s\"",
                "`timeout` is given twice",
                "unknown argument (known: `env`, `cvp`, `timeout` and `if_var`)",
                "write cvp or cvp = \"portal.json\"",
            ]
        );
        assert_eq!(messages("env = \"demo.yaml\", timeout = \"10m\", cvp,"), [""; 0]);
        assert_eq!(messages("cvp = \"portal.json\""), [""; 0]);
    }
}
