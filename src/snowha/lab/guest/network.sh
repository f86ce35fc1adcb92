# eth0 and lo of a domain, as /etc/lab.conf says. The same for the small and for the full root, so it needs busybox only.
. /etc/lab.conf
bb=/usr/lib/lab/busybox

$bb ip link set lo up
tries=300
until [ -e /sys/class/net/eth0 ]; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
        echo "network: no eth0 within 30 s; the kernel has: $($bb ls /sys/class/net)"
        exit 1
    fi
    $bb usleep 100000
done
# Started on another server than before, the domain must be the first to speak: the bridges still know its old place.
echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify
$bb ip address replace "$ADDRESS/$PREFIXLEN" dev eth0
$bb ip link set eth0 up
[ -z "$GATEWAY" ] || $bb ip route replace default via "$GATEWAY"
$bb arping -q -U -c 3 -I eth0 "$ADDRESS" > /dev/null 2>&1 &
