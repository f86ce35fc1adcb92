# What a server sees of the others. Parameters: boundary, names of servers to log in to, `--`, addresses of their links.
# Everything at once, a line each: what does not answer must not keep the others waiting.
export LC_ALL=C
b=$1
shift
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    (
        said=$(ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=5 -- "$1" true 2>&1 < /dev/null)
        status=$?
        printf '%s login %s %s %s\n' "$b" "$1" "$status" "$(printf '%s' "$said" | tail -n 1)"
    ) &
    shift
done
shift
for address; do
    (
        device='' mtu=1500 headers=28
        case $address in *:*) headers=48 ;; esac
        set -- $(ip -o route get "$address" 2> /dev/null)
        while [ $# -gt 1 ]; do
            if [ "$1" = dev ]; then device=$2; fi
            shift
        done
        [ -z "$device" ] || read -r mtu < "/sys/class/net/$device/mtu"
        ping -n -q -c 1 -W 3 "$address" > /dev/null 2>&1
        small=$?
        large=$small
        if [ $small -eq 0 ]; then
            ping -n -q -c 2 -i 0.3 -W 2 -M do -s $((mtu - headers)) "$address" > /dev/null 2>&1
            large=$?
        fi
        printf '%s link %s %s %s %s %s\n' "$b" "$address" "${device:--}" "$mtu" "$small" "$large"
    ) &
done
wait
