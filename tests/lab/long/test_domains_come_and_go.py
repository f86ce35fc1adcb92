"""Domains added, resized and removed on a finished cluster and on a single server: with real images, leases and volumes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Administrator, on, shell
from test_3_one_image import at_once
from test_4_everyday import SERVERS, running_on

from snowha.site import ha_toml

IMAGES = "/sNow/domains"
ADDRESS, MAC = "192.168.8.6", "76:fd:31:9e:06:01"
"""Of the sixth entry of active-domains.conf: a server and four domains are before it."""


@pytest.fixture
def here(cluster: Administrator, tmp_path: Path) -> Administrator:
    """With an ha.toml of its own: it is changed."""
    shutil.copytree(cluster.folder, tmp_path, dirs_exist_ok=True)
    return Administrator(tmp_path)


def give_own_address(disk: str, mount: str = "mount -o loop") -> None:
    """What an administrator does after a copy: the system in it still has the other one's name and address."""
    shell(
        "snow01",
        f"set -e; {mount} {disk} /mnt; sed -i 's/^ADDRESS=.*/ADDRESS={ADDRESS}/' /mnt/etc/lab.conf; umount /mnt; sync",
    )


def configuration() -> str:
    """Pacemaker's, with its epoch: what changes with every commit."""
    return on("snow01", "cibadmin", "--query", "--scope=configuration")


def test_a_copy_is_added_moved_enlarged_and_removed(here: Administrator) -> None:
    """Each verb leaves a site on which `snow ha apply` finds nothing to change, and no domain but this one is touched."""
    others = {name: running_on(name) for name in ("deploy01", "slurm01", "slurm02")}
    refused = here.snow("add", "domain", "new01", "--copy-of", "proxy01")
    assert refused.code == 4 and "snow shutdown proxy01" in refused.output
    assert here.snow("shutdown", "proxy01").code == 0
    ended = here.snow("add", "domain", "new01", "--copy-of", "proxy01")
    assert ended.code == 0, ended.output
    assert here.snow("boot", "proxy01").code == 0
    assert "new01" in ha_toml.parse(here.ha_toml.read_text(), where="ha.toml").domains
    for server in SERVERS:
        assert 'name = "new01"' in on(server, "cat", "/etc/snow-ha/ha.toml")
    assert '"state": "free"' in shell("snow01", f"snow-lease list {IMAGES}/new01/new01-disk")
    assert MAC in on("snow02", "cat", "/sNow/etc/domains/new01.cfg") and running_on("new01") == []
    unchanged_by_apply(here)

    give_own_address(f"{IMAGES}/new01/new01-disk")
    ended = here.snow("boot", "new01")
    assert ended.code == 0, ended.output
    assert on("snow01", "ping", "-c", "3", ADDRESS)
    before = running_on("new01")
    ended = here.snow("move", "new01")
    assert ended.code == 0 and running_on("new01") != before, ended.output

    refused = here.snow("resize", "domain", "new01", "--disk", "1024")
    assert refused.code == 4 and "only while the domain is off" in refused.output
    assert here.snow("shutdown", "new01").code == 0
    ended = here.snow("resize", "domain", "new01", "--disk", "1024", "--memory", "112")
    assert ended.code == 0, ended.output
    assert on("snow02", "stat", "-c", "%s", f"{IMAGES}/new01/new01-disk").strip() == str(1024 << 20)
    assert here.snow("resize", "domain", "new01", "--disk", "512").code == 4
    unchanged_by_apply(here)
    ended = here.snow("boot", "new01")
    assert ended.code == 0, ended.output
    (server,) = running_on("new01")
    assert "112" in next(line for line in on(server, "xl", "list").splitlines() if line.startswith("new01 ")).split()

    assert here.snow("remove", "domain", "new01", "--yes").code == 4
    assert here.snow("shutdown", "new01").code == 0
    ended = here.snow("remove", "domain", "new01", "--images", "--yes")
    assert ended.code == 0, ended.output
    assert on("snow02", "ls", IMAGES).split().count("new01") == 0
    assert "new01" not in configuration() and "new01" in on("snow01", "cat", "/sNow/etc/active-domains.conf")
    unchanged_by_apply(here)
    assert {name: running_on(name) for name in others} == others and at_once() == []
    assert here.status()["healthy"]


def unchanged_by_apply(here: Administrator) -> None:
    before = configuration()
    ended = here.snow("ha", "apply", "--yes")
    assert ended.code == 0, ended.output
    assert configuration() == before


def test_a_copy_that_was_interrupted_is_gone_on_with(here: Administrator) -> None:
    """Its image and its note must not be in the way of the same command; and no other one may go on with it."""
    assert here.snow("shutdown", "proxy01").code == 0
    here.interrupted(lambda line: "copying" in line, "add", "domain", "new01", "--copy-of", "proxy01")
    refused = here.snow("add", "domain", "new01", "--size", "64")
    assert refused.code in (2, 4) and "already" in refused.output
    ended = here.snow("add", "domain", "new01", "--copy-of", "proxy01")
    assert ended.code == 0, ended.output
    unchanged_by_apply(here)


def test_an_empty_domain_is_pacemakers_and_stays_off(here: Administrator) -> None:
    """There is nothing in it that could boot: it must not be tried again and again."""
    ended = here.snow("add", "domain", "new01", "--size", "64", "--like", "proxy01", "--dry-run")
    assert ended.code == 0 and f"{ADDRESS}, {MAC}, on xsnow0" in ended.output
    assert here.snow("add", "domain", "new01", "--size", "64", "--ip", "192.168.8.12").code != 0
    ended = here.snow("add", "domain", "new01", "--size", "64", "--like", "proxy01")
    assert ended.code == 0, ended.output
    status = {row["name"]: row for row in here.status()["domains"]}
    assert status["new01"]["on_purpose"] and running_on("new01") == []
    ended = here.snow("remove", "domain", "new01", "--images", "--yes")
    assert ended.code == 0, ended.output


def test_the_same_words_on_a_single_server(fresh: Administrator) -> None:
    """Before `apply` everything is in logical volumes, and nothing but xl starts it."""
    assert fresh.snow("shutdown", "proxy01").code == 0
    ended = fresh.snow("add", "domain", "new01", "--copy-of", "proxy01")
    assert ended.code == 0, ended.output
    assert fresh.snow("boot", "proxy01").code == 0
    give_own_address("/dev/snow_vg/new01-disk", "mount")
    ended = fresh.snow("boot", "new01")
    assert ended.code == 0, ended.output
    assert on("snow02", "ping", "-c", "3", ADDRESS)
    assert fresh.snow("shutdown", "new01").code == 0
    ended = fresh.snow("resize", "domain", "new01", "--disk", "832", "--memory", "96")
    assert ended.code == 0, ended.output
    assert on("snow01", "blockdev", "--getsize64", "/dev/snow_vg/new01-disk").strip() == str(832 << 20)
    ended = fresh.snow("remove", "domain", "new01", "--images", "--yes")
    assert ended.code == 0, ended.output
    volumes = on("snow01", "lvs", "--noheadings", "--options", "lv_name")
    assert "new01" not in volumes and "proxy01-disk" in volumes
    assert ha_toml.parse(fresh.ha_toml.read_text(), where="ha.toml").domains[-1] == "slurm02"
