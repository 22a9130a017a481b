//! Overlays on overlays on templates.

use std::os::unix::fs::symlink;

use super::*;

/// A repository with `el:v1`, added to a world.
async fn repo() -> (World, Templates) {
    let world = World::new();
    let image = world.write("el.qcow2", qcow2(&content(1, 200_000)));
    let templates = world.with(world.config(Some(Repo::Named("local".into()))));
    let new = NewImage {
        image,
        repo: "local".into(),
        template: "el".into(),
        version: Some("v1".into()),
        metadata: Metadata::new(),
    };
    templates.add(&new).await.unwrap();
    (world, templates)
}

fn overlay(world: &World, name: &str, on: &str, format: &str) -> PathBuf {
    let path = world.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let name = path.to_str().unwrap();
    qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-b", on, "-F", format, name, "1M"]);
    path
}

fn links(chain: &[Link]) -> Vec<(String, &str)> {
    let name = |link: &Link| link.path.file_name().unwrap().to_str().unwrap().to_owned();
    chain.iter().map(|link| (name(link), link.format.as_str())).collect()
}

#[tokio::test]
async fn a_missing_template_is_put_where_it_is_looked_for() {
    let (world, templates) = repo().await;
    overlay(&world, "env/low", "./el:v1", "raw");
    let top = overlay(&world, "env/top", "low", "qcow2");
    let user = world.prefix("one");
    let chain = templates.ensure_chain(&top, "qcow2", Some(&user)).await.unwrap();
    let names = [("top".into(), "qcow2"), ("low".into(), "qcow2"), ("el:v1".into(), "raw")];
    assert_eq!(links(&chain), names);
    assert_eq!(chain[2].named, Path::new("./el:v1"));
    assert_eq!(fs::read_link(world.path("env/el:v1")).unwrap(), world.path("store/local:el:v1"));
    qemu_img(&["check", "-q", top.to_str().unwrap()]);
    assert_eq!(templates.list().unwrap()[0].users.as_ref().unwrap().len(), 1, "the user is written down");

    // Again, and when the store was emptied meanwhile.
    templates.ensure_chain(&top, "qcow2", None).await.unwrap();
    fs::remove_dir_all(world.path("store")).unwrap();
    assert_eq!(links(&templates.ensure_chain(&top, "qcow2", None).await.unwrap()), names);
}

#[tokio::test]
async fn overlays_that_lie_on_the_store_itself() {
    let (world, templates) = repo().await;
    let disk = templates.resolve("el", None, None).await.unwrap();
    let top = overlay(&world, "env/top", disk.path.to_str().unwrap(), "raw");
    templates.ensure_chain(&top, "qcow2", None).await.unwrap();
    fs::remove_file(&disk.path).unwrap();
    templates.ensure_chain(&top, "qcow2", None).await.unwrap();
    assert!(disk.path.exists(), "fetched again");
}

#[tokio::test]
async fn what_cannot_be_repaired_says_why() {
    let (world, templates) = repo().await;
    let message = async |image: &Path| told(&templates.ensure_chain(image, "qcow2", None).await.unwrap_err());
    let text = message(&overlay(&world, "env/a", "nowhere", "raw")).await;
    assert!(
        text.contains("the backing file nowhere of") && text.contains("not named like a version"),
        "{text}"
    );
    let text = message(&overlay(&world, "env/b", "./el:v9", "raw")).await;
    assert!(text.contains("is missing: template `el` has no version `v9`"), "{text}");
    let text = message(&overlay(&world, "env/c", "/elsewhere/el:v1", "raw")).await;
    assert!(text.contains("qemu-img rebase -u -F raw -b './el:v1'"), "{text}");
    let text = message(&overlay(&world, "env/d", "nbd://localhost/x", "raw")).await;
    assert!(text.contains("only files can be backing files"), "{text}");

    // As Lago writes it, and older versions of qemu-img.
    let silent = overlay(&world, "env/s", "./el:v1", "raw");
    let mut header = fs::read(&silent).unwrap();
    let format = header.windows(4).position(|bytes| bytes == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
    header[format..format + 4].copy_from_slice(&[0, 0, 0, 9]);
    fs::write(&silent, header).unwrap();
    let text = message(&silent).await;
    assert!(text.contains("does not say the format of its backing file ./el:v1"), "{text}");
    let mended: Vec<_> = text.split('`').nth(1).unwrap().split(' ').skip(1).collect();
    qemu_img(&mended.iter().map(|word| word.trim_matches('\'')).collect::<Vec<_>>());
    assert_eq!(templates.ensure_chain(&silent, "qcow2", None).await.unwrap().len(), 2);

    let deep = overlay(&world, "env/e2", "e1", "qcow2");
    overlay(&world, "env/e1", "e2", "qcow2");
    let text = message(&deep).await;
    assert!(text.contains("is its own backing file: ") && text.matches(" -> ").count() == 2, "{text}");
    let own = overlay(&world, "env/f", "g", "qcow2");
    symlink("f", world.path("env/g")).unwrap();
    assert!(message(&own).await.contains("is its own backing file"));
    assert!(message(&world.path("env/none")).await.contains("No such file"));
    let text = message(&world.write("env/junk", "no image")).await;
    assert!(text.starts_with("cannot look into "), "{text}");
}
