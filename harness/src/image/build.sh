#!/bin/sh
# Builds one guest image from Debian packages, inside a sandbox: we are (mapped) root and /tmp is ours alone.
# Not for people to run: `build.rs` stages what is read here and moves what is written.
#
#   build.sh IN OUT     IN:  debian.sources, packages, keep, modules, init,
#                            initrd-loaded, initrd-scsi, root/ (files of the recipe)
#                       OUT: disk, kernel, initrd, files.txt
#
# Every step announces itself with a `==> ` line; the last one in the log names what failed.
set -eu
umask 022
cd /
in=$1 out=$2
sources=$in/debian.sources # of this host; none: the suite's own default
[ -s "$sources" ] || sources=
root=/tmp/root parts=/tmp/parts

step() { echo "==> $*"; }

main() {
    check_tools
    mkdir "$parts"
    if [ -s "$in/keep" ]; then busybox_root; else systemd_root; fi
    unpack_kernel
    recipe_files
    clean
    make_initrd
    make_disk
}

check_tools() {
    step "look for tools"
    for tool in mmdebstrap apt-get dpkg-deb tar awk mke2fs qemu-img lz4; do
        command -v "$tool" >/dev/null || { echo "missing-tool: $tool"; exit 3; }
    done
}

# Arguments: variant and more options. Kernel and busybox are only downloaded: nothing else of their
# dependencies is wanted, and unpacking them is quicker than installing.
debstrap() {
    variant=$1
    shift
    # How this host fetches (proxies, time-outs), but none of its hooks.
    apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' >/tmp/apt.conf
    # shellcheck disable=SC2016 # expanded by the hook's own shell
    mmdebstrap --mode=root --variant="$variant" --include="$(paste -sd, "$in/packages")" --aptopt=/tmp/apt.conf \
        "$@" --extract-hook='cd '"$parts"' && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" &&
            kernel=$(apt-cache depends linux-image-cloud-amd64 | awk "/Depends: linux-image-/ { print \$2; exit }") &&
            apt-get --quiet=2 --option APT::Sandbox::User=root download "$kernel" busybox-static' \
        bookworm "$root" $sources
}

# A root of nothing but the files on the keep list and the libraries they load.
busybox_root() {
    step "fetch and unpack packages"
    root=/tmp/all
    debstrap extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr
    unpack_parts
    step "pick files"
    root=/tmp/root
    mkdir -p $root/usr/bin $root/usr/sbin $root/usr/lib $root/usr/lib64 $root/etc
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
    while read -r path; do
        keep "$path"
        case $path in */bin/* | */sbin/*) libraries "/$path" ;; esac
    done <"$in/keep"
    install -m 755 "$parts/busybox" "$root/usr/bin/busybox"
    for applet in $("$parts/busybox" --list-full); do
        link=$root/usr/${applet#usr/}
        [ -e "$link" ] || ln -s /usr/bin/busybox "$link"
    done
}

keep() {
    tar -C /tmp/all -c "$1" | tar -C /tmp/root -x --keep-directory-symlink --no-overwrite-dir
}

# The dynamic loader's own word on what a program needs.
libraries() {
    loader=/lib64/ld-linux-x86-64.so.2
    for lib in $loader $(chroot /tmp/all $loader --list "$1" | awk '$3 ~ /^\// { print $3 }'); do
        mkdir -p "$root${lib%/*}"
        [ -e "$root$lib" ] || cp --dereference --preserve=mode "/tmp/all$lib" "$root$lib"
    done
}

systemd_root() {
    step "fetch and install packages"
    debstrap apt \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='force-unsafe-io'
    unpack_parts
}

unpack_parts() {
    for deb in "$parts"/*.deb; do dpkg-deb -x "$deb" "$parts"; done
    mv "$parts/bin/busybox" "$parts/busybox"
    version=$(basename "$parts"/lib/modules/*)
}

# QEMU copies an uncompressed kernel into place by itself. Under translation the kernel's own unpacking takes half a
# second at the first start, and up to a minute after a reboot, when the memory it writes held translated code.
uncompressed_kernel() {
    at=$(LC_ALL=C grep -abom1 "$(printf '\002\041\114\030')" "$1" | head -n 1 | cut -d: -f1)
    # What follows the packed kernel in the file is not of it: lz4 complains after it has written everything.
    [ -z "$at" ] || tail -c "+$((at + 1))" "$1" | lz4 -dcq >"$2" 2>/dev/null || true
    [ "$(head -c 4 "$2" 2>/dev/null | tail -c 3)" = ELF ] || cp "$1" "$2"
}

unpack_kernel() {
    step "unpack the kernel"
    uncompressed_kernel "$parts/boot/vmlinuz-$version" "$out/kernel"
    modules=$root/usr/lib/modules/$version
    mkdir -p "$modules"
    tar -C "$parts/lib/modules/$version" --files-from="$in/modules" -c | tar -C "$modules" -x
    cp "$parts/lib/modules/$version"/modules.builtin* "$parts/lib/modules/$version/modules.order" "$modules"
    if [ -e $root/usr/bin/kmod ]; then
        chroot $root depmod "$version"
    else
        "$parts/busybox" depmod -b $root "$version"
    fi
}

recipe_files() {
    step "add the recipe's files"
    find "$in/root" -type d -exec chmod 755 {} +
    tar -C "$in/root" --owner=0 --group=0 -c . |
        tar -C $root -x --keep-directory-symlink --no-overwrite-dir
}

# What must differ between machines, tell about this host, or change from build to build.
clean() {
    step "clean up"
    cd $root
    mkdir -p dev proc sys run tmp root var/log var/tmp etc/polder
    chmod 1777 tmp var/tmp
    chmod 700 root
    rm -rf etc/ssh/ssh_host_* etc/apt/sources.list etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap \
        etc/dpkg/dpkg.cfg.d/99mmdebstrap etc/hostname etc/hosts etc/resolv.conf var/log/*.log var/log/apt \
        var/cache/ldconfig/aux-cache var/cache/debconf/*-old var/lib/dpkg/*-old run/* tmp/* dev/*
    : >etc/machine-id
    find . \( -type d -printf '%m %U:%G - %p\n' \) -o \( -type l -printf '%m %U:%G >%l %p\n' \) \
        -o -printf '%m %U:%G %s %p\n' | LC_ALL=C sort -k4 >"$out/files.txt"
    find . -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    cd /
}

# busybox, `init`, and the modules needed before the root disk is there, with what those need.
make_initrd() {
    step "make the initrd"
    tree=/tmp/initrd
    to=$tree/lib/modules/$version
    mkdir -p $tree/bin $tree/dev $tree/proc $tree/sys $tree/root "$to"
    cp "$parts/busybox" $tree/bin/busybox
    ln -s busybox $tree/bin/sh
    install -m 755 "$in/init" $tree/init
    cd "$parts/lib/modules/$version"
    "$parts/busybox" depmod -b "$parts" "$version"
    cat "$in/initrd-loaded" "$in/initrd-scsi" >/tmp/wanted
    awk -F: 'NR == FNR { wanted[$1]; next }
        { name = $1; gsub(/.*\/|\.ko$/, "", name); gsub(/-/, "_", name); if (name in wanted) print $1 $2 }' \
        /tmp/wanted modules.dep | tr ' ' '\n' | sort -u | tar --files-from=- -c | tar -C "$to" -x
    "$parts/busybox" depmod -b $tree "$version"
    paste -sd' ' "$in/initrd-loaded" >$tree/modules
    paste -sd' ' "$in/initrd-scsi" >$tree/scsi-modules
    find $tree -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    cd $tree
    find . | LC_ALL=C sort | "$parts/busybox" cpio --quiet -o -H newc >"$out/initrd"
    cd /
}

make_disk() {
    step "make the disk"
    # Fixed identifiers and times: two builds from the same packages differ as little as can be.
    uuid=706f6c64-6572-4000-8000-000000000000
    E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -b 4096 -L root -U $uuid -m 0 \
        -E hash_seed=$uuid,assume_storage_prezeroed=1 -d $root /tmp/disk.raw "$((DISK_SIZE / 1024))k"
    qemu-img convert -q -f raw -O qcow2 /tmp/disk.raw "$out/disk"
    chmod 444 "$out"/*
    step "done"
}

main
