//! What the store keeps, notices, needs no network for, and throws away.

use std::os::unix::fs::FileExt;

use super::*;

/// A world with a server that has `el:v1`, fetched by the user `one`.
async fn fetched() -> (World, Server, Templates, TemplateDisk) {
    let image = qcow2(&content(1, 300_000));
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let templates = world.at(server.url("/repo.metadata"));
    let disk = templates.resolve("el", None, Some(&world.prefix("one"))).await.unwrap();
    (world, server, templates, disk)
}

fn corrupt(disk: &TemplateDisk) {
    let file = fs::File::options().write(true).open(&disk.path).unwrap();
    file.write_all_at(b"other", 150_000).unwrap();
}

#[tokio::test]
async fn what_is_cached_needs_no_network() {
    let (world, server, _, disk) = fetched().await;
    let url = server.url("/repo.metadata");
    let before = server.requests().len();
    let again = world.at(&url).resolve("el", Some("v1"), None).await.unwrap();
    assert_eq!(again, disk);
    assert_eq!(server.requests().len(), before, "the version was named");
    world.at(&url).resolve("el", None, None).await.unwrap();
    assert_eq!(server.requests().len(), before + 1, "the newest version has to be asked for");

    drop(server);
    assert_eq!(world.at(&url).resolve("el", None, None).await.unwrap(), disk);
    assert!(world.told("using its manifest fetched "));
    let error = world.at(&url).resolve("el", Some("v2"), None).await.unwrap_err();
    assert!(told(&error).starts_with("template `el` has no version `v2`"), "{error}");
    assert_eq!(
        world.at("/nowhere.json").resolve("el", Some("v1"), None).await.unwrap_err().to_string(),
        "cannot read /nowhere.json"
    );

    // A store from elsewhere, whose manifest was never fetched here.
    fs::remove_dir_all(world.path("store/.manifests")).unwrap();
    assert_eq!(world.at(&url).resolve("el", Some("v1"), None).await.unwrap(), disk);
    assert!(world.told("using `corp:el:v1`, which is in the store"));
    assert!(world.at(&url).resolve("el", None, None).await.is_err(), "which is the newest is not known");
}

#[tokio::test]
async fn a_newer_version_is_seen() {
    let (world, server, _, _) = fetched().await;
    let image = qcow2(&content(2, 200_000));
    server.put("/images/new", image.clone(), &[]);
    server.put("/images/new.hash", sha1(&image), &[]);
    server.put("/images/new.metadata", "{}", &[]);
    let versions = [("el", "v1", "el.qcow2", 1.0), ("el", "v2", "new", 1.5)];
    server.put("/repo.metadata", manifest("http", &server.url("/images"), &versions), &[]);
    let templates = world.at(server.url("/repo.metadata"));
    assert_eq!(templates.resolve("el", None, None).await.unwrap().id.version, "v2");
    assert_eq!(templates.resolve("el", Some("v1"), None).await.unwrap().id.version, "v1");
}

#[tokio::test]
async fn a_store_of_another_program_is_taken_over() {
    let world = World::new();
    let raw = content(3, 65_536 * 4);
    world.write("store/corp:el:v1", &raw);
    world.write("store/corp:el:v1.hash", sha1(b"whatever it was before"));
    world.write("store/corp:el:v1.metadata", r#"{"distro": "el7"}"#);
    let repo = world.write("repo.json", manifest("file", "$ROOT/images", &[("el", "v1", "el", 1.0)]));
    let templates = world.at(&repo);
    let disk = templates.resolve("el", None, None).await.unwrap();
    assert_eq!(disk.metadata["distro"], "el7");
    assert_eq!(disk.size, raw.len() as u64);
    assert!(world.told("verifying "), "once");
    world.notes.lock().unwrap().clear();
    assert_eq!(templates.resolve("el", None, None).await.unwrap(), disk);
    assert!(!world.told("verifying "), "only once");
    // Prefixes of the other program may lie on it.
    let pruned = templates.prune().unwrap();
    assert_eq!(pruned.kept.len(), 1);
    assert_eq!(pruned.kept[0].1, "it is not known who uses it");
    assert!(disk.path.exists());

    // Also when one of ours has used it meanwhile; and they are not given another image.
    let ours = world.prefix("ours");
    templates.resolve("el", None, Some(&ours)).await.unwrap();
    assert!(templates.prune().unwrap().kept[0].1.ends_with("/ours, and perhaps by others"));
    fs::remove_dir_all(world.path("ours")).unwrap();
    assert_eq!(templates.prune().unwrap().kept[0].1, "it is not known who uses it");
    let other = qcow2(&content(4, 300_000));
    world.write("images/el", &other);
    world.write("images/el.hash", sha1(&other));
    world.write("images/el.metadata", "{}");
    let error = templates.fetch("el", None).await.unwrap_err();
    assert!(error.to_string().contains("in use by prefixes of which nothing was written down"), "{error}");
    corrupt(&disk);
    let error = templates.resolve("el", None, None).await.unwrap_err();
    assert!(error.to_string().contains("while prefixes use it"), "{error}");
}

#[tokio::test]
async fn what_another_program_stored_by_half_is_fetched_again() {
    let image = qcow2(&content(1, 300_000));
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    world.write("store/corp:el:v1", &content(1, 300_000)[..131_072]);
    world.write("store/corp:el:v1.tmp", &image);
    world.write("store/corp:el:v1.hash", sha1(&image));
    let templates = world.at(server.url("/repo.metadata"));
    assert!(templates.prune().unwrap().kept[0].1.starts_with("it was stored by half"));
    assert_eq!(templates.verify(&[]).await.unwrap()[0].verdict, Verdict::Damaged);
    let disk = templates.resolve("el", None, None).await.unwrap();
    assert_eq!(fs::read(&disk.path).unwrap()[..300_000], content(1, 300_000));
    assert_eq!(templates.verify(&[]).await.unwrap()[0].verdict, Verdict::Good);
}

#[tokio::test]
async fn a_prefix_that_cannot_be_looked_at_is_not_dead() {
    let (world, _server, templates, _) = fetched().await;
    let closed = world.path("one");
    // Even root cannot look through a name that is too long, as others cannot through a closed folder.
    let list = world.path("store/corp:el:v1.users");
    let text = fs::read_to_string(&list).unwrap();
    let hidden = closed.join("x".repeat(300)).join("uuid");
    fs::write(&list, text.replace(&closed.join("uuid").display().to_string(), &hidden.display().to_string()))
        .unwrap();
    assert!(templates.prune().unwrap().kept[0].1.starts_with("used by "));
}

#[tokio::test]
async fn a_changed_image_is_fetched_again() {
    let (world, server, templates, disk) = fetched().await;
    corrupt(&disk);
    assert_eq!(templates.verify(&[]).await.unwrap()[0].verdict, Verdict::Damaged);
    let again = templates.resolve("el", Some("v1"), None).await.unwrap();
    assert_eq!(again.digest, disk.digest);
    assert_eq!(server.asked("/images/el.qcow2"), 2);
    assert_eq!(templates.verify(&[]).await.unwrap()[0].verdict, Verdict::Good);

    // Cut off at the end.
    fs::File::options().write(true).open(&disk.path).unwrap().set_len(65_536).unwrap();
    templates.resolve("el", Some("v1"), None).await.unwrap();
    assert_eq!(server.asked("/images/el.qcow2"), 3);

    // Touched, but the same.
    let bytes = fs::read(&disk.path).unwrap();
    fs::write(&disk.path, bytes).unwrap();
    templates.resolve("el", Some("v1"), None).await.unwrap();
    assert_eq!(server.asked("/images/el.qcow2"), 3);

    // And it cannot be had any more.
    corrupt(&disk);
    drop(server);
    let error = templates.resolve("el", Some("v1"), None).await.unwrap_err();
    assert!(told(&error).contains("was changed since it was stored"), "{}", told(&error));
    assert!(told(&error).contains("cannot download http://"), "{}", told(&error));
    let _ = world;
}

#[tokio::test]
async fn an_image_in_use_is_not_replaced_by_another() {
    let (world, server, templates, disk) = fetched().await;
    let other = qcow2(&content(9, 300_000));
    server.put("/images/el.qcow2", other.clone(), &[]);
    server.put("/images/el.qcow2.hash", sha1(&other), &[]);
    assert_eq!(templates.resolve("el", None, None).await.unwrap(), disk, "what is there is good enough");
    let error = templates.fetch("el", None).await.unwrap_err();
    assert!(error.to_string().contains("is in use by"), "{error}");
    assert!(error.to_string().contains("/one"), "{error}");
    corrupt(&disk);
    let error = templates.resolve("el", None, None).await.unwrap_err();
    assert!(error.to_string().contains("while prefixes use it"), "{error}");

    fs::remove_dir_all(world.path("one")).unwrap();
    let now = templates.fetch("el", None).await.unwrap();
    assert_ne!(now.digest, disk.digest);
    assert_eq!(templates.fetch("el", None).await.unwrap(), now);
}

#[tokio::test]
async fn images_that_need_other_files_are_refused() {
    let world = World::new();
    let secret = world.write("secret", vec![7; 65_536]);
    let image = world.path("image");
    let (secret, name) = (secret.to_str().unwrap(), image.to_str().unwrap());
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", name]);
    let image = fs::read(&image).unwrap();
    let server = one_image("el.qcow2", &image, &image, &[]).await;
    let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
    assert!(error.to_string().contains(&format!("it needs {secret}")), "{error}");
    assert!(!world.path("store/corp:el:v1").exists());
}

#[tokio::test]
async fn what_nobody_uses_is_pruned() {
    let (world, _server, templates, disk) = fetched().await;
    let two = world.prefix("two");
    templates.resolve("el", Some("v1"), Some(&two)).await.unwrap();
    world.write("store/corp:old:v1.tmp", "half");
    world.write("store/corp:old:v1.tmp.raw", "half");
    fs::remove_file(world.path("one/uuid")).unwrap();
    let pruned = templates.prune().unwrap();
    assert_eq!(pruned.errors, <[String; 0]>::default());
    assert_eq!(pruned.kept.len(), 1);
    assert!(pruned.kept[0].1.starts_with("used by ") && pruned.kept[0].1.ends_with("/two"), "{pruned:?}");
    assert_eq!(pruned.removed.len(), 1);
    assert_eq!(pruned.removed[0].0, "interrupted download of corp:old:v1");
    assert!(disk.path.exists());

    world.write("two/uuid", "of another prefix by now");
    let pruned = templates.prune().unwrap();
    assert_eq!(pruned.removed[0].0, "corp:el:v1");
    assert_eq!(world.stored(), <[String; 0]>::default());
    let names: Vec<_> = fs::read_dir(world.path("store")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [".manifests"], "locks are gone, too");
    let listed = templates.list().unwrap();
    assert_eq!((listed.len(), &listed[0].path), (1, &None), "it is still in the repository");
}

#[tokio::test]
async fn one_fetches_and_the_others_wait() {
    let image = qcow2(&content(1, 300_000));
    let slow = How::Slow(30_000, Duration::from_millis(20));
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[slow]).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let templates = world.at(server.url("/repo.metadata"));
        tasks.spawn(async move { templates.resolve("el", None, None).await.unwrap() });
    }
    let disks = tasks.join_all().await;
    assert!(disks.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(server.asked("/images/el.qcow2"), 1);
    assert!(world.told(&format!("waiting for process {} on ", std::process::id())));
}

#[tokio::test]
async fn users_are_written_as_lago_does() {
    let (world, ..) = fetched().await;
    let text = fs::read_to_string(world.path("store/corp:el:v1.users")).unwrap();
    let users: serde_json::Value = serde_json::from_str(&text).unwrap();
    let uuid_path = world.path("one/uuid").display().to_string();
    assert_eq!(users["users"][&uuid_path], "uuid-of-one");
    assert!(users["last_access"].as_f64().unwrap() > 1.6e9);
}
