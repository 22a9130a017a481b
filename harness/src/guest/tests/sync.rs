//! Folders made the same by sending what differs.

use super::*;

const PLAIN: SyncOptions = SyncOptions { digest: false, delete: false };

fn fill(source: &Path) {
    fs::create_dir_all(source.join("sub/empty")).unwrap();
    for name in ["a b", "-x", "ü漢🦆", "sub/f", "sub/g"] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::set_permissions(source.join("-x"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::hard_link(source.join("sub/g"), source.join("same")).unwrap();
    symlink("/does/not exist", source.join("dangling")).unwrap();
}

#[tokio::test]
async fn only_what_differs_goes_there_and_back() {
    for busybox in [false, true] {
        let rig = rig!();
        let base = rig.dir.path();
        if busybox {
            let bin = base.join("bin");
            let installed =
                std::process::Command::new("busybox").arg("--install").arg("-s").arg(bin).status();
            assert!(installed.unwrap().success());
        }
        let guest = rig.guest();
        let (source, there, back) = (base.join("so urce"), base.join("new/th'ere"), base.join("back"));
        fill(&source);
        let remote = there.to_str().unwrap();
        let up = async |options| guest.sync_to(&source, remote, options).await.unwrap();
        let down = async |options| guest.sync_from(remote, &back, options).await.unwrap();
        assert_eq!((up(PLAIN).await.sent, tree(&there)), (7, tree(&source)), "busybox: {busybox}");
        assert_eq!((down(PLAIN).await.sent, tree(&back)), (7, tree(&source)), "busybox: {busybox}");
        let same = Synced { sent: 0, bytes: 0, same: 7, removed: 0 };
        assert_eq!((up(PLAIN).await, down(PLAIN).await), (same, same), "busybox: {busybox}");

        // Changed, with a new length; with the same length and time; turned into something else; gone.
        fs::write(source.join("a b"), "longer than before").unwrap();
        let time = fs::metadata(source.join("sub/f")).unwrap().modified().unwrap();
        fs::write(source.join("sub/f"), "SUB/F").unwrap();
        let times = fs::FileTimes::new().set_modified(time);
        fs::File::options().write(true).open(source.join("sub/f")).unwrap().set_times(times).unwrap();
        fs::remove_file(source.join("-x")).unwrap();
        fs::create_dir(source.join("-x")).unwrap();
        fs::remove_dir(source.join("sub/empty")).unwrap();
        symlink("elsewhere", source.join("sub/empty")).unwrap();
        fs::remove_file(source.join("ü漢🦆")).unwrap();
        let changed = Synced { sent: 2, bytes: 18, same: 4, removed: 2 };
        // What is gone here is still there.
        let (sent, came) = (changed, Synced { same: 5, ..changed });
        assert_eq!((up(PLAIN).await, down(PLAIN).await), (sent, came), "busybox: {busybox}");
        assert_eq!(fs::read(back.join("sub/f")).unwrap(), b"sub/f");
        let all = SyncOptions { digest: true, delete: true };
        let rest = Synced { sent: 1, bytes: 5, same: 5, removed: 1 };
        assert_eq!((up(all).await, down(all).await), (rest, rest), "busybox: {busybox}");
        assert_eq!((tree(&there), tree(&back)), (tree(&source), tree(&source)), "busybox: {busybox}");
    }
}

#[tokio::test]
async fn an_interrupted_one_goes_on_where_it_stopped() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path();
    let source = base.join("source");
    fs::create_dir(&source).unwrap();
    for n in 0..200 {
        fs::write(source.join(format!("{n:03}")), noise(500_000)).unwrap();
    }
    let (there, back) = (base.join("there"), base.join("back"));
    let remote = there.to_str().unwrap();
    for up in [true, false] {
        let dest = if up { &there } else { &back };
        let arrived = || fs::read_dir(dest).map_or(0, Iterator::count);
        let sync = async || match up {
            true => guest.sync_to(&source, remote, PLAIN).await,
            false => guest.sync_from(remote, &back, PLAIN).await,
        };
        // What has a name is whole; what comes next has begun to come.
        let under_way = || {
            let hidden = fs::read_dir(dest).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut hidden = hidden.filter(|path| path.to_string_lossy().contains("/.polder-"));
            !up || hidden.any(|path| fs::read_dir(path).is_ok_and(|files| files.count() > 2))
        };
        let killing = async || {
            while arrived() < 20 || arrived() < 200 && !under_way() {
                tokio::time::sleep(SECOND / 200).await;
            }
            rig.server.kill();
        };
        let mut tries = 0;
        let text = loop {
            match tokio::join!(sync(), killing()).0 {
                Err(error) => break told(&error),
                // All of it was there before who kills had a look, on a busy host.
                Ok(_) if tries < 10 => fs::remove_dir_all(dest).unwrap(),
                Ok(synced) => panic!("{synced:?}"),
            }
            tries += 1;
        };
        assert!(text.contains("what has arrived stays, the next time goes on from there"), "{text}");
        // No file is there half.
        let is_whole =
            |e: fs::DirEntry| !e.file_type().unwrap().is_file() || e.metadata().unwrap().len() == 500_000;
        assert!(fs::read_dir(dest).unwrap().all(|e| is_whole(e.unwrap())));
        let synced = sync().await.unwrap();
        assert!(synced.same >= 15 && synced.sent < 190, "{synced:?}");
        assert_eq!(tree(dest), tree(&source));
    }
    let error = guest.sync_from("/no/such", &back, PLAIN).await.unwrap_err();
    assert!(matches!(error, GuestError::NoSuchPath { .. }), "{error}");
    let error = guest.sync_to(base.join("none"), remote, PLAIN).await.unwrap_err();
    assert!(told(&error).contains("No such file"), "{}", told(&error));
}
