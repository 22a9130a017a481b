//! What the arguments of attributes make of scenarios; `tests/it` runs this and looks at what is reported.

use std::sync::atomic::{AtomicUsize, Ordering};

use polder::prelude::*;
use polder::{FromSuite, Need, Param, Scope, SuiteCx};

/// The harness under another name and somewhere else, as a crate that wraps it may have it.
mod vendored {
    pub(crate) use polder as harness;
}

#[polder::suite]
mod retried {
    use super::*;

    static TRIED: AtomicUsize = AtomicUsize::new(0);

    #[test(retries = 3)]
    async fn passes_at_last() -> Result {
        let attempt = TRIED.fetch_add(1, Ordering::SeqCst) + 1;
        polder::log!("attempt {attempt} is under way");
        ensure!(attempt == 3, "not yet, at attempt {attempt}");
        Ok(())
    }

    #[test(retries = 1)]
    async fn never_passes() -> Result {
        bail!("never")
    }

    #[test(retries = 1, timeout = "100ms")]
    fn cannot_be_stopped() {
        std::thread::sleep(secs(3600));
    }
}

#[polder::suite(stop_on_failure)]
mod stops {
    use super::*;

    #[test]
    async fn passes() {}

    #[test(after(passes))]
    async fn fails() -> Result {
        bail!("the first one")
    }

    #[test]
    async fn comes_too_late() {}

    #[test(after(comes_too_late))]
    async fn needs_what_comes_too_late() {}

    #[test(after(fails, comes_too_late), always)]
    async fn is_looked_at() {}

    #[test(always)]
    async fn is_cleaned_up() {}

    #[teardown]
    async fn tidy(outcome: &Outcome) -> Result {
        let Outcome::Failed { error, .. } = outcome else { bail!("told {outcome:?}") };
        polder::log!("told: {}", error.lines().next().unwrap_or_default());
        Ok(())
    }
}

#[polder::suite(tags("matrix"))]
mod cases {
    use super::*;

    const JUMBO: u32 = 9000;

    #[derive(Debug, PartialEq)]
    struct Link {
        mtu: u32,
        name: String,
    }

    #[test(case(small = Link { mtu: 512, name: "eth0".into() }, large = Link { mtu: JUMBO, name: "eth1".into() }))]
    async fn links_are_up(#[case] link: &Link, artifacts: &Artifacts) -> Result {
        artifacts.add("mtu", link.mtu.to_string())?;
        ensure!(link.mtu == 512 || link.name == "eth1", "{link:?}");
        Ok(())
    }

    #[test(values(1500, JUMBO, 0), tags("numbers"), after(links_are_up))]
    fn packets_pass(#[case] mtu: &u32) -> Result {
        ensure!(*mtu > 0, "no packet has {mtu} bytes");
        Ok(())
    }

    #[test(values("v4", "v6"), tags("text"))]
    async fn text_is_given_as_text(#[case] version: &str) -> Result {
        ensure!(version.starts_with('v'));
        Ok(())
    }

    #[test(after(packets_pass))]
    async fn needs_all_of_them() {}

    #[test(after(links_are_up))]
    async fn needs_the_others() {}
}

#[polder::suite]
mod known {
    use super::*;

    #[test(expect_fail(until = "2999-12-31", reason = "bug 7"))]
    async fn fails() -> Result {
        bail!("1 is not 2")
    }

    #[test(after(fails))]
    async fn needs_it() {}

    #[test(expect_fail(until = "2999-12-31", reason = "bug 8"))]
    async fn passes() {}

    #[test(expect_fail(until = "2020-02-29", reason = "bug 9"))]
    async fn fails_for_too_long() -> Result {
        bail!("still")
    }

    #[test(expect_fail(until = "2020-02-29", reason = "bug 10"))]
    async fn is_mended() {}

    #[test(expect_fail(until = "2999-12-31", reason = "bug 11"))]
    async fn is_not_run() -> Result {
        polder::skip!("nothing is found out about {}", "bug 11")
    }
}

#[polder::suite(needs(tool = "sh"))]
mod lacking {
    use super::*;

    #[test(needs(memory = "1M"))]
    async fn has_all() {}

    #[test(needs(tool = "no-such-program", memory = "9999T", cvp))]
    async fn lacks_much() -> Result {
        bail!("it was run")
    }

    #[test(after(lacks_much))]
    async fn needs_it() -> Result {
        bail!("it was run")
    }

    #[test(after(lacks_much), always)]
    async fn is_cleaned_up() {}

    #[test(needs(kvm))]
    async fn needs_kvm() -> Result {
        bail!("it was run")
    }

    #[test]
    async fn finds_out() -> Result {
        if std::env::var_os("NO_SUCH_VARIABLE").is_none() {
            polder::skip!("{} is not set", "NO_SUCH_VARIABLE");
        }
        bail!("it went on")
    }

    #[test(after(finds_out))]
    async fn needs_what_found_out() -> Result {
        bail!("it was run")
    }

    #[teardown]
    async fn tidy(outcome: &Outcome) -> Result {
        ensure!(*outcome == Outcome::Passed, "told {outcome:?}");
        Ok(())
    }
}

#[polder::suite]
mod skipped {
    use super::*;

    #[setup]
    async fn prepare() -> Result {
        polder::skip!("not on a Sunday")
    }

    #[test]
    async fn never_begins() {}
}

/// Made once for a suite.
struct Pool(AtomicUsize);

impl FromSuite for Pool {
    const NEED: Need = Need::Nothing;
    const SCOPE: Scope = Scope::Suite;
    async fn from_suite(_: &SuiteCx, param: &Param) -> Result<Self> {
        polder::log!("the pool {} is filled", param.name);
        Ok(Self(AtomicUsize::new(0)))
    }
    async fn teardown(self, outcome: &Outcome) -> Result {
        let failed = matches!(outcome, Outcome::Failed { .. });
        polder::log!("the pool is drained after {} uses, failed: {failed}", self.0.into_inner());
        Ok(())
    }
}

/// Made for each step; one called `stubborn` does not go.
struct Client(&'static str);

impl FromSuite for Client {
    const NEED: Need = Need::Nothing;
    async fn from_suite(_: &SuiteCx, param: &Param) -> Result<Self> {
        ensure!(param.name != "absent", "nobody answers");
        Ok(Self(param.name))
    }
    async fn teardown(self, outcome: &Outcome) -> Result {
        polder::log!("{} leaves, passed: {}", self.0, *outcome == Outcome::Passed);
        ensure!(self.0 != "stubborn", "it does not go");
        Ok(())
    }
}

#[polder::suite]
mod scoped {
    use super::*;

    #[test]
    async fn uses(pool: &Pool, first: &Client, second: &Client) -> Result {
        pool.0.fetch_add(1, Ordering::SeqCst);
        ensure!((first.0, second.0) == ("first", "second"));
        Ok(())
    }

    #[test]
    fn panics(pool: &Pool, third: &Client) {
        pool.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(third.0, "fourth");
    }

    #[test]
    async fn lets_nothing_go(pool: &Pool, stubborn: &Client) {
        pool.0.fetch_add(1, Ordering::SeqCst);
        let _ = stubborn;
    }

    #[test]
    async fn is_not_given_all(fifth: &Client, absent: &Client) {
        let _ = (fifth, absent);
    }
}

#[vendored::harness::suite(crate = crate::vendored::harness)]
mod elsewhere {
    use crate::vendored::harness::prelude::*;

    #[test(values(7))]
    async fn passes(#[case] number: &u8, artifacts: &Artifacts) -> Result {
        Ok(artifacts.add("number", number.to_string())?)
    }
}

polder::main!();
