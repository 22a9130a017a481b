//! A thousand scenarios in a hundred suites that do nothing, and one that fails and says when: what `cargo ci bench runner`
//! measures of our side.

use polder::prelude::*;

#[macro_use]
mod many;

groups!(() a b c d e f g h i j);

#[polder::suite(if_var = "BENCH_STAMP")]
mod failing {
    use super::*;

    #[test]
    fn says_when() -> Result {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        std::fs::write(std::env::var("BENCH_STAMP")?, now.as_secs_f64().to_string())?;
        bail!("this is why")
    }
}

polder::main!();
