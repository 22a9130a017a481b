//! From the model to tokens: a constant descriptor with function pointers, registered; no decisions.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{format_ident, quote, quote_spanned};
use syn::{Item, ReturnType, ext::IdentExt};

use crate::{
    args::ExpectFail,
    cases::Case,
    envfile::EnvFile,
    errors::Errors,
    model::{Scenario, Step, Suite},
    needs::{Need, What},
    signature::Param,
};

/// The item as it was, and the mistakes.
pub(crate) fn unchanged(item: &TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    quote!(#item #errors)
}

/// The module with its steps registered; with mistakes, the plain module and the mistakes.
pub(crate) fn suite(mut suite: Suite, errors: Errors) -> TokenStream {
    let added = if errors.is_empty() {
        let library = &suite.library;
        let expand = Expand { suite: &suite, private: quote!(#library::__private) };
        vec![Item::Verbatim(expand.stubs()), Item::Verbatim(expand.registration())]
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

struct Expand<'a> {
    suite: &'a Suite,
    /// The module of the library that has names for what is made here.
    private: TokenStream,
}

impl Expand<'_> {
    /// A libtest function of each scenario's path: editors offer it, and a target that runs it has forgotten
    /// `harness = false`. Its tokens lie on those of the author that mean the same, for editors to show it there.
    fn stubs(&self) -> TokenStream {
        let stubs = self.suite.scenarios.iter().map(|Scenario { step, ignore, .. }| {
            let cfgs = step.cfgs();
            let test = quote_spanned!(step.mark=> #[::core::prelude::v1::test]);
            let ignore = ignore.as_ref().map(|_| quote_spanned!(step.mark=> #[ignore]));
            let (keyword, name) = (step.function.sig.fn_token, &step.function.sig.ident);
            let brace = step.function.block.brace_token.span.open();
            let private = on(brace, &self.private);
            let body = quote_spanned! {brace=>
                () { #private::forgotten_harness() }
            };
            quote!(#(#cfgs)* #test #ignore #keyword #name #body)
        });
        quote!(#(#stubs)*)
    }

    /// The steps themselves and their descriptor, in a scope of their own because the stubs have their names.
    fn registration(&self) -> TokenStream {
        let Self { suite, private } = self;
        let functions = suite.steps().map(|step| &step.function);
        let references = suite.scenarios.iter().map(references);
        let env = self.file(suite.env.as_ref());
        let cvp = option(suite.cvp.as_ref().map(|state| {
            let state = self.file(state.as_ref());
            quote!(#private::PortalDef { state: #state })
        }));
        let changes = self.file(suite.changes.as_ref());
        let timeout = option(suite.timeout.map(time));
        let if_var = option(suite.if_var.as_ref().map(|name| quote!(#name)));
        let stop_on_failure = suite.stop_on_failure;
        let line = line(suite.module.ident.span());
        let setup = suite.setup.iter().map(|step| self.step(step));
        let teardown = suite.teardown.iter().map(|step| self.step(step));
        let scenarios = suite.scenarios.iter().map(|scenario| self.scenario(scenario));
        quote! {
            const _: () = {
                #(#functions)*
                #(#references)*

                #[#private::linkme::distributed_slice(#private::SUITES)]
                #[linkme(crate = #private::linkme)]
                static SUITE: #private::SuiteDef = #private::SuiteDef {
                    module: ::core::module_path!(),
                    file: ::core::file!(),
                    line: #line,
                    env: #env,
                    cvp: #cvp,
                    changes: #changes,
                    timeout: #timeout,
                    if_var: #if_var,
                    stop_on_failure: #stop_on_failure,
                    setup: &[#(#setup),*],
                    teardown: &[#(#teardown),*],
                    scenarios: &[#(#scenarios),*],
                };
            };
        }
    }

    fn file(&self, file: Option<&EnvFile>) -> TokenStream {
        let private = &self.private;
        option(file.map(|EnvFile { literal, path }| {
            let path = path.clone().unwrap_or_else(|| literal.value());
            quote!(#private::EnvFile { path: #path, text: ::core::include_str!(#literal) })
        }))
    }

    /// Its scenarios: one, or one for each case.
    fn scenario(&self, scenario: &Scenario) -> TokenStream {
        let names = scenario.names();
        let cases: Vec<Option<&Case>> = match scenario.cases.as_slice() {
            [] => vec![None],
            cases => cases.iter().map(Some).collect(),
        };
        let definitions = names.iter().zip(cases).map(|(name, case)| self.definition(scenario, name, case));
        quote!(#(#definitions),*)
    }

    fn definition(&self, scenario: &Scenario, name: &str, case: Option<&Case>) -> TokenStream {
        let private = &self.private;
        let Scenario { step, after, from, always, tags, retries, needs, expect_fail, ignore, .. } = scenario;
        let cfgs = step.cfgs();
        let step = self.step_fields(step, name, case);
        let is_meant = |other: &&Scenario| after.contains(&other.step.function.sig.ident);
        let after = self.suite.scenarios.iter().filter(is_meant).flat_map(Scenario::names);
        let from = option(from.as_ref().map(|name| {
            let name = name.unraw().to_string();
            quote!(#name)
        }));
        let mut all_tags: Vec<String> = self.suite.tags.iter().chain(tags).map(syn::LitStr::value).collect();
        all_tags.sort();
        all_tags.dedup();
        let needs = self.suite.needs.iter().chain(needs).map(|need| self.need(need));
        let expect_fail = option(expect_fail.as_ref().map(
            |ExpectFail { until, reason }| quote!(#private::ExpectFail { until: #until, reason: #reason }),
        ));
        let ignore = match ignore {
            Some(Some(why)) => quote!(#private::Ignore::Because(#why)),
            Some(None) => quote!(#private::Ignore::Yes),
            None => quote!(#private::Ignore::No),
        };
        quote! {
            #(#cfgs)*
            #private::ScenarioDef {
                step: #step,
                after: &[#(#after),*],
                from: #from,
                always: #always,
                tags: &[#(#all_tags),*],
                retries: #retries,
                needs: &[#(#needs),*],
                expect_fail: #expect_fail,
                ignore: #ignore,
            }
        }
    }

    fn need(&self, Need { what, .. }: &Need) -> TokenStream {
        let private = &self.private;
        let what = match what {
            What::Kvm => quote!(Kvm),
            What::Portal => quote!(Portal),
            What::Memory(mib) => quote!(Memory { mib: #mib }),
            What::Tool(name) => quote!(Tool(#name)),
            What::Role(name) => quote!(Role(#name)),
            What::Capability { role, name } => {
                let role = option(role.as_ref().map(|role| quote!(#role)));
                quote!(Capability { role: #role, name: #name })
            }
        };
        quote!(#private::Requirement::#what)
    }

    fn step(&self, step: &Step) -> TokenStream {
        let cfgs = step.cfgs();
        let fields = self.step_fields(step, &step.name(), None);
        quote!(#(#cfgs)* #fields)
    }

    fn step_fields(&self, step: &Step, name: &str, case: Option<&Case>) -> TokenStream {
        let private = &self.private;
        let signature = &step.function.sig;
        let function = &signature.ident;
        let (line, timeout) = (line(function.span()), option(step.timeout.map(time)));
        let cached = step.cached;
        let asked = step.params.iter().filter(|param| !param.is_case);
        let params = asked.clone().map(|Param { name, role, ty, .. }| {
            let role = option(role.as_ref().map(|role| quote!(#role)));
            quote! {
                #private::Param {
                    name: #name,
                    role: #role,
                    need: <#ty as #private::FromSuite>::NEED,
                    scope: <#ty as #private::FromSuite>::SCOPE,
                    on_return: <#ty as #private::FromSuite>::ON_RETURN,
                }
            }
        });
        // On the `&`: where a type does not fit, the compiler's message should not underline the suite's attribute.
        let extractions = asked.enumerate().map(|(index, Param { ty, reference, .. })| {
            let (value, private) = (value(index), on(*reference, private));
            quote_spanned!(*reference=> let #value = #private::extract::<#ty>(&cx, #index).await?;)
        });
        let given = case.into_iter().flat_map(|Case { value, .. }| {
            let cases = step.params.iter().filter(|param| param.is_case);
            cases.map(move |Param { ty, reference, .. }| {
                let case = Ident::new("case", Span::mixed_site());
                quote_spanned!(*reference=> let #case: &#ty = &#value;)
            })
        });
        let mut index = 0;
        let arguments = step.params.iter().map(|param| {
            if param.is_case {
                let case = Ident::new("case", Span::mixed_site());
                return quote!(#case);
            }
            let value = value(index);
            index += 1;
            quote!(&#value)
        });
        let result = match &signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => quote!(#ty),
        };
        let plain = signature.asyncness.is_none();
        let call = if plain {
            quote! {
                #private::blocking(move || {
                    #(#given)*
                    #private::verdict::<#result>(#function(#(#arguments),*))
                })
                .await
            }
        } else {
            quote! {
                #(#given)*
                #private::verdict::<#result>(#function(#(#arguments),*).await)
            }
        };
        quote! {
            #private::StepDef {
                name: #name,
                line: #line,
                params: &[#(#params),*],
                timeout: #timeout,
                plain: #plain,
                cached: #cached,
                run: |cx| ::std::boxed::Box::pin(async move {
                    #(#extractions)*
                    ::core::mem::drop(cx);
                    #call
                }),
            }
        }
    }
}

/// Names in `after(..)` and `from(..)` as paths, so that an editor can follow and rename them.
fn references(Scenario { step, after, from, .. }: &Scenario) -> TokenStream {
    let after: Vec<&Ident> = after.iter().chain(from).collect();
    if after.is_empty() {
        return TokenStream::new();
    }
    let cfgs = step.cfgs();
    quote!(#(#cfgs)* const _: fn() = || { #(let _ = #after;)* };)
}

/// The value of the parameter that is asked for at `index`.
fn value(index: usize) -> Ident {
    format_ident!("value{index}", span = Span::mixed_site())
}

/// The same tokens, where messages about them are to stand.
fn on(span: Span, tokens: &TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    tokens.iter_mut().for_each(|token| token.set_span(span));
    tokens.into_iter().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args, model};

    fn expanded(args: &str, module: &str) -> String {
        let mut errors = Errors::default();
        let args = args::suite(args.parse().unwrap(), &mut errors);
        let suite = model::Suite::new(args, module.parse().unwrap(), &mut errors).unwrap();
        assert_eq!(errors.messages(), [""; 0]);
        super::suite(suite, errors).to_string()
    }

    #[test]
    fn every_name_is_taken_from_where_the_library_is_said_to_be() {
        let module = "mod demo {
            #[setup] async fn prepare(env: &Env) -> Result { Ok(()) }
            #[test(values(1), needs(kvm), expect_fail(until = \"2027-01-31\", reason = \"x\"))]
            fn a(#[case] n: &u8, web: &Vm) {}
        }";
        let usual = expanded("cvp", module);
        assert!(usual.contains(":: polder :: __private :: ScenarioDef"), "{usual}");
        let renamed = expanded("cvp, crate = crate::vendored::harness", module);
        assert!(!renamed.contains("polder"), "{renamed}");
        assert!(renamed.contains("crate :: vendored :: harness :: __private :: ScenarioDef"), "{renamed}");
    }

    #[test]
    fn where_a_scenario_begins_is_told_by_name() {
        let module = "mod demo {
            #[test] fn r#match() {}
            #[test(from(r#match))] fn b() {}
        }";
        let text = expanded("cvp", module);
        assert!(text.contains("from : :: core :: option :: Option :: Some (\"match\")"), "{text}");
        assert!(text.contains("let _ = r#match"), "{text}");
    }

    #[test]
    fn what_a_suite_has_its_scenarios_have_and_after_means_all_cases() {
        let module = "mod demo {
            #[test(case(small = 1, large = 2), tags(\"net\", \"slow\"))] fn a(#[case] n: &u8) {}
            #[test(after(a), needs(kvm))] fn b() {}
        }";
        let text = expanded("tags(\"slow\"), needs(memory = \"2G\")", module);
        assert!(text.contains("after : & [\"a[small]\" , \"a[large]\"]"), "{text}");
        assert_eq!(text.matches("tags : & [\"net\" , \"slow\"]").count(), 2, "{text}");
        assert!(text.contains(
            "Requirement :: Memory { mib : 2048u64 } , :: polder :: __private :: Requirement :: Kvm"
        ));
    }
}
