"""A server taken from one Debian release to the next: apt's sources, and what would be installed, seen before anything changes.

Debian's release notes, "Upgrades from Debian 12": no package on hold, no pin, room for what is downloaded; the sources name the
new release; then `upgrade --without-new-pkgs`, and `full-upgrade`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from posixpath import basename

from snowha.errors import SiteError
from snowha.hosts.files import make_dir, read_file, read_folder, write_file
from snowha.hosts.host import Completed, Host
from snowha.hosts.process import failed
from snowha.hosts.read_only import read_only_script
from snowha.live.context import release_of
from snowha.plan.step import Reporter
from snowha.provision.servers import software

NEXT = {"bookworm": "trixie"}
"""The release after each one that servers may have: none is left out (release notes, "Supported upgrades")."""
_VERSION = {"trixie": "13"}
"""What the version of base-files begins with, which makes a server one of that release (/etc/os-release)."""
NO_RECOMMENDS = ["--no-install-recommends"]
"""As the server's packages were installed. Without it, the next release's recommendations bring X."""
_APT = "/etc/apt"
_PREVIEW = "/var/lib/snow-ha/next-release"
"""apt's sources, lists and cache for the next release, beside apt's own."""
_MARGIN = 200 << 20
"""Bytes that stay free beside what apt needs."""
_BOOT = 300 << 20
"""Bytes free on a file system of its own for /boot (release notes of Debian 13, "Make sure /boot has enough free space")."""
_REQUIRED = re.compile(
    r"corosync|pacemaker|resource-agents|xen-(?:system|hypervisor|utils)\S*|linux-image-\S+|snow-ha\S*|ipmitool"
    r"|nfs-common|lvm2|ifupdown|bridge-utils|openssh-server|grub-\S+"
)
"""A server does not work without these. The image of a kernel or of Xen may be the one that runs now."""
_XEN_TOOLS = re.compile(r"xen-utils-[\d.]+")
_REMOVED = re.compile(r"^Remv (\S+)", re.MULTILINE)
_ADDED = re.compile(r"^Inst (\S+)", re.MULTILINE)
_AMOUNT = r"([\d,.]+) ([kMG]?B)"
_FETCHED = re.compile(rf"^Need to get {_AMOUNT}(?:/{_AMOUNT})? of archives", re.MULTILINE)
_USED = re.compile(rf"^After this operation, {_AMOUNT} of additional disk space", re.MULTILINE)
_NO_RELEASE = re.compile(r"does not have a Release file|File not found|\b404\b")
"""What `apt-get update` says of a repository without a release; in a trusted one it asks for the packages all the same."""
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}

# apt-get(8): with --assume-no it ends with 1 once it has said how much it would fetch; -s does not say that.
_SIMULATE = read_only_script(
    'LC_ALL=C apt-get -q -s -o Debug::NoLocking=1 "$@" full-upgrade || exit\n'
    'LC_ALL=C apt-get -q --assume-no -o Debug::NoLocking=1 "$@" full-upgrade || :\n'
)
_HELD = read_only_script("apt-mark showhold")
_PREFERENCES = read_only_script("cat /etc/apt/preferences /etc/apt/preferences.d/* 2>/dev/null || :")
_ROOM = read_only_script("df -B1 --output=source,avail /var/cache/apt/archives /usr /boot")


@dataclass(frozen=True)
class Change:
    """What ``full-upgrade`` would do. ``fetched``, ``used``: bytes."""

    text: str
    """What apt-get has printed."""
    removed: tuple[str, ...]
    added: tuple[str, ...]
    """Installed in a new version, or new."""
    fetched: int
    used: int


def check_next(current: str, wanted: str) -> None:
    """Raises SiteError if servers cannot be taken from ``current`` to ``wanted`` in one step."""
    if NEXT.get(current) != wanted:
        after = NEXT.get(current)
        remedy = f"--release {after}" if after else "remove --release: it is the newest release that snow-ha supports"
        raise SiteError(f"Debian {current} cannot be upgraded to {wanted} in one step", remedy=remedy)


def with_release(path: str, text: str, old: str, new: str) -> str:
    """The text of a sources file (sources.list(5)) with each suite of ``old`` (bookworm, bookworm-security, bookworm/updates) as
    that of ``new``. All else stays, byte for byte."""
    suite = re.compile(rf"(?<!\S){re.escape(old)}(?=[-/\s]|$)")
    if path.endswith(".sources"):
        return _in_suites_fields(text, lambda value: suite.sub(new, value))
    return "".join(_in_suite_word(line, lambda value: suite.sub(new, value)) for line in text.splitlines(keepends=True))


# A URI may have blanks in brackets: deb cdrom:[Debian GNU/Linux 12 …]/ bookworm main
_ONE_LINE = re.compile(r"(\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(?:[^\s\[]|\[[^\]]*\])+\s+)(\S+)(.*)", re.DOTALL)
_FIELD = re.compile(r"[^\s#:][^:]*:")


def _in_suite_word(line: str, changed: Callable[[str], str]) -> str:
    match = _ONE_LINE.fullmatch(line)
    return f"{match[1]}{changed(match[2])}{match[3]}" if match else line


def _in_suites_fields(text: str, changed: Callable[[str], str]) -> str:
    """A field goes on in lines that begin with a blank, comments between them left out (deb822(5))."""
    lines, inside = [], False
    for line in text.splitlines(keepends=True):
        if match := _FIELD.match(line):
            inside = match[0][:-1].strip().lower() == "suites"
            line = match[0] + changed(line[match.end() :]) if inside else line
        elif inside and line[:1] in " \t":
            line = changed(line)
        elif not line.startswith("#"):
            inside = False
        lines.append(line)
    return "".join(lines)


def parse_change(text: str) -> Change:
    """What ``apt-get -s full-upgrade`` and ``apt-get --assume-no full-upgrade`` print, in English."""
    fetched = _FETCHED.search(text)
    used = _USED.search(text)
    return Change(
        text,
        tuple(_REMOVED.findall(text)),
        tuple(_ADDED.findall(text)),
        _bytes(fetched[1], fetched[2]) if fetched else 0,
        _bytes(used[1], used[2]) if used else 0,
    )


def _bytes(number: str, unit: str) -> int:
    return int(float(number.replace(",", "")) * _UNITS[unit])


def sources(host: Host) -> dict[str, str]:
    """Path to text of each sources file that apt on ``host`` reads."""
    found = {f"{_APT}/sources.list": read_file(host, f"{_APT}/sources.list") or b""}
    for suffix in (".list", ".sources"):
        folder = f"{_APT}/sources.list.d"
        found |= {f"{folder}/{basename(name)}": text for name, text in read_folder(host, folder, suffix).items()}
    return {path: text.decode(errors="surrogateescape") for path, text in found.items() if text}


def _before(new: str) -> str:
    return next(name for name, after in NEXT.items() if after == new)


def _renamed(host: Host, new: str) -> dict[str, str]:
    """Every sources file as it is for release ``new``. Raises SiteError if none names the release before it."""
    old = _before(new)
    before = sources(host)
    after = {path: with_release(path, text, old, new) for path, text in before.items()}
    if after == before and not any(_names(path, text, new) for path, text in before.items()):
        raise SiteError(
            f"apt's sources do not name {old}",
            where=f"{host.name}:{_APT}",
            remedy=f"name the release in /etc/apt/sources.list and sources.list.d by its code name, {old}",
        )
    return after


def _names(path: str, text: str, release: str) -> bool:
    return with_release(path, text, release, "another") != text


def simulate(host: Host, new: str, reporter: Reporter) -> Change:
    """What release ``new`` would install on ``host``. Nothing of apt's own is changed: sources, lists and caches are copies.

    Raises SiteError if a repository has nothing for that release, if packages are on hold or pinned, if a package that the server
    needs would be removed, if the server would not become one of that release, or if there is too little room.
    """
    held = host.run(["sh", "-c", _HELD]).stdout.split()
    if held:
        raise SiteError(
            f"packages are on hold: {', '.join(held)}", where=host.name, remedy=f"apt-mark unhold {held[0]}"
        )
    if re.search(r"^Pin(?:-Priority)?:", host.run(["sh", "-c", _PREFERENCES]).stdout, re.MULTILINE):
        raise SiteError(
            "apt's preferences pin packages, and can keep them from the new release",
            where=f"{host.name}:{_APT}/preferences",
            remedy="check /etc/apt/preferences and preferences.d, and move them away",
        )
    # apt fetches as a user of its own, which has to get there; what is secret in a sources file is for root alone
    for folder in (
        _PREVIEW,
        f"{_PREVIEW}/sources.list.d",
        f"{_PREVIEW}/lists/partial",
        f"{_PREVIEW}/cache/archives/partial",
    ):
        make_dir(host, folder, mode=0o755)
    host.run(["find", f"{_PREVIEW}/sources.list", f"{_PREVIEW}/sources.list.d", "-type", "f", "-delete"], check=False)
    for path, text in _renamed(host, new).items():
        write_file(host, path.replace(_APT, _PREVIEW, 1), text.encode(errors="surrogateescape"), mode=0o600, keep=False)
    options = [
        word
        for key, value in (
            ("Dir::Etc::sourcelist", f"{_PREVIEW}/sources.list"),
            ("Dir::Etc::sourceparts", f"{_PREVIEW}/sources.list.d"),
            ("Dir::State::lists", f"{_PREVIEW}/lists"),
            ("Dir::Cache", f"{_PREVIEW}/cache"),
        )
        for word in ("-o", f"{key}={value}")
    ]
    options += NO_RECOMMENDS
    reporter.say(f"{host.name} reads the package lists of {new}")
    # without this option, a repository that cannot be read is a warning
    words = [*software.APT, *options, "-o", "APT::Update::Error-Mode=any", "update"]
    _check_updated(host, host.run(words, check=False, timeout=1800), new)
    simulated = host.run(["sh", "-c", _SIMULATE, "sh", *options], check=False, timeout=300)
    if not simulated.ok:
        raise failed(host.name, simulated)
    change = parse_change(simulated.stdout)
    _check_removed(host, change)
    _check_complete(host, change, new)
    _check_room(host, change)
    return change


def _check_updated(host: Host, updated: Completed, new: str) -> None:
    if updated.ok:
        return
    said = [line for line in updated.stderr.splitlines() if line.startswith("E:")] or ["apt-get gave no reason"]
    reason = said[0].removeprefix("E: ")
    if _NO_RELEASE.search(reason):
        raise SiteError(
            f"a repository has no packages for {new}: {reason}",
            where=host.name,
            remedy=f"see {_APT}/sources.list and sources.list.d: comment out what {new} does not have",
        )
    raise SiteError(
        f"the package lists of {new} cannot be read: {reason}",
        where=host.name,
        remedy="free some space, or correct the cause, on this server; then run this again",
    )


def _check_removed(host: Host, change: Change) -> None:
    """A package that is removed and installed in a new version is not lost. Neither are the tools of the hypervisor that runs:
    those of Debian 13 replace them, and work once its own hypervisor runs."""
    added = set(change.added)
    if any(_XEN_TOOLS.fullmatch(name) for name in added):
        added |= {name for name in change.removed if _XEN_TOOLS.fullmatch(name)}
    lost = [name for name in change.removed if _REQUIRED.fullmatch(name) and name not in added]
    if lost:
        raise SiteError(
            f"the upgrade would remove {', '.join(lost)}",
            where=host.name,
            remedy="another package conflicts with it: remove that one, or upgrade this server by hand",
        )


def _check_complete(host: Host, change: Change, new: str) -> None:
    """Sources of which only some name the release (`stable`, a mirror's own suite) would mix two releases on the server."""
    if release_of(host) != new and not re.search(
        rf"^Inst base-files (?:\[\S+\] )?\({_VERSION[new]}[.\s]", change.text, re.MULTILINE
    ):
        raise SiteError(
            f"only a part of {new} would be installed: base-files, which defines the release, is not included",
            where=host.name,
            remedy=f"name the release by its code name, {_before(new)}, also where {_APT}/sources.list and sources.list.d name "
            "Debian's main repository; remove APT::Default-Release",
        )


def _check_room(host: Host, change: Change) -> None:
    archives, usr, boot = (line.split() for line in host.run(["sh", "-c", _ROOM]).stdout.splitlines()[1:4])
    needs = {archives[0]: change.fetched + _MARGIN}
    needs[usr[0]] = needs.get(usr[0], _MARGIN) + change.used
    needs.setdefault(boot[0], _BOOT)
    for device, free in (archives, usr, boot):
        if needs[device] > int(free):
            raise SiteError(
                f"{device} has {int(free) >> 20} MiB free, and the upgrade needs {needs[device] >> 20} MiB",
                where=host.name,
                remedy="apt-get clean; apt-get autoremove; remove what is not needed",
            )


def install(host: Host, new: str, reporter: Reporter) -> None:
    """Take ``host`` to release ``new``. Can be run again after it was interrupted anywhere."""
    for path, text in _renamed(host, new).items():
        write_file(host, path, text.encode(errors="surrogateescape"))
    software.refresh(host, reporter)
    software.upgrade(host, [*NO_RECOMMENDS, "--without-new-pkgs", "upgrade"], reporter)
    software.upgrade(host, [*NO_RECOMMENDS, "full-upgrade"], reporter)
    software.install(host, (), reporter)


def missing(host: Host, new: str) -> str | None:
    """What is left to do until ``host`` has all of release ``new``; None if it has."""
    has = release_of(host)
    if has != new:
        return f"it has Debian {has}"
    named = [path for path, text in sources(host).items() if any(_names(path, text, old) for old in NEXT)]
    if named:
        return f"{named[0]} does not name {new}"
    completed = host.run(["sh", "-c", _SIMULATE, "sh", *NO_RECOMMENDS], check=False, timeout=300)
    if not completed.ok:
        return "apt-get cannot tell what is left"
    change = parse_change(completed.stdout)
    left = len(set(change.added) | set(change.removed))
    return f"{left} packages are to be upgraded" if left else software.missing(host)
