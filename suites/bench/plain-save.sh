#!/bin/sh
# Boots machines and saves them for plain-restore.sh: for each MACHINE.save, MACHINE.now (its XML without what is of one
# life only) and MACHINE.frozen, the disk as it then was. Run as plain-up.sh is.
set -eu
dir=$1
. "${0%/*}/plain-lab.sh"
. "${0%/*}/plain-guests.sh"

# The chain of images is another one by then, and so is the path of the agent's socket.
of_any_life() {
    awk '/<backingStore\/>/ { next } /<backingStore/ { deep++ } !deep && !/<source mode=.bind./ { print } /<\/backingStore>/ { deep-- }'
}
save() {
    wake "$1" "$2"
    $virsh save "$2" "$1.save" >/dev/null
    $virsh save-image-dumpxml "$1.save" | of_any_life >"$1.now"
    mv "$(cat "$1.disk")" "$1.frozen"
    # What lies over it does so from now on.
    echo "$1.frozen" >"$1.backing"
}
nets
each boot
each save
echo ready
cat >/dev/null
