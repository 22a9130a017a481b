//! `case(..)` and `values(..)`: one function as several scenarios.

use syn::{
    Expr, ExprLit, ExprUnary, Ident, Lit, Meta, Token, UnOp,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::{errors::Errors, text::is_word};

/// How they are written.
const CASE: &str = "write case(small = 512, large = 9000): names of cases and what the function is given";
const VALUES: &str = "write values(512, 9000): what the function is given, one after the other";

/// A scenario of several that are one function.
pub(crate) struct Case {
    /// What distinguishes it in the name of the scenario.
    pub(crate) name: String,
    /// What the function is given.
    pub(crate) value: Expr,
}

/// `name = value`.
struct Named {
    name: Ident,
    value: Expr,
}

impl Parse for Named {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        input.parse::<Token![=]>()?;
        Ok(Self { name, value: input.parse()? })
    }
}

/// Reads `case(name = value, ..)`.
pub(crate) fn named(meta: &Meta, errors: &mut Errors) -> Vec<Case> {
    let list = meta.require_list();
    let parsed = list.and_then(|l| l.parse_args_with(Punctuated::<Named, Token![,]>::parse_terminated));
    let mut cases: Vec<Case> = Vec::new();
    match parsed {
        Ok(named) if !named.is_empty() => {
            for Named { name, value } in named {
                let text = name.unraw().to_string();
                if cases.iter().any(|case| case.name == text) {
                    errors.at(&name, format!("there is already a case `{text}`"));
                } else {
                    cases.push(Case { name: text, value });
                }
            }
        }
        _ => errors.at(meta, CASE),
    }
    cases
}

/// Reads `values(value, ..)`; each is named after itself.
pub(crate) fn values(meta: &Meta, errors: &mut Errors) -> Vec<Case> {
    let list = meta.require_list();
    let parsed = list.and_then(|l| l.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated));
    let mut cases: Vec<Case> = Vec::new();
    match parsed {
        Ok(values) if !values.is_empty() => {
            for value in values {
                match label(&value) {
                    None => errors.at(
                        &value,
                        "no short name can be made of this value; give it one: case(name = value)",
                    ),
                    Some(name) if cases.iter().any(|case| case.name == name) => errors.at(
                        &value,
                        format!(
                            "there is already a value called `{name}`; give it a name: case(name = value)"
                        ),
                    ),
                    Some(name) => cases.push(Case { name, value }),
                }
            }
        }
        _ => errors.at(meta, VALUES),
    }
    cases
}

/// What a value is called: literals as they read, constants and variants by their last name.
fn label(value: &Expr) -> Option<String> {
    let text = match value {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => text.value(),
            Lit::Int(number) => number.base10_digits().to_owned(),
            Lit::Float(number) => number.base10_digits().to_owned(),
            Lit::Bool(truth) => truth.value.to_string(),
            Lit::Char(letter) => letter.value().to_string(),
            _ => return None,
        },
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => format!("-{}", label(expr)?),
        Expr::Path(path) => path.path.segments.last()?.ident.unraw().to_string(),
        _ => return None,
    };
    is_word(&text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> (Vec<String>, Vec<String>) {
        let mut errors = Errors::default();
        let meta: Meta = syn::parse_str(list).unwrap();
        let read = if meta.path().is_ident("case") { named } else { values };
        let cases = read(&meta, &mut errors);
        (cases.into_iter().map(|case| case.name).collect(), errors.messages())
    }

    #[test]
    fn names_are_visible_and_stable() {
        assert_eq!(
            read("case(small = 512, r#in = (1, \"a\"), else = Mtu { n: 3 },)").0,
            ["small", "in", "else"]
        );
        let (names, errors) = read("values(512, 1_500u16, -3, 0.5, \"v4\", 'x', true, MTU, Size::Jumbo)");
        assert_eq!(errors, [""; 0]);
        assert_eq!(names, ["512", "1500", "-3", "0.5", "v4", "x", "true", "MTU", "Jumbo"]);
    }

    #[test]
    fn what_has_no_name_or_one_twice_is_refused() {
        let (names, errors) = read("values(1, \"fd00::1\", (1, 2), \"\", 1u8, f(3))");
        assert_eq!(names, ["1"]);
        assert_eq!(errors.len(), 5, "{errors:#?}");
        assert_eq!(read("case(a = 1, a = 2)").1, ["there is already a case `a`"]);
        for list in ["case", "case()", "case(1, 2)", "case = 1"] {
            assert_eq!(read(list).1, [CASE], "{list}");
        }
        for list in ["values", "values()", "values(a = = 1)"] {
            assert_eq!(read(list).1, [VALUES], "{list}");
        }
    }
}
