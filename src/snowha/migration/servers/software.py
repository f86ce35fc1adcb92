"""The packages that a server of the cluster needs (guide: "Install the required software packages")."""

from __future__ import annotations

from snowha.hosts.api import Host
from snowha.migration.ground import release_of
from snowha.migration.packages import server_packages
from snowha.plan.step import Reporter

# Offline for systemctl (systemd's ENVIRONMENT.md): Debian starts a service when its package is installed, and neither
# Corosync nor Pacemaker may run before it is configured. It also saves a reload of all units for each package, which takes
# seconds.
_APT = [
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "SYSTEMD_OFFLINE=1",
    "apt-get",
    "-q",
    "-y",
    "-o",
    "DPkg::Lock::Timeout=300",
]
_NO_DEFAULTS = ["-o", "Dpkg::Options::=--force-confold"]


def _not_installed(host: Host) -> tuple[str, ...]:
    names = server_packages(release_of(host))
    completed = host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False)
    installed = {line.split()[0] for line in completed.stdout.splitlines() if line.endswith(" installed")}
    return tuple(name for name in names if name not in installed)


def missing(host: Host) -> str | None:
    absent = _not_installed(host)
    return f"not installed: {', '.join(absent)}" if absent else None


def install(host: Host, reporter: Reporter) -> None:
    absent = _not_installed(host)
    reporter.say(f"{host.name} reads its package lists")
    if host.run(["dpkg", "--audit"]).stdout.strip():  # left by a run that was interrupted
        host.run(
            ["env", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "dpkg", "--configure", "-a"], timeout=3600
        )
    host.run([*_APT, "update"], timeout=600)
    count = 0

    def line(text: str) -> None:
        nonlocal count
        if text.startswith("Setting up "):
            count += 1
            reporter.say(f"{host.name} sets up {text.split()[2]} ({count})")
        elif text.startswith("Unpacking "):
            reporter.say(f"{host.name} unpacks {text.split()[1]}")

    host.run([*_APT, "install", "--no-install-recommends", *_NO_DEFAULTS, *absent], timeout=3600, on_line=line)
    host.run(["systemctl", "daemon-reload"], timeout=120)
