"""What a server's scripts printed, read into facts (see facts.py)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal

from snowha.checks.facts import InterfaceFact, Mounted, PathFact, Permissions, ServerFacts, Unit
from snowha.cluster import crm_mon as cluster
from snowha.health import image_space
from snowha.live import autostart
from snowha.live.cluster import state_in
from snowha.xen import attachments, saved_domains, xl


def parse_server(name: str, sections: Mapping[str, str], clock: tuple[float, float] | None) -> ServerFacts:
    """The facts in what gather.sh printed on a server."""
    listed = sections.get("xl-list", "")
    acls = set(sections.get("acls", "").split("\n"))
    space = re.match(r"(\d+) (\d+) ", sections.get("space", ""))
    return ServerFacts(
        name=name,
        release=_release(sections.get("os", "")),
        packages={
            words[0]: words[1]
            for line in sections.get("packages", "").splitlines()
            if len(words := line.split()) == 3 and words[2] == "installed"
        },
        units=_units(sections.get("units", ""), sections.get("at-boot", "")),
        under_xen="xl-list" in sections,
        xen=_hypervisor(sections.get("xl-info", "")),
        dom0_mib=xl.parse_dom0(listed),
        running=xl.parse_list(listed),
        migrating=frozenset(sections.get("migrating", "").split()),
        memory_mib=int(sections.get("memory", "0") or 0) >> 10,
        kernel_cpus=int(found) if (found := sections.get("cpus", "").strip()).isdigit() else 0,
        uuid=sections.get("uuid", "").strip(),
        mounts=_mounts(sections.get("mounts", "")),
        nfs_client=_nfs_client(sections.get("nfs-client", "")),
        writable=frozenset(sections.get("shared", "").split()),
        addresses=_addresses(sections.get("address", "")),
        names={
            line.partition(" ")[0]: line.partition(" ")[2].strip() for line in sections.get("names", "").splitlines()
        },
        tools=frozenset(sections.get("tools", "").split()),
        paths=_paths(sections.get("paths", "")),
        kernels={
            path: sums
            for sums, _, path in (line.partition("  - ") for line in sections.get("kernels", "").split("\n"))
            if path
        },
        booted=frozenset(line for line in sections.get("booted", "").split("\n") if line),
        virtual={
            path: int(size, 16)
            for size, _, path in (line.partition(" ") for line in sections.get("virtual", "").split("\n"))
            if re.fullmatch("[0-9a-f]{16}", size)
        },
        folders=tuple(sections.get("folders", "").splitlines()),
        space=int(space[1]) * int(space[2]) if space else None,
        room=image_space.parse(sections.get("room", "")),
        attachments=attachments.parse(sections.get("attachments", ""), where=name),
        xendomains=sections.get("xendomains"),
        autostart=autostart.parse(sections.get("auto", "")),
        corosync_conf=sections.get("corosync.conf"),
        definition=sections.get("definition"),
        cib=_cib(sections.get("cib", "")),
        state=state_in(sections.get("crm_mon", "")),
        quorate=_quorate(sections.get("quorum", "")),
        links=cluster.parse_links(sections.get("links", "")),
        snow_conf=sections.get("snow.conf"),
        conf_error=sections.get("conf-error", "").strip().partition("\n")[0],
        snow_env=sections.get("snow-env", ""),
        lan_address=_lan_address(sections.get("lan", "")),
        saved=saved_domains.parse(sections.get("saved", "")),
        undone=tuple(
            (path, int(size))
            for size, _, path in (line.partition(" ") for line in sections.get("undone", "").splitlines())
            if size.isdigit()
        ),
        permissions=tuple(
            dict.fromkeys(
                Permissions(int(words[0], 8), words[1], words[2], words[3], words[3] in acls)
                for line in sections.get("rights", "").split("\n")
                if len(words := line.split(" ", 3)) == 4
            )
        ),
        upgrades=sections.get("upgrades", ""),
        clock=clock,
    )


def _release(text: str) -> str:
    match = re.search(r'^VERSION_CODENAME="?([^"\n]+)"?$', text, re.MULTILINE)
    return match[1] if match else ""


def _units(text: str, at_boot: str) -> dict[str, Unit]:
    enabled = dict(line.partition(" ")[::2] for line in at_boot.splitlines())
    found = {}
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)
        if "Id" in values:
            found[values["Id"]] = Unit(values.get("ActiveState", ""), enabled.get(values["Id"], ""))
    return found


def _hypervisor(text: str) -> xl.Hypervisor | None:
    found = xl.parse_info(text) if text else None
    return found if found and found.version else None


def _mounts(text: str) -> tuple[Mounted, ...]:
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) >= 4:
            source, target = (re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word) for word in words[:2])
            found.append(Mounted(source, target, words[2], frozenset(words[3].split(","))))
    return tuple(found)


def _nfs_client(text: str) -> str:
    """The network namespace's identifier counts before the module's parameter. Either reads ``(null)`` where it is not set."""
    host, identifier, parameter, *_ = [*(line.strip() for line in text.splitlines()), "", "", ""]
    unique = next((word for word in (identifier, parameter) if word not in ("", "(null)")), "")
    return f"{unique}/{host}" if host else ""


def _addresses(text: str) -> dict[str, InterfaceFact]:
    try:
        links = json.loads(text)
    except ValueError:
        return {}
    return {
        str(info["local"]): InterfaceFact(
            str(link["ifname"]),
            int(link.get("mtu", 0)),
            int(info.get("prefixlen", 0)),
            str(link.get("address", "")).lower(),
        )
        for link in links
        for info in link.get("addr_info", ())
        if "local" in info
    }


def _paths(text: str) -> dict[str, PathFact]:
    found = {}
    for match in re.finditer(r"^(block|file|other) (\d+) (\d+):(\d+) (\d+) (\d+) (\S+) (/.*)$", text, re.MULTILINE):
        kind: Literal["block", "file", "other"] = "block" if match[1] == "block" else "other"
        size, inode, device, allocated, sector = (int(match[number]) for number in range(2, 7))
        table = "" if match[7] == "-" else match[7]
        found[match[8]] = PathFact(
            "file" if match[1] == "file" else kind, size, inode, allocated, sector, table, device
        )
    return found


def _cib(text: str) -> bytes:
    """Nothing, if it is no XML: what the tool says where Pacemaker does not run."""
    return text.strip().encode() if text.lstrip().startswith("<") else b""


def _quorate(text: str) -> bool | None:
    return cluster.parse_quorum(text).quorate if "Quorum information" in text else None


def _lan_address(text: str) -> str:
    match = re.search(r"^IP Address\s*:\s*([0-9.]+)\s*$", text, re.MULTILINE)
    return match[1] if match and match[1] != "0.0.0.0" else ""
