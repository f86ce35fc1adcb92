"""What a server with Xen and LVM answers, as calls for a PlaybackHost. The answers have the tools' own form."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from snowha.disks import engine_driver
from snowha.disks.snapshots import AS_JSON, COLUMNS
from snowha.hosts import file_scripts
from snowha.hosts.playback import Call, PlaybackHost
from snowha.live.context import SiteContext
from snowha.site import domain_config
from snowha.site.model import Paths, Server, Site
from snowha.xen import server_program

MIB = 1 << 20
CONFIG = "/sNow/etc/domains/deploy01.cfg"
BEFORE = (
    "name = 'deploy01'\nkernel = '/boot/vmlinuz'\nmemory = '128'\ntype = 'pvh'\nroot = '/dev/xvda2 ro'\n"
    "disk = [ 'phy:/dev/snow_vg/deploy01-disk,xvda2,w', 'phy:/dev/snow_vg/deploy01-swap,xvda1,w' ]\n"
)
IMAGES = {"xvda2": "/sNow/domains/deploy01/deploy01-disk", "xvda1": "/sNow/domains/deploy01/deploy01-swap"}
AFTER = BEFORE.replace(
    "phy:/dev/snow_vg/deploy01-disk,xvda2,w",
    f"format=raw,vdev=xvda2,access=rw,script=block-snow,target={IMAGES['xvda2']}",
).replace(
    "phy:/dev/snow_vg/deploy01-swap,xvda1,w",
    f"format=raw,vdev=xvda1,access=rw,script=block-snow,target={IMAGES['xvda1']}",
)


def ground_on(host: object) -> SiteContext:
    site = Site(
        name="snow",
        paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
        servers=(Server("snow01", "10.0.0.1", ("10.0.0.1",)),),
        domains=(domain_config.parse(BEFORE, where="test", path=CONFIG),),
        mounts=(),
        floating_ip=None,
        apart=(),
    )
    return SiteContext(site, {"snow01": host})  # type: ignore[dict-item]


class Host(PlaybackHost):
    """Writing a file has a random name for its earlier version among its words, and one for the new file before the content:
    these are not compared."""

    def run(self, argv: Sequence[str], *, input: str | bytes = "", **more: object) -> object:  # type: ignore[override]
        words = list(argv)
        if words[:3] == ["sh", "-c", file_scripts.WRITE] and isinstance(input, bytes):
            words = [*words[:5], "…"]
            head, _, content = input.partition(b"\n")
            input = b" ".join(head.split()[:2]) + b"\n" + content
        return super().run(words, input=input, **more)  # type: ignore[arg-type]


def write(path: str, content: str | bytes) -> Call:
    data = content.encode() if isinstance(content, str) else content
    message = f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode() + data
    return Call(("sh", "-c", file_scripts.WRITE, "sh", path, "…"), stdout="changed\n", stdin=message)


def text_of(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


def read(path: str, content: str | None) -> Call:
    argv = ("sh", "-c", file_scripts.READ, "sh", path)
    return Call(argv, stdout=text_of(content)) if content is not None else Call(argv, returncode=44)


def read_configs(content: str) -> Call:
    argv = ("sh", "-c", file_scripts.READ_FOLDER, "sh", "/sNow/etc/domains", ".cfg")
    return Call(argv, stdout=f"{text_of(CONFIG)} {text_of(content)}\n")


def make_dir(path: str) -> Call:
    return Call(("sh", "-c", file_scripts.MAKE_DIR, "sh", path, "700", ""), stdout="same\n")


def no_cluster() -> list[Call]:
    """Pacemaker does not run."""
    asked = Call(("crm_mon", "-1", "--inactive", "--output-as=xml"), returncode=102)
    return [asked, Call(("systemctl", "is-active", "--quiet", "pacemaker"), returncode=3)]


def places(*names: str) -> list[Call]:
    """The domains that the hypervisor runs."""
    return [Call(("test", "-e", "/proc/xen/capabilities")), xl_list(*names)]


def script_is_there() -> list[Call]:
    return [
        read(server_program.PATH, server_program.text()),
        read(server_program.NAME, "snow01\n"),
        Call(("sh", "-c", file_scripts.STAT, "sh", server_program.PATH), stdout="755 root root 900 regular file\n"),
        Call(
            ("readlink", "-f", "--", *server_program.LINKS),
            stdout=f"{server_program.PATH}\n" * len(server_program.LINKS),
        ),
    ]


def xl_list(*names: str) -> Call:
    rows = [f"{name:<40} {number + 1:>5} {128:>5} {1:>5}     -b----       1.0" for number, name in enumerate(names)]
    head = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    return Call(
        ("xl", "list"),
        stdout="\n".join(
            [head, "Domain-0                                     0  1024     1     r-----      10.0", *rows, ""]
        ),
    )


def volume(
    name: str, *, origin: str = "", size: int = 1024 * MIB, fill: str = "", attributes: str = ""
) -> dict[str, str]:
    attributes = attributes or ("swi-a-s---" if origin else "-wi-ao----")
    return {
        "vg_name": "snow_vg",
        "lv_name": name,
        "lv_path": f"/dev/snow_vg/{name}",
        "lv_dm_path": f"/dev/mapper/snow_vg-{name.replace('-', '--')}",
        "origin": origin,
        "lv_size": str(size),
        "data_percent": fill,
        "lv_attr": attributes,
        "lv_uuid": f"uuid-of-{name}",
    }


def lvs(*more: Mapping[str, str], but: str = "") -> Call:
    rows = [volume("deploy01-disk"), volume("deploy01-swap", size=64 * MIB), *more]
    rows = [row for row in rows if row["lv_name"] != but]
    return Call(("lvs", *AS_JSON, COLUMNS), stdout=json.dumps({"report": [{"lv": rows}]}))


def snapshot(number: int, fill: str = "1.00", attributes: str = "swi-a-s---") -> dict[str, str]:
    return volume(
        f"snow-ha-{number}-deploy01-disk", origin="deploy01-disk", size=256 * MIB, fill=fill, attributes=attributes
    )


def vgs(free: int) -> Call:
    report = {"report": [{"vg": [{"vg_free": str(free)}]}]}
    return Call(("vgs", *AS_JSON, "vg_free", "snow_vg"), stdout=json.dumps(report))


def engine(*words: str, returncode: int = 0, **event: Any) -> Call:
    """One verb of the engine on images, and the last it says."""
    return engines((words, event), returncode=returncode)


def engines(*verbs: tuple[Sequence[str], Mapping[str, Any]], returncode: int = 0) -> Call:
    """Several verbs in one go; an event of an error has no number."""
    lines: list[Mapping[str, Any]] = []
    for number, (_, event) in enumerate(verbs):
        if event.get("event") == "found":
            lines += [{"event": "waiting"}, {"event": "waiting"}]
        else:
            lines.append({"event": "progress", "phase": "copy", "done": 1, "total": 2, "rate": 1, "left_s": 1})
        lines.append(event if event.get("event") == "error" else {**event, "number": number})
    return Call(
        tuple(engine_driver.argv([words for words, _ in verbs])),
        stdout="".join(json.dumps(line) + "\n" for line in lines),
        returncode=returncode,
    )
