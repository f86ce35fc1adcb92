#!/bin/sh
# First thing that runs in a small domain.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
[ -e /proc/self ] || mount -t proc proc /proc
[ -e /sys/class ] || mount -t sysfs sys /sys
[ -e /dev/null ] || mount -t devtmpfs dev /dev
mount -o remount,rw /
hostname -F /etc/hostname
swapon -a || echo "no swap: none of the disks has what /etc/fstab names"
sh /usr/lib/lab/network.sh
