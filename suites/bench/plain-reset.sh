#!/bin/sh
# Machines that go back in place to one moment, again and again. Run as plain-up.sh is; prints `reset SECONDS` for each time.
set -eu
dir=$1
. "${0%/*}/plain-lab.sh"
. "${0%/*}/plain-guests.sh"

monitor() { $virsh qemu-monitor-command --hmp "$1" "$2" >/dev/null; }
keep() {
    wake "$1" "$2"
    monitor "$2" "savevm moment"
}
back() {
    monitor "$2" "loadvm moment"
    wake "$1" "$2"
}
now() { date +%s%N; }
nets
each boot
each keep
for round in 1 2 3 4 5; do
    begin=$(now)
    each back
    took=$(($(now) - begin))
    echo "reset $((took / 1000000000)).$(printf %09d $((took % 1000000000)))"
done
echo ready
cat >/dev/null
