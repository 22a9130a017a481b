//! The parameters of a step, and what the runner cannot call. Makes no tokens.

use proc_macro2::Span;
use syn::{Attribute, FnArg, LitStr, Meta, Pat, Signature, Type, ext::IdentExt};

use crate::{args, errors::Errors};

/// A parameter `name: &Type`.
pub(crate) struct Param {
    /// What it asks for by name; the underscore that marks an unused parameter is not part of it.
    pub(crate) name: String,
    /// What it asks for by role instead.
    pub(crate) role: Option<LitStr>,
    /// Whether it is given the case, and asks for nothing.
    pub(crate) is_case: bool,
    pub(crate) ty: Type,
    /// Where its `&` stands.
    pub(crate) reference: Span,
}

/// The step's parameters, of which one is given the case if there are some; a mistake in one does not hide those of the
/// others.
pub(crate) fn params(signature: &mut Signature, has_cases: bool, errors: &mut Errors) -> Vec<Param> {
    if let Some(token) = &signature.constness {
        errors.at(token, "a step cannot be `const`");
    }
    if let Some(token) = &signature.unsafety {
        errors.at(token, "a step cannot be `unsafe`");
    }
    if let Some(token) = &signature.abi {
        errors.at(token, "a step cannot have another ABI");
    }
    if !signature.generics.params.is_empty() {
        errors.at(&signature.generics, "a step cannot be generic: the runner calls it");
    }
    if let Some(token) = &signature.variadic {
        errors.at(token, "a step cannot be variadic");
    }
    let mut given = Vec::new();
    let params = signature.inputs.iter_mut().filter_map(|input| param(input, &mut given, errors)).collect();
    match given.split_first() {
        None if has_cases => errors.at(
            &signature.ident,
            "nothing is given the case: mark the parameter that is, `#[case] value: &Type`",
        ),
        Some((first, _)) if !has_cases => {
            errors.at(
                first,
                "there are no cases: write #[test(case(name = value, ..))] or #[test(values(..))]",
            );
        }
        Some((_, others)) => others.iter().for_each(|other| {
            errors.at(other, "one parameter is given the case; it can be a tuple, or a type of your own");
        }),
        None => {}
    }
    params
}

/// Reads a parameter; its `#[case]`, if it has one, goes to `given`.
fn param(input: &mut FnArg, given: &mut Vec<Attribute>, errors: &mut Errors) -> Option<Param> {
    let typed = match input {
        FnArg::Typed(typed) => typed,
        FnArg::Receiver(receiver) => {
            errors.at(receiver, "a step is a free function; parameters are written `name: &Type`");
            return None;
        }
    };
    let role = take_role(&mut typed.attrs, errors);
    let is_case = take_case(&mut typed.attrs, given, errors);
    if let (true, Some(role)) = (is_case, &role) {
        errors.at(role, "what is given the case is no machine, and has no role");
    }
    let name = match &*typed.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.mutability.is_none() && pat.subpat.is_none() => {
            let name = pat.ident.unraw().to_string();
            name.strip_prefix('_').map(str::to_owned).unwrap_or(name)
        }
        pat => {
            errors.at(pat, "parameters are written `name: &Type`");
            return None;
        }
    };
    match &*typed.ty {
        Type::Reference(reference) if reference.mutability.is_none() && reference.lifetime.is_none() => {
            let (ty, reference) = ((*reference.elem).clone(), reference.and_token.span);
            Some(Param { name, role, is_case, ty, reference })
        }
        ty => {
            errors.at(ty, "parameters are shared references, `name: &Type`; the runner keeps the value");
            None
        }
    }
}

/// Takes `#[role(..)]` from a parameter.
fn take_role(attrs: &mut Vec<Attribute>, errors: &mut Errors) -> Option<LitStr> {
    let roles = take(attrs, "role");
    for second in roles.iter().skip(1) {
        errors.at(second, "a parameter is of one role");
    }
    roles.first().and_then(|attr| args::role(attr, errors))
}

/// Takes `#[case]` from a parameter.
fn take_case(attrs: &mut Vec<Attribute>, given: &mut Vec<Attribute>, errors: &mut Errors) -> bool {
    for values in take(attrs, "values") {
        errors.at(values, "values stand in the mark of the function: #[test(values(..))]");
    }
    let cases = take(attrs, "case");
    for attr in &cases {
        if !matches!(attr.meta, Meta::Path(_)) {
            errors.at(attr, "write #[case]; the cases stand in the mark: #[test(case(name = value, ..))]");
        }
    }
    let is_case = !cases.is_empty();
    given.extend(cases);
    is_case
}

fn take(attrs: &mut Vec<Attribute>, name: &str) -> Vec<Attribute> {
    let (taken, others) = std::mem::take(attrs).into_iter().partition(|attr| attr.path().is_ident(name));
    *attrs = others;
    taken
}
