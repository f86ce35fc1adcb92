"""Host names and host keys that sNow! keeps for all servers, on a new one: with them sNow!'s own commands find nodes and domains.

sNow!'s ``snow init`` puts the two files in the place of the server's own (init_hosts in share/common.sh of 1.1.16 and in
lib/common.sh of 2.0). Here lines are added, so that what the server says itself still counts.
"""

from __future__ import annotations

from ipaddress import ip_address
from posixpath import join

from snowha.hosts.files import read_text
from snowha.hosts.host import Host
from snowha.live.context import SiteContext, read_snow_conf
from snowha.plan.step import Reporter
from snowha.provision.servers.lines import absent_lines, add_lines

HOSTS, KNOWN_HOSTS = "/etc/hosts", "/etc/ssh/ssh_known_hosts"
SHARED_HOSTS, SHARED_KNOWN_HOSTS = "static_hosts", "ssh/ssh_known_hosts"
"""What sNow! calls them in its folder of shared files."""


def missing(context: SiteContext, host: Host) -> str | None:
    """What ``host`` lacks of them; None if nothing, or if the site has no such files."""
    lacking = _lacking(context, host)
    if names := lacking[HOSTS]:
        return f"{HOSTS} lacks {names[0].split()[1]}" + (f" and {len(names) - 1} more" if names[1:] else "")
    return f"{KNOWN_HOSTS} lacks host keys of sNow!" if lacking[KNOWN_HOSTS] else None


def add(context: SiteContext, host: Host, reporter: Reporter) -> None:
    """Add what it lacks."""
    for path, lines in _lacking(context, host).items():
        add_lines(host, path, lines, mode=0o644)


def _lacking(context: SiteContext, host: Host) -> dict[str, list[str]]:
    """Lines by the path of the file on ``host`` that is to have them."""
    hosts = _shared(context, SHARED_HOSTS)
    keys = _shared(context, SHARED_KNOWN_HOSTS)
    own = read_text(host, HOSTS) if hosts else ""
    return {
        HOSTS: lacking_names(own or "", hosts),
        KNOWN_HOSTS: absent_lines(read_text(host, KNOWN_HOSTS) or "", _lines(keys)) if keys else [],
    }


def _shared(context: SiteContext, name: str) -> str:
    """A file of sNow!'s shared ones; empty if there is none."""
    first, path = context.first, context.site.paths.snow_conf
    folders = read_snow_conf(first, path).shared_folders()
    return next((text for folder in folders if (text := read_text(first, join(folder, name)))), "")


def lacking_names(own: str, shared: str) -> list[str]:
    """Entries of ``shared`` with a name that ``own`` has no entry of, without the names that it has: glibc takes the addresses of
    all entries of a name (host.conf(5), multi). Both are as hosts(5) says; names have no case.

    An entry of ``shared`` that is no address, or the server itself, is left out: sNow! writes what its domains.conf has there.
    """
    known = {name.lower() for entry in _lines(own) for name in entry.split()[1:]}
    found = []
    for entry in _lines(shared):
        address, *names = entry.split()
        lacking = [name for name in names if name.lower() not in known]
        if lacking and _is_elsewhere(address):
            found.append(entry if lacking == names else " ".join([address, *lacking]))
    return found


def _is_elsewhere(address: str) -> bool:
    try:
        return not ip_address(address).is_loopback
    except ValueError:
        return False


def _lines(text: str) -> list[str]:
    """Without comments and what is behind one."""
    entries = (line.partition("#")[0].strip() for line in text.splitlines())
    return [entry for entry in entries if entry]
