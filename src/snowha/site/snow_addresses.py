"""The addresses that sNow! gives a domain, and its two files that say so.

``active-domains.conf`` has an entry a line. The number of the line, without comments, becomes the last part of the IP and MAC
addresses (sNow! 1.1.16, share/common.sh, init_domains_conf). ``domains.conf`` has what came of it. sNow! makes it once and reads
it from then on, so where it has a row that row counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snowha.errors import InputError
from snowha.site.model import Network, Vif
from snowha.site.names import check_bridge, check_ip, check_mac
from snowha.site.snow_conf import SnowConf

_LAST = 99
"""The number is written into a MAC address in decimal, with two digits."""
_NONE = "none"
"""What stands in ``domains.conf`` for the address of a card that there is not."""
DHCP = "dhcp"
"""The same for one whose system asks DHCP. sNow! hands the word on as it stands, to xen-create-image or into the config."""


@dataclass(frozen=True)
class Place:
    """The entry of a domain in ``active-domains.conf``. ``is_new``: it has none yet, and this is the one that it gets."""

    number: int
    is_new: bool


def place(active_domains: str, name: str) -> Place:
    """Where ``name`` stands, or will stand. A blank line counts as an entry, as sNow!'s awk counts it."""
    number = 0
    for line in _lines(active_domains):
        word = next(iter(line.split()), "")
        if word.startswith("#"):
            continue
        number += 1
        if word == name:
            return Place(number, is_new=False)
    return Place(number + 1, is_new=True)


def with_entry(active_domains: str, name: str, role: str) -> str:
    """``active-domains.conf`` with an entry at its end, where it changes nobody's number."""
    return f"{_ended(active_domains)}{name:<12} {role}\n"


def by_number(number: int, conf: SnowConf) -> tuple[Vif, ...]:
    """The cards of a domain. One on NET_SNOW; a second one on NET_DMZ, where snow.conf has that. Raises InputError."""
    found = []
    networks = (conf.network("NET_SNOW"), *filter(None, (_network("NET_DMZ", conf),)))
    for card, network in enumerate(networks, 1):
        where = conf.at(network.key)
        if number > _LAST:
            raise InputError(
                f"sNow! has MAC addresses for {_LAST} entries of active-domains.conf, and this is number {number}",
                where=where,
                remedy="remove unused entries, or give addresses: --ip and --mac",
            )
        ip = check_ip(f"{network.prefix}{number}", where=where)
        found.append(Vif(check_bridge(network.bridge, where=where), _mac(number, card), ip))
    return tuple(found)


def in_table(domains_conf: str, name: str, *, where: str) -> tuple[Vif, ...] | None:
    """The cards that ``domains.conf`` has for ``name``; None if it has no row of it. Raises InputError, with the line."""
    for number, words in _rows(domains_conf):
        if words[0] != name:
            continue
        at = f"{where}:{number}"
        cards = [words[3:6], *([words[9:12]] if len(words) > 9 and words[9] != _NONE else [])]
        if any(len(card) < 3 for card in cards):
            raise InputError(f"the row of {name} has too few columns", where=at, remedy="complete it: ip, bridge, MAC")
        return tuple(
            Vif(check_bridge(bridge, where=at), check_mac(mac, where=at), check_ip_or_dhcp(ip, where=at))
            for ip, bridge, mac in cards
        )
    return None


def check_ip_or_dhcp(text: str, *, where: str) -> str:
    """``text`` if it is an IP address; DHCP for that word. Raises InputError for anything else."""
    return DHCP if text.lower() == DHCP else check_ip(text, where=where)


def used_in_table(domains_conf: str, name: str) -> dict[str, str]:
    """IP and MAC addresses that ``domains.conf`` gives to others than ``name``, in small letters, each with whose it is."""
    return {
        word.lower(): words[0]
        for _, words in _rows(domains_conf)
        if words[0] != name
        for word in (*words[3:4], *words[5:6], *words[9:10], *words[11:12])
        if word.lower() not in (_NONE, DHCP)
    }


def with_row(domains_conf: str, name: str, role: str, number: int, vifs: tuple[Vif, ...], conf: SnowConf) -> str:
    """``domains.conf`` with a row at its end, as sNow! writes one. ``vifs``: at least one."""
    snow, outside = conf.network("NET_SNOW"), _network("NET_DMZ", conf) or _network("NET_PUB", conf)
    first = vifs[0]
    second = vifs[1] if len(vifs) > 1 else Vif(outside.bridge if outside else "", _mac(number, 2), _NONE)
    mask, gateway = (outside.netmask, outside.gateway) if outside else ("", "")
    row = "{:>12}\t {:>20} {:>6} {:>16} {:>9} {} {:>16} {:>16} {:>6} {:>16} {:>9} {} {:>16} {:>16} \n".format(
        *(name, role, "eth0", first.ip, first.bridge, first.mac, snow.netmask, snow.gateway),
        *("eth1", second.ip, second.bridge, second.mac, mask, gateway),
    )
    return _ended(domains_conf) + row


def _mac(number: int, card: int) -> str:
    return f"76:fd:31:9e:{number:02d}:{card:02d}"


def _network(key: str, conf: SnowConf) -> Network | None:
    """None also for one that is written down without a bridge."""
    network = conf.network(key) if key in conf else None
    return network if network and network.bridge else None


def _rows(domains_conf: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(_lines(domains_conf), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield number, words


def _lines(text: str) -> list[str]:
    return _ended(text).split("\n")[:-1]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
