"""A finished cluster in memory with a CIB of its own, and storage on which images and volumes come and go: for verbs that add,
remove and resize domains. Pacemaker's configuration is made, merged and compared by the product's own code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from everyday_site import EverydayServer, EverydaySite
from lxml import etree
from simulated import CONF, DOMAINS, SNOW_CONF, SimulatedHost

from snowha.cluster import cib_merge
from snowha.hosts.host import Completed
from snowha.live import connect, first_bytes
from snowha.live import definition as definition_steps
from snowha.operations.domains import disks
from snowha.provision import pacemaker
from snowha.site import definition
from snowha.site.image_names import SUFFIXES
from snowha.xen import server_program

MIB = 1 << 20
ACTIVE = "/sNow/etc/active-domains.conf"
TABLE = "/sNow/etc/domains.conf"
IMAGES = "/sNow/domains"
_EMPTY_CIB = (
    '<cib epoch="5" admin_epoch="0"><configuration>'
    "<crm_config/><nodes/><resources/><constraints/></configuration></cib>"
)


def image(name: str, kind: str = "disk") -> str:
    return f"{IMAGES}/{name}/{name}-{kind}"


class DomainSite(EverydaySite):
    """Domains run from images. ``cib``: Pacemaker's. ``free``: bytes of the storage."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        world = self.world
        self.folder = folder
        self.free = 64 * MIB
        self.names: dict[str, str] = {}
        """Who an address belongs to, by /etc/hosts."""
        self.first_bytes = ""
        self.refused = ""
        """A word of a command that fails."""
        world.shared[CONF] = (SNOW_CONF.replace("lvm=snow_vg", "dir=/sNow/domains").encode(), 0o600)
        entries = ["# roles", "snow01       snow", "snow02       snow", *(f"{name:<12} role" for name in self.domids)]
        world.shared[ACTIVE] = ("\n".join(entries).encode() + b"\n", 0o644)
        for name in self.domids:
            path = f"{DOMAINS}/{name}.cfg"
            text = world.shared[path][0].decode()
            for kind, vdev in (("disk", "xvda2"), ("swap", "xvda1")):
                old = f"phy:/dev/snow_vg/{name}-{kind},{vdev},w"
                spec = f"format=raw,vdev={vdev},access=rw,script={server_program.SCRIPT},target={image(name, kind)}"
                text = text.replace(old, spec)
                world.disks[image(name, kind)] = f"{name} {kind}".encode().ljust(2 * MIB, b".")
                world.leases.records.add(image(name, kind))
            world.shared[path] = (text.encode(), 0o640)
            world.leases.opened[name] = (image(name), image(name, "swap"))
        for host in self.hosts.values():
            host.install_leases()
        monkeypatch.setattr(EverydayServer, "_engine", _engine_with_manifests)
        self.cib = _EMPTY_CIB.encode()
        self.apply()

    def apply(self) -> None:
        """As `snow ha apply` leaves the servers with the ha.toml of this folder."""
        context = connect.load(connect.read(Path("ha.toml")))
        self.cib = cib_merge.merge(self.cib, pacemaker._wanted(context))
        for host in self.hosts.values():
            host.own[definition.PATH] = (context.definition.text.encode(), 0o644)

    def alone(self) -> None:
        """A single server, before any migration: volumes, and no Pacemaker."""
        world = self.world
        world.active.clear()
        world.running = dict.fromkeys(world.running, "snow01")
        world.shared[CONF] = (SNOW_CONF.encode(), 0o600)
        for name in self.domids:
            path = f"{DOMAINS}/{name}.cfg"
            text = world.shared[path][0].decode()
            for kind, vdev in (("disk", "xvda2"), ("swap", "xvda1")):
                spec = f"format=raw,vdev={vdev},access=rw,script={server_program.SCRIPT},target={image(name, kind)}"
                text = text.replace(spec, f"phy:/dev/snow_vg/{name}-{kind},{vdev},w")
                world.disks[f"/dev/snow_vg/{name}-{kind}"] = world.disks.pop(image(name, kind))
            world.shared[path] = (text.encode(), 0o640)
            self.hosts["snow01"].links[f"/etc/xen/auto/{name}.cfg"] = path
        for host in self.hosts.values():
            del host.own[definition.PATH]
        world.leases.records.clear()
        world.leases.opened.clear()

    def due(self) -> list[str]:
        """What `snow ha apply` would change of Pacemaker's configuration, of the definition."""
        context = connect.load(connect.read(Path("ha.toml")))
        return [*pacemaker.differences(context), *filter(None, [definition_steps.missing(context)])]

    def config(self, name: str, content: bytes | None = None) -> Any:
        if content is not None:
            return super().config(name, content)
        found = self.world.shared.get(f"{DOMAINS}/{name}.cfg")
        return found[0].decode() if found else None

    def text(self, path: str) -> str:
        return self.world.shared[path][0].decode()

    def resource(self, name: str) -> etree._Element | None:
        return etree.fromstring(self.cib).find(f".//primitive[@id='{name}']")

    def crm_mon(self) -> str:
        root = etree.fromstring(super().crm_mon().encode())
        section = root.find("resources")
        assert section is not None
        there = {one.get("id"): one for one in section}
        wanted = {one.get("id"): one for one in etree.fromstring(self.cib).iter("primitive")}
        for name, one in there.items():
            if name in self.world.running and name not in wanted:
                one.set("orphaned", "true")
            elif name in self.domids and name not in wanted:
                section.remove(one)
        for name, one in wanted.items():
            if name not in there and one.get("type") == "domain":
                role = one.find("meta_attributes/nvpair[@name='target-role']")
                facts = {"id": str(name), "resource_agent": "ocf:snow-ha:domain", "role": "Stopped", "managed": "true"}
                new = etree.SubElement(section, "resource", facts)
                if role is not None:
                    new.set("target_role", str(role.get("value")))
        return etree.tostring(root).decode()

    def _cib(self) -> str:
        return self.cib.decode()

    def answer(self, server: str, words: list[str]) -> str | int | Completed | None:
        world = self.world
        if self.refused and self.refused in " ".join(words):
            return 1
        match words:
            case ["crm_verify", *_]:
                return ""
            case ["cibadmin", "--replace", _, file]:
                written = self.hosts[server].own[file.partition("=")[2]][0]
                root = etree.fromstring(written)
                root.set("epoch", str(int(root.get("epoch", "0")) + 1))
                self.cib = etree.tostring(root)
            case ["sh", "-c", script, _, target, size] if script == disks.EMPTY:
                world.disks.setdefault(target, bytes(int(size)))
            case ["sh", "-c", script, _, target, size, _] if script == disks.GROW:
                assert not any(one == target for one, _, _ in world.leases.attached(world.running))
                world.disks[target] = world.disks[target].ljust(int(size), b"\0")
            case ["sh", "-c", script, _, _] if script == first_bytes.READ:
                return self.first_bytes
            case ["df", *_]:
                return f"Avail\n{self.free}\n"
            case ["getent", "hosts", address]:
                return f"{address} {self.names[address]}\n" if address in self.names else 2
            case ["rm", "-f", "--", *paths]:
                for path in paths:
                    world.disks.pop(path, None)
            case ["lvs", *_]:
                rows = ",".join(_row(path, len(data)) for path, data in world.disks.items() if path.startswith("/dev/"))
                return f'{{"report": [{{"lv": [{rows}]}}]}}'
            case ["vgs", *_]:
                return f'{{"report": [{{"vg": [{{"vg_free": "{self.free}"}}]}}]}}'
            case ["lvcreate", "--yes", *_, size, "--name", name, group]:
                assert f"/dev/{group}/{name}" not in world.disks
                world.disks[f"/dev/{group}/{name}"] = b"old".ljust(int(size[:-1]), b"!")
            case ["lvrename", group, old, name]:
                world.disks[f"/dev/{group}/{name}"] = world.disks.pop(f"/dev/{group}/{old}")
            case ["lvremove", "--yes", name]:
                del world.disks[f"/dev/{name}"]
            case ["lvextend", "--yes", "--size", size, path]:
                world.disks[path] = world.disks[path].ljust(int(size[:-1]), b"\0")
            case ["blkdiscard", "--force", "--zeroout", path]:
                world.disks[path] = bytes(len(world.disks[path]))
            case _:
                return super().answer(server, words)
        self.told.append(f"{server}: {' '.join(word for word in words if chr(10) not in word)}")
        return ""

    def beside(self, target: str) -> list[str]:
        return [f"{target}{suffix}" for suffix in SUFFIXES if f"{target}{suffix}" in self.world.disks]


def _engine_with_manifests(
    host: EverydayServer, words: Sequence[str], on_line: Callable[[str], None] | None
) -> tuple[int, str]:
    """What a copy leaves beside an image."""
    done = SimulatedHost._engine(host, words, on_line)
    if done[0] == 0 and words[0] == "copy" and not words[2].startswith("/dev/"):
        record = f'{{"source": {{"path": "{words[1]}"}}, "finished": "2026-11-27T10:00:00Z"}}'
        host.world.shared[f"{words[2]}.manifest"] = (record.encode(), 0o600)
    return done


def _row(path: str, size: int) -> str:
    group, name = path.removeprefix("/dev/").split("/")
    mapped = f"/dev/mapper/{group}-{name.replace('-', '--')}"
    return (
        f'{{"vg_name": "{group}", "lv_name": "{name}", "lv_path": "{path}", "lv_dm_path": "{mapped}", "origin": "", '
        f'"lv_size": "{size}", "data_percent": "", "lv_attr": "-wi-a-----", "lv_uuid": "{name}"}}'
    )
