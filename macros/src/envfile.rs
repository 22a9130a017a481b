//! Finding the files a suite names, while it is compiled.

use syn::LitStr;

/// A file as the suite's source names it: an init file, the state of a portal, or a file of changes.
pub(crate) struct EnvFile {
    /// As written; `include_str!` resolves it as we do.
    pub(crate) literal: LitStr,
    /// Where it lies, when the compiler says where the source does (an editor's macro server does not).
    pub(crate) path: Option<String>,
}

impl EnvFile {
    /// Looks for the file beside the source file that contains `literal`; `meaning` says what it should be.
    pub(crate) fn find(literal: LitStr, meaning: &str) -> Result<Self, syn::Error> {
        let Some(source) = literal.span().local_file() else {
            return Ok(Self { literal, path: None });
        };
        let path = source.parent().unwrap_or(&source).join(literal.value());
        // Machines that are given relative paths in the file need a base that does not depend on where the test is run.
        let path = std::path::absolute(&path).unwrap_or(path);
        if path.is_file() {
            Ok(Self { literal, path: path.to_str().map(str::to_owned) })
        } else {
            let what =
                if path.is_dir() { "this is a folder" } else { "no such file beside this source file" };
            Err(syn::Error::new(literal.span(), format!("{what}; {meaning}")))
        }
    }
}
