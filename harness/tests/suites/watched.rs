//! Two suites side by side that somebody watches at a terminal: they go on until the file `WATCHED_GO` is there.

use std::{path::Path, time::Duration};

use polder::prelude::*;
use tracing::Instrument;

/// The file's name.
fn go() -> String {
    std::env::var("WATCHED_GO").unwrap_or_default()
}

async fn there() -> Result {
    eventually(Duration::from_secs(60), async || Ok(Path::new(&go()).exists())).await?;
    Ok(())
}

#[polder::suite]
mod harbour {
    use super::*;

    #[test]
    async fn opens() {}

    #[test]
    async fn has_a_crane() -> Result {
        println!("printed by the scenario");
        polder::log!("looking for the crane");
        let lift = tracing::info_span!(target: "polder", "lift", machine = "crane", load = "日本語 tea");
        there().instrument(lift).await
    }

    #[test]
    async fn is_closed() -> Result {
        let look = tracing::info_span!("look", at = "the gate");
        look.in_scope(|| polder::log!("it is shut"));
        bail!("closed on Fridays\n::error::not from us")
    }
}

#[polder::suite]
mod sea {
    use super::*;

    #[test]
    async fn is_calm() -> Result {
        there().await
    }
}

polder::main!();
