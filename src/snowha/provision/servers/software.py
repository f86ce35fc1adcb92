"""The packages that a server of the cluster needs (guide: "Install the required software packages")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from snowha.errors import CommandError
from snowha.hosts.host import Completed, Host
from snowha.hosts.process import failed
from snowha.hosts.wait import NotYet, wait_for
from snowha.live.context import release_of
from snowha.plan.step import Reporter
from snowha.provision.packages import server_packages

# Offline for systemctl (systemd's ENVIRONMENT.md): Debian starts a service when its package is installed, and neither
# Corosync nor Pacemaker may run before it is configured. It also saves a reload of all units for each package, which takes
# seconds.
QUIETLY = ["env", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1"]
APT = [*QUIETLY, "apt-get", "-q", "-y"]
_LOCKED = re.compile(r".*(?:[Cc]ould not get lock|lock was locked by).*")
"""What apt-get (apt-pkg/contrib/fileutl.cc) and dpkg (lib/dpkg/dbmodify.c) say when another one is at work, and not when a lock
cannot be had at all, as on a read-only file system."""
KEEP_CONFIGS = ["-o", "Dpkg::Options::=--force-confold"]


def _not_installed(host: Host, more: Sequence[str]) -> tuple[str, ...]:
    names = (*server_packages(release_of(host)), *more)
    completed = host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False)
    installed = {line.split()[0] for line in completed.stdout.splitlines() if line.endswith(" installed")}
    return tuple(name for name in names if name not in installed)


def missing(host: Host, more: Sequence[str] = ()) -> str | None:
    """What is not installed of what each server needs, and ``more``; None if nothing is missing."""
    absent = _not_installed(host, more)
    return f"not installed: {', '.join(absent)}" if absent else None


def install(host: Host, more: Sequence[str], reporter: Reporter) -> None:
    """Install what is missing, once nobody else is installing: what a run that was killed has started goes on without it."""
    refresh(host, reporter)
    absent = _not_installed(host, more)
    count = 0

    def line(text: str) -> None:
        nonlocal count
        if text.startswith("Setting up "):
            count += 1
            reporter.say(f"{host.name} sets up {text.split()[2]} ({count})")
        elif text.startswith("Unpacking "):
            reporter.say(f"{host.name} unpacks {text.split()[1]}")

    if absent:
        when_free(host, [*APT, "install", "--no-install-recommends", *KEEP_CONFIGS, *absent], reporter, on_line=line)
    host.run(["systemctl", "daemon-reload"], timeout=120)


def upgrade(host: Host, words: Sequence[str], reporter: Reporter) -> None:
    """Run apt-get with ``words``, an upgrade. Configuration files that somebody has changed stay."""
    count = 0

    def line(text: str) -> None:
        nonlocal count
        if text.startswith("Setting up "):
            count += 1
            reporter.say(f"{host.name} sets up {text.split()[2]} ({count})")

    when_free(host, [*APT, *KEEP_CONFIGS, *words], reporter, on_line=line)
    host.run(["systemctl", "daemon-reload"], timeout=120)


def refresh(host: Host, reporter: Reporter) -> None:
    """Finish what an installation that was killed has begun, and read the package lists."""
    if host.run(["dpkg", "--audit"]).stdout.strip():
        reporter.say(f"{host.name} completes interrupted installations")
        when_free(host, [*QUIETLY, "dpkg", "--configure", "-a"], reporter)
    reporter.say(f"{host.name} reads its package lists")
    when_free(host, [*APT, "update"], reporter)


def when_free(
    host: Host, words: Sequence[str], reporter: Reporter, *, on_line: Callable[[str], None] | None = None
) -> None:
    """Run ``words``; if another apt or dpkg has the lock, once it is free. dpkg itself does not wait, nor apt for its lists."""

    def done() -> Completed:
        completed = host.run(words, check=False, timeout=3600, on_line=on_line)
        if not completed.ok and (match := _LOCKED.search(completed.stderr)):
            raise NotYet(match[0].strip())
        return completed

    try:
        completed = done()
    except NotYet:
        what = f"another installation on {host.name} to end"
        completed = wait_for(
            done, timeout=1800, what=what, interval=3, report=reporter.wait, error=CommandError, where=host.name
        )
    if not completed.ok:
        raise failed(host.name, completed)
