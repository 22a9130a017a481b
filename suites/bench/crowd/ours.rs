//! A thousand scenarios in a hundred suites that do nothing, and one that fails and says when: what `cargo ci bench runner`
//! measures of our side.

use polder::prelude::*;

macro_rules! suites {
    ($($name:ident)+) => {$(
        #[polder::suite]
        mod $name {
            #[test]
            async fn a() {}
            #[test]
            async fn b() {}
            #[test]
            async fn c() {}
            #[test]
            async fn d() {}
            #[test]
            async fn e() {}
            #[test]
            async fn f() {}
            #[test]
            async fn g() {}
            #[test]
            async fn h() {}
            #[test]
            async fn i() {}
            #[test]
            async fn j() {}
        }
    )+};
}

macro_rules! groups {
    ($($name:ident)+) => {$(
        mod $name {
            suites!(a b c d e f g h i j);
        }
    )+};
}

groups!(a b c d e f g h i j);

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
