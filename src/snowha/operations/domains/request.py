"""What `snow add domain` is asked for, and what can be wrong with it before any server is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snowha.errors import InputError
from snowha.live.connect import HaToml
from snowha.migration import arguments
from snowha.site.domain_names import ALL
from snowha.site.names import can_be_resource, check_domain_name, check_mac, check_path, show
from snowha.site.snow_addresses import check_ip_or_dhcp

_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:,[A-Za-z0-9][A-Za-z0-9_.-]*)*", re.ASCII)


@dataclass(frozen=True)
class Request:
    """Its disks come from one of ``copy_of`` (a domain), ``image`` (a raw file or volume) and ``size_mib`` (an empty disk).
    What is not named here is as in the config of ``like``."""

    name: str
    copy_of: str = ""
    image: str = ""
    size_mib: int | None = None
    like: str = ""
    memory_mib: int | None = None
    vcpus: int | None = None
    ip: str = ""
    mac: str = ""
    role: str = "minimal"
    """sNow!'s role that installs nothing but the base (etc/role.d)."""

    @property
    def pattern(self) -> str:
        """The domain whose config is followed."""
        return self.copy_of or self.like


def check(request: Request, ha: HaToml) -> None:
    """Raise InputError for what cannot be used."""
    name, known = request.name, ha.content.domains
    check_domain_name(name, where="the new domain")
    if name == ALL:
        raise InputError(f"`{ALL}` stands for every domain", where="the new domain", remedy="choose another name")
    if not can_be_resource(name):
        raise InputError(
            f"Pacemaker cannot run a domain called {name}",
            where="the new domain",
            remedy="begin its name with a letter",
        )
    taken = next((one for one in (*known, *(s.name for s in ha.content.servers)) if one.lower() == name.lower()), None)
    if taken is not None:
        raise InputError(
            f"there is already a {'domain' if taken in known else 'server'} called {taken}",
            where=str(ha.path),
            remedy="choose another name" + ("; `snow ha apply` finishes an interrupted run" if taken in known else ""),
        )
    sources = [request.copy_of != "", request.image != "", request.size_mib is not None]
    if sum(sources) != 1:
        raise InputError(
            "no source of its disk is given" if not any(sources) else "more than one source of its disk is given",
            remedy="give one of --copy-of DOMAIN, --image PATH, --size MIB",
        )
    if request.copy_of and request.like:
        raise InputError("--like cannot be combined with --copy-of", remedy="remove --like")
    if request.pattern:
        arguments.check_domain(ha, request.pattern)
    elif not known:
        raise InputError(
            "there is no domain whose config could be copied", where=str(ha.path), remedy="write its config by hand"
        )
    if request.image:
        check_path(request.image, where="--image")
    if request.ip:
        check_ip_or_dhcp(request.ip, where="--ip")
    if request.mac:
        check_mac(request.mac, where="--mac")
    if not _ROLE.fullmatch(request.role):
        remedy = "give names of scripts in etc/role.d, separated by commas: --role minimal,monitor"
        raise InputError(f"{show(request.role)} is no role", where="--role", remedy=remedy)
