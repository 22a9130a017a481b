//! What servers do, and what becomes of it.

use super::*;

const HANDLE: &str = "/images/el.qcow2";

fn image() -> (Vec<u8>, Vec<u8>) {
    let content = content(1, 700_000);
    let image = qcow2(&content);
    (content, image)
}

/// Resolves `el` against a server that behaves like `how`; the content is checked.
async fn good(handle: &str, body: &[u8], content: &[u8], image: &[u8], how: &[How]) -> (World, Server) {
    let (world, server) = (World::new(), one_image(handle, image, body, how).await);
    let disk = world.at(server.url("/repo.metadata")).resolve("el", None, None).await;
    let disk = disk.unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(disk.id.to_string(), "corp:el:v1");
    let stored = fs::read(&disk.path).unwrap();
    assert!(stored.len() >= content.len() && stored.starts_with(content));
    assert_eq!(disk.metadata["root-partition"], "/dev/sda3");
    assert_eq!((disk.format.as_str(), disk.size), ("raw", stored.len() as u64));
    let names = ["", ".digest", ".hash", ".metadata", ".users"].map(|end| format!("corp:el:v1{end}"));
    assert_eq!(world.stored(), names, "nothing else is left");
    (world, server)
}

#[tokio::test]
async fn compressed_and_plain_images() {
    let (content, image) = image();
    let (_, server) = good("el.qcow2.xz", &xz(&image), &content, &image, &[]).await;
    assert_eq!(server.asked(HANDLE), 0, "the compressed one is tried first");
    let (_, server) = good("el.qcow2", &image, &content, &image, &[]).await;
    assert_eq!(server.asked("/images/el.qcow2.xz"), 1, "and is not there");
    // Some write a compressed image's handle with its ending.
    good("el.qcow2", &xz(&image), &content, &image, &[]).await;
    // Several streams one after another are one file, too.
    let (a, b) = image.split_at(1000);
    good("el.qcow2.xz", &[xz(a), xz(b)].concat(), &content, &image, &[]).await;
}

#[tokio::test]
async fn a_broken_download_is_continued() {
    let (content, image) = image();
    for (how, ranges) in [(How::Truncate(100_000), 2), (How::Stall(100_000), 2), (How::Status(503), 2)] {
        let continued = !matches!(how, How::Status(_));
        let (world, server) = good("el.qcow2", &image, &content, &image, &[how, How::Good]).await;
        let asked = server.ranges(HANDLE);
        assert_eq!(asked.len(), ranges);
        assert_eq!(asked[0], None);
        assert_eq!(asked[1].is_some(), continued, "{asked:?}");
        assert!(world.told("trying again"));
    }
}

#[tokio::test]
async fn a_server_without_ranges_starts_over() {
    let (content, image) = image();
    let how = [How::Truncate(100_000), How::NoRanges];
    let (_, server) = good("el.qcow2", &image, &content, &image, &how).await;
    assert!(server.ranges(HANDLE)[1].is_some());
    let how = [How::Truncate(100_000), How::WrongPart, How::Good];
    let (_, server) = good("el.qcow2", &image, &content, &image, &how).await;
    assert_eq!(server.ranges(HANDLE)[2], None, "what it sent was of no use");
}

#[tokio::test]
async fn nothing_is_continued_that_could_have_changed() {
    let (content, image) = image();
    let (world, server) =
        (World::new(), one_image("el.qcow2", &image, &image, &[How::Truncate(9), How::Good]).await);
    server.without_etag(HANDLE);
    let disk = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap();
    assert!(fs::read(&disk.path).unwrap().starts_with(&content));
    assert_eq!(server.ranges(HANDLE), [None, None]);
}

async fn bad(how: &[How], limits: Limits) -> (String, World, Server) {
    let (_, image) = image();
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, how).await);
    let config = TemplatesConfig { limits, ..world.config(Some(Repo::At(server.url("/repo.metadata")))) };
    let error = world.with(config).resolve("el", None, None).await.unwrap_err();
    assert!(!world.stored().contains(&"corp:el:v1".to_owned()));
    (told(&error), world, server)
}

#[tokio::test]
async fn what_never_gets_better_is_given_up() {
    let (error, ..) = bad(&[How::Status(500)], limits()).await;
    assert!(error.contains("got 0 bytes in 3 attempts"), "{error}");
    assert!(error.ends_with("the server answers 500 Internal Server Error"), "{error}");

    let (error, ..) = bad(&[How::Stall(0)], limits()).await;
    assert!(error.ends_with("nothing arrived for 0.7 s"), "{error}");

    let (error, ..) = bad(&[How::Silent], limits()).await;
    assert!(error.ends_with("nothing arrived for 0.7 s"), "{error}");

    let (error, _, server) = bad(&[How::Status(403)], limits()).await;
    assert!(error.starts_with("image `el.qcow2` is not there; looked for http://"), "{error}");
    assert!(
        error.contains("el.qcow2.xz (404 Not Found) and ") && error.ends_with("el.qcow2 (403 Forbidden)"),
        "{error}"
    );
    assert_eq!(server.asked(HANDLE), 1, "asking again does not help");
}

#[tokio::test]
async fn a_server_that_always_truncates_is_given_up() {
    let (_, image) = image();
    let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[How::Truncate(5)]).await);
    server.without_etag(HANDLE);
    let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
    assert!(
        told(&error).contains(&format!("got 5 of {} bytes in 3 attempts", image.len())),
        "{}",
        told(&error)
    );
}

#[tokio::test]
async fn a_trickle_ends_with_the_deadline() {
    let slow = How::Slow(1000, Duration::from_millis(100));
    let short = Limits { total: Duration::from_secs(2), ..limits() };
    let (error, ..) = bad(&[slow], short).await;
    assert!(error.ends_with("it did not end within 2 s"), "{error}");
    assert!(error.contains(" of "), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let world = World::new();
    let url = { Server::start().await.url("/repo.metadata") };
    let error = world.at(&url).resolve("el", None, None).await.unwrap_err();
    let text = told(&error);
    assert!(text.starts_with(&format!("cannot download {url}: got 0 bytes in 3 attempts")), "{text}");
    assert!(text.contains("the connection failed"), "{text}");
}

#[tokio::test]
async fn a_lie_about_the_hash_is_noticed() {
    let (_, image) = image();
    let (world, server) = (World::new(), one_image("el.qcow2", b"another", &image, &[]).await);
    let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
    let text = told(&error);
    assert!(text.contains(&sha1(&image)) && text.contains(&sha1(b"another")), "{text}");
    assert!(text.contains("/images/el.qcow2"), "{text}");
    assert_eq!(world.stored(), <[String; 0]>::default(), "and the image is gone");
}

#[tokio::test]
async fn a_hash_that_is_none_and_metadata_that_is_none() {
    let (_, image) = image();
    for (file, body, start) in [(".hash", "<html>", "http://"), (".metadata", "[1]", "http://")] {
        let (world, server) = (World::new(), one_image("el.qcow2", &image, &image, &[]).await);
        server.put(&format!("{HANDLE}{file}"), body, &[]);
        let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
        assert!(told(&error).starts_with(start), "{}", told(&error));
        server.put(&format!("{HANDLE}{file}"), "", &[How::Status(404)]);
        let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
        let what = file.trim_start_matches('.');
        assert!(
            told(&error).starts_with(&format!("the {what} file of image `el.qcow2` is not there")),
            "{error}"
        );
        assert_eq!(server.asked(HANDLE), 0, "what is known to fail is not fetched first");
    }
}

#[tokio::test]
async fn broken_compression_is_noticed() {
    let (_, image) = image();
    let mut packed = xz(&image);
    let middle = packed.len() / 2;
    packed[middle] ^= 0xff;
    packed.truncate(packed.len() - 10);
    let (world, server) = (World::new(), one_image("el.qcow2.xz", &image, &packed, &[]).await);
    let error = world.at(server.url("/repo.metadata")).resolve("el", None, None).await.unwrap_err();
    assert!(told(&error).starts_with("cannot uncompress "), "{}", told(&error));
    assert_eq!(world.stored(), <[String; 0]>::default());
}

#[tokio::test]
async fn a_file_that_is_no_template() {
    let (world, server) = (World::new(), Server::start().await);
    let body = content(7, 300_000);
    server.put("/disk.raw", body.clone(), &[How::Truncate(1000), How::Good]);
    let templates = world.at("nothing");
    let to = world.path("disk");
    templates.download(&server.url("/disk.raw"), &to).await.unwrap();
    assert_eq!(fs::read(&to).unwrap(), body);
    let copy = world.path("copy");
    templates.download(&format!("file://{}", to.display()), &copy).await.unwrap();
    assert_eq!(fs::read(&copy).unwrap(), body);
    assert_eq!(fs::read_dir(world.dir.path()).unwrap().count(), 2, "no leftovers");
    templates.download(&server.url("/nope"), &to).await.unwrap();
    assert_eq!(server.asked("/nope"), 0, "what was fetched before is used");
    let error = templates.download(&server.url("/nope"), &world.path("none")).await.unwrap_err();
    assert!(told(&error).starts_with("the file is not there; looked for http://"), "{error}");
}
