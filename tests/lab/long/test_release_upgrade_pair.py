"""One server of a pair taken from Debian 12 to 13 by `snow upgrade --release`, the domains staying up on the other one.

Needs a lab of Debian 12: make lab-test RELEASE=bookworm TESTS=tests/lab/long/test_release_upgrade_pair.py
The packages of Debian 13 are fetched by this machine and served to the servers in the lab's network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Administrator, on, shell, wait_until
from test_2_migration import nothing_lost
from test_3_one_image import at_once
from test_4_everyday import running_on
from test_disasters import all_answer_since
from test_everyday import uuids

from snowha.hosts.local import LocalHost
from snowha.lab import domain_probe, layout, network, repository
from snowha.lab.layout import DOMAINS
from snowha.lab.rootfs import apt_sources
from snowha.provision.packages import server_packages
from snowha.provision.servers.debian_release import NO_RECOMMENDS

SERVER, OTHER = "snow02", "snow01"
OLD, NEW = "bookworm", "trixie"
ADDRESS, PORT = layout.SNOW.address(layout.MANAGER_NUMBER), 8013


def fetch_next_release(work: Path) -> Path:
    """A folder with two flat repositories: of the old release without a package, and of the new one with all that SERVER gets."""
    (work / "status").write_text(on(SERVER, "cat", "/var/lib/dpkg/status"))
    (work / "apt.sources").write_text(apt_sources(NEW))
    words = repository.apt_words(sources=work / "apt.sources", work=work / "apt", status=work / "status")
    host = LocalHost()
    host.run(["apt-get", *words, "update"], timeout=600)
    for wanted in (["full-upgrade"], ["install", *server_packages(NEW)]):
        host.run(["apt-get", *words, *NO_RECOMMENDS, "--download-only", "-y", *wanted], timeout=3600)
    served = work / "served"
    repository.repack(work / "apt/archives", served / NEW)
    (served / OLD).mkdir()
    for release in (OLD, NEW):
        repository.index(served, release)
    return served


@pytest.fixture
def next_release(cluster: Administrator, tmp_path: Path) -> Iterator[None]:
    """SERVER has a mirror with both releases."""
    if os.environ.get("SNOW_LAB_RELEASE") != OLD:
        pytest.skip(f"needs a lab of Debian 12: make lab-test RELEASE={OLD} TESTS={Path(__file__).name}")
    served = fetch_next_release(tmp_path)
    words = ["-m", "http.server", "--bind", ADDRESS, "--directory", str(served), str(PORT)]
    with subprocess.Popen(network.inside(sys.executable, *words), stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://{ADDRESS}:{PORT}"
            shell(SERVER, f"echo 'deb [trusted=yes] {url} {OLD}/' > /etc/apt/sources.list.d/site.list")
            yield
        finally:
            server.terminate()


def release_of(server: str) -> str:
    return shell(server, ". /etc/os-release; echo $VERSION_CODENAME").strip()


@pytest.mark.timeout(4 * 3600)
def test_one_server_gets_the_next_release_and_no_domain_is_restarted(
    cluster: Administrator, next_release: None
) -> None:
    """Else a site stays on a release that gets no fixes, or takes everything down for a night."""
    before = {**uuids(SERVER), **uuids(OTHER)}
    began = time.time()
    words = ("upgrade", SERVER, "--release", NEW)
    plan = cluster.snow(*words, "--dry-run")
    assert plan.code == 0, plan.output
    assert release_of(SERVER) == OLD

    ended = cluster.snow(*words, "--yes", timeout=4 * 3600)
    assert ended.code == 0, ended.output
    assert (release_of(SERVER), release_of(OTHER)) == (NEW, OLD)
    assert {**uuids(SERVER), **uuids(OTHER)} == before
    for server in (OTHER, SERVER):
        print(
            server,
            shell(server, "uname -r; xl info xen_version; corosync -v | head -1; pacemakerd --version | head -1"),
        )
    assert cluster.snow(*words, "--yes").output.count("up to date") == 1

    # the new one runs domains of the old one: a live migration between two versions of Xen
    moved = cluster.snow("move", "slurm01", SERVER)
    assert moved.code == 0, moved.output
    assert running_on("slurm01") == [SERVER]
    arrived = time.time()
    wait_until(lambda: all_answer_since(arrived), timeout=300, what="every domain answers")
    assert {**uuids(SERVER), **uuids(OTHER)} == before
    assert at_once() == []
    log = domain_probe.read_log(layout.paths().client_log)
    for domain in DOMAINS:
        away = domain_probe.downtime(log, domain.name, began, arrived)
        print(f"{domain.name}: no answer for at most {away:.1f} s")
    nothing_lost()
