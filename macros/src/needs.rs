//! `needs(..)`: what has to be there for a scenario to be run. Does not know what is there.

use proc_macro2::Span;
use syn::{LitStr, Meta, Token, ext::IdentExt, parse::ParseStream, punctuated::Punctuated, spanned::Spanned};

use crate::{
    errors::{Errors, suggestion},
    text::{memory, text},
};

/// How needs are written.
const FORM: &str =
    "write needs(kvm, memory = \"4G\", tool = \"xmllint\"): one or more of what has to be there";
const KNOWN: [&str; 6] = ["kvm", "cvp", "memory", "tool", "role", "capability"];

/// Something that has to be there.
pub(crate) struct Need {
    /// Where it stands.
    pub(crate) span: Span,
    pub(crate) what: What,
}

/// What has to be there.
pub(crate) enum What {
    /// KVM that works.
    Kvm,
    /// A portal that is configured.
    Portal,
    /// That much memory of the host that is free, in MiB.
    Memory(u64),
    /// A program of the host.
    Tool(LitStr),
    /// A machine of this role.
    Role(LitStr),
    /// Something a machine must be capable of, one of a role where one is named.
    Capability { role: Option<String>, name: LitStr },
}

impl Need {
    /// Whether only machines can have it.
    pub(crate) fn is_of_machines(&self) -> bool {
        matches!(self.what, What::Role(_) | What::Capability { .. })
    }
}

/// One entry of the list, as it is written.
enum Entry {
    Bare(LitStr),
    Meta(Box<Meta>),
}

/// Reads `needs(..)`.
pub(crate) fn needs(meta: &Meta, errors: &mut Errors) -> Vec<Need> {
    let entries = match meta {
        Meta::List(list) => list.parse_args_with(entries),
        _ => return refuse(meta, errors),
    };
    let mut found: Vec<Need> = Vec::new();
    match entries {
        Ok(entries) if entries.is_empty() => return refuse(meta, errors),
        Ok(entries) => entries.iter().for_each(|entry| take(entry, &mut found, errors)),
        Err(error) => errors.push(error),
    }
    found
}

fn refuse(meta: &Meta, errors: &mut Errors) -> Vec<Need> {
    errors.at(meta, FORM);
    Vec::new()
}

fn entries(input: ParseStream<'_>) -> syn::Result<Vec<Entry>> {
    let entry = |input: ParseStream<'_>| {
        if input.peek(LitStr) {
            input.parse().map(Entry::Bare)
        } else {
            input.parse().map(Box::new).map(Entry::Meta)
        }
    };
    Ok(Punctuated::<Entry, Token![,]>::parse_terminated_with(input, entry)?.into_iter().collect())
}

fn take(entry: &Entry, found: &mut Vec<Need>, errors: &mut Errors) {
    let meta = match entry {
        Entry::Meta(meta) => &**meta,
        Entry::Bare(text) => return errors.at(text, format!("write capability = \"{}\"", text.value())),
    };
    let word = meta.path().get_ident().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    let what = match (word.as_str(), meta) {
        ("kvm", Meta::Path(_)) => Some(What::Kvm),
        ("cvp", Meta::Path(_)) => Some(What::Portal),
        ("kvm" | "cvp", _) => return errors.at(meta, format!("write {word}, without a value")),
        ("memory", _) => memory(meta, errors).map(What::Memory),
        ("tool", _) => tool(meta, errors).map(What::Tool),
        ("role", _) => text(meta, "role = \"router\"", errors).map(What::Role),
        ("capability", _) => {
            text(meta, "capability = \"ipv6\"", errors).map(|name| What::Capability { role: None, name })
        }
        (role, Meta::List(list)) if !role.is_empty() => {
            return match list.parse_args_with(Punctuated::<LitStr, Token![,]>::parse_terminated) {
                Ok(names) if !names.is_empty() => found.extend(names.into_iter().map(|name| Need {
                    span: meta.span(),
                    what: What::Capability { role: Some(role.to_owned()), name },
                })),
                _ => errors.at(
                    meta,
                    format!("write {role}(\"bgp\"): what machines of the role `{role}` must be capable of"),
                ),
            };
        }
        _ => return unknown(meta, &word, errors),
    };
    let Some(what) = what else { return };
    let once = |what: &What| std::mem::discriminant(what);
    let is_once = matches!(what, What::Kvm | What::Portal | What::Memory(_));
    if is_once && found.iter().any(|need| once(&need.what) == once(&what)) {
        return errors.at(meta.path(), format!("`{word}` is given twice"));
    }
    found.push(Need { span: meta.span(), what });
}

fn unknown(meta: &Meta, word: &str, errors: &mut Errors) {
    let hint = suggestion(word, KNOWN);
    errors.at(
        meta.path(),
        format!(
            "unknown need{hint} (known: `kvm`, `cvp`, `memory`, `tool`, `role` and `capability`; or a role and \
             what it must be capable of, such as `router(\"bgp\")`)"
        ),
    );
}

/// The name of a program: what is looked for in the folders of `PATH`.
fn tool(meta: &Meta, errors: &mut Errors) -> Option<LitStr> {
    let name = text(meta, "tool = \"xmllint\"", errors)?;
    if name.value().is_empty() || name.value().contains('/') {
        errors.at(&name, "a tool is named as it is called, without a path, such as \"xmllint\"");
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> (Vec<String>, Vec<String>) {
        let mut errors = Errors::default();
        let needs = needs(&syn::parse_str(list).unwrap(), &mut errors);
        let show = |need: &Need| match &need.what {
            What::Kvm => "kvm".to_owned(),
            What::Portal => "cvp".to_owned(),
            What::Memory(mib) => format!("{mib} MiB"),
            What::Tool(name) => format!("tool {}", name.value()),
            What::Role(name) => format!("role {}", name.value()),
            What::Capability { role, name } => format!("{role:?} can {}", name.value()),
        };
        (needs.iter().map(show).collect(), errors.messages())
    }

    #[test]
    fn everything_that_can_be_needed() {
        let (needs, errors) = read(
            "needs(kvm, cvp, memory = \"4G\", tool = \"a\", tool = \"b\", role = \"x-y\", capability = \"ipv6\", \
             router(\"bgp\", \"ospf\"),)",
        );
        assert_eq!(errors, [""; 0]);
        let expected = [
            "kvm",
            "cvp",
            "4096 MiB",
            "tool a",
            "tool b",
            "role x-y",
            "None can ipv6",
            "Some(\"router\") can bgp",
            "Some(\"router\") can ospf",
        ];
        assert_eq!(needs, expected);
    }

    #[test]
    fn one_mistake_does_not_hide_another() {
        let (needs, errors) = read(
            "needs(kvn, kvm = \"yes\", memory(\"4G\"), memory = \"lots\", tool = \"/bin/ls\", \"ipv6\", host(), cvp, cvp)",
        );
        assert_eq!(needs, ["cvp"]);
        assert_eq!(errors.len(), 8, "{errors:#?}");
        assert!(errors[0].starts_with("unknown need; did you mean `kvm`? (known: "), "{errors:#?}");
        for list in ["needs", "needs()", "needs = \"kvm\""] {
            assert_eq!(read(list).1, [FORM], "{list}");
        }
    }
}
