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
            GuestFile::program("etc/init.d/console", guest!("minimal/console")),
            GuestFile::program("etc/init.d/agent", guest!("minimal/agent")),
            GuestFile::program("etc/init.d/power", guest!("minimal/power")),
            GuestFile::program("etc/init.d/hardware", guest!("minimal/hardware")),
            GuestFile::program("etc/acpi/PWRF/00000080", "#!/bin/sh\nexec poweroff\n"),
            GuestFile::program("usr/sbin/shutdown", guest!("minimal/shutdown")),
            GuestFile::program("etc/udhcpc.script", guest!("minimal/udhcpc.script")),
            GuestFile::text(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
            ),
            GuestFile::text("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
            GuestFile::text("etc/shadow", "root:*:19700:0:99999:7:::\nnobody:*:19700:0:99999:7:::\n"),
            GuestFile::text("etc/shells", "/bin/sh\n"),
            GuestFile::text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
            GuestFile::text(
                "etc/os-release",
                "ID=polder-minimal\nID_LIKE=debian\nPRETTY_NAME=\"Polder minimal guest\"\n",
            ),
        ],
        cmdline: CMDLINE.into(),
        min_memory_mib: 96,
        disk_size: 256 << 20,
        abilities: Abilities(
            [
                Ability::Ssh,
                Ability::Sftp,
                Ability::Agent,
                Ability::AgentExec,
                Ability::Reboot,
                Ability::Identity,
            ]
            .into(),
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
        files: debian12_files(),
        cmdline: CMDLINE.into(),
        min_memory_mib: 192,
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

fn debian12_files() -> Vec<GuestFile> {
    let mut files = vec![
        GuestFile::text("etc/systemd/system/ssh.service", guest!("debian12/ssh.service")),
        GuestFile::text("etc/ssh/sshd_config.d/polder.conf", guest!("debian12/sshd.conf")),
        GuestFile::text(
            "etc/systemd/system/polder-console.service",
            guest!("debian12/polder-console.service"),
        ),
        GuestFile::text("etc/systemd/journald.conf.d/polder.conf", guest!("debian12/journald.conf")),
        GuestFile::text("etc/systemd/system.conf.d/polder.conf", guest!("debian12/system.conf")),
        GuestFile::text(
            "etc/systemd/system/systemd-udev-trigger.service.d/polder.conf",
            guest!("debian12/udev-trigger.conf"),
        ),
        GuestFile::text("etc/systemd/system/polder-dns.path", guest!("debian12/polder-dns.path")),
        GuestFile::text("etc/systemd/system/polder-dns.service", guest!("debian12/polder-dns.service")),
        GuestFile::program("usr/lib/polder/console", guest!("debian12/console")),
        GuestFile::program("usr/lib/polder/dns", guest!("debian12/dns")),
    ];
    let wants = |target: &str, unit: &str, at: &str| {
        GuestFile::link(&format!("etc/systemd/system/{target}.wants/{unit}"), &format!("{at}/{unit}"))
    };
    files.extend([
        wants("sysinit.target", "ssh.service", "/etc/systemd/system"),
        wants("getty.target", "polder-console.service", "/etc/systemd/system"),
        wants("multi-user.target", "polder-dns.path", "/etc/systemd/system"),
        wants("multi-user.target", "systemd-networkd.service", "/usr/lib/systemd/system"),
        GuestFile::link(
            "etc/systemd/system/dbus-org.freedesktop.network1.service",
            "/usr/lib/systemd/system/systemd-networkd.service",
        ),
    ]);
    files.extend(["journald", "udevd", "logind", "networkd"].map(|daemon| {
        let path = format!("etc/systemd/system/systemd-{daemon}.service.d/polder.conf");
        GuestFile::text(&path, guest!("debian12/unconfined.conf"))
    }));
    let mask = |path: String| GuestFile::link(&path, "/dev/null");
    files.extend(words(MASKED_UNITS).iter().map(|unit| mask(format!("etc/systemd/system/{unit}"))));
    files.extend(
        words(MASKED_GENERATORS).iter().map(|name| mask(format!("etc/systemd/system-generators/{name}"))),
    );
    files
}

/// Units of Debian that do nothing for a virtual machine of a test, but take time when it starts.
const MASKED_UNITS: &str = "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer getty@tty1.service getty-static.service proc-sys-fs-binfmt_misc.automount \
    systemd-binfmt.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount modprobe@.service systemd-ask-password-console.path \
    systemd-ask-password-wall.path systemd-boot-system-token.service systemd-firstboot.service \
    systemd-fsck-root.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
    systemd-machine-id-commit.service systemd-network-generator.service systemd-networkd-wait-online.service \
    systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service systemd-repart.service systemd-sysusers.service \
    systemd-update-done.service systemd-update-utmp.service systemd-update-utmp-runlevel.service ldconfig.service";

/// Generators of units that such a machine does not have; each is a process to start at boot.
const MASKED_GENERATORS: &str = "systemd-bless-boot-generator systemd-cryptsetup-generator systemd-getty-generator \
    systemd-gpt-auto-generator systemd-hibernate-resume-generator systemd-integritysetup-generator \
    systemd-rc-local-generator systemd-run-generator systemd-system-update-generator systemd-veritysetup-generator";

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
        assert_eq!(
            error.to_string(),
            "no image `debain12` (did you mean `debian12`?); there are minimal, debian12"
        );
    }
}
