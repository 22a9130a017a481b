//! Two suites that pass only when they run at the same time.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use polder::prelude::*;

static LEFT: AtomicBool = AtomicBool::new(false);
static RIGHT: AtomicBool = AtomicBool::new(false);

async fn meet(mine: &AtomicBool, other: &AtomicBool) -> Result {
    mine.store(true, Ordering::SeqCst);
    let met = async {
        while !other.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), met).await.context("nobody came")
}

#[polder::suite]
mod left {
    use super::*;

    #[test]
    async fn meets() -> Result {
        meet(&LEFT, &RIGHT).await
    }
}

mod inner {
    use super::*;

    #[polder::suite]
    mod right {
        use super::*;

        #[test]
        async fn meets() -> Result {
            meet(&RIGHT, &LEFT).await
        }
    }
}

polder::main!();
