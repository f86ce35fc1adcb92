"""The roles of domains, as sNow!'s ``active-domains.conf`` has them."""

from __future__ import annotations

from pathlib import PurePosixPath

from snowha.hosts.files import read_text
from snowha.hosts.host import Host
from snowha.site import active_domains


def roles(host: Host, snow_conf: str) -> dict[str, tuple[str, ...]]:
    """Roles by domain, and by server; of nobody if the file is not there. ``snow_conf``: path of snow.conf, which is beside it.

    Raises InputError, with its line, for a file that cannot be read.
    """
    path = str(PurePosixPath(snow_conf).parent / "active-domains.conf")
    text = read_text(host, path)
    if text is None:
        return {}
    return {entry.name: entry.roles for entry in active_domains.parse(text, where=f"{host.name}:{path}")}
