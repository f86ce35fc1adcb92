"""``snow stop site`` and ``snow start site`` from the command line: what is told whom, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from broken_clusters import WHERE, options, removed
from everyday_site import EverydaySite
from lxml import etree
from simulated import SECRET
from view_site import code_of

from snowha.cli import site as cli_site
from snowha.cluster import cib_overrides
from snowha.cluster.cib_merge import STOPPED
from snowha.cluster.cib_overrides import STOP_ORDER
from snowha.errors import UnreachableError
from snowha.hosts import file_scripts
from snowha.hosts.host import Completed
from snowha.operations import site_start, stopped_pacemaker
from snowha.provision import corosync, pacemaker
from snowha.site import ha_toml

RECORDED = Path(__file__).parents[1] / "cluster" / "recorded"
UNITS = ("corosync", "pacemaker")


class WholeSite(EverydaySite):
    """With services, mounts and power. ``done``: what was changed, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.done: list[str] = []
        self.stopping = ""
        self.off: set[str] = set()
        """Servers without power."""
        self.bmc_silent: set[str] = set()
        self.unmounted: set[str] = set()
        self.storage_is_down = 0
        """So many times a mount fails."""
        self.running_before = dict(self.world.running)
        self.world.active |= {(name, "corosync") for name in WHERE}
        self.asked_from_here: list[str] = []
        self.can_ask_from_here = True
        for host in self.hosts.values():
            host.own[corosync.CONF] = (b"totem {}\n", 0o644)
        monkeypatch.setattr(cli_site, "LocalHost", lambda: Here(self))

    def fail(self, host: str, argv: Sequence[str]) -> None:
        if host in self.off:
            raise UnreachableError("it does not answer", where=host, remedy="is it switched on?")

    def crm_mon(self) -> str:
        root = etree.fromstring(super().crm_mon().encode())
        for node in root.iterfind("nodes/node"):
            if (node.get("name"), "pacemaker") not in self.world.active:
                node.set("online", "false")
        if not self.stopping:
            return etree.tostring(root).decode()
        options(stop_all_resources="true")(root)
        for resource in root.iterfind("resources/resource"):
            resource.set("role", "Stopped")
            for place in resource.findall("node"):
                resource.remove(place)
        return etree.tostring(root).decode()

    def answer(self, server: str, words: list[str]) -> str | int | Completed | None:
        self.fail(server, words)
        up = {unit: (server, unit) in self.world.active for unit in UNITS}
        match words:
            case ["corosync-quorumtool", "-s"]:
                return self._of_corosync("quorumtool") if up["corosync"] else 1
            case ["corosync-cfgtool", "-s"]:
                return self._of_corosync("cfgtool") if up["corosync"] else 1
            case ["sh", "-c", file_scripts.STAT, "sh", pacemaker.STATE]:
                return "750 hacluster haclient 4096 directory\n"
            case ["findmnt", "--noheadings", "--raw", *_]:
                return "" if server in self.unmounted else "nfs01:/export/sNow nfs4\n"
            case ["sh", "-c", site_start._ANSWERS, "sh", _]:
                return 1 if server in self.unmounted else "nfs\n"
            case ["fence_ipmilan", *_]:
                name = f"snow0{words[1][-1]}"
                if name in self.bmc_silent:
                    return 1
                if "--action=status" in words:
                    off = name in self.off
                    return Completed(tuple(words), 2 if off else 0, f"Status: {'OFF' if off else 'ON'}\n", "")
                self.off.discard(name)
                self.done.append(f"{server}: power for {name}")
                return ""
            case ["mount", target]:
                if self.storage_is_down:
                    self.storage_is_down -= 1
                    return 32
                self.unmounted.discard(server)
                self.done.append(f"{server}: mount {target}")
                return ""
            case ["systemctl", "stop" | "start", *units]:
                for unit in units:
                    (self.world.active.discard if words[1] == "stop" else self.world.active.add)((server, unit))
                self.done.append(f"{server}: {words[1]} {' '.join(units)}")
                return ""
            case ["cibadmin", "--create", "--scope=constraints", xml]:
                order = etree.fromstring(xml.removeprefix("--xml-text="))
                self.done.append(f"order {' '.join(one.get('id', '') for one in order.iter('resource_ref'))}")
                return ""
            case ["cibadmin", "--delete", "--scope=constraints", xml]:
                assert STOP_ORDER in xml
                return ""
            case ["cibadmin", "--create", "--scope=crm_config", xml] if STOPPED in xml:
                self.stopping = xml.removeprefix("--xml-text=")
                self.world.running.clear()
                self.done.append("stop all")
                return ""
            case ["cibadmin", "--delete", "--scope=crm_config", xml] if STOPPED in xml:
                self.stopping = ""
                self.world.running |= self.running_before
                self.done.append("start all")
                return ""
            case ["cibadmin", "--query"]:
                return f"<cib><configuration><crm_config>{self.stopping}</crm_config></configuration></cib>"
        return super().answer(server, words)

    def _of_corosync(self, tool: str) -> str:
        return (RECORDED / f"corosync-{tool}-s.trixie.txt").read_text()

    def lose_power(self) -> None:
        self.off = set(WHERE)
        self.world.active.clear()
        self.world.running.clear()


class Here:
    """The machine that somebody works from; it can reach the BMCs."""

    name = "localhost"

    def __init__(self, site: WholeSite) -> None:
        self.site = site

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        assert isinstance(input, str)
        assert list(argv) == ["fence_ipmilan"] and SECRET not in argv
        if not self.site.can_ask_from_here:
            return Completed(tuple(argv), 127, "", "")
        said = dict(line.split("=", 1) for line in input.splitlines())
        assert said["password"] == SECRET and said["username"] == "admin" and said["lanplus"] == "1"
        name = f"snow0{said['ip'][-1]}"
        self.site.asked_from_here.append(f"{said['action']} {name}")
        if name in self.site.bmc_silent:
            return Completed(tuple(argv), 1, "", "Connection timed out\n")
        if said["action"] == "on":
            self.site.off.discard(name)
            return Completed(tuple(argv), 0, "Success: Powered ON\n", "")
        off = name in self.site.off
        return Completed(tuple(argv), 2 if off else 0, f"Status: {'OFF' if off else 'ON'}\n", "")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WholeSite:
    return WholeSite(tmp_path, monkeypatch)


STOP = [
    "order slurm02 slurm01 proxy01 deploy01 fence-snow01 fence-snow02",
    "stop all",
    *(f"snow0{number}: stop {unit}" for unit in reversed(UNITS) for number in (1, 2)),
]


def test_domains_stop_before_the_cluster_and_the_last_of_ha_toml_first(site: WholeSite) -> None:
    """Whoever pulls the storage from under a domain that still writes, or from under the one that the others need, loses data."""
    assert code_of(site.run("stop", "site")) == 4 and site.done == [], "nobody was there to say yes"
    ended = site.run("stop", "site", "--yes")
    assert ended.exit_code == 0, ended.output
    assert [*site.done[:2], *sorted(site.done[2:4]), *sorted(site.done[4:])] == STOP
    assert site.world.running == {} and site.world.active == set()

    site.done.clear()
    assert site.run("stop", "site", "--yes").exit_code == 0 and site.done == []


def test_what_was_stopped_is_started_again_and_nothing_before(site: WholeSite) -> None:
    site.run("stop", "site", "--yes")
    site.done.clear()
    site.world.active |= {(name, unit) for name in WHERE for unit in UNITS}
    assert site.world.running == {}, "Pacemaker alone must not start it"
    status = site.run("status", "--json")
    (finding,) = [one for one in json.loads(status.output)["findings"] if one["code"] == "all-stopped"]
    assert status.exit_code == 4 and "snow start site" in finding["remedy"]
    site.world.active.clear()

    ended = site.run("start", "site")
    assert ended.exit_code == 0, ended.output
    assert site.world.running == site.running_before and not site.stopping
    assert site.done[-1] == "start all"
    assert sorted(site.done[:2]) == [f"{name}: start corosync" for name in WHERE]
    assert sorted(site.done[2:4]) == [f"{name}: start corosync pacemaker" for name in WHERE]

    site.done.clear()
    assert site.run("start", "site").exit_code == 0 and site.done == []


def test_a_stopped_pacemaker_that_will_start_domains_is_said(site: WholeSite) -> None:
    """Nothing told it to start nothing: whoever started it during the work on the storage would have domains write there."""
    site.world.active.clear()
    site.world.running = dict.fromkeys(site.world.running, "snow01")
    primitives = '<primitive id="deploy01"/><primitive id="proxy01"/><primitive id="xsnow-vip"/>'

    def keep(epoch: int, properties: str) -> None:
        text = f'<cib admin_epoch="0" epoch="{epoch}" num_updates="0">{properties}{primitives}</cib>'
        site.hosts["snow02"].own[stopped_pacemaker.CIB_FILE] = (text.encode(), 0o600)

    keep(7, "")
    for _ in range(2):  # the second time there is nothing to do
        ended = site.run("stop", "site", "--yes")
        assert ended.exit_code == 0 and site.world.running == {}
        said = "it starts deploy01 and proxy01 as soon as it runs again. Start it nowhere before the work is done"
        assert said in ended.output and "type first: snow start site, then snow stop site" in ended.output
    keep(8, cib_overrides.disarming(datetime.now(UTC)))
    said = "it starts deploy01 and proxy01 with `snow arm`, and leaves everything alone until then. Leave it in maintenance-mode"
    assert said in site.run("stop", "site", "--yes").output
    keep(9, cib_overrides.stopping(datetime.now(UTC)))
    assert "Pacemaker runs" not in site.run("stop", "site", "--yes").output
    site.hosts["snow02"].own.pop(stopped_pacemaker.CIB_FILE)
    assert "Pacemaker runs" not in site.run("stop", "site", "--yes").output, "it never was a cluster"


@pytest.mark.parametrize("words", [("move", "deploy01"), ("drain", "snow01"), ("rebalance",), ("disarm", "--yes")])
def test_what_needs_pacemaker_says_after_stop_site_what_starts_it(site: WholeSite, words: tuple[str, ...]) -> None:
    """It said to start Pacemaker on one server, which starts nothing then, or to migrate the site."""
    assert site.run("stop", "site", "--yes").exit_code == 0
    ended = site.run(*words)
    said = f"{ended.output}{ended.exception}"
    assert ended.exit_code != 0 and "Pacemaker runs on no server" in said
    assert "after `snow stop site`, or a power cut of all servers: snow start site" in " ".join(said.split())


def test_it_is_not_stopped_while_a_server_may_run_something_unseen(site: WholeSite) -> None:
    site.off = {"snow02"}
    ended = site.run("stop", "site", "--yes")
    assert code_of(ended) == 3 and site.done == []


def test_it_is_not_stopped_while_pacemaker_leaves_everything_alone(site: WholeSite) -> None:
    """Its domains would run on under a Pacemaker that was stopped, and their storage be taken away."""
    site.run("disarm", "--yes")
    ended = site.run("stop", "site", "--yes")
    assert ended.exit_code == 4 and "stop all" not in site.done and len(site.world.running) == 4


def test_a_domain_that_is_not_in_pacemaker_is_shut_down_first(site: WholeSite) -> None:
    site.changes.append(removed("slurm02"))
    site.run("stop", "site", "--yes")
    assert any(told.endswith("xl shutdown -w slurm02") for told in site.told)
    assert site.done[0] == "order slurm01 proxy01 deploy01 fence-snow01 fence-snow02"


def test_after_a_power_cut_of_everything_the_bmcs_are_asked_from_here(site: WholeSite) -> None:
    site.lose_power()
    site.unmounted = set(WHERE)
    site.storage_is_down = 3
    site.world.running |= site.running_before  # what Pacemaker starts, seen once a server answers
    ended = site.run("start", "site")
    assert ended.exit_code == 0, ended.output
    assert site.asked_from_here == ["status snow01", "on snow01", "status snow02", "on snow02"]
    mounted = [at for at, done in enumerate(site.done) if "mount" in done]
    assert len(mounted) == 2 and mounted == [0, 1], "the cluster was started on servers without their storage"
    assert SECRET not in ended.output


def test_a_server_that_is_off_gets_power_through_one_that_answers(site: WholeSite) -> None:
    """And only that one, whose BMC says so: a server that boots must not be asked again and again."""
    site.lose_power()
    site.off = {"snow02"}
    site.world.running |= site.running_before
    ended = site.run("start", "site")
    assert ended.exit_code == 0, ended.output
    assert site.done[0] == "snow01: power for snow02" and site.asked_from_here == []
    assert len([done for done in site.done if "power for" in done]) == 1


def test_a_bmc_that_is_silent_keeps_no_domain_down_and_is_named(
    site: WholeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_start, "_BMC_S", 0.0)
    site.run("stop", "site", "--yes")
    site.bmc_silent = {"snow02"}
    ended = site.run("start", "site")
    assert ended.exit_code == 3 or ended.exit_code == 6, ended.output
    assert "BMC of snow02" in ended.output and site.world.running == site.running_before


def test_it_is_not_stopped_while_a_config_cannot_be_read(site: WholeSite) -> None:
    """Its domain's images would not be looked at, and the storage be taken from under them."""
    site.config("slurm01", b"name = 'slurm01'\ndisk = [ 'nonsense' ]\n")
    assert code_of(site.run("stop", "site", "--yes")) == 2 and site.done == []


def test_what_was_never_a_cluster_is_not_started_as_one(site: WholeSite) -> None:
    site.world.active.clear()
    for host in site.hosts.values():
        del host.own[corosync.CONF]
    ended = site.run("start", "site")
    assert ended.exit_code == 4 and "snow ha apply" in ended.output and site.done == []


def test_one_bmc_that_is_silent_keeps_nobody_from_giving_the_other_server_its_power(site: WholeSite) -> None:
    site.lose_power()
    site.bmc_silent = {"snow01"}
    ha = ha_toml.parse(Path("ha.toml").read_text(), where="ha.toml")
    site_start.power_on_from_here(
        ha.servers, site.hosts, Here(site), dict.fromkeys(WHERE, SECRET), say=lambda _: None, wait=lambda _: None
    )
    assert site.off == {"snow01"}


def test_without_a_fence_agent_here_it_is_said_what_to_do_by_hand(site: WholeSite) -> None:
    site.lose_power()
    site.can_ask_from_here = False
    ended = site.run("start", "site")
    assert code_of(ended) == 3 and site.done == []
    assert isinstance(ended.exception, UnreachableError)
    assert "no fence_ipmilan" in ended.exception.message and "by hand" in (ended.exception.remedy or "")
