#!/bin/sh
# What one would write by hand for the life of an environment: texts for libvirt, disks, networks, machines, a look at them, a snapshot of
# their disks, back to it, and away. Run inside fresh namespaces (see plain.rs) with a folder as plain-up.sh has it;
# prints `PHASE SECONDS` for each step, and `ready` at the end.
set -eu
dir=$1
virsh="virsh -q -c qemu:///system"

now() { date +%s%N; }
# phase NAME COMMAND..: does it and says how long it took.
phase() {
    name=$1 && shift
    begin=$(now)
    "$@"
    end=$(now)
    echo "$name $(((end - begin) / 1000000000)).$(printf %09d $(((end - begin) % 1000000000)))"
}
# each COMMAND: for all machines at once.
each() {
    pids=
    for xml in "$dir"/*.domain; do
        machine=${xml%.domain}
        ("$@" "$machine" "${machine##*/}") &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
}

# Names are put into texts, as any script does it.
plan() { sed "s#@machine@#$2#g" "$1.domain" >"$1.xml"; }
disk() { qemu-img create -q -f qcow2 -b "$(cat "$1.backing")" -F qcow2 "$(cat "$1.disk")"; }
init() { each disk; }
create() { $virsh create "$1.xml" >/dev/null; }
lab() { . "${0%/*}/plain-lab.sh"; }
start() {
    for net in "$dir"/*net.xml; do $virsh net-create "$net" >/dev/null; done
    each create
}
answers() {
    until ssh -q -i "$dir/key" -o UserKnownHostsFile="$dir/known_hosts" -o StrictHostKeyChecking=yes \
        -o BatchMode=yes -o ConnectTimeout=1 -o KexAlgorithms=curve25519-sha256 "root@$(cat "$1.ip")" true; do
        sleep 0.1
    done
}
status() { $virsh list --all >/dev/null && $virsh net-list >/dev/null; }
# The same moment of all machines, with their file systems at rest.
freeze() { $virsh domfsfreeze "$2" >/dev/null; }
pause() { $virsh suspend "$2" >/dev/null; }
keep() { $virsh snapshot-create-as "$2" s --disk-only --no-metadata --atomic --diskspec "vda,file=$1.s" >/dev/null; }
resume() { $virsh resume "$2" >/dev/null; }
thaw() { $virsh domfsthaw "$2" >/dev/null; }
snapshot() { each freeze && each pause && each keep && each resume && each thaw; }
back() {
    $virsh destroy "$2" >/dev/null
    qemu-img create -q -f qcow2 -b "$(cat "$1.disk")" -F qcow2 "$1.s"
    sed "s#$(cat "$1.disk")#$1.s#" "$1.domain" >"$1.back"
    $virsh create "$1.back" >/dev/null
}
gone() { $virsh destroy "$2" >/dev/null; }
destroy() {
    each gone
    for net in $($virsh net-list --name); do $virsh net-destroy "$net" >/dev/null; done
    rm -f "$dir"/*.s $(cat "$dir"/*.disk)
}

phase plan each plan
phase init init
phase lab lab
phase start start
each answers
phase status status
phase snapshot snapshot
phase revert each back
phase destroy destroy
echo ready
cat >/dev/null
