//! Mistakes in suites, as the compiler tells them.

use std::process::Command;

/// The compiler whose words `ui/compiler` expects.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_told_on_their_tokens() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    let version = Command::new("rustc").arg("--version").output().unwrap().stdout;
    if version.starts_with(COMPILER.as_bytes()) {
        cases.compile_fail("tests/ui/compiler/*.rs");
    } else {
        eprintln!("SKIPPED: tests/ui/compiler, which expects the words of {COMPILER}x");
    }
}
