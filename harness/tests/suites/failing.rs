//! Suites that fail in every way there is; `tests/it` runs them and looks at what they leave.
#![expect(clippy::panic, reason = "one of the ways")]

use std::time::Duration;

use polder::prelude::*;

#[polder::suite]
mod mixed {
    use super::*;

    #[test]
    async fn passes() {}

    #[test]
    async fn fails() -> Result {
        Err::<(), _>(std::io::Error::from_raw_os_error(111)).context("cannot reach web")
    }

    #[test(after(passes, fails))]
    async fn needs_it() {}

    #[test(after(needs_it))]
    fn needs_what_needs_it() {}

    #[test]
    async fn panics() {
        let boats: [u8; 0] = [];
        assert_eq!(boats.len(), 2, "boats");
    }

    #[test]
    fn panics_plainly() {
        polder::log!("about to panic");
        panic!("no {}", "harbour");
    }

    #[test]
    #[ignore]
    fn ignored() {}

    #[test(after(ignored, passes))]
    fn needs_an_ignored_one() {}

    #[test]
    async fn logs() -> Result {
        polder::log!("on the {}", "way");
        let span = tracing::info_span!("exec", vm = "web");
        span.in_scope(|| polder::log!("deep inside"));
        bail!("after logging")
    }

    #[test]
    async fn goes_on() {}
}

#[polder::suite]
mod limits {
    use super::*;

    #[test(timeout = "100ms")]
    async fn hangs() {
        std::future::pending().await
    }

    #[test]
    async fn goes_on() {}

    #[test(timeout = "100ms")]
    fn hangs_plainly() {
        std::thread::sleep(Duration::from_secs(3600));
    }

    #[test]
    async fn never_begins() {}

    #[teardown]
    async fn tidy() {
        polder::log!("tidied");
    }
}

#[polder::suite(timeout = "300ms")]
mod whole_limit {
    use super::*;

    #[test]
    async fn takes_too_long() {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }

    #[test]
    async fn comes_too_late() {}

    #[teardown]
    async fn tidy() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        polder::log!("tidied");
    }
}

#[polder::suite]
mod bad_setup {
    use super::*;

    #[setup]
    async fn prepare() -> Result {
        bail!("no harbour")
    }

    #[test]
    async fn never_begins() {}

    #[teardown]
    async fn tidy() {
        polder::log!("tidied");
    }
}

#[polder::suite]
mod bad_teardown {
    use super::*;

    #[test]
    async fn fails() -> Result {
        bail!("the scenario's own")
    }

    #[teardown]
    async fn tidy() -> Result {
        bail!("the teardown's own")
    }
}

#[polder::suite]
mod left_changed {
    use std::sync::Arc;

    use super::*;
    use polder::change::{Mock, Said};

    #[test]
    async fn applies(changes: &Changes) -> Result {
        let driver =
            Arc::new(Mock::new(|_, sent| Ok(Said::exit(i64::from(sent == "undo"), "as it was told"))));
        let change = Change::new("mtu").apply("do").rollback("undo");
        let report = changes.apply(change).on(["sw1"]).by(driver).await?;
        ensure!(report.steps[0].devices[0].result == "ok", "{report:?}");
        Ok(())
    }
}

#[polder::suite]
mod badly_changed {
    use std::sync::Arc;

    use super::*;
    use polder::change::{Mock, Said};

    #[test]
    async fn fails_to_change(changes: &Changes) -> Result {
        let driver = Arc::new(Mock::new(|device, sent| {
            Ok(Said::exit(i64::from(sent.starts_with("check et2")), format!("{device} heard {sent}")))
        }));
        let change = Change::new("mtu").each([[("port", "et1")], [("port", "et2")]]);
        let change = change.apply("set %(port)s").verify("check %(port)s").rollback("unset %(port)s");
        changes.apply(change).on(["sw1", "sw2"]).by(driver).await?;
        Ok(())
    }
}

#[polder::suite(env = "unbootable.yaml")]
mod unbootable {
    use super::*;

    #[test]
    async fn never_begins(web: &Vm, lan: &Net, env: &Env) {
        let _ = (web, lan, env);
    }
}

polder::main!();
