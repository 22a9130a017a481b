//! The tests once more as an ordinary user, when root runs the gate: the same built binaries, nothing compiled again.
//!
//! The workspace may lie where that user cannot go (below `/root`), and its absolute path is compiled into the tests.
//! So they run in a mount namespace of their own, in which closed folders above the workspace are replaced by open ones
//! and the two folders tests write to by the user's own. Nothing of it is seen outside or remains.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    binaries::{self, Binary},
    command, gate,
    phases::Tally,
    setup::accounts::{self, Account},
    workspace,
};

/// Who runs them.
pub(crate) const USER: &str = "polder-test";

/// Test targets that run cargo or the compiler, which this user does not have: (package, target).
const NEED_TOOLCHAIN: &[(&str, &str)] =
    &[("polder-macros", "polder_macros"), ("polder-ci", "polder-ci"), ("polder", "ui")];

/// Tests of the others that do: parts of their names.
const NEED_TOOLCHAIN_TESTS: &[&str] = &["runners::", "struck::nextest_", "twelve::nextest_"];

/// Suites that run once, as root, beside others: what they could show of ordinary users, tests of the harness do.
const ONCE: &[(&str, &str)] = &[
    ("polder-suites", "demo"),
    ("polder-suites", "environment"),
    ("polder-suites", "router"),
    ("polder-suites", "routing"),
];

/// Images this user does not copy: one it builds itself, so that building without privileges is tested as well, and one of suites
/// that run once.
const NOT_COPIED: &[&str] = &["minimal-", "debian12-frr-"];

/// Variables of ours that name folders of root.
const FOLDERS_OF_ROOT: &[&str] = &["POLDER_CACHE_DIR", "POLDER_RUNTIME_DIR", "POLDER_OUTPUT_DIR"];

/// What the hidden verb is told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File with the plan.
    plan: PathBuf,
}

/// Everything the inner process needs, decided.
#[derive(Serialize, Deserialize)]
struct Plan {
    user: String,
    uid: u32,
    gid: u32,
    home: PathBuf,
    workspace: PathBuf,
    target: PathBuf,
    binaries: Vec<Binary>,
}

/// Runs them; root only.
pub(crate) fn run(tally: &mut Tally) -> Result<()> {
    let account = accounts::ensure(USER)?;
    let target = workspace::metadata()?.target_directory;
    share_images(&account)?;
    let plan = Plan {
        user: account.name.clone(),
        uid: account.uid,
        gid: account.gid,
        home: account.home.clone(),
        workspace: workspace::root().to_owned(),
        target: target.clone(),
        binaries: binaries::built()?.into_iter().filter(wanted).collect(),
    };
    let own = own_folder(&target);
    for folder in WRITTEN {
        for folder in [own.join(folder), target.join(folder)] {
            fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
        }
        let folder = own.join(folder);
        chown(&folder, Some(account.uid), Some(account.gid))
            .with_context(|| format!("could not hand over {}", folder.display()))?;
    }
    let file = own.join("plan.json");
    fs::write(&file, serde_json::to_vec_pretty(&plan)?)
        .with_context(|| format!("could not write {}", file.display()))?;
    // Not `current_exe()`: cargo may have replaced that file since we started.
    let ourselves = format!("/proc/{}/exe", std::process::id());
    let mut inside =
        command::command(&["unshare", "--mount", "--propagation", "slave", "--", &ourselves, "rootless"]);
    gate::test(inside.arg(&file), tally).with_context(|| {
        format!("as user {USER}; what failures left lies in {}", own.join("polder").display())
    })
}

/// Whether the user can run it, and shall.
fn wanted(binary: &Binary) -> bool {
    let named = (binary.package.as_str(), binary.target.as_str());
    !ONCE.contains(&named) && !NEED_TOOLCHAIN.contains(&named)
}

/// The folders below `target` that tests write to.
const WRITTEN: [&str; 2] = ["polder", "tmp"];

fn own_folder(target: &Path) -> PathBuf {
    target.join("polder-user")
}

/// The inner process: in its own mount namespace, still root until each test binary starts.
pub(crate) fn inside(args: &Args) -> Result<ExitCode> {
    let text = fs::read(&args.plan).with_context(|| format!("could not read {}", args.plan.display()))?;
    let plan: Plan =
        serde_json::from_slice(&text).with_context(|| format!("could not read {}", args.plan.display()))?;
    open_up(&[&plan.workspace, &plan.target])?;
    for folder in WRITTEN {
        mount(
            Command::new("mount")
                .arg("--bind")
                .arg(own_folder(&plan.target).join(folder))
                .arg(plan.target.join(folder)),
        )?;
    }
    let mut failed = vec![];
    for binary in &plan.binaries {
        println!("\n     As {} {} ({})", plan.user, binary.target, binary.package);
        failed.extend(unless_passed(binary, as_user(&plan, binary).status()));
    }
    for failure in &failed {
        eprintln!("failed as {}: {failure}", plan.user);
    }
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

/// Why it is not passed.
fn unless_passed(binary: &Binary, ended: io::Result<ExitStatus>) -> Option<String> {
    let why = match ended {
        Ok(status) if status.success() => return None,
        Ok(status) => status.to_string(),
        Err(error) => format!(
            "could not start {}; may others read the workspace's files? {error}",
            binary.executable.display()
        ),
    };
    Some(format!("{} ({}): {why}", binary.target, binary.package))
}

/// The command that runs one test binary the way cargo would, as the user.
fn as_user(plan: &Plan, binary: &Binary) -> Command {
    let mut command = Command::new(&binary.executable);
    let ours = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("POLDER_") && !FOLDERS_OF_ROOT.contains(&name.as_ref())
    });
    command
        .uid(plan.uid)
        .gid(plan.gid)
        .current_dir(&binary.folder)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &plan.home)
        .env("USER", &plan.user)
        .env("LOGNAME", &plan.user)
        .env("LANG", "C.UTF-8")
        .env("RUST_BACKTRACE", "1")
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("CARGO_PKG_NAME", &binary.package)
        // insta would ask cargo.
        .env("INSTA_WORKSPACE_ROOT", &plan.workspace)
        .env("INSTA_UPDATE", "no")
        .env("POLDER_TEST_PREBUILT", "1")
        .envs([gate::side_by_side()])
        .envs(ours)
        .args(NEED_TOOLCHAIN_TESTS.iter().chain(gate::ONCE_AS_ROOT).flat_map(|name| ["--skip", name]));
    command
}

/// Replaces the topmost closed folder above each tree by an open, empty one that holds only the tree.
fn open_up(trees: &[&Path]) -> Result<()> {
    let closed: Vec<_> = trees.iter().filter_map(|tree| Some((*tree, closed_above(tree)?))).collect();
    let stage = std::env::temp_dir().join(format!("polder-user-{}", std::process::id()));
    for (number, (tree, _)) in closed.iter().enumerate() {
        let held = stage.join(number.to_string());
        fs::create_dir_all(&held).with_context(|| format!("could not make {}", held.display()))?;
        mount(Command::new("mount").arg("--rbind").arg(tree).arg(&held))?;
    }
    for (number, (tree, top)) in closed.iter().enumerate() {
        if closed_above(tree).is_some() {
            mount(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=0755", "tmpfs"]).arg(top))?;
        }
        fs::create_dir_all(tree).with_context(|| format!("could not make {}", tree.display()))?;
        let held = stage.join(number.to_string());
        // Two trees may be one inside the other: then the second is there already.
        if fs::read_dir(tree).with_context(|| format!("could not read {}", tree.display()))?.next().is_none()
        {
            mount(Command::new("mount").arg("--move").arg(&held).arg(tree))?;
        } else {
            mount(Command::new("umount").arg("--recursive").arg(&held))?;
        }
    }
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("could not remove {}", stage.display()))?;
    }
    Ok(())
}

/// The topmost folder above `tree` that others may not enter.
fn closed_above(tree: &Path) -> Option<PathBuf> {
    let mut above: Vec<_> = tree.ancestors().skip(1).collect();
    above.reverse();
    let closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|m| m.permissions().mode() & 0o001 == 0);
    above.into_iter().find(closed).map(Path::to_owned)
}

fn mount(command: &mut Command) -> Result<()> {
    command::output(command).map(drop)
}

/// Copies root's guest images for the user, but for the one it shall build.
fn share_images(account: &Account) -> Result<()> {
    let Some(from) = workspace::cache().map(|cache| cache.join("images")).filter(|images| images.is_dir())
    else {
        return Ok(());
    };
    let to = account.home.join(".cache/polder/images");
    let entries = fs::read_dir(&from).with_context(|| format!("could not read {}", from.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let left_out = name.starts_with('.')
            || NOT_COPIED.iter().any(|image| name.starts_with(image))
            || to.join(&name).exists();
        if left_out || !entry.path().join("image.json").is_file() {
            continue;
        }
        println!("copying image {name} for {}", account.name);
        let partial = to.join(format!(".partial-copy-{name}"));
        command::output(Command::new("mkdir").arg("-p").arg(&to))?;
        command::output(Command::new("rm").arg("-rf").arg(&partial))?;
        command::output(
            Command::new("cp")
                .args(["-r", "--sparse=always", "--reflink=auto"])
                .arg(entry.path())
                .arg(&partial),
        )?;
        fs::rename(&partial, to.join(&name))
            .with_context(|| format!("could not rename {}", partial.display()))?;
    }
    let cache = account.home.join(".cache");
    if cache.exists() && owned_by_other(&to, account.uid) {
        let owner = format!("{}:{}", account.uid, account.gid);
        command::output(Command::new("chown").args(["-R", "-h", &owner]).arg(cache))?;
    }
    Ok(())
}

/// Whether the folder or something directly in it belongs to somebody else.
fn owned_by_other(folder: &Path, uid: u32) -> bool {
    let other = |path: &Path| fs::symlink_metadata(path).is_ok_and(|m| m.uid() != uid);
    other(folder) || fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| other(&entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_closed_folder_is_found() {
        let base = std::env::temp_dir().join(format!("polder-ci-closed-{}", std::process::id()));
        let tree = base.join("open/closed/open/closed/tree");
        fs::create_dir_all(&tree).unwrap();
        fs::set_permissions(base.join("open/closed"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(base.join("open/closed/open/closed"), fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(closed_above(&tree), Some(base.join("open/closed")));
        assert_eq!(closed_above(&base.join("open")), None);
        fs::remove_dir_all(&base).unwrap();
    }
}
