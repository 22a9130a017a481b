//! Any text as an init file, and as what it includes: an answer in the end, with places that are there.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| polder::initfile::fuzz_text(text).unwrap());
