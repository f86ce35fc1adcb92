"""Our block script on a server: the file, and the disk entry that names it."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

from snowha.hosts.api import Host
from snowha.hosts.files import read_text, stat, write_file
from snowha.site.disk_spec import OUR_SCRIPT
from snowha.site.model import Disk

NAME = OUR_SCRIPT
PATH = f"/etc/xen/scripts/{NAME}"


def text() -> str:
    """The script."""
    return resources.files("snowha.xen").joinpath(NAME).read_text()


def missing(host: Host) -> str | None:
    """What is wrong with the script on ``host``, None if nothing is."""
    if read_text(host, PATH) != text():
        return f"{PATH} is not there or differs"
    facts = stat(host, PATH)
    return None if facts and facts.mode & 0o100 else f"{PATH} cannot be executed"


def install(host: Host) -> None:
    """Put the script where libxl looks for it."""
    write_file(host, PATH, text(), mode=0o755, owner="root:root")


def with_script(disk: Disk, target: str) -> Disk:
    """``disk`` backed by the image ``target`` and attached by our script."""
    return replace(disk, spec="", target=target, format="raw", backend="", script=NAME)
