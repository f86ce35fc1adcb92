"""One server after the other with newer packages, every domain staying up."""

from __future__ import annotations

import time

from conftest import Administrator, on, shell
from test_3_one_image import at_once
from test_4_everyday import SERVERS
from test_disasters import all_answer_since
from test_everyday import uuids

PACKAGE = "snow-lab-dummy"
# A package of two versions: the first one installed, the second one in a repository of the server's own.
PREPARE = f"""
set -eu
rm -rf /var/tmp/repo; mkdir -p /var/tmp/repo
for version in 1 2; do
    mkdir -p /var/tmp/build/DEBIAN
    printf 'Package: {PACKAGE}\\nVersion: %s\\nArchitecture: all\\nMaintainer: lab <root@localhost>\\nDescription: nothing\\n' \\
        $version > /var/tmp/build/DEBIAN/control
    dpkg-deb --build --root-owner-group /var/tmp/build /var/tmp/repo/{PACKAGE}_$version.deb > /dev/null
done
dpkg -i /var/tmp/repo/{PACKAGE}_1.deb
cd /var/tmp/repo
{{
    cat /var/tmp/build/DEBIAN/control
    echo "Filename: ./{PACKAGE}_2.deb"
    echo "Size: $(stat -c %s {PACKAGE}_2.deb)"
    echo "SHA256: $(sha256sum < {PACKAGE}_2.deb | cut -d' ' -f1)"
}} > Packages
echo 'deb [trusted=yes] file:/var/tmp/repo ./' > /etc/apt/sources.list.d/lab-dummy.list
"""


def version(server: str) -> str:
    return on(server, "dpkg-query", "-W", "-f", "${Version}", PACKAGE).strip()


def boots() -> dict[str, str]:
    return {server: on(server, "cat", "/proc/sys/kernel/random/boot_id") for server in SERVERS}


def test_both_servers_are_upgraded_and_no_domain_is_restarted(cluster: Administrator) -> None:
    """An upgrade that takes a domain down needs a window at night; one that leaves a server out is found at the next loss."""
    for server in SERVERS:
        shell(server, PREPARE)
    before = {name: uuid for server in SERVERS for name, uuid in uuids(server).items()}
    booted = boots()

    plan = cluster.snow("upgrade", "--dry-run")
    assert plan.code == 0 and "snow02: " in plan.output and "MiB free now" in plan.output
    assert boots() == booted and version("snow02") == "1"

    ended = cluster.snow("upgrade", "--yes", timeout=7200)
    assert ended.code == 0, ended.output
    assert [version(server) for server in SERVERS] == ["2", "2"]
    assert all(boots()[server] != booted[server] for server in SERVERS)
    assert {name: uuid for server in SERVERS for name, uuid in uuids(server).items()} == before
    assert "snow-ha-trial" in ended.output or "no trial" in ended.output
    assert at_once() == []
    assert cluster.status()["healthy"]
    since = time.time()
    again = cluster.snow("upgrade", "--yes")
    assert again.code == 0 and again.output.count("up to date") == 2
    assert all_answer_since(since - 600)
