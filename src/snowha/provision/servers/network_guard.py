"""A new server that does not reach the first one after its network was changed gets its old files back, by itself.

Whoever changes a server's network from afar cannot correct a mistake from there. A unit on the server itself waits for the first
server to answer. If it does, the unit removes itself; if it does not within the time, the old files are put back and the server
is rebooted. Nothing of it is left either way.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from importlib import resources

from snowha.hosts.files import exists, make_dir, write_file
from snowha.hosts.host import Host

UNIT = "snow-ha-network-guard.service"
FOLDER = "/var/lib/snow-ha/network-guard"
WITHIN_S = 600
"""Seconds from when the network is configured: spanning tree takes a minute, and the first server may be booting, too."""
_UNIT_PATH = f"/etc/systemd/system/{UNIT}"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"


def unit() -> str:
    """The unit. It delays nothing at boot, and begins to count once the network was configured."""
    return (
        "# Written by snow-ha: puts the old network configuration back if the first server cannot be reached.\n"
        "[Unit]\n"
        "Description=Network configuration on trial\n"
        "After=network.target networking.service\n"
        f"ConditionPathExists={FOLDER}/files\n"
        "[Service]\n"
        "Type=simple\n"
        f"ExecStart=/bin/sh {FOLDER}/guard.sh {FOLDER} {UNIT}\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def script() -> str:
    return resources.files("snowha.provision.servers").joinpath("network_guard.sh").read_text()


def arm(host: Host, peers: Iterable[str], before: Mapping[str, str | None], *, within_s: int = WITHIN_S) -> None:
    """Have the server watch for ``peers`` (addresses, all of them) after its next boot. ``before``: the files that are about to
    be changed, as they are; None for one that is not there yet."""
    make_dir(host, FOLDER, mode=0o700)
    lines = []
    for number, (path, text) in enumerate(before.items()):
        if text is None:
            lines.append(f"- {path}\n")
            continue
        write_file(host, f"{FOLDER}/{number}", text, mode=0o600, keep=False)
        lines.append(f"{number} {path}\n")
    write_file(host, f"{FOLDER}/guard.sh", script(), mode=0o700, keep=False)
    settings = f"peers={shlex.quote(' '.join(peers))}\nwithin={within_s}\n"
    write_file(host, f"{FOLDER}/settings", settings, mode=0o600, keep=False)
    write_file(host, _UNIT_PATH, unit(), mode=0o644, keep=False)
    # last: without it the unit does nothing
    write_file(host, f"{FOLDER}/files", "".join(lines), mode=0o600, keep=False)
    host.run(["ln", "-sfn", _UNIT_PATH, _WANTED])


def is_on_trial(host: Host) -> bool:
    """Whether the server has still to say whether it keeps its new files."""
    return exists(host, f"{FOLDER}/files")


def gave_up(host: Host) -> bool:
    """Whether the old files were put back."""
    return exists(host, f"{FOLDER}/gave-up")


def forget(host: Host) -> None:
    """Remove what is left of a trial."""
    host.run(["rm", "-rf", "--", FOLDER, _UNIT_PATH, _WANTED])
