//! A thousand tests that do nothing, run by libtest-mimic: what `cargo ci bench runner` measures of the plain side.

use libtest_mimic::{Arguments, Trial};

fn main() {
    let names = (0..100).flat_map(|suite| (0..10).map(move |test| format!("suite_{suite}::test_{test}")));
    let trials = names.map(|name| Trial::test(name, || Ok(()))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
