"""What a server of the cluster has set (guide: "Disable auto start", "Xen configuration"): our programs, dom0's weight, udev
rules for the images, no saved domains, and services that wait to be started.
"""

from __future__ import annotations

from contextlib import suppress

from snowha.errors import InputError
from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host
from snowha.plan.step import Reporter
from snowha.site import snow_conf
from snowha.site.bash_edit import set_scalar
from snowha.site.names import show
from snowha.xen import alert_agent, dom0_weight, image_devices, server_program

XENDOMAINS = "/etc/default/xendomains"
_SAVE = "XENDOMAINS_SAVE"
NOT_AT_BOOT = ("corosync", "pacemaker")
"""A fenced server comes back out of the cluster until somebody has looked at it (guide: "death match")."""
# systemd's ENVIRONMENT.md. Both services have units; what their old init scripts are linked to is ignored, and keeping those
# links in step takes an emulated server most of a minute.
_SYSTEMCTL = ["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl"]


def with_save_empty(text: str) -> str:
    """/etc/default/xendomains with XENDOMAINS_SAVE empty, as the shell reads it: a saved domain would come back beside
    Pacemaker's. Raises InputError for a file that is not understood."""
    return set_scalar(text, _SAVE, "", where=XENDOMAINS)


def saved_by_xendomains(text: str) -> str:
    """Where /etc/default/xendomains has domains saved to, as a sentence; empty if nowhere. As the shell reads it."""
    try:
        folder = snow_conf.parse(text, where=XENDOMAINS).scalar(_SAVE, "not set")
    except InputError as error:
        return f"the value of {_SAVE} is unknown: {error.message}"
    if not folder:
        return ""
    shown = "not set, which means a default folder" if folder == "not set" else show(folder)
    return f"{_SAVE} is {shown}"


def with_save_as_before(text: str, original: str) -> str:
    """The file with what ``with_save_empty`` did to ``original`` taken back; somebody may have changed the rest since."""
    if with_save_empty(original) == text:
        return original
    with suppress(InputError):  # nothing that could be set: only the line that was added is taken out
        if folder := snow_conf.parse(original, where=XENDOMAINS).scalar(_SAVE, ""):
            return set_scalar(text, _SAVE, folder, where=XENDOMAINS)
    return text.replace(f"{_SAVE}=''\n", "")


def _enabled(host: Host) -> list[str]:
    states = host.run([*_SYSTEMCTL, "is-enabled", *NOT_AT_BOOT], check=False).stdout.split()
    return [service for service, state in zip(NOT_AT_BOOT, states, strict=False) if state not in ("disabled", "static")]


def missing(host: Host, images: str) -> str | None:
    """What is not set on ``host``; None if all is. ``images``: the site's folder of images."""
    wrong = (
        server_program.missing(host)
        or dom0_weight.missing(host)
        or alert_agent.missing(host)
        or image_devices.missing(host, images)
    )
    if wrong:
        return wrong
    text = read_text(host, XENDOMAINS) or ""
    if with_save_empty(text) != text:
        return f"{_SAVE} is not empty"
    enabled = _enabled(host)
    return f"started at boot: {', '.join(enabled)}" if enabled else None


def apply(host: Host, images: str, reporter: Reporter) -> None:
    """Set it."""
    server_program.install(host)
    dom0_weight.install(host)
    alert_agent.install(host)
    image_devices.install(host, images)
    text = read_text(host, XENDOMAINS) or ""
    write_file(host, XENDOMAINS, with_save_empty(text), mode=0o644)
    if _enabled(host):
        host.run([*_SYSTEMCTL, "disable", "--no-reload", *NOT_AT_BOOT], timeout=180)
