//! Fetches all items side by side within a limit, and writes them and the manifest.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{Entry, Fetched, Item, Manifest, Part};
use crate::base::store;

/// How many items are fetched at once: guests are slow, hosts are small.
const AT_ONCE: usize = 8;

/// Collects `items` into `dir`, each within `each` and all within `total`.
///
/// Never fails as a whole: what could not be had or written is in the manifest with the reason, and the manifest is
/// returned even when `manifest.json` itself cannot be written.
pub async fn collect(items: Vec<Item>, dir: &Path, each: Duration, total: Duration) -> Manifest {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let deadline = tokio::time::Instant::now() + total;
    let mut entries: Vec<Vec<Entry>> =
        items.iter().map(|item| vec![entry(item, "the time for collecting was up")]).collect();
    let (mut fetching, mut tasks, mut places) = (JoinSet::new(), HashMap::new(), HashSet::new());
    for (index, item) in items.into_iter().enumerate() {
        let refused = if !is_below(&item.path) {
            Some("its place is not below the folder of the collection")
        } else if !places.insert(item.path.clone()) {
            Some("another item has the same place")
        } else {
            None
        };
        if let (Some(why), Some(place)) = (refused, entries.get_mut(index)) {
            *place = vec![entry(&item, why)];
            continue;
        }
        let (slots, dir) = (Arc::clone(&slots), dir.to_owned());
        let task = fetching.spawn(async move {
            let _slot = slots.acquire_owned().await;
            one(item, &dir, each).await
        });
        tasks.insert(task.id(), index);
    }
    loop {
        let (id, fetched) = match tokio::time::timeout_at(deadline, fetching.join_next_with_id()).await {
            Ok(Some(Ok((id, fetched)))) => (id, Some(fetched)),
            Ok(Some(Err(panicked))) => (panicked.id(), None),
            Ok(None) | Err(_) => break,
        };
        if let Some(place) = tasks.get(&id).and_then(|&index| entries.get_mut(index)) {
            match fetched {
                Some(fetched) => *place = fetched,
                None => place.iter_mut().for_each(|e| e.missing = Some("fetching it panicked".to_owned())),
            }
        }
    }
    // Waits for the ends, so that nothing grows any more while it is measured.
    fetching.shutdown().await;
    let mut entries = entries.concat();
    for entry in entries.iter_mut().filter(|entry| entry.missing.is_some() && is_below(&entry.path)) {
        let place = dir.join(&entry.path);
        if entry.bytes.is_none() && fs::rename(part_of(&place), &place).is_ok() {
            entry.bytes = size(&place).ok();
        }
    }
    let mut manifest = Manifest { entries, unwritten: None };
    manifest.unwritten = save(&manifest, dir).err().map(|error| error.to_string());
    manifest
}

/// The entry of an item of which nothing has come yet.
fn entry(item: &Item, missing: &str) -> Entry {
    let (path, source) = (item.path.clone(), item.source.clone());
    Entry {
        path,
        source,
        wanted: None,
        how: None,
        bytes: None,
        seconds: 0.0,
        missing: Some(missing.to_owned()),
    }
}

async fn one(item: Item, dir: &Path, each: Duration) -> Vec<Entry> {
    let start = Instant::now();
    let mut entry = entry(&item, "");
    let place = dir.join(&item.path);
    let part = part_of(&place);
    let made = place.parent().map_or(Ok(()), fs::create_dir_all);
    let result = match made {
        Ok(()) => match tokio::time::timeout(each, (item.fetch)(part.clone())).await {
            Ok(Ok(Fetched::Several(parts))) => {
                let seconds = start.elapsed().as_secs_f64();
                return parts.into_iter().map(|part| part_entry(&item.path, part, seconds)).collect();
            }
            Ok(Ok(fetched)) => write(fetched, &part, &place).map_err(|e| format!("cannot write it: {e}")),
            Ok(Err(error)) => Err(chain(&*error)),
            Err(_) => Err(format!("it took more than {} s", each.as_secs_f64())),
        },
        Err(e) => Err(format!("cannot make its folder: {e}")),
    };
    match result {
        Ok((bytes, how)) => (entry.bytes, entry.how, entry.missing) = (Some(bytes), how, None),
        Err(why) => entry.missing = Some(why),
    }
    entry.seconds = start.elapsed().as_secs_f64();
    vec![entry]
}

fn part_entry(folder: &Path, part: Part, seconds: f64) -> Entry {
    let Part { path, source, wanted, how, bytes, missing } = part;
    Entry { path: folder.join(path), source, wanted, how, bytes, seconds, missing }
}

/// Where an item is while not all of it is there: nobody takes that for the whole, also when we are killed.
fn part_of(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.part"))
}

/// Puts what was fetched into its place; returns its size and how it came.
fn write(fetched: Fetched, part: &Path, place: &Path) -> io::Result<(u64, Option<String>)> {
    let how = match fetched {
        Fetched::Bytes(bytes) => fs::write(part, &bytes).map(|()| None),
        Fetched::File(from) => fs::copy(from, part).map(|_| None),
        Fetched::InPlace { how } => Ok(Some(how)),
        // They are in their places.
        Fetched::Several(_) => return Ok((0, None)),
    }?;
    fs::rename(part, place)?;
    Ok((size(place)?, how))
}

/// The size of a file, or of everything in a folder.
fn size(path: &Path) -> io::Result<u64> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

fn is_below(path: &Path) -> bool {
    path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

fn save(manifest: &Manifest, dir: &Path) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?;
    fs::create_dir_all(dir)?;
    store::replace(&dir.join("manifest.json"), &text)
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

    fn item<F>(path: &str, fetch: impl FnOnce(PathBuf) -> F + Send + 'static) -> Item
    where
        F: Future<Output = Result<Fetched, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        Item { path: path.into(), source: "a test".into(), fetch: Box::new(|part| Box::pin(fetch(part))) }
    }

    #[tokio::test]
    async fn every_item_has_its_entry_whatever_becomes_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let source = dir.path().join("source");
        fs::write(&source, "from a file").unwrap();
        let items = vec![
            item("a/bytes", |_| async { Ok(Fetched::Bytes(b"four".to_vec())) }),
            item("file", |_| async { Ok(Fetched::File(source)) }),
            item("refused", |_| async { Err("no such journal".into()) }),
            item("slow", |_| std::future::pending()),
            item("panics", |_| async { panic!("on purpose") }),
            item("whole", |part| async move {
                fs::write(&part, "123")?;
                Ok(Fetched::InPlace { how: "ssh".into() })
            }),
            item("part", |part| async move {
                fs::write(&part, "12")?;
                Err("then it broke".into())
            }),
            item("many", |_| async move {
                let part = |path: &str, bytes, missing: Option<&str>| Part {
                    path: path.into(),
                    source: "a test".into(),
                    wanted: None,
                    how: None,
                    bytes,
                    missing: missing.map(str::to_owned),
                };
                Ok(Fetched::Several(vec![part("a", Some(7), None), part("b", None, Some("not there"))]))
            }),
            item("file", |_| async { Ok(Fetched::Bytes(vec![])) }),
            item("../out", |_| async { Ok(Fetched::Bytes(vec![])) }),
        ];
        let manifest = collect(items, &out, SECOND / 2, SECOND * 5).await;
        let told: Vec<_> =
            manifest.entries.iter().map(|e| (e.bytes, e.missing.as_deref().unwrap_or("-"))).collect();
        assert_eq!(
            told,
            [
                (Some(4), "-"),
                (Some(11), "-"),
                (None, "no such journal"),
                (None, "it took more than 0.5 s"),
                (None, "fetching it panicked"),
                (Some(3), "-"),
                (Some(2), "then it broke"),
                (Some(7), "-"),
                (None, "not there"),
                (None, "another item has the same place"),
                (None, "its place is not below the folder of the collection"),
            ]
        );
        assert_eq!((manifest.entries[5].how.as_deref(), manifest.had()), (Some("ssh"), 4));
        assert_eq!(manifest.entries[7].path, Path::new("many/a"));
        assert_eq!(fs::read(out.join("part")).unwrap(), b"12");
        let left = fs::read_dir(&out).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some());
        assert_eq!(left.count(), 1, "only the manifest has an ending");
        let written = fs::read(out.join("manifest.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&written).unwrap(), manifest);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_told_for_each_item_and_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let items = vec![item("x", |_| async { Ok(Fetched::Bytes(vec![])) })];
        let manifest = collect(items, &dir.path().join("file/out"), SECOND, SECOND).await;
        assert!(manifest.entries[0].missing.as_deref().unwrap().starts_with("cannot make its folder: "));
        assert!(manifest.unwritten.unwrap().contains("Not a directory"));
    }

    #[tokio::test]
    async fn the_total_limit_holds() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let items = (0..20).map(|n| item(&n.to_string(), |_| std::future::pending())).collect();
        let manifest = collect(items, dir.path(), SECOND * 100, SECOND / 5).await;
        assert!(start.elapsed() < SECOND * 5);
        assert_eq!(manifest.missing(), 20);
    }
}
