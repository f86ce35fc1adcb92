#!/bin/sh
# /init of a domain's initramfs: load what the disk and the network need, wait for the root device, go on with /sbin/init.
set -f
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

while read -r module; do
    insmod "/modules/$module" || echo "initramfs: $module could not be loaded"
done < /modules/order

root= type=ext4 flags= mode=ro init=/sbin/init
for word in $(cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
        rootfstype=*) type=${word#rootfstype=} ;;
        rootflags=*) flags=,${word#rootflags=} ;;
        init=*) init=${word#init=} ;;
        ro | rw) mode=$word ;;
    esac
done

device() {
    case $root in
        UUID=* | LABEL=*) findfs "$root" 2> /dev/null ;;
        *) echo "$root" ;;
    esac
}

# The backend may need a while (an image on a server that is just taking over): 60 s of looking ten times a second.
tries=600
until disk=$(device) && [ -b "$disk" ] && mount -t "$type" -o "$mode$flags" "$disk" /root 2> /dev/null; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
        echo "initramfs: no root file system on '$root' ($type) within 60 s. The kernel knows these disks:"
        cat /proc/partitions
        echo "initramfs: this is a shell; leaving it reboots"
        setsid cttyhack sh
        reboot -f
    fi
    # A device that is there and cannot be mounted is not waited for in silence.
    [ -b "$disk" ] && [ "$((tries % 50))" = 0 ] && echo "initramfs: $disk is there and cannot be mounted as $type"
    usleep 100000
done

for place in proc sys dev; do
    [ -d "/root/$place" ] && mount -o move "/$place" "/root/$place"
done
exec switch_root /root "$init"
