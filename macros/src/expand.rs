//! From the model to tokens: a constant descriptor with function pointers, registered; no decisions.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Item, ReturnType, ext::IdentExt};

use crate::{
    args::Capability,
    envfile::EnvFile,
    errors::Errors,
    model::{Param, Scenario, Step, Suite},
};

/// The item as it was, and the mistakes.
pub(crate) fn unchanged(item: &TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    quote!(#item #errors)
}

/// The module with its steps registered; with mistakes, the plain module and the mistakes.
pub(crate) fn suite(mut suite: Suite, errors: Errors) -> TokenStream {
    let added = if errors.is_empty() {
        vec![Item::Verbatim(stubs(&suite)), Item::Verbatim(registration(&suite))]
    } else {
        suite.steps().map(|step| Item::Fn(step.function.clone())).collect()
    };
    if let Some((_, items)) = &mut suite.module.content {
        items.extend(added);
    }
    let module = suite.module;
    let errors = errors.into_tokens();
    quote!(#module #errors)
}

/// A libtest function of each scenario's path: editors offer it, and a target that runs it has forgotten
/// `harness = false`. Its tokens lie on those of the author that mean the same, for editors to show it there.
fn stubs(suite: &Suite) -> TokenStream {
    let stubs = suite.scenarios.iter().map(|Scenario { step, ignore, .. }| {
        let cfgs = step.cfgs();
        let test = quote_spanned!(step.mark=> #[::core::prelude::v1::test]);
        let ignore = ignore.as_ref().map(|_| quote_spanned!(step.mark=> #[ignore]));
        let (keyword, name) = (step.function.sig.fn_token, &step.function.sig.ident);
        let body = quote_spanned! {step.function.block.brace_token.span.open()=>
            () { ::polder::__private::forgotten_harness() }
        };
        quote!(#(#cfgs)* #test #ignore #keyword #name #body)
    });
    quote!(#(#stubs)*)
}

/// The steps themselves and their descriptor, in a scope of their own because the stubs have their names.
fn registration(suite: &Suite) -> TokenStream {
    let functions = suite.steps().map(|step| &step.function);
    let references = suite.scenarios.iter().map(references);
    let env = file(suite.env.as_ref());
    let cvp = option(suite.cvp.as_ref().map(|state| {
        let state = file(state.as_ref());
        quote!(::polder::__private::PortalDef { state: #state })
    }));
    let timeout = option(suite.timeout.map(time));
    let if_var = option(suite.if_var.as_ref().map(|name| quote!(#name)));
    let line = line(suite.module.ident.span());
    let setup = suite.setup.iter().map(step);
    let teardown = suite.teardown.iter().map(step);
    let scenarios = suite.scenarios.iter().map(scenario);
    quote! {
        const _: () = {
            #(#functions)*
            #(#references)*

            #[::polder::__private::linkme::distributed_slice(::polder::__private::SUITES)]
            #[linkme(crate = ::polder::__private::linkme)]
            static SUITE: ::polder::__private::SuiteDef = ::polder::__private::SuiteDef {
                module: ::core::module_path!(),
                file: ::core::file!(),
                line: #line,
                env: #env,
                cvp: #cvp,
                timeout: #timeout,
                if_var: #if_var,
                setup: &[#(#setup),*],
                teardown: &[#(#teardown),*],
                scenarios: &[#(#scenarios),*],
            };
        };
    }
}

fn file(file: Option<&EnvFile>) -> TokenStream {
    option(file.map(|EnvFile { literal, path }| {
        let path = path.clone().unwrap_or_else(|| literal.value());
        quote!(::polder::__private::EnvFile { path: #path, text: ::core::include_str!(#literal) })
    }))
}

/// Names in `after(..)` as paths, so that an editor can follow and rename them.
fn references(Scenario { step, after, .. }: &Scenario) -> TokenStream {
    if after.is_empty() {
        return TokenStream::new();
    }
    let cfgs = step.cfgs();
    quote!(#(#cfgs)* const _: fn() = || { #(let _ = #after;)* };)
}

fn scenario(Scenario { step: inner, after, needs, ignore }: &Scenario) -> TokenStream {
    let cfgs = inner.cfgs();
    let step = step_fields(inner);
    let after = after.iter().map(ToString::to_string);
    let needs = needs.iter().map(|Capability { role, name }| {
        let role = option(role.as_ref().map(|role| role.unraw().to_string()).map(|role| quote!(#role)));
        quote!(::polder::__private::Capability { role: #role, name: #name })
    });
    let ignore = match ignore {
        Some(Some(why)) => quote!(::polder::__private::Ignore::Because(#why)),
        Some(None) => quote!(::polder::__private::Ignore::Yes),
        None => quote!(::polder::__private::Ignore::No),
    };
    quote! {
        #(#cfgs)*
        ::polder::__private::ScenarioDef {
            step: #step,
            after: &[#(#after),*],
            needs: &[#(#needs),*],
            ignore: #ignore,
        }
    }
}

fn step(step: &Step) -> TokenStream {
    let cfgs = step.cfgs();
    let fields = step_fields(step);
    quote!(#(#cfgs)* #fields)
}

fn step_fields(step: &Step) -> TokenStream {
    let signature = &step.function.sig;
    let function = &signature.ident;
    let (name, line, timeout) = (step.name(), line(function.span()), option(step.timeout.map(time)));
    let params = step.params.iter().map(|Param { name, role, ty, .. }| {
        let role = option(role.as_ref().map(|role| quote!(#role)));
        quote! {
            ::polder::__private::Param {
                name: #name,
                role: #role,
                need: <#ty as ::polder::__private::FromSuite>::NEED,
            }
        }
    });
    let values: Vec<Ident> =
        (0..step.params.len()).map(|i| format_ident!("value{i}", span = Span::mixed_site())).collect();
    // On the `&`: where a type does not fit, the compiler's message should not underline the suite's attribute.
    let extractions = step.params.iter().enumerate().map(|(index, Param { ty, reference, .. })| {
        quote_spanned!(*reference=> ::polder::__private::extract::<#ty>(&cx, #index).await?)
    });
    let result = match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let plain = signature.asyncness.is_none();
    let call = if plain {
        quote!(::polder::__private::blocking(move || ::polder::__private::verdict::<#result>(#function(#(&#values),*))).await)
    } else {
        quote!(::polder::__private::verdict::<#result>(#function(#(&#values),*).await))
    };
    quote! {
        ::polder::__private::StepDef {
            name: #name,
            line: #line,
            params: &[#(#params),*],
            timeout: #timeout,
            plain: #plain,
            run: |cx| ::std::boxed::Box::pin(async move {
                #(let #values = #extractions;)*
                ::core::mem::drop(cx);
                #call
            }),
        }
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn time(duration: Duration) -> TokenStream {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#milliseconds))
}

/// The line of a token. `line!()` would give the attribute's.
fn line(span: Span) -> u32 {
    u32::try_from(span.start().line).unwrap_or_default()
}
