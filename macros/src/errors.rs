//! Collected mistakes, each on its token; suggestions for mistyped words.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Every mistake found so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Adds a mistake that `tokens` made.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds a mistake found elsewhere.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One `compile_error!` for each.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0.into_iter().map(syn::Error::into_compile_error).collect()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().flat_map(|error| error.clone().into_iter().map(|e| e.to_string())).collect()
    }
}

/// "; did you mean `x`?" when one of `known` is near to what was typed, else nothing.
pub(crate) fn suggestion<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(typed, word), word))
        .filter(|(distance, word)| *distance <= 2.max(word.len() / 3) && *distance < typed.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| format!("; did you mean `{word}`?"))
        .unwrap_or_default()
}
