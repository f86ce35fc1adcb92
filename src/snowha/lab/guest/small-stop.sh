#!/bin/sh
# Runs before init ends everything else: the service must let go of its files, or the root stays mounted for writing.
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
tries=100
killall -TERM lab-service 2> /dev/null
while pidof lab-service > /dev/null && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    usleep 50000
done
swapoff -a
sync
mount -o remount,ro / && echo "root file system is clean"
