//! Fetches all items side by side within a limit, and writes them and the manifest.

use std::{
    error::Error,
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{Entry, Fetched, Item, Manifest};

/// How many items are fetched at once: guests are slow, hosts are small.
const AT_ONCE: usize = 8;

/// Collects `items` into `dir`, each within `each` and all within `total`.
///
/// Never fails as a whole: what could not be had or written is in the manifest with the reason, and the manifest is
/// returned even when `manifest.json` itself cannot be written.
pub async fn collect(items: Vec<Item>, dir: &Path, each: Duration, total: Duration) -> Manifest {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let deadline = tokio::time::Instant::now() + total;
    let mut entries: Vec<Entry> = items.iter().map(late).collect();
    let mut fetching = JoinSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let (slots, dir) = (slots.clone(), dir.to_owned());
        fetching.spawn(async move {
            let _slot = slots.acquire_owned().await;
            (index, one(item, &dir, each).await)
        });
    }
    loop {
        match tokio::time::timeout_at(deadline, fetching.join_next()).await {
            Ok(Some(Ok((index, entry)))) => {
                if let Some(place) = entries.get_mut(index) {
                    *place = entry;
                }
            }
            // A panic while fetching leaves its entry as it was: not had.
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    fetching.abort_all();
    let manifest = Manifest { entries };
    if let Ok(text) = serde_json::to_vec_pretty(&manifest) {
        let _ = fs::create_dir_all(dir).and_then(|()| fs::write(dir.join("manifest.json"), text));
    }
    manifest
}

fn late(item: &Item) -> Entry {
    let missing = Some("the time for collecting was up".to_owned());
    Entry { path: item.path.clone(), source: item.source.clone(), bytes: None, seconds: 0.0, missing }
}

async fn one(item: Item, dir: &Path, each: Duration) -> Entry {
    let start = Instant::now();
    let Item { path, source, fetch } = item;
    let place = dir.join(&path);
    let made = place.parent().map_or(Ok(()), fs::create_dir_all);
    let result = match made {
        Ok(()) => match tokio::time::timeout(each, fetch).await {
            Ok(Ok(fetched)) => write(fetched, &place).map_err(|e| format!("cannot write it: {e}")),
            Ok(Err(error)) => Err(chain(&*error)),
            Err(_) => Err(format!("it took more than {} s", each.as_secs())),
        },
        Err(e) => Err(format!("cannot make its folder: {e}")),
    };
    let (bytes, missing) = match result {
        Ok(bytes) => (Some(bytes), None),
        Err(why) => (None, Some(why)),
    };
    Entry { path, source, bytes, seconds: start.elapsed().as_secs_f64(), missing }
}

fn write(fetched: Fetched, place: &Path) -> io::Result<u64> {
    match fetched {
        Fetched::Bytes(bytes) => fs::write(place, &bytes).map(|()| bytes.len() as u64),
        Fetched::File(from) => fs::copy(from, place),
        Fetched::InPlace(bytes) => Ok(bytes),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn item(path: &str, fetch: super::super::item::Fetch) -> Item {
        Item { path: path.into(), source: "a test".into(), fetch }
    }

    #[tokio::test]
    async fn every_item_has_its_entry_whatever_becomes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::write(&source, "from a file").unwrap();
        let items = vec![
            item("a/bytes", Box::pin(async { Ok(Fetched::Bytes(b"four".to_vec())) })),
            item("file", Box::pin(async { Ok(Fetched::File(source)) })),
            item("refused", Box::pin(async { Err("no such journal".into()) })),
            item("slow", Box::pin(std::future::pending())),
            item("panics", Box::pin(async { panic!("on purpose") })),
            item("a/bytes/below", Box::pin(async { Ok(Fetched::Bytes(vec![])) })),
        ];
        let manifest = collect(items, &dir.path().join("out"), SECOND / 10, SECOND * 5).await;
        let why: Vec<_> = manifest.entries.iter().map(|e| e.missing.as_deref().unwrap_or("-")).collect();
        assert_eq!(why[..3], ["-", "-", "no such journal"]);
        assert!(why[3].contains("took more than") && why[4].contains("time for collecting"), "{why:?}");
        assert_eq!((manifest.entries[0].bytes, manifest.had() >= 2), (Some(4), true));
        let written = fs::read(dir.path().join("out/manifest.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), manifest);
    }

    #[tokio::test]
    async fn the_total_limit_holds() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let items = (0..20).map(|n| item(&n.to_string(), Box::pin(std::future::pending()))).collect();
        let manifest = collect(items, dir.path(), SECOND * 100, SECOND / 5).await;
        assert!(start.elapsed() < SECOND * 5);
        assert_eq!(manifest.missing(), 20);
    }
}
