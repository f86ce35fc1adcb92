"""A finished cluster in memory for everyday verbs. Pacemaker's answers are recorded ones, and what it is told
to do with a domain it does at once. For what a verb tells whom, and in which order; never in place of Pacemaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from broken_clusters import RECORDED, WHERE, everything_unmanaged, options
from click.testing import CliRunner, Result
from lxml import etree
from simulated import World
from view_site import Server, Site

from snowha.cli.tree import snow
from snowha.hosts.host import Completed
from snowha.live import cluster, connect


class EverydayServer(Server):
    """With the commands that everyday verbs give."""

    site: EverydaySite

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        said = None if self.world.fail(self.name, argv) else self.site.answer(self.name, list(argv))
        if isinstance(said, Completed):
            return said
        if isinstance(said, int):
            return Completed(tuple(argv), said, "", "")
        if said is not None:
            return Completed(tuple(argv), 0, said, "")
        return super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)


class EverydaySite(Site):
    """Two servers that Pacemaker runs the domains on, and somebody at a terminal. ``told``: commands that change something."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.told: list[str] = []
        self.target_roles: dict[str, str] = {}
        self.domids = dict.fromkeys(self.world.running, 5)
        self.changes: list[Callable[[etree._Element], None]] = []
        """What is other than when all is well, in crm_mon's words."""
        self.deaf: set[str] = set()
        """Domains that answer no ping."""
        self.states: dict[str, str] = {}
        """What xl says of domains that are neither running nor blocked."""
        self.more: dict[str, str] = {}
        """Rows of `xl list` that a server has besides."""
        self.starts = True
        """Pacemaker starts what is to run."""
        self.turns = 0
        self.until_lock: Callable[[], None] = lambda: None
        """What somebody else does until the site's lock is taken."""
        self.standby: set[str] = set()
        self.constraints: set[str] = set()
        self.properties = ""
        """A set of them that was committed."""
        self.live = set(self.world.running)
        """Domains that Pacemaker migrates live."""
        self.uuids = {name: f"00000000-0000-0000-0000-0000000000{number}" for number, name in enumerate(self.live, 10)}
        for name in WHERE:
            server = EverydayServer(name, self.world)
            server.site = self
            self.hosts[name] = server
        monkeypatch.setattr(connect, "lock_site", self._turn)
        monkeypatch.setattr(World, "crm_mon", lambda world: self.crm_mon())
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setattr(cluster, "POLL_INTERVAL_S", 0.0)

    def _turn(self, *_: object) -> AbstractContextManager[None]:
        self.turns += 1
        self.until_lock()
        return nullcontext()

    def crm_mon(self) -> str:
        if self.lost:
            return super()._crm_mon()
        root = etree.fromstring((RECORDED / "crm_mon-3.0-standby.xml").read_bytes())
        for node in root.iterfind("nodes/node"):
            node.set("standby", str(node.get("name") in self.standby).lower())
        for resource in root.iterfind("resources/resource"):
            name = resource.get("id", "")
            if name in self.domids:
                for child in list(resource):
                    resource.remove(child)
                if name in self.world.running:
                    etree.SubElement(resource, "node", {"name": self.world.running[name], "id": "1", "cached": "true"})
                resource.set("role", "Started" if name in self.world.running else "Stopped")
                if name in self.target_roles:
                    resource.set("target_role", self.target_roles[name])
            elif self.standby and name == "xsnow-vip":
                place = resource.find("node")
                assert place is not None
                place.set("name", next(server for server in WHERE if server not in self.standby))
        if self.properties:
            options(maintenance_mode="true", stonith_enabled="false")(root)
            everything_unmanaged(root)
        for change in self.changes:
            change(root)
        return etree.tostring(root).decode()

    def answer(self, server: str, words: list[str]) -> str | int | Completed | None:
        """What a command prints, the status it fails with, or both; None if it is none of everyday work."""
        running = self.world.running
        name = next((word.partition("=")[2] for word in words if word.startswith("--resource=")), "")
        match words:
            case ["sh", "-c", _, _, address] | ["ping", *_, address] if (
                words[0] == "ping" or words[2] == cluster._UNTIL_ANSWER
            ):
                asked = next(
                    name for number, name in enumerate(sorted(self.domids), start=11) if address.endswith(f".{number}")
                )
                return "" if asked in running and asked not in self.deaf else 1
            case ["cibadmin", "--query", *_]:
                return self._cib()
            case ["xl", "vm-list"]:
                here = [one for one, where in running.items() if where == server]
                return "UUID ID name\n" + "".join(f"{self.uuids[one]} 5 {one}\n" for one in here)
            case ["crm_resource", "--wait", *_]:
                return ""
            case ["xl", "list"]:
                here = [one for one, where in running.items() if where == server]
                rows = "".join(f"{one} {self.domids[one]} 256 1 {self.states.get(one, '-b----')} 1.0\n" for one in here)
                rows += self.more.get(server, "")
                return f"Name ID Mem VCPUs State Time(s)\nDomain-0 0 1024 1 r----- 9.9\n{rows}"
            case ["crm_resource", "--move", _, node, _]:
                self.constraints.add(name)
                running[name] = node.partition("=")[2]
            case ["crm_resource", "--clear", _]:
                self.constraints.discard(name)
            case ["crm_resource", *_] if "--set-parameter=target-role" in words:
                self.target_roles[name] = "Stopped"
                running.pop(name, None)
            case ["crm_resource", *_] if "--delete-parameter=target-role" in words:
                del self.target_roles[name]
                if self.starts:
                    running[name] = "snow01"
                    self.domids[name] += 1
            case ["crm_resource", "--cleanup", _] | ["crm_resource", "--refresh"]:
                pass
            case ["cibadmin", "--create", "--scope=crm_config", xml]:
                self.properties = xml.removeprefix("--xml-text=")
            case ["cibadmin", "--delete", "--scope=crm_config", xml]:
                assert str(etree.fromstring(xml.removeprefix("--xml-text=")).get("id")) in self.properties
                self.properties = ""
            case ["crm_attribute", node, "--name=standby", *rest]:
                (self.standby.discard if rest[-1] == "--delete" else self.standby.add)(node.partition("=")[2])
            case ["xl", "destroy", name]:
                running.pop(name, None)
            case ["xl", "reboot", name]:
                self.domids[name] += 1
            case ["xl", "shutdown", "-w", name]:
                running.pop(name, None)
            case _:
                return None
        self.told.append(f"{server}: {' '.join(words)}")
        return ""

    def _cib(self) -> str:
        pair = '<nvpair name="allow-migrate" value="true"/>'
        resources = "".join(
            f'<primitive id="{name}"><meta_attributes>{pair if name in self.live else ""}</meta_attributes></primitive>'
            for name in self.domids
        )
        constraints = "".join(f'<rsc_location id="cli-prefer-{name}" rsc="{name}"/>' for name in self.constraints)
        return (
            f"<cib><configuration><crm_config>{self.properties}</crm_config><resources>{resources}</resources>"
            f"<constraints>{constraints}</constraints></configuration></cib>"
        )

    def run(self, *words: str, answer: str = "") -> Result:
        return CliRunner().invoke(snow, list(words), input=answer)
