//! Files there and back, through a real `tar`.

use super::*;

#[tokio::test]
async fn much_goes_there_and_back_exactly() {
    let rig = rig!();
    let guest = rig.guest();
    let bytes = noise(8 << 20).repeat(32);
    let (local, remote, back) =
        (rig.dir.path().join("l"), rig.dir.path().join("r"), rig.dir.path().join("b"));
    fs::write(&local, &bytes).unwrap();
    fs::set_permissions(&local, fs::Permissions::from_mode(0o751)).unwrap();
    guest.copy_to(&local, remote.to_str().unwrap()).await.unwrap();
    assert!(fs::read(&remote).unwrap() == bytes);
    guest.copy_from(remote.to_str().unwrap(), &back).await.unwrap();
    assert!(fs::read(&back).unwrap() == bytes);
    assert_eq!(fs::metadata(&back).unwrap().mode() & 0o777, 0o751);
    assert!(
        fs::read_dir(rig.dir.path()).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".polder"))
    );

    // Less through a command: more than fits into memory is whole in a file.
    let bytes = noise(50_000_000);
    let output = guest.execute(Command::new("cat").stdin(bytes.clone())).await.unwrap();
    assert_eq!((output.stdout.total, output.stdout.bytes.len()), (50_000_000, limits::IN_MEMORY));
    assert!(fs::read(output.stdout.whole.unwrap()).unwrap() == bytes);
    // And through memory.
    let path = rig.dir.path().join("new folder/w");
    guest.write_file(path.to_str().unwrap(), bytes.clone()).await.unwrap();
    assert!(guest.read_file(path.to_str().unwrap()).await.unwrap() == bytes);
}

#[tokio::test]
async fn files_written_from_memory_have_the_mode_and_owner_that_were_asked_for() {
    let rig = rig!();
    let guest = rig.guest();
    let path = rig.dir.path().join("new/secret");
    let remote = path.to_str().unwrap();
    let me = guest.succeed("id -un").await.unwrap().trim().to_owned();
    for (text, mode) in [("one", 0o600), ("two", 0o4755)] {
        guest.write_file_as(remote, text, mode, &me).await.unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((fs::read(&path).unwrap(), meta.mode() & 0o7777), (text.into(), mode));
    }
    let error = guest.write_file_as(remote, "three", 0o600, "nobody-of-that-name").await.unwrap_err();
    assert!(told(&error).contains("nobody-of-that-name"), "{}", told(&error));
    assert_eq!(
        (fs::read(&path).unwrap(), fs::read_dir(path.parent().unwrap()).unwrap().count()),
        (b"two".into(), 1)
    );
}

#[tokio::test]
async fn folders_go_there_and_back_with_odd_names_links_and_modes() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path();
    let source = base.join("so urce");
    fs::create_dir_all(source.join("empty")).unwrap();
    fs::create_dir_all(source.join("sub/-deep")).unwrap();
    for name in ["a b", "-x", "new\nline", "ü漢🦆", "'q\"", "*", "sub/-deep/f", &"l".repeat(200)] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::set_permissions(source.join("-x"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink("/does/not exist", source.join("dangling")).unwrap();
    fs::hard_link(source.join("a b"), source.join("sub/same")).unwrap();
    let holes = fs::File::create(source.join("holes")).unwrap();
    holes.set_len(300_000_000).unwrap();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["a b", "sub", "holes"] {
        let times = fs::FileTimes::new().set_modified(old);
        fs::File::open(source.join(name)).unwrap().set_times(times).unwrap();
    }
    let kept = |copy: &Path| {
        let meta = |name: &str| fs::metadata(copy.join(name)).unwrap();
        assert_eq!(meta("a b").ino(), meta("sub/same").ino());
        assert!(meta("holes").blocks() < 1_000, "{} blocks", meta("holes").blocks());
        assert_eq!(["a b", "sub", "holes"].map(|name| meta(name).mtime()), [1_000_000_000; 3]);
    };

    let there = format!("{}/th'ere/x", base.display());
    guest.copy_to(&source, &there).await.unwrap();
    assert_eq!(tree(Path::new(&there)), tree(&source));
    guest.copy_from(&format!("{there}/"), base.join("ba ck")).await.unwrap();
    assert_eq!(tree(&base.join("ba ck")), tree(&source));
    kept(Path::new(&there));
    kept(&base.join("ba ck"));

    // Merged into what is there, under its own name below a folder.
    fs::write(Path::new(&there).join("other"), "kept").unwrap();
    guest.copy_to(&source, &there).await.unwrap();
    assert_eq!(fs::read(Path::new(&there).join("other")).unwrap(), b"kept");
    kept(Path::new(&there));
    guest.copy_to(source.join("-x"), &format!("{}/", base.display())).await.unwrap();
    assert_eq!(fs::read(base.join("-x")).unwrap(), b"-x");
    fs::create_dir(base.join("got")).unwrap();
    guest.copy_from(&format!("{there}/ü漢🦆"), format!("{}/got/", base.display())).await.unwrap();
    assert_eq!(fs::read(base.join("got/ü漢🦆")).unwrap(), "ü漢🦆".as_bytes());
    // A link that is named is followed.
    symlink(source.join("a b"), base.join("link")).unwrap();
    guest.copy_from(base.join("link").to_str().unwrap(), base.join("followed")).await.unwrap();
    assert_eq!(fs::read(base.join("followed")).unwrap(), b"a b");
}

#[tokio::test]
async fn a_copy_that_fails_says_what_is_there() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().display().to_string();
    let local = rig.dir.path().join("file");
    fs::write(&local, "new").unwrap();
    fs::create_dir(rig.dir.path().join("folder")).unwrap();
    fs::write(rig.dir.path().join("old"), "old").unwrap();

    let error = guest.copy_to(rig.dir.path().join("missing"), "/tmp/x").await.unwrap_err();
    let text = told(&error);
    assert!(
        text.contains("/missing to web:/tmp/x; nothing was changed there\ncaused by: No such file"),
        "{text}"
    );

    let error = guest.copy_to(&local, &format!("{base}/folder")).await.unwrap_err();
    assert!(told(&error).contains("/folder is a folder; end it with / to copy into it"), "{}", told(&error));
    let error = guest.copy_to(rig.dir.path().join("folder"), &format!("{base}/old")).await.unwrap_err();
    assert!(told(&error).contains("/old is not a folder"), "{}", told(&error));
    let error = guest.copy_to(&local, "/proc/no/x").await.unwrap_err();
    assert!(
        told(&error).contains("nothing was changed there") && told(&error).contains("mkdir"),
        "{}",
        told(&error)
    );

    let error = guest.copy_from("/no/such", rig.dir.path().join("old")).await.unwrap_err();
    assert_eq!(told(&error), "web has no file or folder `/no/such`");
    let error = guest.read_file("/no/such").await.unwrap_err();
    assert_eq!(told(&error), "web has no file or folder `/no/such`");
    let error = guest.copy_from(&format!("{base}/file"), rig.dir.path().join("folder")).await.unwrap_err();
    assert!(told(&error).contains("a file cannot replace a folder"), "{}", told(&error));

    // The server dies in the middle of it: what was there stays.
    let big = rig.dir.path().join("big");
    fs::write(&big, noise(300_000_000)).unwrap();
    for up in [true, false] {
        let killing = async {
            tokio::time::sleep(SECOND / 2).await;
            rig.server.kill();
        };
        let old = rig.dir.path().join("old");
        let copy = async {
            if up {
                guest.copy_to(&big, old.to_str().unwrap()).await
            } else {
                guest.copy_from(big.to_str().unwrap(), &old).await
            }
        };
        let (result, ()) = tokio::join!(copy, killing);
        let error = result.unwrap_err();
        assert!(
            matches!(&error, GuestError::Copy { .. }) && error.fault() == Fault::Environment,
            "{}",
            told(&error)
        );
        assert_eq!(fs::read(&old).unwrap(), b"old");
    }
}

#[tokio::test]
async fn our_scripts_need_no_more_than_busybox() {
    let rig = rig!();
    let bin = rig.dir.path().join("bin");
    let installed = std::process::Command::new("busybox").arg("--install").arg("-s").arg(&bin).status();
    assert!(installed.is_ok_and(|status| status.success()), "install busybox-static to test against it");
    let guest = rig.guest();
    assert!(guest.succeed("tar --help 2>&1; ls --help 2>&1").await.unwrap().contains("BusyBox"));
    let base = rig.dir.path();
    let source = base.join("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    for name in ["a b", "-x", "new\nline", "ü漢🦆", "sub/f", &"l".repeat(200)] {
        fs::write(source.join(name), name).unwrap();
    }
    symlink("/does/not exist", source.join("dangling")).unwrap();
    let there = base.join("x/there");
    for _ in 0..2 {
        guest.copy_to(&source, there.to_str().unwrap()).await.unwrap();
        assert_eq!(tree(&there), tree(&source));
    }
    guest.copy_from(there.to_str().unwrap(), base.join("back")).await.unwrap();
    assert_eq!(tree(&base.join("back")), tree(&source));
    guest.copy_to(source.join("-x"), &format!("{}/", base.display())).await.unwrap();
    assert_eq!(guest.read_file(base.join("-x").to_str().unwrap()).await.unwrap(), b"-x");
    let error =
        guest.execute(Command::from("(setsid sleep 4717.1 &); sleep 4717.2").timeout(2 * SECOND)).await;
    assert!(matches!(error, Err(GuestError::Deadline { killed: true, .. })), "{error:?}");
    assert!(!runs("sleep 4717"));
}
