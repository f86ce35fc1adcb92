"""A server taken to the next release of Debian: its sources as apt reads them, and what would be installed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from simulated import single_server

from snowha.errors import SiteError
from snowha.hosts.host import Completed
from snowha.provision.servers import debian_release
from snowha.provision.servers.debian_release import check_next, parse_change, with_release

ONE_LINE = """\
# deb http://deb.example/debian bookworm main was here once
deb http://deb.example/debian bookworm main contrib non-free-firmware
deb-src [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://deb.example/debian bookworm-updates main
  deb\thttp://security.example/debian-security\tbookworm-security main # of bookworm
deb [trusted=yes] file:/srv/bookworm/ ./
deb http://deb.example/bookworm bookworm/updates bookworm
deb http://other.example/debian bookwormish main
deb http://other.example/debian stable main
"""
ONE_LINE_AFTER = """\
# deb http://deb.example/debian bookworm main was here once
deb http://deb.example/debian trixie main contrib non-free-firmware
deb-src [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://deb.example/debian trixie-updates main
  deb\thttp://security.example/debian-security\ttrixie-security main # of bookworm
deb [trusted=yes] file:/srv/bookworm/ ./
deb http://deb.example/bookworm trixie/updates bookworm
deb http://other.example/debian bookwormish main
deb http://other.example/debian stable main
"""
FIELDS = """\
# bookworm
Types: deb
URIs: http://deb.example/bookworm
Suites: bookworm bookworm-updates
# a comment between
 bookworm-backports
Components: main bookworm
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 bookworm

types: deb
suites:
 bookworm-security
URIs: http://security.example/bookworm
components: main
"""
FIELDS_AFTER = """\
# bookworm
Types: deb
URIs: http://deb.example/bookworm
Suites: trixie trixie-updates
# a comment between
 trixie-backports
Components: main bookworm
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 bookworm

types: deb
suites:
 trixie-security
URIs: http://security.example/bookworm
components: main
"""


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [("/etc/apt/sources.list", ONE_LINE, ONE_LINE_AFTER), ("/etc/apt/sources.list.d/a.sources", FIELDS, FIELDS_AFTER)],
)
def test_the_suites_of_a_sources_file_are_those_of_the_next_release_and_nothing_else_is_touched(
    path: str, before: str, after: str
) -> None:
    """A key, a path or another's suite with the same letters in it would be destroyed."""
    assert with_release(path, before, "bookworm", "trixie") == after
    assert with_release(path, after, "bookworm", "trixie") == after
    for ending in ("\r\n", "\n"):
        text = before.rstrip("\n").replace("\n", ending)
        assert with_release(path, text, "bookworm", "trixie") == after.rstrip("\n").replace("\n", ending)


@pytest.mark.parametrize(("name", "text"), [("a.list", ONE_LINE), ("a.sources", FIELDS)])
def test_apt_itself_reads_the_new_suites(name: str, text: str, tmp_path: Path) -> None:
    """Its own parser, not our reading of its manual page. What is in the components stays."""

    def suites(content: str) -> list[str]:
        folder = tmp_path / "sources.list.d"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(
            content.replace("Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n bookworm\n", "")
        )
        words = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={folder}"]
        words += ["-o", f"Dir::State::lists={tmp_path}", "-o", "Debug::NoLocking=1"]
        indexes = ["apt-get", *words, "indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE)"]
        done = subprocess.run(indexes, capture_output=True, text=True, check=True, timeout=60)
        return sorted(set(done.stdout.splitlines()))

    before, after = suites(text), suites(with_release(name, text, "bookworm", "trixie"))
    assert len(before) >= 3
    assert after == sorted({line.replace(" bookworm", " trixie") if "ish" not in line else line for line in before})


# apt-get(8) of Debian 12, in a tree with Corosync, Pacemaker and Xen, shortened
SIMULATED = """\
Reading package lists...
The following packages will be REMOVED:
  libqb100 fence-agents
Remv fence-agents [4.12.1-2~exp1]
Remv libqb100 [2.0.6-2]
Remv libqb100t64 [2.0.8-2]
Inst libqb100t64 (2.0.8-2 Debian:13.2/stable [amd64])
Inst corosync [3.1.7-1+deb12u1] (3.1.9-2 Debian:13.2/stable [amd64])
Conf corosync (3.1.9-2 Debian:13.2/stable [amd64])
412 upgraded, 187 newly installed, 21 to remove and 0 not upgraded.
Need to get 612 MB/614 MB of archives.
After this operation, 1,213 MB of additional disk space will be used.
Abort.
"""


def test_what_is_removed_added_and_fetched_is_known_before() -> None:
    change = parse_change(SIMULATED)
    assert change.removed == ("fence-agents", "libqb100", "libqb100t64")
    assert change.added == ("libqb100t64", "corosync")
    assert (change.fetched, change.used) == (612_000_000, 1_213_000_000)
    smaller = "Need to get 0 B/98.1 kB of archives.\nAfter this operation, 12.3 kB disk space will be freed.\n"
    assert (parse_change(smaller).fetched, parse_change(smaller).used) == (0, 0)


def test_no_release_is_left_out_and_none_is_gone_back_to() -> None:
    """Debian supports an upgrade from each release to the next one only."""
    check_next("bookworm", "trixie")
    for current, wanted in (
        ("trixie", "bookworm"),
        ("trixie", "trixie"),
        ("bullseye", "trixie"),
        ("bookworm", "forky"),
    ):
        with pytest.raises(SiteError, match="in one step"):
            check_next(current, wanted)


def test_a_package_that_the_server_needs_is_not_removed() -> None:
    """Xen or Corosync gone, and the server would not come back into its cluster."""
    host = type("Host", (), {"name": "snow01"})()
    for lost in ("corosync", "xen-hypervisor-4.17-amd64", "linux-image-6.1.0-41-amd64", "snow-ha-server"):
        with pytest.raises(SiteError, match=f"would remove {lost}"):
            debian_release._check_removed(host, parse_change(f"Remv {lost} [1]\nRemv perl-modules-5.36 [1]\n"))
    with pytest.raises(SiteError, match=r"xen-utils-4\.17"):
        debian_release._check_removed(host, parse_change("Remv xen-utils-4.17 [4.17.5]\n"))
    debian_release._check_removed(host, parse_change("Remv xen-utils-4.17 [4]\nInst xen-utils-4.20 (4.20.2 Debian)\n"))
    debian_release._check_removed(host, parse_change("Remv corosync [3.1.7]\nInst corosync [3.1.7] (3.1.9 Debian)\n"))


BASE_FILES = "Inst base-files [12.4+deb12u12] (13.8+deb13u2 Debian:13.2/stable [amd64])\n"


def test_sources_that_bring_only_a_part_of_the_release_are_refused() -> None:
    """`stable` in one line and `bookworm-security` in another: a server with packages of two releases, found out halfway."""
    host = single_server()[2][1]
    host.own["/etc/os-release"] = (b"VERSION_CODENAME=bookworm\n", 0o644)
    older = "Inst base-files [12.4+deb12u11] (12.4+deb12u12 Debian:12.12/oldstable [amd64])\n"
    for text in ("", SIMULATED, older, BASE_FILES.replace("base-files", "base-files-extra")):
        with pytest.raises(SiteError, match="only a part of trixie") as refused:
            debian_release._check_complete(host, parse_change(text), "trixie")
        assert "bookworm" in refused.value.remedy
    debian_release._check_complete(host, parse_change(SIMULATED + BASE_FILES), "trixie")
    host.own["/etc/os-release"] = (b"VERSION_CODENAME=trixie\n", 0o644)
    debian_release._check_complete(host, parse_change(SIMULATED), "trixie")  # what an interrupted one has left to do


@pytest.mark.parametrize(
    ("free", "refused"),
    [
        ({"/var": 900, "/usr": 1500, "/boot": 300}, ""),
        ({"/var": 700, "/usr": 1500, "/boot": 300}, "/dev/var has 700 MiB free"),
        ({"/var": 900, "/usr": 1300, "/boot": 300}, "/dev/usr has 1300 MiB free"),
        ({"/var": 900, "/usr": 1500, "/boot": 299}, "/dev/boot has 299 MiB free"),
        ({"/": 2000}, ""),
        ({"/": 1900}, "/dev/ has 1900 MiB free, and the upgrade needs 1940 MiB"),
    ],
)
def test_each_file_system_has_room_for_what_comes_there(free: dict[str, int], refused: str) -> None:
    """A /boot that fills up while the initramfs is written leaves a server that cannot boot, and a dpkg that cannot end."""

    def run(words: list[str]) -> Completed:
        named = [next(name for name in ("/" + path, "/") if name in free) for path in ("var", "usr", "boot")]
        lines = [f"/dev{name} {free[name] << 20}" for name in named]
        return Completed(tuple(words), 0, "\n".join(["Filesystem Avail", *lines, ""]), "")

    host = type("Host", (), {"name": "snow01", "run": staticmethod(run)})()
    if refused:
        with pytest.raises(SiteError, match=refused):
            debian_release._check_room(host, parse_change(SIMULATED))
    else:
        debian_release._check_room(host, parse_change(SIMULATED))


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "The repository 'http://deb.example/debian trixie Release' does not have a Release file.",
            "a repository has no packages for trixie",
        ),
        (
            "Failed to fetch http://deb.example/debian/dists/trixie/InRelease  Could not resolve 'deb.example'",
            "the package lists of trixie cannot be read: Failed to fetch",
        ),
        (
            "Failed to fetch file:/srv/own/dists/trixie/main/binary-amd64/Packages  File not found - "
            "/srv/own/dists/trixie/main/binary-amd64/Packages (2: No such file or directory)",
            "a repository has no packages for trixie",
        ),
        (
            "Failed to fetch http://deb.example/dists/trixie/main/binary-amd64/Packages  404  Not Found [IP: 192.0.2.1 80]",
            "a repository has no packages for trixie",
        ),
        (
            "Failed to fetch store:/var/lib/snow-ha/next-release/lists/partial/deb.example_Packages  Write error - write "
            "(28: No space left on device)",
            "the package lists of trixie cannot be read: Failed to fetch store:",
        ),
    ],
)
def test_what_keeps_apt_from_reading_the_lists_is_said(reason: str, message: str) -> None:
    """A full disk or a broken connection, and somebody would comment out a repository that has everything."""
    host = type("Host", (), {"name": "snow01"})()
    words = ("apt-get", "update")
    debian_release._check_updated(host, Completed(words, 0, "", "W: something\n"), "trixie")
    with pytest.raises(SiteError, match=re.escape(message)):
        debian_release._check_updated(
            host, Completed(words, 100, "", f"W: something\nE: {reason}\nE: more\n"), "trixie"
        )
