"""A cluster of two simulated servers, and somebody at a terminal: for verbs that look, also when a server is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from broken_clusters import RECORDED, WHERE
from click.testing import CliRunner, Result
from simulated import DOMAINS, SECRET, SimulatedHost, World, single_server

from snowha.checks import bmc_query
from snowha.checks.facts import BmcFact
from snowha.cli.tree import ha, images
from snowha.disks import image_verbs
from snowha.errors import SnowError, UnreachableError
from snowha.hosts.host import Completed
from snowha.live import connect
from snowha.site import ha_toml
from snowha.site.ha_file import HaFile

NAMES = ("deploy01", "proxy01", "slurm01", "slurm02")
OTHER = {"snow01": "snow02", "snow02": "snow01"}


class Server(SimulatedHost):
    """With what only verbs that look ask for."""

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        words = list(argv)
        if words[:1] == ["lvs"]:
            return Completed(tuple(argv), 0, '{"report": [{"lv": []}]}', "")
        if words[:3] == ["sh", "-c", image_verbs.STAT]:
            return Completed(tuple(argv), 0, "absent\n" * len(words[4:]), "")
        if words[:2] == ["sh", "-c"] and len(words) > 4 and words[4].startswith("snow-ha-"):
            self.world.fail(self.name, words)
            text = "B clock 5.0\n\nB < os\nVERSION_CODENAME=sid\n\nB > 0\n\nB end\n".replace("B ", f"{words[4]} ")
            return Completed(tuple(argv), 0, text, "")
        return super().run(argv, input=input, timeout=timeout, check=check, on_line=on_line)


class Site:
    """A cluster of two servers, and somebody at a terminal."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        context, self.world, _ = single_server(NAMES)
        self.hosts = {name: Server(name, self.world) for name in WHERE}
        self.asked: list[str] = []
        self.lost = ""
        self.world.fail = self._fail
        self.world.active = {(name, "pacemaker") for name in WHERE}
        self.world.running = {name: server for server, names in WHERE.items() for name in names}
        monkeypatch.setattr(World, "crm_mon", lambda world: self._crm_mon())
        monkeypatch.setattr(connect, "SshHost", lambda name, address, ssh: self.hosts[name])
        monkeypatch.setattr(bmc_query, "ask", lambda *_: BmcFact("unasked"))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SNOW_JOURNAL", str(folder / "here" / "journal.sqlite"))
        site = context.site
        text = ha_toml.render(HaFile(site.name, site.paths, site.servers, NAMES, site.floating_ip, site.mounts))
        (folder / "ha.toml").write_text(text)
        (folder / "ha.secrets").mkdir(mode=0o700)
        (folder / "ha.secrets" / "ipmi").write_text(SECRET)
        (folder / "ha.secrets" / "ipmi").chmod(0o600)

    def _fail(self, host: str, argv: Sequence[str]) -> str | None:
        if host == self.lost:
            self.asked.append(host)
            raise UnreachableError("it does not answer", where=host, remedy="is it switched on?")
        return None

    def lose(self, name: str) -> None:
        """The server has lost its power, and is not fenced yet. It had proxy01 and slurm02."""
        self.lost = name
        self.world.running = dict.fromkeys(WHERE["snow01"], OTHER[name])

    def _crm_mon(self) -> str:
        """As it was recorded when snow02 was lost, or with the servers' names exchanged; all is well before."""
        if not self.lost:
            text = (RECORDED / "crm_mon-3.0-standby.xml").read_text()
            return text.replace('standby="true"', 'standby="false"')
        text = (RECORDED / "crm_mon-2.1-lost.xml").read_text()
        return (
            text
            if self.lost == "snow02"
            else text.replace("snow01", "@").replace("snow02", "snow01").replace("@", "snow02")
        )

    def config(self, name: str, content: bytes | None) -> None:
        path = f"{DOMAINS}/{name}.cfg"
        if content is None:
            del self.world.shared[path]
        else:
            self.world.shared[path] = (content, 0o644)

    def snow(self, *words: str) -> Result:
        group = images if words[0] == "list" else ha
        return CliRunner().invoke(group, list(words))


def code_of(ended: Result) -> int:
    return ended.exception.exit_code if isinstance(ended.exception, SnowError) else ended.exit_code
