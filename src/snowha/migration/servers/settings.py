"""What a server of the cluster has set (guide: "Disable auto start", "Xen configuration"): our programs, dom0's weight, no
saved domains, and services that wait to be started.
"""

from __future__ import annotations

from snowha.hosts.api import Host
from snowha.hosts.files import read_text, write_file
from snowha.plan.step import Reporter
from snowha.site.bash_edit import set_scalar
from snowha.xen import alert_agent, dom0_weight, server_program

NOT_AT_BOOT = ("corosync", "pacemaker")
"""A fenced server comes back out of the cluster until somebody has looked at it (guide: "death match")."""
# systemd's ENVIRONMENT.md. Both services have units; what their old init scripts are linked to is ignored, and keeping those
# links in step takes an emulated server most of a minute.
_SYSTEMCTL = ["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl"]


def with_save_empty(text: str) -> str:
    """/etc/default/xendomains with XENDOMAINS_SAVE empty, as the shell reads it: a saved domain would come back beside
    Pacemaker's. Raises InputError for a file that is not understood."""
    return set_scalar(text, "XENDOMAINS_SAVE", "", where="/etc/default/xendomains")


def _enabled(host: Host) -> list[str]:
    states = host.run([*_SYSTEMCTL, "is-enabled", *NOT_AT_BOOT], check=False).stdout.split()
    return [service for service, state in zip(NOT_AT_BOOT, states, strict=False) if state not in ("disabled", "static")]


def missing(host: Host) -> str | None:
    wrong = server_program.missing(host) or dom0_weight.missing(host) or alert_agent.missing(host)
    if wrong:
        return wrong
    text = read_text(host, "/etc/default/xendomains") or ""
    if with_save_empty(text) != text:
        return "XENDOMAINS_SAVE is not empty"
    enabled = _enabled(host)
    return f"started at boot: {', '.join(enabled)}" if enabled else None


def apply(host: Host, reporter: Reporter) -> None:
    server_program.install(host)
    dom0_weight.install(host)
    alert_agent.install(host)
    text = read_text(host, "/etc/default/xendomains") or ""
    write_file(host, "/etc/default/xendomains", with_save_empty(text), mode=0o644)
    if _enabled(host):
        host.run([*_SYSTEMCTL, "disable", "--no-reload", *NOT_AT_BOOT], timeout=180)
