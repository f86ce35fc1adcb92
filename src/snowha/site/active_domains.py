"""sNow!'s ``active-domains.conf``: one ``hostname  role[,role…]`` a line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snowha.errors import InputError
from snowha.site.names import check_domain_name, show

_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)


@dataclass(frozen=True)
class ActiveDomain:
    name: str
    roles: tuple[str, ...]
    """sNow! lists its own servers here too, with the role ``snow``."""
    line: int
    """Counted from 1. sNow! gives IP and MAC by line number: an inserted line renumbers every domain behind it."""


def parse(text: str, *, where: str) -> tuple[ActiveDomain, ...]:
    """The domains (and servers) in the order of the file; columns behind the roles are left to sNow!.

    Raises InputError, with its line, on a name that is no host name, a role that is no word, a name given twice.
    """
    found: dict[str, ActiveDomain] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        at = f"{where}:{number}"
        name = check_domain_name(words[0], where=at)
        roles = tuple(role for role in words[1].split(",") if role) if len(words) > 1 else ()
        for role in roles:
            if not _ROLE.fullmatch(role):
                raise InputError(
                    f"{show(role)} is not a role", where=at, remedy="write the name of a script in etc/role.d"
                )
        if name.lower() in found:
            raise InputError(
                f"{name} is already on line {found[name.lower()].line}", where=at, remedy="comment out one of the two"
            )
        found[name.lower()] = ActiveDomain(name, roles, number)
    return tuple(found.values())
