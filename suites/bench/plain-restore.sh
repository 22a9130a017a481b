#!/bin/sh
# Machines that go on where plain-save.sh has saved them, until agents answer and clocks are right. Run as plain-up.sh is.
set -eu
dir=$1
. "${0%/*}/plain-lab.sh"
. "${0%/*}/plain-guests.sh"

restore() {
    overlay "$1"
    $virsh restore "$1.save" --xml "$1.now" >/dev/null
    wake "$1" "$2"
}
nets
each restore
echo ready
cat >/dev/null
