//! Attribute macros of polder: entry points, dispatch only.

use proc_macro::TokenStream;

/// Marks a module as a suite of ordered scenarios.
#[proc_macro_attribute]
pub fn suite(_args: TokenStream, item: TokenStream) -> TokenStream {
    item
}
