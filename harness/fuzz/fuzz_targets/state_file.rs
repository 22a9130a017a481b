//! Any bytes as every file of a prefix: values or errors in the end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| polder::workdir::fuzz_state(bytes));
