# Machines by virsh, qemu-img and ssh. To be read by a script that has set `dir`, a folder that holds net.xml, key, known_hosts, and for
# each machine MACHINE.domain, MACHINE.ip, MACHINE.disk (path of its overlay) and MACHINE.backing.
virsh="virsh -q -c qemu:///system"

# each COMMAND: for all machines at once, with the path of a machine's files and its name.
each() {
    pids=
    for xml in "$dir"/*.domain; do
        [ -e "$xml" ] || continue
        machine=${xml%.domain}
        ("$@" "$machine" "${machine##*/}") &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
}
nets() { [ ! -e "$dir/net.xml" ] || $virsh net-create "$dir/net.xml" >/dev/null; }
overlay() { qemu-img create -q -f qcow2 -b "$(cat "$1.backing")" -F qcow2 "$(cat "$1.disk")"; }
boot() {
    overlay "$1"
    $virsh create "$1.domain" >/dev/null
    tries=0
    # A second is enough, but for a host so busy that no handshake ever ends within one.
    until ssh -q -i "$dir/key" -o UserKnownHostsFile="$dir/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes \
        -o ConnectTimeout=$((1 + tries / 20)) -o KexAlgorithms=curve25519-sha256 "root@$(cat "$1.ip")" true; do
        tries=$((tries + 1))
        sleep 0.1
    done
}
agent() { $virsh qemu-agent-command "$1" "$2" >/dev/null 2>&1; }
# The agent answers, and then the clock is right. Either may take a busy guest longer than virsh waits.
wake() {
    until agent "$2" '{"execute":"guest-ping"}'; do sleep 0.02; done
    until agent "$2" "{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":$(date +%s%N)}}"; do sleep 0.02; done
}
