//! What stands in the attributes: arguments as values. Does not look across items.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Token, parse::Parser, punctuated::Punctuated,
};

use crate::{
    arguments::OF_SUITES,
    cases::{self, Case},
    errors::{Errors, suggestion},
    needs::{Need, needs},
    text::{date, is_word, text, timeout},
};

/// Arguments of `#[suite]`.
#[derive(Default)]
pub(crate) struct SuiteArgs {
    pub(crate) env: Option<LitStr>,
    pub(crate) cvp: Option<PortalArg>,
    pub(crate) changes: Option<LitStr>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) if_var: Option<LitStr>,
    pub(crate) stop_on_failure: bool,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) needs: Vec<Need>,
    /// Where the library is, for who has it under another name.
    pub(crate) library: Option<Path>,
}

/// `cvp`, alone or with a file.
pub(crate) enum PortalArg {
    /// The portal that is configured, or one with devices to play with.
    Any,
    /// One that begins with the state in this file, unless another is configured.
    State(LitStr),
}

/// Arguments of `#[test]`, `#[setup]` and `#[teardown]`; the last takes a `timeout` alone.
#[derive(Default)]
pub(crate) struct StepArgs {
    pub(crate) after: Vec<Ident>,
    pub(crate) from: Option<Ident>,
    pub(crate) always: bool,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) retries: u32,
    pub(crate) cases: Vec<Case>,
    /// Whether cases are given, right or wrong.
    pub(crate) is_cased: bool,
    pub(crate) needs: Vec<Need>,
    pub(crate) expect_fail: Option<ExpectFail>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cached: bool,
}

/// A failure that is known.
pub(crate) struct ExpectFail {
    /// The last day of it.
    pub(crate) until: LitStr,
    pub(crate) reason: LitStr,
}

/// Reads the arguments of `#[suite(..)]`.
pub(crate) fn suite(tokens: TokenStream, errors: &mut Errors) -> SuiteArgs {
    let mut args = SuiteArgs::default();
    each(tokens, &names_of(OF_SUITES), errors, |word, meta, errors| match word {
        "env" => args.env = text(meta, "env = \"demo.yaml\"", errors),
        "cvp" => args.cvp = portal(meta, errors),
        "changes" => args.changes = text(meta, "changes = \"changes.yaml\"", errors),
        "if_var" => args.if_var = text(meta, "if_var = \"RUN_SLOW\"", errors),
        "stop_on_failure" => args.stop_on_failure = flag(word, meta, errors),
        "tags" => args.tags = tags(meta, errors),
        "needs" => args.needs = needs(meta, errors),
        "crate" => args.library = library(meta, errors),
        _ => args.timeout = timeout(meta, errors),
    });
    args
}

/// Reads the arguments of a function's attribute; `known` are those it takes.
pub(crate) fn step(attr: &Attribute, known: &[(&str, &str, &str)], errors: &mut Errors) -> StepArgs {
    let mut args = StepArgs::default();
    let tokens = match &attr.meta {
        Meta::Path(_) => return args,
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(pair) => {
            errors.at(pair, "arguments go in parentheses");
            return args;
        }
    };
    each(tokens, &names_of(known), errors, |word, meta, errors| match word {
        "after" => args.after = names(word, meta, errors),
        "from" => args.from = one(word, meta, errors),
        "always" => args.always = flag(word, meta, errors),
        "cached" => args.cached = flag(word, meta, errors),
        "tags" => args.tags = tags(meta, errors),
        "retries" => args.retries = retries(meta, errors),
        "needs" => args.needs = needs(meta, errors),
        "expect_fail" => args.expect_fail = expect_fail(meta, errors),
        "case" | "values" => {
            if std::mem::replace(&mut args.is_cased, true) {
                return errors.at(meta.path(), "a scenario has `case(..)` or `values(..)`, not both");
            }
            let read = if word == "case" { cases::named } else { cases::values };
            args.cases = read(meta, errors);
        }
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

fn names_of<'a>(arguments: &[(&'a str, &str, &str)]) -> Vec<&'a str> {
    arguments.iter().map(|(name, ..)| *name).collect()
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

fn flag(word: &str, meta: &Meta, errors: &mut Errors) -> bool {
    let is_alone = matches!(meta, Meta::Path(_));
    if !is_alone {
        errors.at(meta, format!("write {word}, without a value"));
    }
    is_alone
}

fn portal(meta: &Meta, errors: &mut Errors) -> Option<PortalArg> {
    match meta {
        Meta::Path(_) => Some(PortalArg::Any),
        meta => text(meta, "cvp or cvp = \"portal.json\"", errors).map(PortalArg::State),
    }
}

fn library(meta: &Meta, errors: &mut Errors) -> Option<Path> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Path(path) = &pair.value
    {
        return Some(path.path.clone());
    }
    errors.at(meta, "write crate = path::to::polder, a path without quotes");
    None
}

/// The one scenario that is named.
fn one(word: &str, meta: &Meta, errors: &mut Errors) -> Option<Ident> {
    let mut names = names(word, meta, errors).into_iter();
    let first = names.next();
    for other in names {
        errors.at(other, "a scenario begins in one state: `from` names one, `after` can name others");
    }
    first
}

fn names(word: &str, meta: &Meta, errors: &mut Errors) -> Vec<Ident> {
    let list = meta
        .require_list()
        .and_then(|list| list.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated));
    match list {
        Ok(names) if !names.is_empty() => return names.into_iter().collect(),
        Ok(_) => errors.at(meta, format!("write {word}(earlier_scenario)")),
        Err(error) => errors.push(quoted(meta).unwrap_or(error)),
    }
    Vec::new()
}

/// A better message for `after("name")` and `from("name")`.
fn quoted(meta: &Meta) -> Option<syn::Error> {
    let literal: LitStr = meta.require_list().ok()?.parse_args().ok()?;
    Some(syn::Error::new(literal.span(), "name the scenario without quotes"))
}

fn tags(meta: &Meta, errors: &mut Errors) -> Vec<LitStr> {
    let list = meta.require_list();
    let parsed =
        list.and_then(|list| list.parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated));
    let mut tags: Vec<LitStr> = Vec::new();
    match parsed {
        Ok(found) if !found.is_empty() => {
            for tag in found {
                if !is_word(&tag.value()) {
                    errors.at(&tag, "a tag is one word, such as \"slow\"");
                } else if tags.iter().any(|known| known.value() == tag.value()) {
                    errors.at(&tag, format!("the tag `{}` is given twice", tag.value()));
                } else {
                    tags.push(tag);
                }
            }
        }
        _ => errors.at(meta, "write tags(\"slow\", \"network\")"),
    }
    tags
}

fn retries(meta: &Meta, errors: &mut Errors) -> u32 {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = &pair.value
        && let Ok(number @ 1..=99) = number.base10_parse()
    {
        return number;
    }
    errors.at(meta, "write retries = 2: how often it is tried again when it fails, 1 to 99 times");
    0
}

fn expect_fail(meta: &Meta, errors: &mut Errors) -> Option<ExpectFail> {
    const FORM: &str = "write expect_fail(until = \"2027-01-31\", reason = \"what is known\")";
    let Meta::List(arguments) = meta else {
        errors.at(meta, FORM);
        return None;
    };
    let (mut until, mut reason) = (None, None);
    let mut seen = Vec::new();
    each(arguments.tokens.clone(), &["until", "reason"], errors, |word, meta, errors| {
        seen.push(word.to_owned());
        match word {
            "until" => until = date(meta, errors),
            _ => reason = text(meta, "reason = \"what is known\"", errors),
        }
    });
    if seen.len() < 2 {
        errors.at(meta, FORM);
    }
    if let Some(blank) = reason.as_ref().filter(|reason| reason.value().trim().is_empty()) {
        errors.at(blank, "say why: whoever reads the report has to know");
    }
    Some(ExpectFail { until: until?, reason: reason? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::OF_SCENARIOS;

    fn of_suite(tokens: &str) -> Vec<String> {
        let mut errors = Errors::default();
        suite(tokens.parse().unwrap(), &mut errors);
        errors.messages()
    }

    fn of_step(tokens: &str) -> (StepArgs, Vec<String>) {
        let attr: TokenStream = format!("test({tokens})").parse().unwrap();
        let mut errors = Errors::default();
        let args = step(&syn::parse_quote!(#[#attr]), OF_SCENARIOS, &mut errors);
        (args, errors.messages())
    }

    #[test]
    fn every_wrong_argument_is_reported() {
        let known = "(known: `env`, `cvp`, `changes`, `timeout`, `needs`, `tags`, `stop_on_failure`, `if_var` and `crate`)";
        assert_eq!(
            of_suite("evn = \"x\", timeout = 5, timeout = \"1s\", whatever, cvp = 7, stop_on_failure = true"),
            [
                format!("unknown argument; did you mean `env`? {known}").as_str(),
                "write timeout = \"30s\"",
                "`timeout` is given twice",
                format!("unknown argument {known}").as_str(),
                "write cvp or cvp = \"portal.json\"",
                "write stop_on_failure, without a value",
            ]
        );
        let right = "env = \"demo.yaml\", timeout = \"10m\", cvp, stop_on_failure, crate = a::b,";
        assert_eq!(of_suite(right), [""; 0]);
        assert_eq!(of_suite("cvp = \"portal.json\", needs(kvm), tags(\"slow\")"), [""; 0]);
        assert_eq!(of_suite("changes = \"changes.yaml\""), [""; 0]);
        assert_eq!(of_suite("changes"), ["write changes = \"changes.yaml\""]);
        assert_eq!(of_suite("crate = \"a\", tags(slow)").len(), 2);
    }

    #[test]
    fn arguments_of_scenarios_are_values() {
        let (args, errors) = of_step(
            "after(a, b), always, tags(\"x\", \"y\"), retries = 3, values(1, 2), \
             expect_fail(reason = \"bug 7\", until = \"2027-01-31\")",
        );
        assert_eq!(errors, [""; 0]);
        assert_eq!((args.after.len(), args.always, args.tags.len(), args.retries), (2, true, 2, 3));
        assert_eq!(args.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        let expected = args.expect_fail.unwrap();
        assert_eq!((expected.until.value(), expected.reason.value()), ("2027-01-31".into(), "bug 7".into()));
    }

    #[test]
    fn a_scenario_is_from_one() {
        let (args, errors) = of_step("from(a), after(b)");
        assert_eq!((args.from.unwrap().to_string().as_str(), args.after.len(), errors.len()), ("a", 1, 0));
        let (args, errors) = of_step("from(a, b, c)");
        assert_eq!((args.from.unwrap().to_string().as_str(), errors.len()), ("a", 2));
        let wrong = ["from", "from()", "from = a", "from(\"a\")", "from(a::b)", "from(1)"];
        for wrong in wrong {
            let (args, errors) = of_step(wrong);
            assert!(args.from.is_none() && errors.len() == 1, "{wrong}: {errors:?}");
        }
        assert_eq!(of_step("from()").1, ["write from(earlier_scenario)"]);
    }

    #[test]
    fn wrong_arguments_of_scenarios_are_told_all_at_once() {
        let (_, errors) = of_step(
            "always = 1, tags(\"a b\", \"c\", \"c\"), retries = 0, case(a = 1), values(1), \
             expect_fail(until = \"soon\", because = \"x\")",
        );
        assert_eq!(errors.len(), 8, "{errors:#?}");
        for retries in ["retries = 100", "retries(2)", "retries = \"2\"", "retries = -1", "retries"] {
            assert!(of_step(retries).1[0].starts_with("write retries = 2"), "{retries}");
        }
        for known in ["expect_fail", "expect_fail = \"x\"", "expect_fail(reason = \"x\")", "expect_fail()"] {
            assert!(of_step(known).1[0].starts_with("write expect_fail(until"), "{known}");
        }
        assert_eq!(of_step("expect_fail(reason = \" \", until = \"2027-01-01\")").1.len(), 1);
    }
}
