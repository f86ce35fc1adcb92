"""``snow upgrade`` from the command line: a server with other packages, while the other one runs everything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from broken_clusters import WHERE
from simulated import single_server
from test_whole_site import WholeSite
from view_site import code_of

from snowha.errors import CommandError
from snowha.hosts.host import Completed, Host
from snowha.operations import trial_migration, upgrade, upgrade_steps
from snowha.provision.servers import debian_release
from snowha.provision.servers.boot import BOOT_ID
from snowha.provision.servers.debian_release import parse_change

SIMULATED = """\
Reading package lists...
The following packages will be upgraded:
  libc6 xen-hypervisor-4.20-amd64
Inst libc6 [2.41-12] (2.41-12+deb13u1 Debian:13.2/stable [amd64])
Inst linux-image-6.12.57+deb13-amd64 (6.12.57-1 Debian:13.2/stable [amd64])
Inst xen-hypervisor-4.20-amd64 [4.20.0+68] (4.20.2+7 Debian:13.2/stable [amd64]) []
Conf libc6 (2.41-12+deb13u1 Debian:13.2/stable [amd64])
"""
"""apt-get(8) of Debian 13, shortened."""


class OldSite(WholeSite):
    """With packages to upgrade. ``done`` has what is done to a server, and each move."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.old = set(WHERE)
        self.boots = dict.fromkeys(WHERE, 1)
        self.trial_on = ""
        self.trial_fails = self.trial_dies = False
        self.upgrade_fails = False
        self.takes_xl_away = False
        self.room = dict.fromkeys(WHERE, 2048)
        """MiB that each hypervisor has for domains."""
        for path, (content, mode) in list(self.world.shared.items()):
            if path.endswith(".cfg"):
                self.world.shared[path] = (b"type = 'pvh'\n" + content, mode)

    def answer(self, server: str, words: list[str]) -> str | int | Completed | None:
        match words:
            case ["cat", path] if path == BOOT_ID:
                return f"boot {self.boots[server]} of {server}\n"
            case ["sh", "-c", upgrade._SIMULATED]:
                return SIMULATED if server in self.old else "Reading package lists...\n"
            case ["xl", "info"]:
                used = 259 * list(self.world.running.values()).count(server)
                free = self.room[server] - used
                return f"xen_version : 4.20.5\nvirt_caps : hvm hap\ntotal_memory : 4096\nfree_memory : {free}\n"
            case ["dpkg", "--audit"]:
                return ""
            case ["env", _, _, "apt-get", "-q", "-y", "update"]:
                return ""
            case ["env", _, _, "apt-get", "-q", "-y", *_, "upgrade"]:
                assert server in self.standby and server not in self.world.running.values(), "it was not drained"
                assert (server, "corosync") not in self.world.active, "an upgrade of Corosync would restart it"
                self.done.append(f"{server}: upgrade")
                if self.upgrade_fails:
                    return 100
                self.old.discard(server)
                return ""
            case ["xl", "list"] if self.takes_xl_away and self.done[-1:] == [f"{server}: upgrade"]:
                return 127
            case ["sh", "-c", upgrade_steps._DOMAIN_IDS]:
                return "0\n"
            case ["systemctl", "--no-block", "reboot"]:
                self.boots[server] += 1
                self.done.append(f"{server}: reboot")
                return ""
            case ["xl", "create", _]:
                self.trial_on = "" if self.trial_dies else server
                return ""
            case ["sh", "-c", trial_migration.READ_XENSTORE, *_]:
                return "1\n" if self.trial_on else 1
            case ["xl", "migrate", trial_migration.NAME, target]:
                assert self.trial_on == server
                self.done.append(f"{server}: trial to {target}")
                if self.trial_fails:
                    return Completed(tuple(words), 1, "", "migration target: Domain load failed\n")
                self.trial_on = target
                return ""
            case ["xl", "destroy", name] if name.startswith(trial_migration.NAME):
                self.trial_on = "" if name == trial_migration.NAME and self.trial_on == server else self.trial_on
                return ""
            case ["xl", "list"] if self.trial_on == server:
                return f"{super().answer(server, words)}{trial_migration.NAME} 99 128 1 -b---- 0.1\n"
            case ["cibadmin", "--query"]:
                return self._cib()
            case ["crm_attribute", node_, "--name=standby", *rest]:
                self.done.append(f"{node_.partition('=')[2]}: {'used' if rest[-1] == '--delete' else 'standby'}")
        return super().answer(server, words)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldSite:
    return OldSite(tmp_path, monkeypatch)


def of(server: str, other: str) -> list[str]:
    stop = f"{server}: stop pacemaker corosync"
    return [
        f"{server}: standby",
        stop,
        f"{server}: upgrade",
        stop,
        f"{server}: reboot",
        f"{server}: start corosync pacemaker",
        f"{other}: trial to {server}",
        f"{server}: used",
    ]


def test_one_server_after_the_other_each_drained_proven_and_taken_back(site: OldSite) -> None:
    """Two at once, or one that runs something while it is rebooted, and domains are lost."""
    ended = site.run("upgrade", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.done == [*of("snow02", "snow01"), *of("snow01", "snow02")]
    assert site.boots == {"snow01": 2, "snow02": 2} and site.standby == set()
    assert sorted(site.world.running) == ["deploy01", "proxy01", "slurm01", "slurm02"]
    assert not any(upgrade.NOTE in host.own for host in site.hosts.values())

    site.done.clear()
    ended = site.run("upgrade", "--yes")
    assert ended.exit_code == 0 and ended.output.split() == [
        "snow02:",
        "up",
        "to",
        "date",
        "snow01:",
        "up",
        "to",
        "date",
    ]
    assert site.done == []


def test_the_plan_comes_first_with_packages_moves_and_memory(site: OldSite) -> None:
    ended = site.run("upgrade", "snow02", "--dry-run")
    assert ended.exit_code == 0, ended.output
    for said in (
        "snow02: 3 packages, then a reboot",
        "xen-hypervisor-4.20-amd64: 4.20.0+68 to 4.20.2+7",
        "linux-image-6.12.57+deb13-amd64: new to 6.12.57-1",
        "proxy01: snow02 to snow01, 259 MiB",
        "MiB free now",
    ):
        assert said in ended.output
    assert code_of(site.run("upgrade")) == 4 and site.done == [], "nobody was there to say yes"
    (plan,) = json.loads(site.run("upgrade", "snow02", "--dry-run", "--json").output)["servers"]
    assert plan["packages"][0]["name"] == "libc6"


def test_a_plan_that_fits_for_the_first_server_and_not_for_the_next_is_refused_before_both(site: OldSite) -> None:
    """Half of the servers would be upgraded, and the other half could not be drained any more."""
    site.room = {"snow01": 1100, "snow02": 900}
    ended = site.run("upgrade", "--yes")
    assert code_of(ended) == 4 and site.done == []
    assert ended.exception is not None and "not enough memory" in str(ended.exception)
    assert site.run("upgrade", "snow02", "--dry-run").exit_code == 0


def test_a_trial_that_fails_leaves_the_server_in_standby_and_the_next_one_alone(site: OldSite) -> None:
    """Xen 4.14.4 to 4.14.5 lost three domains of six of somebody in the migration back."""
    site.trial_fails = True
    ended = site.run("upgrade", "--yes")
    assert ended.exit_code == 6 and "Domain load failed" in ended.output
    assert site.standby == {"snow02"} and site.trial_on == "" and site.boots["snow01"] == 1
    assert set(site.world.running.values()) == {"snow01"}

    site.trial_fails = False
    site.done.clear()
    ended = site.run("upgrade", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.done == [*of("snow02", "snow01")[-2:], *of("snow01", "snow02")], "it continues where it was"


def test_a_trial_domain_that_crashes_at_once_is_said_so(site: OldSite) -> None:
    """A traceback, with a server that stays out of its cluster."""
    site.trial_dies = True
    ended = site.run("upgrade", "snow02", "--yes")
    assert ended.exit_code == 6 and "ended as soon as it was started" in ended.output
    assert site.standby == {"snow02"}


def test_an_upgrade_that_fails_is_gone_on_with_and_nothing_is_rebooted_before(site: OldSite) -> None:
    site.upgrade_fails = True
    assert site.run("upgrade", "snow02", "--yes").exit_code == 5
    assert site.boots["snow02"] == 1 and site.standby == {"snow02"}
    site.upgrade_fails = False
    ended = site.run("upgrade", "snow02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.boots["snow02"] == 2 and site.standby == set()


def test_tools_that_are_gone_until_the_reboot_do_not_stop_it(site: OldSite) -> None:
    """Debian 13 removes the tools of the hypervisor that still runs: the server would stay out of its cluster, half upgraded."""
    site.takes_xl_away = True
    ended = site.run("upgrade", "snow02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.boots["snow02"] == 2 and site.standby == set()


def test_it_does_not_begin_while_the_cluster_is_not_well(site: OldSite) -> None:
    """The server that would have to take the domains may be the next one to go."""
    site.changes.append(lambda root: root.find("resources/resource[@id='deploy01']").set("failed", "true"))  # type: ignore[union-attr]
    ended = site.run("upgrade", "--yes")
    assert code_of(ended) == 4 and site.done == []


def test_a_server_that_somebody_has_drained_is_not_taken_back(site: OldSite) -> None:
    """It may be out for a reason that no package mends."""
    site.standby.add("snow02")
    ended = site.run("upgrade", "snow02", "--yes")
    assert code_of(ended) == 4 and site.done == [] and site.standby == {"snow02"}


def test_a_server_that_somebody_has_drained_while_it_was_asked_is_not_taken_back(site: OldSite) -> None:
    """The plan was agreed to an hour after it was shown: the server would be upgraded, and used again at the end."""

    def meanwhile() -> None:
        if site.turns == 2:  # the plan reads the package lists under the lock, too
            site.standby.add("snow02")
            site.world.running = dict.fromkeys(site.world.running, "snow01")

    site.until_lock = meanwhile
    ended = site.run("upgrade", "snow02", "--yes")
    assert code_of(ended) == 4 and "snow02 is in standby" in str(ended.exception)
    assert site.done == [] and site.standby == {"snow02"}


def test_an_upgrade_is_not_begun_by_moves_that_were_not_shown(site: OldSite) -> None:
    def meanwhile() -> None:
        if site.turns == 2:
            site.world.running["slurm01"] = "snow02"

    site.until_lock = meanwhile
    ended = site.run("upgrade", "snow02", "--yes")
    assert code_of(ended) == 4 and site.done == []
    assert "since the plan was made: snow02: slurm01: snow02 to snow01" in str(ended.exception)


def test_no_trial_is_made_where_none_can_be_and_it_is_said(site: OldSite) -> None:
    for path, (content, mode) in list(site.world.shared.items()):
        if path.endswith(".cfg"):
            site.world.shared[path] = (content.replace(b"ramdisk", b"#ramdisk"), mode)
    ended = site.run("upgrade", "snow02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert not [done for done in site.done if "trial" in done] and site.standby == set()


class NextRelease:
    """In place of what a server's apt says and does: that is tried with a real one in tests/lab/long/test_release_upgrade.py."""

    def __init__(self, site: OldSite, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.has = dict.fromkeys(WHERE, "bookworm")
        self.fails = False
        monkeypatch.setattr(upgrade, "release_of", lambda host: self.has[host.name])
        monkeypatch.setattr(debian_release, "simulate", lambda host, release, reporter: parse_change(SIMULATED))
        monkeypatch.setattr(debian_release, "install", self.install)
        monkeypatch.setattr(debian_release, "missing", self.missing)

    def missing(self, host: Host, release: str) -> str | None:
        return None if self.has[host.name] == release else f"it has Debian {self.has[host.name]}"

    def install(self, host: Host, release: str, reporter: object) -> None:
        if self.fails:
            raise CommandError("apt-get failed", where=host.name)
        self.site.done.append(f"{host.name}: {release}")
        self.has[host.name] = release


def test_a_server_is_taken_to_the_next_release_as_to_newer_packages(
    site: OldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = NextRelease(site, monkeypatch)
    ended = site.run("upgrade", "snow02", "--release", "trixie", "--dry-run")
    assert ended.exit_code == 0 and "snow02: 3 packages of Debian trixie, then a reboot" in ended.output
    ended = site.run("upgrade", "snow02", "--release", "trixie", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.done == [line.replace("upgrade", "trixie") for line in of("snow02", "snow01")]
    assert apt.has == {"snow01": "bookworm", "snow02": "trixie"} and site.standby == set()
    ended = site.run("upgrade", "snow02", "--release", "trixie", "--yes")
    assert ended.exit_code == 0 and "up to date" in ended.output


def test_a_release_that_was_begun_is_gone_on_with_and_nothing_else(
    site: OldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs the command again has forgotten its option: packages of the old release would be installed over the new ones."""
    apt = NextRelease(site, monkeypatch)
    apt.fails = True
    assert site.run("upgrade", "snow02", "--release", "trixie", "--yes").exit_code == 5
    assert site.boots["snow02"] == 1 and site.standby == {"snow02"}
    apt.fails = False
    ended = site.run("upgrade", "snow02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert apt.has["snow02"] == "trixie" and site.standby == set() and "snow02: upgrade" not in site.done


def test_an_upgrade_that_was_begun_does_not_become_one_to_another_release(
    site: OldSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    NextRelease(site, monkeypatch)
    site.upgrade_fails = True
    assert site.run("upgrade", "snow02", "--yes").exit_code == 5
    ended = site.run("upgrade", "snow02", "--release", "trixie", "--yes")
    assert code_of(ended) == 4 and "has begun" in str(ended.exception)
    assert code_of(site.run("upgrade", "--release", "forky")) == 2


def test_a_release_without_a_name_is_not_the_one_that_the_servers_have(site: OldSite) -> None:
    """`--release "$NEXT"` without that variable would upgrade and reboot every server for nothing."""
    assert code_of(site.run("upgrade", "--release", "", "--yes")) == 2 and site.done == []


def test_what_a_trial_waits_in_has_no_disk_and_no_network() -> None:
    text = trial_migration.config(single_server()[0].site.domains[0])
    assert "disk" not in text.replace("ramdisk", "") and "vif" not in text and 'on_crash = "destroy"' in text
