"""A Debian 12 with a server's packages, taken to Debian 13 by what `snow upgrade --release` runs there: real apt, real packages.

No lab: a tree of its own, without Xen or services, since two releases' packages on an emulated server take an hour. The sources
are those of this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snowha.errors import SiteError
from snowha.hosts.base import Request
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.lab.rootfs import apt_sources
from snowha.provision.packages import server_packages
from snowha.provision.servers import debian_release

LISTED = "/etc/apt/sources.list.d/0000bookworm.sources"


class Tree(LocalHost):
    """Commands inside of a tree, where no systemd runs (its ENVIRONMENT.md)."""

    def __init__(self, tree: Path) -> None:
        super().__init__("snow02")
        self.tree = tree

    def _run(self, request: Request) -> Completed:
        return super()._run(
            replace(request, argv=["env", "SYSTEMD_OFFLINE=1", "chroot", str(self.tree), *request.argv])
        )


class Told:
    """A Reporter that prints."""

    def say(self, text: str) -> None:
        print(text)

    wait = say

    def progress(self, done: float, total: float, unit: str = "") -> None: ...

    def fact(self, key: str, value: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Tree]:
    tree = tmp_path / "tree"
    packages = ",".join((*server_packages("bookworm"), "linux-image-amd64", "ifupdown", "openssh-server", "lvm2"))
    words = ["mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={packages}"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/root"}
    subprocess.run(
        [*words, "bookworm", str(tree), "-"],
        input=apt_sources("bookworm"),
        text=True,
        check=True,
        env=environment,
        timeout=3000,
    )
    (tree / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (tree / "usr/sbin/policy-rc.d").chmod(0o755)
    for name in ("proc", "dev"):
        subprocess.run(["mount", "--bind", f"/{name}", str(tree / name)], check=True)
    try:
        yield Tree(tree)
    finally:
        for name in ("proc", "dev"):
            subprocess.run(["umount", "--lazy", str(tree / name)], check=True)
        shutil.rmtree(tree)


def versions(server: Tree) -> dict[str, str]:
    text = server.run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"]).stdout
    return {name: version for name, version, status in map(str.split, text.splitlines()) if status == "installed"}


@pytest.mark.timeout(3600)
def test_a_server_has_all_of_the_next_release_and_what_it_was_configured_with(server: Tree) -> None:
    """A server that has half of each release neither boots its domains nor joins its cluster."""
    host = server
    before = versions(host)
    told = Told()
    corosync = server.tree / "etc/corosync/corosync.conf"
    corosync.write_text("# ours\n")

    (server.tree / "etc/apt/sources.list.d/own.list").write_text("deb [trusted=yes] file:/srv/own bookworm main\n")
    with pytest.raises(SiteError, match="has no packages for trixie"):
        debian_release.simulate(host, "trixie", told)
    (server.tree / "etc/apt/sources.list.d/own.list").unlink()
    host.run(["apt-mark", "hold", "corosync"])
    with pytest.raises(SiteError, match="on hold: corosync"):
        debian_release.simulate(host, "trixie", told)
    host.run(["apt-mark", "unhold", "corosync"])

    change = debian_release.simulate(host, "trixie", told)
    print(f"{len(change.added)} packages, {change.fetched >> 20} MiB; removed: {' '.join(change.removed)}")
    assert "pacemaker" in change.added and change.fetched > 100 << 20
    assert versions(host) == before
    assert debian_release.missing(host, "trixie") == "it has Debian bookworm"

    debian_release.install(host, "trixie", told)
    assert debian_release.missing(host, "trixie") is None
    after = versions(host)
    assert after["pacemaker"].startswith("3.") and after["corosync"] > before["corosync"]
    assert {"xen-hypervisor-4.20-amd64", "xen-utils-4.20", "fence-agents-ipmilan", "crmsh"} <= set(after)
    assert corosync.read_text() == "# ours\n"
    assert all("bookworm" not in text for text in debian_release.sources(host).values())
    assert host.run(["dpkg", "--audit"]).stdout == ""
    debian_release.install(host, "trixie", told)
    assert versions(host) == after
