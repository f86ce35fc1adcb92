"""Whether an address is in use: asked of a server on its network, before somebody else's is taken."""

from __future__ import annotations

from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script

# A machine that answers no ping answers to ARP (RFC 826), or NDP, all the same: the kernel then has its MAC address as
# `REACHABLE` (ip-neighbour(8)). An older answer is tried again by the kernel before it counts, which takes up to 8 s.
_ASK = read_only_script("""\
export LC_ALL=C
[ -z "$(ip -o address show to "$1/$3")" ] || { echo own; exit 0; }
for try in 1 2 3 4 5 6 7 8 9 10; do
    ping -n -q -c 1 -W 1 "$1" > /dev/null 2>&1 && answers=yes || answers=no
    seen=$(ip neighbour show to "$1" dev "$2" 2> /dev/null)
    mac=${seen#*lladdr }
    case $answers:$seen in
        *:*lladdr*REACHABLE* | yes:*lladdr*) printf '%s\\n' "${mac%% *}"; exit 0 ;;
        yes:*) echo somebody; exit 0 ;;
        *:*STALE* | *:*DELAY* | *:*PROBE* | *:*INCOMPLETE*) ;;
        *) exit 0 ;;
    esac
done
""")
OWN, SOMEBODY = "own", "somebody"


def holder(host: Host, address: str, nic: str) -> str:
    """Who answers ``host`` on the network of its bridge ``nic`` for ``address``: a MAC address, SOMEBODY (behind a router),
    OWN if ``host`` has it itself, or empty for nobody. Raises SnowError for a host that cannot be asked."""
    bits = "128" if ":" in address else "32"
    return host.run(["sh", "-c", _ASK, "sh", address, nic, bits], check=False, timeout=30).stdout.strip()
