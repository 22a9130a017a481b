//! Marks that make a function a step of a suite, and where they cannot stand.

use syn::{Attribute, Item, ItemFn, ItemMod};

use crate::errors::Errors;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Test,
    Setup,
    Teardown,
}

const ROLES: [(&str, Role); 3] = [("test", Role::Test), ("setup", Role::Setup), ("teardown", Role::Teardown)];

pub(crate) fn role(attr: &Attribute) -> Option<Role> {
    ROLES.iter().find(|(word, _)| attr.path().is_ident(word)).map(|(_, role)| *role)
}

/// Attributes that make a test of another kind, or that the runner does not know. Those that nobody else knows are taken
/// away: that they are unknown need not be told as well.
pub(crate) fn refuse_foreign_tests(function: &mut ItemFn, errors: &mut Errors) {
    function.attrs.retain(|attr| {
        let last = attr.path().segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        match last.as_str() {
            "case" | "values" => {
                errors.at(attr.path(), format!("cases stand in the mark: #[test({last}(..))]"));
                return false;
            }
            "test" | "rstest" | "test_case" => errors.at(
                attr.path(),
                "a scenario is marked `#[test]`, async or not; the runner provides the rest",
            ),
            "should_panic" => {
                errors.at(attr.path(), "scenarios cannot be expected to panic; check for the error instead")
            }
            _ => {}
        }
        true
    });
}

/// Refuses `#[test]` and its like on what is no function, and in modules further in, where nothing would run them.
pub(crate) fn refuse_roles(item: &Item, errors: &mut Errors) {
    for attr in attributes(item) {
        if role(attr).is_some() {
            errors.at(attr, "only a function can be a step of a suite");
        }
    }
    let Item::Mod(ItemMod { content: Some((_, items)), .. }) = item else {
        return;
    };
    for inner in items {
        match inner {
            Item::Fn(function) => {
                for attr in function.attrs.iter().filter(|attr| role(attr).is_some()) {
                    errors.at(attr, "steps stand directly in the suite's module; this one would never run");
                }
            }
            other => refuse_roles(other, errors),
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
