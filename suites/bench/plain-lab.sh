# A private libvirtd in namespaces of its own, as one would start it by hand. To be read by a script in fresh namespaces
# (see plain.rs) that has set `dir`, a folder with cache/.
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

mount -t sysfs sysfs /sys
for d in /run /etc/libvirt /var/lib /var/log; do mount -t tmpfs tmpfs $d; done
mount --bind "$dir/cache" /var/cache
mkdir -p /run/libvirt/network /var/lib/misc /var/log/libvirt/qemu /etc/libvirt/qemu/networks /var/cache/libvirt/qemu
for d in qemu network dnsmasq images boot; do mkdir -p /var/lib/libvirt/$d; done
printf '%s\n' 'user = "root"' 'group = "root"' 'dynamic_ownership = 0' 'remember_owner = 0' 'security_driver = "none"' \
    'cgroup_controllers = []' 'namespaces = []' 'stdio_handler = "file"' 'seccomp_sandbox = 0' >/etc/libvirt/qemu.conf
printf '%s\n' 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' >/etc/libvirt/libvirtd.conf
for f in passwd group; do
    grep -v '^libvirt-qemu:' /etc/$f >/run/$f
    case $f in passwd) echo 'libvirt-qemu:x:64055:64055::/:/bin/false' ;; group) echo 'libvirt-qemu:x:64055:' ;; esac >>/run/$f
    mount --bind /run/$f /etc/$f
done
ip link set lo up
libvirtd --config /etc/libvirt/libvirtd.conf 2>/run/libvirtd.log &
until virsh -q -c qemu:///system net-list >/dev/null 2>&1; do sleep 0.02; done
