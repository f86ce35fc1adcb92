"""What is done on a server before it is rebooted with another network configuration, and what it does if that was wrong."""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_interfaces_file import STOCK

from snowha.errors import SiteError
from snowha.hosts import files
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.hosts.process import failed
from snowha.provision.interfaces_file import PATH
from snowha.provision.network_interfaces import NetworkInterface
from snowha.provision.servers import network_file, network_guard

CARD = NetworkInterface("ens3", ipaddress.IPv4Interface("192.168.8.2/24"))
PART = "/etc/network/interfaces.d/ens3"


class Server:
    """Files in memory; ifquery is this machine's own."""

    name = "snow02"

    def __init__(self, there: dict[str, str], *, active: str = "inactive\ninactive\n", ifquery: bool = True) -> None:
        self.files, self.active, self.ifquery = there, active, ifquery

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: object = None,
    ) -> Completed:
        call = files.call_of(argv, input)
        if call is not None and call.verb == "read":
            path = call.paths[0]
            done = _said(argv, _encoded(self.files[path])) if path in self.files else Completed(tuple(argv), 44, "", "")
        elif call is not None and call.verb == "folder":
            rows = [(path, text) for path, text in self.files.items() if path.rpartition("/")[0] == call.paths[0]]
            rows = [(path, text) for path, text in rows if path.endswith(call.paths[1])]
            done = _said(argv, "".join(f"{_encoded(path)} {_encoded(text)}\n" for path, text in rows))
        elif argv[0] == "systemctl":
            done = Completed(tuple(argv), 3, self.active, "")
        elif argv[0] == "ifquery" and self.ifquery:
            return LocalHost().run(argv, input=input, timeout=timeout, check=check)
        else:
            done = Completed(tuple(argv), 127, "", "not found")
        if check and not done.ok and done.returncode != 44:
            raise failed(self.name, done)
        return done


def _said(argv: Sequence[str], text: str) -> Completed:
    return Completed(tuple(argv), 0, text, "")


def _encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def bridged(server: Server) -> dict[str, str]:
    return network_file.bridged(server, network_file.with_its_sources(server), CARD, "xsnow0")


@pytest.mark.needs("ifquery")
def test_the_file_that_has_the_card_is_changed_and_read_back() -> None:
    main = "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n"
    after = bridged(Server({PATH: main, PART: STOCK.replace("auto lo\niface lo inet loopback\n\n", "")}))
    assert after[PATH] == main
    assert "iface xsnow0 inet static" in after[PART]


@pytest.mark.needs("ifquery")
def test_a_source_directory_is_read_as_ifupdown_does() -> None:
    there = {PATH: "source-directory interfaces.d\n", PART: STOCK, f"{PART}.bak": "iface xsnow0 inet manual\n"}
    assert set(network_file.with_its_sources(Server(there))) == {PATH, PART}


@pytest.mark.parametrize("line", ["source /etc/*/x", "source $HOME/x", "source `x`", "source-directory /etc/net*"])
def test_what_cannot_be_followed_is_refused(line: str) -> None:
    """The card may be configured just there."""
    with pytest.raises(SiteError, match="cannot be determined"):
        bridged(Server({PATH: f"{line}\n{STOCK}"}))


@pytest.mark.parametrize(
    ("there", "active", "who"),
    [
        ({"/etc/netplan/50-cloud-init.yaml": "network: {}\n"}, "inactive\nactive\n", "netplan"),
        ({}, "active\ninactive\n", "NetworkManager"),
        ({}, "inactive\nactive\n", "systemd-networkd"),
        ({}, "inactive\ninactive\n", "something other"),
    ],
)
def test_who_else_configures_the_card_is_named_with_the_way(there: dict[str, str], active: str, who: str) -> None:
    """ifupdown's file would be written, and nobody read it."""
    lo = {PATH: "auto lo\niface lo inet loopback\n"}
    with pytest.raises(SiteError, match=f"configured by {who}") as caught:
        bridged(Server({**lo, **there}, active=active))
    assert "xsnow0" in caught.value.remedy


def test_without_ifquery_nothing_is_written() -> None:
    with pytest.raises(SiteError, match="ifquery"):
        bridged(Server({PATH: STOCK}, ifquery=False))


class Trial:
    """The guard's script in a shell of its own, with a ping, a clock and a reboot that a test decides on."""

    def __init__(self, folder: Path, answers: str) -> None:
        self.folder = folder
        self.file = folder / "interfaces"
        self.file.write_text("new\n")
        self.added = folder / "added"
        self.added.write_text("new\n")
        for name, text in {
            "settings": "peers='192.168.8.1 10.0.0.1'\nwithin=0\n",
            "files": f"0 {self.file}\n- {self.added}\n",
            "0": "old\n",
            "guard.sh": network_guard.script(),
            "bin/ping": f'#!/bin/sh\nfor last; do :; done\ncase "{answers}" in *"$last"*) exit 0 ;; esac\nexit 1\n',
            "bin/reboot-now": f"#!/bin/sh\n: > {folder}/rebooted\n",
            f"system/{network_guard.UNIT}": "unit",
            f"system/multi-user.target.wants/{network_guard.UNIT}": "link",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.file.chmod(0o640)

    def run(self) -> str:
        environment = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "SYSTEM": str(self.folder / "system"),
            "REBOOT": "reboot-now",
        }
        words = ["sh", str(self.folder / "guard.sh"), str(self.folder), network_guard.UNIT]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout


def test_a_server_that_reaches_the_first_one_keeps_its_new_files(tmp_path: Path) -> None:
    trial = Trial(tmp_path, answers="192.168.8.1 10.0.0.1")
    assert "stays" in trial.run()
    assert trial.file.read_text() == "new\n" and trial.added.exists()
    assert not (tmp_path / "rebooted").exists() and not (tmp_path / "files").exists()
    assert not (tmp_path / "system" / network_guard.UNIT).exists()


@pytest.mark.parametrize("answers", ["", "10.0.0.1"])
def test_a_server_that_does_not_has_its_old_files_back_and_reboots_once(tmp_path: Path, answers: str) -> None:
    """Nobody could reach it any more, and a console is far away."""
    trial = Trial(tmp_path, answers)
    trial.run()
    assert trial.file.read_text() == "old\n" and trial.file.stat().st_mode & 0o777 == 0o640
    assert not trial.added.exists()
    assert (tmp_path / "rebooted").exists() and (tmp_path / "gave-up").exists()
    assert not (tmp_path / "files").exists() and not (tmp_path / "system" / network_guard.UNIT).exists()


def test_the_unit_delays_nothing_and_counts_from_the_network_on() -> None:
    text = network_guard.unit()
    assert (
        "After=network.target" in text
        and "Type=simple" in text
        and f"ConditionPathExists={network_guard.FOLDER}/files" in text
    )
