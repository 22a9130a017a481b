//! A suite as people write them, without machines: everything in it passes.
#![expect(clippy::unwrap_used, reason = "tests fail that way")]

use std::sync::Mutex;

use polder::prelude::*;
use polder::{FromSuite, Need, Param, SuiteCx};

/// A parameter of our own.
#[derive(Debug)]
struct Place {
    suite: String,
    name: &'static str,
}

impl FromSuite for Place {
    const NEED: Need = Need::Nothing;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        Ok(Self { suite: cx.suite().to_owned(), name: param.name })
    }
}

static CALLS: Mutex<Vec<&str>> = Mutex::new(Vec::new());

fn call(name: &'static str) {
    CALLS.lock().unwrap().push(name);
}

#[polder::suite(timeout = "1m")]
mod ordinary {
    use super::*;

    #[setup]
    async fn prepare() {
        call("prepare");
    }

    #[test]
    async fn set_up_comes_first() -> Result {
        ensure!(*CALLS.lock().unwrap() == ["prepare"]);
        call("first");
        Ok(())
    }

    #[test(after(set_up_comes_first), timeout = "30s")]
    fn a_plain_function_may_wait(here: &Place) {
        polder::block_on(tokio::time::sleep(std::time::Duration::from_millis(1)));
        assert_eq!((here.suite.as_str(), here.name), ("ordinary", "here"));
        call("second");
    }

    #[test(after(a_plain_function_may_wait))]
    async fn source_order_is_kept() -> Result<(), std::io::Error> {
        assert_eq!(*CALLS.lock().unwrap(), ["prepare", "first", "second"]);
        polder::log!("so far {} calls", 3);
        Ok(())
    }

    #[test]
    async fn files_are_kept(artifacts: &Artifacts, _place: &Place) -> Result {
        artifacts.add("note.txt", "kept")?;
        ensure!(_place.name == "place", "the underscore of an unused parameter is not part of its name");
        helper(artifacts)
    }

    fn helper(artifacts: &Artifacts) -> Result {
        ensure!(std::fs::read_to_string(artifacts.path("note.txt")?).context("the note")? == "kept");
        Ok(())
    }

    #[test]
    #[cfg(any())]
    fn never_compiled() {
        no_such_function()
    }

    #[test]
    #[ignore = "takes a day"]
    async fn slow() -> Result {
        bail!("only when asked for")
    }

    #[teardown]
    fn tidy() {
        call("tidy");
    }
}

polder::main!();
