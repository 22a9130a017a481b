//! Files and folders, there and back: whole, exact, and no more than differs.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use polder::{
    guest::{Caps, GuestError, SyncOptions},
    prelude::secs,
};

use super::{Place, Row};

pub(super) const ROWS: &[Row] = &[
    Row("a file there and back, with mode and time", None, |p| Box::pin(file(p))),
    Row("a tree there and back, with links", None, |p| Box::pin(tree(p))),
    Row("a file with holes", None, |p| Box::pin(holes(p))),
    Row("files that are only in memory", None, |p| Box::pin(memory(p))),
    Row("a folder is made the same, also after a break", None, |p| Box::pin(sync(p))),
    Row("what is wanted is gathered, with limits", None, |p| Box::pin(gather(p))),
    Row("copies at the command", None, |p| Box::pin(typed(p))),
];

const MIB: u64 = 1 << 20;

async fn file(p: &Place) -> Result<()> {
    let bytes: Vec<u8> =
        (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let path = p.file("a file", &bytes)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o751))?;
    let time = SystemTime::UNIX_EPOCH + secs(1_234_567_890);
    fs::File::options().write(true).open(&path)?.set_modified(time)?;
    p.vm.copy_to(&path, "/srv/new/it's here").await?;
    let said = p.vm.succeed("stat -c '%s %a %Y %U' \"/srv/new/it's here\"").await?;
    ensure!(said.trim() == "4000000 751 1234567890 root", "{said}");
    let back = p.ground.path("back/again");
    p.vm.copy_from("/srv/new/it's here", &back).await?;
    let meta = fs::metadata(&back)?;
    ensure!(fs::read(&back)? == bytes && meta.mode() & 0o777 == 0o751 && meta.modified()? == time);
    let none = p.vm.copy_from("/no/such", p.ground.path("none")).await.err();
    ensure!(matches!(&none, Some(GuestError::NoSuchPath { .. })), "{none:?}");
    let error = p.vm.copy_to(p.ground.path("none"), "/root/").await.err().map(|e| e.to_string());
    ensure!(error.as_ref().is_some_and(|e| e.contains("nothing was changed there")), "{error:?}");
    Ok(())
}

async fn tree(p: &Place) -> Result<()> {
    p.file("tree/a b", b"blank")?;
    p.file("tree/sub/-n", b"dash")?;
    p.file("tree/sub/ü漢", b"name")?;
    let tree = p.ground.path("tree");
    symlink("a b", tree.join("to"))?;
    symlink("/no where", tree.join("dangling"))?;
    fs::create_dir(tree.join("empty"))?;
    p.vm.copy_to(&tree, "/root/").await?;
    p.file("tree/more", b"more")?;
    p.vm.copy_to(&tree, "/root/tree").await?;
    let said = p.vm.succeed("cd /root/tree; cat to more; readlink dangling; ls -A empty sub").await?;
    ensure!(
        said == "blankmore/no where\nempty:\n\nsub:\n-n\nü漢\n" || said.starts_with("blankmore/no where\n"),
        "{said}"
    );
    let back = p.ground.path("tree back");
    p.vm.copy_from("/root/tree", &back).await?;
    ensure!(fs::read(back.join("sub/-n"))? == b"dash" && fs::read(back.join("sub/ü漢"))? == b"name");
    ensure!(fs::read_link(back.join("to"))? == Path::new("a b") && back.join("empty").is_dir());
    Ok(())
}

async fn holes(p: &Place) -> Result<()> {
    let size = 12 * MIB;
    let path = p.file("holes", b"begin")?;
    let file = fs::File::options().write(true).open(&path)?;
    std::os::unix::fs::FileExt::write_at(&file, b"end", size - 3)?;
    p.vm.copy_to(&path, "/root/holes").await?;
    let said = p.vm.succeed("stat -c %s /root/holes; head -c 5 /root/holes; tail -c 3 /root/holes").await?;
    ensure!(said == format!("{size}\nbeginend"), "{said}");
    // Where its `tar` knows about holes, there are some.
    if p.vm.execute("tar --version | grep -q GNU").await?.status.success() {
        let blocks = p.number("stat -c %b /root/holes").await?;
        ensure!(blocks < 1000, "{blocks} blocks");
    }
    let back = p.ground.path("holes back");
    p.vm.copy_from("/root/holes", &back).await?;
    ensure!(fs::metadata(&back)?.len() == size && fs::read(&back)?.ends_with(b"end"));
    p.vm.succeed("rm /root/holes").await?;
    Ok(())
}

async fn memory(p: &Place) -> Result<()> {
    let bytes = [&b"\0\xff\n"[..], &[7; 200_000]].concat();
    p.vm.write_file("/srv/deep/er/bytes", bytes.clone()).await?;
    ensure!(p.vm.read_file("/srv/deep/er/bytes").await? == bytes);
    p.vm.write_file_as("/srv/deep/secret", "s3cret", 0o640, "nobody:root").await?;
    let said = p.vm.succeed("stat -c '%a %U %G' /srv/deep/secret; cat /srv/deep/secret").await?;
    ensure!(said == "640 nobody root\ns3cret", "{said}");
    let none = p.vm.read_file("/no/such").await.err();
    ensure!(matches!(&none, Some(GuestError::NoSuchPath { .. })), "{none:?}");
    Ok(())
}

async fn sync(p: &Place) -> Result<()> {
    let (there, plain) = ("/srv/same", SyncOptions::default());
    for n in 0..40 {
        p.file(&format!("same/{}/{n}", n % 5), &vec![u8::try_from(n)?; 100_000])?;
    }
    let same = p.ground.path("same");
    // In the middle of it, or before or after: it is gone on with all the same.
    let _ = tokio::time::timeout(Duration::from_millis(200), p.vm.sync_to(&same, there, plain)).await;
    p.vm.sync_to(&same, there, plain).await?;
    let again = p.vm.sync_to(&same, there, plain).await?;
    ensure!((again.sent, again.removed) == (0, 0), "{again:?}");
    p.file("same/0/0", b"changed")?;
    fs::remove_file(same.join("1/1"))?;
    let changed = p.vm.sync_to(&same, there, SyncOptions { delete: true, digest: true }).await?;
    ensure!((changed.sent, changed.removed) == (1, 1), "{changed:?}");
    let back = p.ground.path("same back");
    let fetched = p.vm.sync_from(there, &back, plain).await?;
    ensure!(fetched.sent >= 39, "{fetched:?}");
    ensure!(fs::read(back.join("0/0"))? == b"changed" && fs::read(back.join("4/39"))? == vec![39; 100_000]);
    Ok(())
}

async fn gather(p: &Place) -> Result<()> {
    p.vm.succeed("mkdir -p /srv/logs; cd /srv/logs; echo one >a.log; echo two >'b c.log'; ln -s a.log to")
        .await?;
    p.vm.succeed(
        "dd if=/dev/zero of=/srv/logs/long bs=1024 count=3000 2>/dev/null; echo end >>/srv/logs/long",
    )
    .await?;
    let wanted = ["/srv/logs/*.log", "/srv/logs/to", "/srv/logs/long", "/srv/none"].map(str::to_owned);
    let (dest, caps) = (p.ground.path("gathered"), Caps { path: MIB, machine: 8 * MIB });
    let all = p.vm.gather(&wanted, &dest, caps, secs(60)).await?;
    ensure!(fs::read(dest.join("_srv_logs_a.log"))? == b"one\n");
    ensure!(fs::read(dest.join("_srv_logs_b c.log"))? == b"two\n");
    ensure!(fs::read(dest.join("_srv_logs_to"))? == b"one\n");
    let long = fs::read(dest.join("_srv_logs_long"))?;
    ensure!(long.len() as u64 == MIB && long.ends_with(b"end\n"), "{} bytes", long.len());
    let why = |wanted: &str| all.iter().find(|one| one.wanted == wanted).and_then(|one| one.missing.clone());
    ensure!(why("/srv/none").context("it is told")?.contains("no such file"), "{all:?}");
    ensure!(why("/srv/logs/long").context("it is told")?.contains("bytes"), "{all:?}");
    Ok(())
}

async fn typed(p: &Place) -> Result<()> {
    p.file("from here/x", b"typed")?;
    p.polder(&["copy-to-vm", "it", "from here", "/srv"])?;
    p.polder(&["copy-from-vm", "it", "/srv/from here/x", "typed back"])?;
    ensure!(fs::read(p.ground.path("typed back"))? == b"typed");
    Ok(())
}
