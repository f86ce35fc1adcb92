"""Wrong input: one clear message, before anything is changed. What would be lost: a production server, half changed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Administrator, on, wait_until

from snowha.hosts.local import LocalHost
from snowha.lab import first_boot, layout, lifecycle, network

CONFIG = "/sNow/etc/domains/slurm02.cfg"


@pytest.fixture
def unchanged(single: Administrator) -> Iterator[Administrator]:
    """The single server as it was before anything. After the test, neither server has anything of ours."""
    yield single
    looking = "ls -d /var/lib/snow-ha /etc/snow-ha /etc/corosync /sNow/domains/* 2>/dev/null || true"
    for host in ("snow01", "snow02"):
        assert on(host, "sh", "-c", f"'{looking}'") == ""


@contextmanager
def edited(pattern: str, replacement: str, path: str = CONFIG) -> Iterator[None]:
    """Text replaced in a file on the shared file system, as a tired administrator would, and put back."""
    before = on("nfs01", "cat", f"/export{path}")
    changed, count = re.subn(pattern, replacement, before)
    assert count
    write(path, changed)
    try:
        yield
    finally:
        write(path, before)


def write(path: str, text: str) -> None:
    LocalHost().run(first_boot.ssh_words("nfs01", ["tee", f"/export{path}"], paths=layout.paths()), input=text)


@contextmanager
def unplugged(host: str, network: str) -> Iterator[None]:
    """A cable pulled, and plugged in again: over when the host answers, which takes until the neighbours look for it anew."""
    lifecycle.cable(host, network, False)
    try:
        yield
    finally:
        lifecycle.cable(host, network, True)
        wait_until(lambda: first_boot.ssh(host, ["true"], check=False).ok, timeout=60, what=f"{host} answers again")


def test_a_server_that_does_not_answer_is_named(unchanged: Administrator) -> None:
    with unplugged("snow02", "snow"):
        ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 3
    assert "snow02" in ended.output


def test_a_wrong_bmc_password_is_told_without_showing_it(unchanged: Administrator) -> None:
    (unchanged.folder / "ha.secrets/ipmi").write_text("wrong-secret\n")
    ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 3
    assert "10.0.0.10" in ended.output and "ha.secrets/ipmi" in ended.output
    assert "wrong-secret" not in ended.output


def test_a_password_that_others_can_read_is_refused(unchanged: Administrator) -> None:
    (unchanged.folder / "ha.secrets/ipmi").chmod(0o644)
    ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 2
    assert "chmod 600" in ended.output


def test_a_missing_volume_is_named_with_its_config(unchanged: Administrator) -> None:
    with edited("slurm02-swap", "slurm02-gone"):
        ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 4
    assert "/dev/snow_vg/slurm02-gone" in ended.output and CONFIG in ended.output


def test_a_config_that_does_not_parse_is_named_with_its_line(unchanged: Administrator) -> None:
    with edited(r"disk        = \[", "disk        = [[["):
        ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 2
    assert re.search(re.escape(CONFIG) + r":\d+", ended.output)


@pytest.mark.parametrize("name", ["a;reboot", "../../etc", "$(touch /tmp/owned)"])
def test_a_name_never_reaches_a_shell(unchanged: Administrator, name: str) -> None:
    before = on("snow01", "cat", "/proc/sys/kernel/random/boot_id")
    with edited("name        = 'slurm02'", f"name        = '{name}'"):
        ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 2
    assert CONFIG in ended.output
    assert on("snow01", "cat", "/proc/sys/kernel/random/boot_id") == before
    assert on("snow01", "ls", "/tmp/owned", check=False) == ""


def test_two_domains_with_one_name_are_both_named(unchanged: Administrator) -> None:
    with edited("name        = 'slurm02'", "name        = 'slurm01'"):
        ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 2
    assert CONFIG in ended.output and "slurm01.cfg" in ended.output


def test_fewer_than_two_servers_are_refused(unchanged: Administrator) -> None:
    text = unchanged.ha_toml.read_text()
    start, end = text.index('[[server]]\nname = "snow02"'), text.index("# File systems that")
    unchanged.ha_toml.write_text(text[:start] + text[end:])
    ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 2
    assert "fewer than two servers" in ended.output


def test_a_full_shared_file_system_says_how_much_is_missing(unchanged: Administrator) -> None:
    free = int(on("nfs01", "stat", "--file-system", "--format=%a", "/export/sNow"))
    size = int(on("nfs01", "stat", "--file-system", "--format=%S", "/export/sNow"))
    big = "/export/sNow/log/big"
    on("nfs01", "fallocate", "-l", str(free * size - (200 << 20)), big)
    try:
        ended = unchanged.snow("ha", "apply", "--yes")
    finally:
        on("nfs01", "rm", big)
    assert ended.code == 4
    assert re.search(r"need \d+ MiB, and \d+ MiB are free", ended.output)


def test_snow_that_is_not_on_nfs_is_refused(unchanged: Administrator) -> None:
    on("snow01", "sh", "-c", "'cp -a /sNow/etc /root/etc && umount -l /sNow && cp -a /root/etc /sNow/'")
    try:
        ended = unchanged.snow("ha", "apply", "--yes")
    finally:
        on("snow01", "sh", "-c", "'rm -r /sNow/etc /root/etc && mount /sNow'")
    assert ended.code == 4
    assert "not on NFS" in ended.output


def test_images_on_the_first_servers_own_disk_are_refused(unchanged: Administrator) -> None:
    text = unchanged.ha_toml.read_text()
    unchanged.ha_toml.write_text(text.replace('images = "/sNow/domains"', 'images = "/srv/domains"'))
    ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 4
    assert re.search(r"paths\.images is on \S+ \(\S+\) of snow01 alone", ended.output)


def test_a_floating_ip_that_the_storage_server_has_is_refused(unchanged: Administrator) -> None:
    """It answers to ARP; whether it answers a ping does not matter."""
    text = unchanged.ha_toml.read_text()
    unchanged.ha_toml.write_text(text.replace(f'"{layout.FLOATING_IP}/24"', f'"{layout.NFS01.address}/24"'))
    ended = unchanged.snow("ha", "apply", "--yes")
    assert ended.code == 4
    assert re.search(rf"{layout.NFS01.address} is in use by [0-9a-f:]{{17}}, which is not a server", ended.output)


@pytest.mark.parametrize("place", ["snow01", "deploy01"])
def test_snow_does_not_restart_what_it_runs_on(unchanged: Administrator, place: str) -> None:
    """As if it ran there: the boot id of the server, the UUID that Xen has for the domain."""
    boot = on("snow01", "cat", "/proc/sys/kernel/random/boot_id").strip()
    found = re.search(r"^([0-9a-f-]{36})\s+\d+\s+deploy01\s*$", on("snow01", "xl", "vm-list"), re.MULTILINE)
    assert found
    machine = (boot, "") if place == "snow01" else ("another", found[1])
    script = f"""
from snowha.cli.main import main
from snowha.migration import own_machine
own_machine.here = lambda: own_machine.Machine(*{machine!r})
main()
"""
    words = network.inside(
        "env", f"SNOW_JOURNAL={unchanged.journal}", sys.executable, "-c", script, "ha", "apply", "--yes"
    )
    ended = subprocess.run(words, cwd=unchanged.folder, check=False, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 4, ended.stderr
    assert "would be ended by" in ended.stderr and place in ended.stderr
