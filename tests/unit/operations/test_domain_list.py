"""The list that scripts in the field read: the guide's pipeline must find exactly the names."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from snowha.hosts.local import LocalHost
from snowha.operations import guest_systems
from snowha.operations.domain_list import Row, lines, rows
from snowha.operations.status import DomainStatus
from snowha.site.model import Domain, Vif

SEEN = (
    DomainStatus("slurm02", ("snow02",), ("snow02",), True, "running"),
    DomainStatus("deploy01", ("snow01", "snow02"), ("snow01",), True, "twice"),
    DomainStatus("proxy01", (), ("snow03",), True, "unknown"),
    DomainStatus("slurm01", (), (), True, "off", on_purpose=True),
)
SYSTEMS = {("snow01", "deploy01"): "up 2 weeks, 3 days", ("snow02", "deploy01"): "up", ("snow02", "slurm02"): "down"}
ROLES = {"deploy01": ("deploy",), "slurm01": ("slurmctld-master", "slurmdbd")}


def test_a_row_per_place_and_unknown_is_not_off() -> None:
    """sNow!'s list shows a domain that runs twice once, and one of a server that does not answer as off."""
    assert rows(SEEN, SYSTEMS, ROLES) == (
        Row("deploy01", "on", "up 2 weeks, 3 days", ("deploy",), "snow01"),
        Row("deploy01", "on", "up", ("deploy",), "snow02"),
        Row("proxy01", "unknown", "unknown", (), "unknown"),
        Row("slurm01", "off", "down", ("slurmctld-master", "slurmdbd"), ""),
        Row("slurm02", "on", "down", (), "snow02"),
    )


def test_the_columns_are_those_that_bash_prints() -> None:
    """Compared with printf itself, in sNow!'s own format."""
    found = rows(SEEN, SYSTEMS, ROLES)
    cells = [
        ("Domain", "HW status", "OS status", "Roles", "Host"),
        ("------", "---------", "---------", "-----", "----"),
        *((row.name, row.hardware, row.system, ",".join(row.roles), row.server) for row in found),
    ]
    words = " ".join(shlex.quote(cell) for row in cells for cell in row)
    printf = ["bash", "-c", rf'printf "%-20s  %-10s  %-40s  %-20s %-20s\n" {words}']
    assert "\n".join(lines(found)) + "\n" == subprocess.run(printf, capture_output=True, text=True, check=True).stdout


def test_the_guides_pipeline_gives_the_names() -> None:
    """`migrate_lvm2loopback` and `setup_domains_ha.sh` begin with it."""
    once = [one for one in SEEN if len(one.servers) < 2]
    text = "\n".join(lines(rows(once, SYSTEMS, ROLES)))
    pipeline = r"""egrep -v "Domain|\-\-" 2> /dev/null | awk '{print $1}'"""
    done = subprocess.run(["bash", "-c", pipeline], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["proxy01", "slurm01", "slurm02"]


def asked(folder: Path, monkeypatch: pytest.MonkeyPatch, ssh: str, *names: str) -> dict[str, str]:
    """What the script itself finds, with an ``ssh`` of that shell text, and a ping that only the second domain answers."""
    tools = {"ssh": ssh, "ping": 'case "$*" in *" 192.168.8.12") exit 0 ;; *) exit 1 ;; esac'}
    for name, script in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    domains = {}
    for number, name in enumerate(names, start=11):
        vifs = (Vif("xsnow0", ip="0.0.0.0"), Vif("xsnow1", ip=f"192.168.8.{number}/24 10.0.0.{number}"))
        domains[name] = Domain(name, f"/{name}.cfg", 256, 1, "pvh", "", "", (), vifs, "")
    path = f"{folder}:{os.environ['PATH']}"
    monkeypatch.setattr(guest_systems, "_ASK", f"PATH={shlex.quote(path)}\n{guest_systems._ASK}")
    found = guest_systems.ask({"here": LocalHost("here")}, {"here": [*domains]}, domains)
    return {name: text for (_, name), text in found.items()}


def test_a_domain_that_lets_nobody_log_in_is_up_if_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script itself, with an ssh and a ping that know three domains."""
    ssh = 'case "$*" in *deploy01*) echo "up 2 weeks, 3 days" ;; *) exit 255 ;; esac'
    assert asked(tmp_path, monkeypatch, ssh, "deploy01", "proxy01", "slurm01") == {
        "deploy01": "up 2 weeks, 3 days",
        "proxy01": "up",
        "slurm01": "down",
    }


def test_what_a_domain_says_is_one_line_of_text_about_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is root in one domain could show another one as up, or send control sequences to the administrator's terminal."""
    ssh = r"""case "$*" in *deploy01*) printf 'up\033[2J 1 \303\244day\nproxy01 up 9 weeks\n' ;; *) exit 255 ;; esac"""
    found = asked(tmp_path, monkeypatch, ssh, "deploy01", "nobody", "proxy01")
    assert found == {"deploy01": "up[2J 1 day", "nobody": "up", "proxy01": "down"}
    long = r"""printf 'up '; head -c 100000 /dev/zero | tr '\0' x"""
    assert len(asked(tmp_path, monkeypatch, long, "deploy01")["deploy01"]) == 80
