//! What labs of ordinary users need of the kernel and its devices. Devices are opened; policies are only reported.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::Result;

use super::Root;
use crate::{command, phases::Skip};

const TUN: &str = "/dev/net/tun";

/// Lets everybody open the tap device, as udev does where it runs; interfaces still take privileges in one's namespace.
pub(crate) fn open_tun() -> Result<()> {
    let Ok(metadata) = fs::metadata(TUN) else {
        println!(
            "warning: there is no {TUN}: machines will have no networks; `modprobe tun`, or hand the device to the container"
        );
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o006 == 0o006 {
        return Ok(());
    }
    println!(
        "{TUN} has mode {mode:04o}, udev's is 0666 and ordinary users need it: changing it until the next start"
    );
    let root = Root::get(&[format!("sudo chmod 0666 {TUN}")])?;
    command::run(root.command("chmod").args(["0666", TUN]))
}

/// Says, with the fixing command, when this host forbids user namespaces to ordinary users.
pub(crate) fn user_namespaces() -> Vec<Skip> {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
        Some(text.trim().to_owned())
    };
    let found = forbidding(read);
    found
        .into_iter()
        .map(|reason| Skip::announce("labs of ordinary users", reason))
        .collect()
}

fn forbidding(read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let switches = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "65536"),
    ];
    let (name, is, fix) = switches
        .into_iter()
        .find(|(name, forbids, _)| read(name).as_deref() == Some(forbids))?;
    Some(format!(
        "{name} is {is}, a policy of this host; to allow them: sudo sysctl -w {name}={fix}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidding_switches_are_named_with_their_fix() {
        let check = |name: &str, value: &str, expected: Option<&str>| {
            let found = forbidding(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(found.is_some(), expected.is_some(), "{name}={value}");
            assert!(expected.is_none_or(|e| found.is_some_and(|f| f.ends_with(e))));
        };
        check(
            "kernel.unprivileged_userns_clone",
            "0",
            Some("kernel.unprivileged_userns_clone=1"),
        );
        check("kernel.unprivileged_userns_clone", "1", None);
        check(
            "kernel.apparmor_restrict_unprivileged_userns",
            "1",
            Some("kernel.apparmor_restrict_unprivileged_userns=0"),
        );
        check(
            "user.max_user_namespaces",
            "0",
            Some("user.max_user_namespaces=65536"),
        );
        check("user.max_user_namespaces", "96365", None);
        check("something.else", "0", None);
    }
}
