//! Repositories on this host: files, registered copies, images added by hand, sources of extensions.

use super::*;
use crate::base::dial::BoxFuture;

fn file_repo(world: &World) -> PathBuf {
    let image = qcow2(&content(4, 100_000));
    for (name, body) in [("a.qcow2", image.clone()), ("b.qcow2.xz", xz(&image))] {
        world.write(&format!("images/{name}"), body);
        world.write(&format!("images/{name}.hash"), sha1(&image));
        world.write(&format!("images/{name}.metadata"), "{}");
    }
    let versions = [("el", "a", "a.qcow2", 1.0), ("el", "b", "b.qcow2", 2.0)];
    world.write("repo.json", manifest("file", "images", &versions))
}

#[tokio::test]
async fn files_are_taken_as_they_lie_there() {
    let world = World::new();
    let templates = world.at(file_repo(&world));
    let plain = templates.resolve("el", Some("a"), None).await.unwrap();
    let packed = templates.resolve("el", Some("b"), None).await.unwrap();
    assert_eq!(plain.digest, packed.digest);

    fs::remove_file(world.path("images/a.qcow2.hash")).unwrap();
    fs::remove_file(&plain.path).unwrap();
    let error = templates.resolve("el", Some("a"), None).await.unwrap_err();
    assert!(
        error.to_string().starts_with("the hash file of image `a.qcow2` is not there; looked for"),
        "{error}"
    );

    let world = World::new();
    let repo = world.write("repo.json", manifest("file", "$NOWHERE/images", &[("el", "a", "a", 1.0)]));
    let error = world.at(&repo).resolve("el", None, None).await.unwrap_err();
    assert!(error.to_string().ends_with("the environment variable `NOWHERE` is not set"), "{error}");
}

#[tokio::test]
async fn repositories_are_registered_and_found_by_name() {
    let world = World::new();
    let repo = file_repo(&world);
    let templates = world.with(world.config(Some(Repo::Named("corp".into()))));
    let error = templates.resolve("el", None, None).await.unwrap_err();
    assert!(error.to_string().ends_with("there are none"), "{error}");
    assert_eq!(templates.add_repo(repo.to_str().unwrap()).await.unwrap().templates, 1);
    assert_eq!(
        templates.resolve("el", None, None).await.unwrap().id.version,
        "b",
        "its relative root still leads there"
    );
    assert!(matches!(
        templates.add_repo(repo.to_str().unwrap()).await,
        Err(TemplateError::RepoExists { .. })
    ));

    world.write("repos/deeper/broken.json", "{");
    let lost = world.with(world.config(Some(Repo::Named("cord".into()))));
    let error = lost.resolve("el", None, None).await.unwrap_err().to_string();
    assert!(
        error.contains("no template repository `cord` below") && error.contains("did you mean `corp`?"),
        "{error}"
    );
    assert!(error.contains("not looked into: manifest") && error.contains("deeper/broken.json"), "{error}");
    let listed = templates.repos().unwrap();
    assert_eq!(listed.iter().map(|repo| repo.name.as_str()).collect::<Vec<_>>(), ["broken", "corp"]);
    assert_eq!(listed[1].origin.as_deref(), repo.to_str());

    let text = manifest("file", "images", &[("el", "b", "b.qcow2", 2.0), ("el", "c", "b.qcow2", 3.0)]);
    world.write("repo.json", text);
    assert_eq!(templates.resolve("el", None, None).await.unwrap().id.version, "b", "until it is updated");
    let updated = templates.update_repos(&["corp".into()]).await.unwrap();
    assert_eq!(updated[0].new[0].version, "c");
    assert_eq!(updated[0].gone[0].version, "a");
    let templates = world.with(world.config(Some(Repo::Named("corp".into()))));
    assert_eq!(templates.resolve("el", None, None).await.unwrap().id.version, "c");

    world.write("repo.json", "nonsense");
    let updated = templates.update_repos(&[]).await.unwrap();
    assert!(updated[0].problem.as_ref().unwrap().contains("expected"), "{updated:?}");
    assert!(templates.update_repos(&["cord".into()]).await.is_err());
    assert_eq!(templates.resolve("el", None, None).await.unwrap().id.version, "c", "what was there stays");
}

#[tokio::test]
async fn repositories_come_from_urls_too() {
    let image = qcow2(&content(1, 100_000));
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let templates = world.with(world.config(Some(Repo::Named("corp".into()))));
    templates.add_repo(&server.url("/repo.metadata")).await.unwrap();
    let before = server.asked("/repo.metadata");
    templates.resolve("el", None, None).await.unwrap();
    assert_eq!(server.asked("/repo.metadata"), before, "only an update asks for it again");
    assert!(templates.add_repo(&server.url("/nope")).await.unwrap_err().to_string().contains("404"));
}

#[tokio::test]
async fn images_are_added() {
    let world = World::new();
    let body = content(5, 200_000);
    let image = world.write("my.qcow2", qcow2(&body));
    let templates = world.with(world.config(Some(Repo::Named("local".into()))));
    let mut new = NewImage {
        image: image.clone(),
        repo: "local".into(),
        template: "mine".into(),
        version: None,
        metadata: json!({"distro": "el7"}).as_object().unwrap().clone(),
    };
    assert_eq!(templates.add(&new).await.unwrap().to_string(), "local:mine:1");
    fs::write(&image, qcow2(&content(6, 200_000))).unwrap();
    assert_eq!(templates.add(&new).await.unwrap().to_string(), "local:mine:2");
    let two = templates.resolve("mine", None, None).await.unwrap();
    let one = templates.resolve("mine", Some("1"), None).await.unwrap();
    assert_eq!((one.id.version.as_str(), two.id.version.as_str()), ("1", "2"));
    assert!(fs::read(&one.path).unwrap().starts_with(&body));
    assert_eq!(one.metadata["distro"], "el7");
    assert_eq!(one.metadata["version"], "1");

    new.version = Some("2".into());
    assert_eq!(
        templates.add(&new).await.unwrap_err().to_string(),
        "`local:mine:2` is there already; name another version"
    );
    for (template, version) in [("a/b", "1"), ("a:b", "1"), ("", "1"), ("a", "../../x")] {
        let wrong = NewImage { template: template.into(), version: Some(version.into()), ..new.clone() };
        assert!(
            matches!(templates.add(&wrong).await, Err(TemplateError::Name { .. })),
            "{template} {version}"
        );
    }
    new.image = world.path("nowhere");
    assert!(told(&templates.add(&new).await.unwrap_err()).contains("No such file"));

    // A copy of somebody else's would lose it with the next update.
    templates.add_repo(file_repo(&world).to_str().unwrap()).await.unwrap();
    let foreign = NewImage { image, repo: "corp".into(), version: None, ..new };
    assert!(matches!(templates.add(&foreign).await, Err(TemplateError::RepoNotLocal { .. })));
}

/// Has every image, made of its handle.
#[derive(Debug)]
struct Endless {
    size: usize,
}

impl TemplateSource for Endless {
    fn place(&self, handle: &str) -> String {
        format!("endless {handle}")
    }
    fn hash<'a>(&'a self, handle: &'a str, _: &'a FetchCx) -> BoxFuture<'a, Result<String, TemplateError>> {
        let hash = sha1(&handle.repeat(self.size).into_bytes());
        Box::pin(async { Ok(hash) })
    }
    fn metadata<'a>(&'a self, _: &'a str, _: &'a FetchCx) -> BoxFuture<'a, Result<Metadata, TemplateError>> {
        Box::pin(async { Ok(Metadata::new()) })
    }
    fn fetch<'a>(
        &'a self,
        handle: &'a str,
        to: &'a Path,
        _: &'a FetchCx,
    ) -> BoxFuture<'a, Result<bool, TemplateError>> {
        Box::pin(async move {
            let told =
                |source: std::io::Error| TemplateError::Source { what: handle.into(), source: source.into() };
            tokio::fs::write(to, handle.repeat(self.size)).await.map_err(told)?;
            Ok(false)
        })
    }
}

#[tokio::test]
async fn sources_of_extensions_are_as_good() {
    let world = World::new();
    let text = r#"{"name": "x", "sources": {"e": {"type": "endless", "args": {"size": 512}}},
        "templates": {"t": {"versions": {"v": {"source": "e", "handle": "ab", "timestamp": 1}}}}}"#;
    let repo = world.write("repo.json", text);
    let error = world.at(&repo).resolve("t", None, None).await.unwrap_err().to_string();
    assert!(error.contains("source `e` has the unknown type `endless`; there are: file, http"), "{error}");
    let factory: SourceFactory = Arc::new(|args: SourceArgs<'_>| {
        let size = args.args.get("size").and_then(serde_json::Value::as_u64).ok_or("it has no `size`")?;
        Ok(Arc::new(Endless { size: size as usize }))
    });
    let templates = world.at(&repo).with_source("endless", factory);
    let disk = templates.resolve("t", None, None).await.unwrap();
    assert_eq!(fs::read_to_string(disk.path).unwrap(), "ab".repeat(512));
}

#[tokio::test]
async fn a_name_is_registered_once_however_deep() {
    let world = World::new();
    let text = manifest("file", "images", &[("el", "a", "a.qcow2", 1.0)]);
    let first = world.write("repos/deeper/x.json", &text);
    let repo = world.write("repo.json", &text);
    let templates = world.with(world.config(None));
    match templates.add_repo(repo.to_str().unwrap()).await {
        Err(TemplateError::RepoExists { path, .. }) => assert_eq!(path, first),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_repository_has_is_listed_before_anything_is_fetched() {
    let image = qcow2(&content(1, 100_000));
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
    let templates = world.at(server.url("/repo.metadata"));
    assert!(templates.list().unwrap().is_empty());
    templates.learn().await;
    assert_eq!(templates.list().unwrap()[0].id.to_string(), "corp:el:v1");
    let lost = world.at(server.url("/nope"));
    lost.learn().await;
    assert!(world.told("the manifest of the template repository is not there"));
}
