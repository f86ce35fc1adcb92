# What `snow ha check` asks a server, all at once: on a busy server each command of its own costs a noticeable time.
# Nothing is changed. Parameters: boundary, snow.conf ('' where it is not asked for), folders of the images and of the domains'
# configs; then names to resolve, `--`, tools to look for, `--`, the domains' kernels and ramdisks, `--`, files and volumes to look
# at. Each answer stands between two lines that begin with the boundary, which nobody can guess.
export LC_ALL=C
b=$1 conf=$2 images=$3 configs=$4
shift 4
printf '%s clock %s\n' "$b" "$(date +%s.%N)"
begin() { printf '\n%s < %s\n' "$b" "$1"; }
end() { printf '\n%s > %s\n' "$b" "$1"; }
take() { begin "$1"; shift; "$@" 2>&1; end $?; }
show() { [ -r "$2" ] || return 0; begin "$1"; cat -- "$2"; end $?; }

# an automounter mounts what is looked into; until then it is all that is mounted there
for path in "$images" "$configs" "$@"; do
    case $path in /*) [ ! -d "$path" ] || ls -d -- "$path/." > /dev/null 2>&1 ;; esac
done
take os cat /etc/os-release
take mounts cat /proc/self/mounts
take address ip -j address
# what an NFS client calls itself (Linux fs/nfs/nfs4proc.c, nfs4_get_uniquifier): its host name, and one of these if it is set
begin nfs-client
uname -n
for file in /sys/fs/nfs/net/nfs_client/identifier /sys/module/nfs/parameters/nfs4_unique_id; do
    said=
    [ ! -r "$file" ] || read -r said < "$file" || :
    printf '%s\n' "$said"
done
end 0
begin memory; read -r _ kib _ < /proc/meminfo && printf '%s' "$kib"; end $?
take cpus getconf _NPROCESSORS_CONF
[ ! -r /sys/class/dmi/id/product_uuid ] || take uuid cat /sys/class/dmi/id/product_uuid
if [ -e /proc/xen/capabilities ]; then
    take xl-info timeout 20 xl info
    take xl-list timeout 20 xl list
    # the sending side of live migrations; the receiving one goes on as the domain's own process afterwards
    begin migrating
    for pid in $(pidof xl); do
        ! grep -qaz '^migrate$' "/proc/$pid/cmdline" 2> /dev/null || tr '\0' ' ' < "/proc/$pid/cmdline"
    done
    end 0
fi
take packages dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' \
    corosync pacemaker resource-agents xen-system-amd64
take units systemctl show -p Id,ActiveState corosync.service pacemaker.service
# asked of the files: what systemd remembers of them is as old as its last reload
begin at-boot
for unit in corosync.service pacemaker.service; do
    printf '%s %s\n' "$unit" "$(SYSTEMCTL_SKIP_SYSV=1 systemctl is-enabled "$unit" 2> /dev/null)"
done
end 0
show xendomains /etc/default/xendomains
take attachments attachments
begin auto
(
    set --
@autostart@
)
end 0
show corosync.conf /etc/corosync/corosync.conf
show definition /etc/snow-ha/ha.toml
if command -v cibadmin > /dev/null; then
    begin cib
    timeout 20 cibadmin --query 2> /dev/null || cat /var/lib/pacemaker/cib/cib.xml 2> /dev/null
    end $?
fi
if command -v crm_mon > /dev/null; then
    begin crm_mon; timeout 20 crm_mon -1 --inactive --output-as=xml --fence-history=2 2> /dev/null; end $?
    begin quorum; timeout 20 corosync-quorumtool -s 2> /dev/null; end $?
    begin links; timeout 20 corosync-cfgtool -s 2> /dev/null; end $?
fi
[ -z "$conf" ] || show snow.conf "$conf"
[ ! -r "$conf" ] || take conf-error bash -n -- "$conf"
[ -z "$conf" ] || show snow-env /etc/profile.d/00-snow-env.sh
begin rights
for folder in "$configs" "$images"; do
    path=$folder
    while [ -n "$path" ]; do
        stat -L -c '%a %U %G %n' -- "$path" 2> /dev/null
        path=${path%/*}
    done
done
for file in "$configs"/*.cfg "$conf"; do [ ! -f "$file" ] || stat -L -c '%a %U %G %n' -- "$file"; done
end 0
# with an access list the group's bits are the mask of what others may (acl(5)); ls marks it with a plus
begin acls
for path in "$configs" "$images" "$configs"/*.cfg "$conf"; do
    while [ -n "$path" ]; do
        case $(ls -ldL -- "$path" 2> /dev/null) in ??????????+*) printf '%s\n' "$path" ;; esac
        path=${path%/*}
    done
done
end 0
begin upgrades
if command -v unattended-upgrade > /dev/null; then
    apt-config dump APT::Periodic::Unattended-Upgrade 2> /dev/null
    apt-config dump APT::Periodic::Enable 2> /dev/null
    apt-config dump Unattended-Upgrade::Package-Blacklist 2> /dev/null
fi
cat /etc/needrestart/needrestart.conf /etc/needrestart/conf.d/*.conf 2> /dev/null | grep -E "^[[:space:]]*[$]nrconf[{]['\"]?restart['\"]?[}]"
end 0
begin shared; [ ! -w /sNow ] || printf '/sNow\n'; end 0
begin space
folder=$images
[ -d "$folder" ] || folder=${folder%/*}
stat -f -c '%a %S %n' -- "${folder:-/}" 2>&1
end $?
# where they are, links followed: a link may lead out of the shared file system
begin folders
printf '%s\n%s\n' "$(readlink -m -- "$images")" "$(readlink -m -- "$configs")"
end 0
take room image_space "$images"
take saved saved
begin undone
for file in "$images"/*/*.undone; do [ ! -e "$file" ] || stat -c '%s %n' -- "$file"; done
end 0
begin names
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    name=$1
    found=$(getent ahostsv4 "$name")
    printf '%s %s\n' "$name" "${found%%[[:space:]]*}"
    shift
done
end 0
shift
begin tools
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    ! command -v -- "$1" > /dev/null || printf '%s\n' "$1"
    shift
done
end 0
shift
begin kernels
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    [ ! -f "$1" ] || printf '%s %s\n' "$(sha256sum < "$1")" "$1"
    shift
done
end 0
shift
# kind, size, inode and the device it is on, bytes that it takes, bytes of a sector, partition table (asked for only where sectors are not of 512 bytes)
begin paths
[ $# -eq 0 ] || stat -L -c '%t %T %s %i:%d %b %n' -- "$@" 2> /dev/null | while read -r major minor size inode blocks path; do
    if [ -b "$path" ]; then
        device=/sys/dev/block/$((0x$major)):$((0x$minor))
        read -r size < "$device/size" || size=0
        { read -r sector < "$device/queue/logical_block_size" ||
            read -r sector < "$device/../queue/logical_block_size" || sector=512; } 2> /dev/null
        table=-
        if [ "$sector" != 512 ]; then
            table=$(blkid -p -s PTTYPE -o value -- "$path" 2> /dev/null)
            [ $? -ne 8 ] || table=several
        fi
        printf 'block %s %s 0 %s %s %s\n' "$((size * 512))" "$inode" "$sector" "${table:--}" "$path"
    elif [ -f "$path" ]; then
        printf 'file %s %s %s 512 - %s\n' "$size" "$inode" "$((blocks * 512))" "$path"
    else
        printf 'other 0 %s 0 512 - %s\n' "$inode" "$path"
    fi
done
end 0
take booted booted "$@"
# what a domain sees of a disk in a format of its own: its size is in the header, in qcow2's (QFI) at 24, in VHD's (conectix) at 48
begin virtual
for path; do
    [ -f "$path" ] || continue
    case $(first_bytes "$path" 0) in
        514649fb*) at=24 ;;
        636f6e6563746978) at=48 ;;
        *) continue ;;
    esac
    printf '%s %s\n' "$(first_bytes "$path" "$at")" "$path"
done
end 0
if [ -e /dev/ipmi0 ] && command -v ipmitool > /dev/null; then
    take lan timeout 10 ipmitool lan print
fi
printf '\n%s end\n' "$b"
