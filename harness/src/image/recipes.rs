//! Our own recipes. A new image of ours is one more function here; nothing else knows their names.

use std::sync::LazyLock;

use super::{
    error::ImageError,
    info::{Abilities, Ability},
    recipe::{GuestFile, Recipe, Userland},
};
use crate::base::text::did_you_mean;

/// What both kernels are told: measured to save time without hardware acceleration, and to keep names and the console
/// where the harness expects them.
const CMDLINE: &str = "console=ttyS0 quiet net.ifnames=0 mitigations=off nokaslr no5lvl audit=0 cryptomgr.notests \
    no_timer_check tsc=reliable random.trust_cpu=on";

/// The recipes that come with Polder.
#[must_use]
pub fn recipes() -> &'static [Recipe] {
    static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| vec![minimal(), debian12()]);
    &RECIPES
}

/// The recipe called `name`.
///
/// # Errors
/// [`ImageError::Unknown`] with a suggestion.
pub fn recipe(name: &str) -> Result<&'static Recipe, ImageError> {
    recipes().iter().find(|recipe| recipe.name == name).ok_or_else(|| {
        let known: Vec<String> = recipes().iter().map(|recipe| recipe.name.clone()).collect();
        let suggestion = did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned);
        ImageError::Unknown { name: name.to_owned(), suggestion, known }
    })
}

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

macro_rules! guest {
    ($path:literal) => {
        include_str!(concat!("guest/", $path))
    };
}

/// Kernel, busybox, dropbear and the guest agent: in a few seconds up without hardware acceleration.
fn minimal() -> Recipe {
    Recipe {
        name: "minimal".into(),
        packages: words("libc6 dropbear-bin qemu-guest-agent openssh-sftp-server"),
        userland: Userland::Busybox(words(
            "usr/sbin/dropbear usr/bin/dropbearconvert usr/bin/dropbearkey usr/sbin/qemu-ga usr/lib/openssh/sftp-server \
             usr/lib/sftp-server etc/protocols etc/services",
        )),
        modules: words(
            "kernel/net kernel/crypto kernel/lib kernel/drivers/virtio kernel/drivers/block kernel/drivers/scsi \
             kernel/drivers/cdrom kernel/drivers/char kernel/drivers/acpi kernel/drivers/input kernel/drivers/net/dummy.ko",
        ),
        files: vec![
            GuestFile::text("etc/inittab", guest!("minimal/inittab")),
            GuestFile::program("etc/init.d/rcS", guest!("minimal/rcS")),
            GuestFile::program("etc/init.d/rcK", guest!("minimal/rcK")),
            GuestFile::program("etc/init.d/agent", guest!("minimal/agent")),
            GuestFile::program("etc/init.d/power", guest!("minimal/power")),
            GuestFile::program("etc/init.d/hardware", guest!("minimal/hardware")),
            GuestFile::program("etc/acpi/PWRF/00000080", "#!/bin/sh\nexec poweroff\n"),
            GuestFile::program("usr/sbin/shutdown", guest!("minimal/shutdown")),
            GuestFile::program("etc/udhcpc.script", guest!("minimal/udhcpc.script")),
            GuestFile::text("etc/passwd", "root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/:/bin/false\n"),
            GuestFile::text("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
            GuestFile::text("etc/shells", "/bin/sh\n"),
            GuestFile::text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
            GuestFile::text("etc/os-release", "ID=polder-minimal\nID_LIKE=debian\nPRETTY_NAME=\"Polder minimal guest\"\n"),
        ],
        cmdline: CMDLINE.into(),
        min_memory_mib: 96,
        disk_size: 256 << 20,
        abilities: Abilities(
            [Ability::Ssh, Ability::Sftp, Ability::Agent, Ability::AgentExec, Ability::Reboot, Ability::Identity].into(),
        ),
    }
}

/// Debian 12 with systemd and OpenSSH, without what a virtual machine of a test does not need.
fn debian12() -> Recipe {
    Recipe {
        name: "debian12".into(),
        packages: words(
            "systemd systemd-sysv udev dbus kmod openssh-server qemu-guest-agent iproute2 iputils-ping procps \
             netcat-openbsd",
        ),
        userland: Userland::Debian,
        modules: words("kernel"),
        files: vec![],
        cmdline: CMDLINE.into(),
        min_memory_mib: 256,
        disk_size: 2 << 30,
        abilities: Abilities(
            [
                Ability::Ssh,
                Ability::Sftp,
                Ability::Agent,
                Ability::AgentExec,
                Ability::Units,
                Ability::Journal,
                Ability::Reboot,
                Ability::Identity,
            ]
            .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_recipes_are_right() {
        for recipe in recipes() {
            assert_eq!(recipe.problem(), None, "{}", recipe.name);
        }
    }

    #[test]
    fn an_unknown_image_says_which_there_are() {
        let error = recipe("debain12").unwrap_err();
        assert_eq!(error.to_string(), "no image `debain12` (did you mean `debian12`?); there are minimal, debian12");
    }
}
