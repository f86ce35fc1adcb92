"""Our program on a server: block script, resource agent and leases in one file of Perl, under three names.

It is kept in parts (``server/``), and brought as one file, so that no part of it is ever of another version than the rest.
``python -m snowha.xen.server_program`` prints it, for the package that holds it (debian/rules).
"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources

from snowha.hosts.files import make_dir, read_text, stat, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.site.disk_spec import OUR_SCRIPT
from snowha.site.model import Disk

PATH = "/usr/lib/snow-ha/snow-lease"
SCRIPT = OUR_SCRIPT
"""The name of the block script in a domain's config."""
PROVIDER, AGENT = "snow-ha", "domain"
"""Of the resource agent: ocf:snow-ha:domain."""
LINKS = (f"/etc/xen/scripts/{SCRIPT}", f"/usr/lib/ocf/resource.d/{PROVIDER}/{AGENT}", "/usr/sbin/snow-lease")
NAME = "/etc/snow-ha/server"
"""Has the server's name as ha.toml, and so the cluster, calls it: what a lease's record says."""

_END = "END OF A PART"
# Renamed into its place: libxl may look for the script at any moment.
LINK = 'mkdir -p "${2%/*}" && ln -sT "$1" "$2.new" && mv -T "$2.new" "$2"'


def text() -> str:
    """The program. Each part is a block, so that its variables are its own, compiled when it is first called (01-parts.pl)."""
    parts = [part for part in resources.files("snowha.xen.server").iterdir() if part.name.endswith(".pl")]
    head, loader, *rest, main = ((part.name, part.read_text()) for part in sorted(parts, key=lambda part: part.name))
    later = "".join(_compiled_later(name, part) for name, part in rest)
    return read_only_script(f"{head[1]}\n{loader[1]}{later}\n{main[1]}")  # as `list`, which is all that is run without a file


def _compiled_later(name: str, part: str) -> str:
    package = part.removeprefix("package ").split(";", 1)[0]
    functions = " ".join(re.findall(r"^sub (\w+)", part, re.MULTILINE))
    return f"\nBEGIN {{ later('{package}', '{functions}', <<'{_END}') }}\n{{\n#line 1 \"{name}\"\n{part}}}\n{_END}\n"


def missing(host: Host) -> str | None:
    """What is wrong with the program on ``host``, None if nothing is."""
    if read_text(host, PATH) != text():
        return f"{PATH} is missing or differs"
    if read_text(host, NAME) != f"{host.name}\n":
        return f"{NAME} is missing or has another name"
    facts = stat(host, PATH)
    if facts is None or not facts.mode & 0o100:
        return f"{PATH} cannot be executed"
    leads = host.run(["readlink", "-f", "--", *LINKS], check=False).stdout.split()
    return None if leads == [PATH] * len(LINKS) else f"not all of {', '.join(LINKS)} lead to {PATH}"


def install(host: Host) -> None:
    """Put the program where libxl, Pacemaker and an administrator look for it."""
    for folder in ("/usr/lib/snow-ha", "/etc/snow-ha"):
        make_dir(host, folder, mode=0o755, owner="root:root")
    write_file(host, NAME, f"{host.name}\n", mode=0o644, owner="root:root", keep=False)
    write_file(host, PATH, text(), mode=0o755, owner="root:root")
    for link in LINKS:
        host.run(["rm", "-f", f"{link}.new"])
        host.run(["sh", "-c", LINK, "sh", PATH, link])


def with_script(disk: Disk, target: str) -> Disk:
    """``disk`` backed by the image ``target`` and attached by our script."""
    return replace(disk, spec="", target=target, format="raw", backend="", script=SCRIPT)


if __name__ == "__main__":
    print(text(), end="")
