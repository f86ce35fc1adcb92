"""What has a domain's disks attached on a server (xenstore's block backends), and what would at its boot (xendomains' folder)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from snowha.errors import InputError, SnowError
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.site import domain_config
from snowha.site.model import Domain
from snowha.site.names import single_slashes
from snowha.xen import xendomains

SCRIPTS = "/etc/xen/scripts/"
"""Where libxl looks for a script that is named without a path."""

# The shell function `attachments`: what xenstore-ls(1) says of the backends of blkback and of QEMU, as `PATH = "VALUE"`; then a
# line for each config that xendomains starts, its path and its content, both base64. Needs `xendomains_sets`.
FUNCTION = f"""\
attachments() {{
    for kind in vbd qdisk; do
        timeout 20 xenstore-ls -f "/local/domain/0/backend/$kind" 2> /dev/null | grep -aE '/(params|script|mode) = "'
    done
    auto=$({xendomains.AUTO})
    for config in "$auto"/*; do
        [ -n "$auto" ] && [ -f "$config" ] || continue
        printf 'config %s %s\\n' "$(printf %s "$config" | base64 -w 0)" "$(base64 -w 0 < "$config")"
    done
}}
"""
_AUTO = "/etc/xen/auto"
_LOOK = read_only_script(f"export LC_ALL=C\n{xendomains.FUNCTION}{FUNCTION}attachments\n")
_LINE = re.compile(r'/local/domain/0/backend/(vbd|qdisk)/(\d+)/(\d+)/(params|script|mode) = "(.*)"')


@dataclass(frozen=True)
class Backend:
    """A disk of a running domain. ``script``: the block script's name; empty for QEMU, which opens the file itself."""

    domid: int
    target: str
    script: str
    writable: bool


@dataclass(frozen=True)
class Attachments:
    """What one server says. ``configs``: those started at boot that can be read, by their path."""

    backends: tuple[Backend, ...] = ()
    configs: Mapping[str, Domain] = field(default_factory=dict)


def script_of(script: str | None) -> str:
    """The name of a script, which a config may give with its path; empty if it names none."""
    return (script or "").removeprefix(SCRIPTS)


def parse(text: str, *, where: str) -> Attachments:
    """What `attachments` printed on the server ``where``. A config that cannot be read is passed over."""
    disks: dict[tuple[str, int, int], dict[str, str]] = {}
    configs = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        words = line.split(" ")
        if match:
            disks.setdefault((match[1], int(match[2]), int(match[3])), {})[match[4]] = match[5]
        elif words[0] == "config" and len(words) == 3:
            path, content = (base64.b64decode(word).decode(errors="replace") for word in words[1:])
            try:
                configs[path] = domain_config.parse(content, where=f"{where}:{path}", path=_AUTO)
            except InputError:
                continue
    backends = (
        # QEMU's has its format before the path: aio:/path (libxl_disk.c)
        Backend(
            domid,
            single_slashes(re.sub(r"^[a-z0-9]+:(?=/)", "", values.get("params", ""))),
            "" if kind == "qdisk" else script_of(values.get("script", "")),
            "w" in values.get("mode", "w"),
        )
        for (kind, domid, _), values in disks.items()
    )
    return Attachments(tuple(backends), configs)


def ask(host: Host) -> Attachments:
    """What ``host`` says; nothing if it cannot: that it does not answer is said by other questions."""
    try:
        return parse(host.run(["sh", "-c", _LOOK], check=False, timeout=60).stdout, where=host.name)
    except SnowError:
        return Attachments()
