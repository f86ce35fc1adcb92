"""Whether the systems in running domains answer, and since when they are up: the ``OS status`` of sNow!'s list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snowha.errors import SnowError
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.hosts.read_only import read_only_script
from snowha.site.model import Domain

_ASK = read_only_script(
    """state() {
    said=$(timeout 10 ssh -n -o BatchMode=yes -o ConnectTimeout=5 -- "$1" uptime -p 2> /dev/null |
        head -n 1 | LC_ALL=C tr -c -d ' -~' | cut -c -80)
    case $said in
        up*) ;;
        *) said=down; [ -n "$2" ] && ping -n -c 1 -W 2 "$2" > /dev/null 2>&1 && said=up ;;
    esac
    printf '%s %s\\n' "$1" "$said"
}
count=0
while [ $# -gt 1 ]; do
    state "$1" "$2" &
    shift 2
    count=$((count + 1))
    [ $((count % 16)) -ne 0 ] || wait
done
wait
"""
)
"""For name and address, one after the other: a line ``NAME up 2 weeks, 3 days`` as sNow! asks it (avail_domains in its
share/common.sh); ``up`` where only a ping is answered, since not every domain lets its server log in. 16 at once.

A domain's own administrator decides what it says: more than a line of it would be rows of other domains, and a control character
would go to the terminal of the site's."""


def ask(
    hosts: Mapping[str, Host], places: Mapping[str, Sequence[str]], domains: Mapping[str, Domain]
) -> dict[tuple[str, str], str]:
    """What each domain's system says, by server and domain. ``places``: the domains that each server runs.

    A server that does not answer any more is left out.
    """

    def one(host: Host) -> dict[str, str]:
        words = [word for name in places[host.name] for word in (name, _address(domains.get(name)))]
        try:
            said = host.run(["sh", "-c", _ASK, "sh", *words], check=False, timeout=60 + len(words)).stdout
        except SnowError:
            return {}
        return {name: text for name, _, text in (line.partition(" ") for line in said.splitlines())}

    answers = each([host for name, host in hosts.items() if places.get(name)], one)
    return {(server, name): text for server, said in answers.items() for name, text in said.items()}


def _address(domain: Domain | None) -> str:
    return next(iter(domain.addresses), "") if domain else ""
