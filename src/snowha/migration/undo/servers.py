"""What a server had before it was one of the cluster: its logins and settings."""

from __future__ import annotations

from pathlib import PurePosixPath

from snowha.hosts.files import exists, kept, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.migration.undo.kept_files import before_on, without_lines
from snowha.plan.step import Reporter
from snowha.provision.servers import settings
from snowha.site.model import Server
from snowha.xen import alert_agent, dom0_weight, image_devices, server_program

_AUTHORIZED, _KNOWN = "/root/.ssh/authorized_keys", "/etc/ssh/ssh_known_hosts"


# logins


def _pinned_as(server: Server) -> str:
    """The first field of its lines in known_hosts, as ``servers.ssh`` writes them."""
    return ",".join(dict.fromkeys((server.name, server.address, *server.links)))


def _stripped(context: SiteContext, host: Host) -> dict[str, str]:
    """Files on ``host`` with lines for the servers, as they are without those."""
    servers = context.site.servers
    pins = {_pinned_as(server) for server in servers}
    keys = {(read_text(context.hosts[one.name], "/root/.ssh/id_ed25519.pub") or "").strip() for one in servers} - {""}
    there_before = _always_there(host, _AUTHORIZED)
    found = {
        _AUTHORIZED: without_lines(host, _AUTHORIZED, lambda line: line in keys and line not in there_before),
        _KNOWN: without_lines(host, _KNOWN, lambda line: line.split(" ")[0] in pins),
    }
    return {path: text for path, text in found.items() if text is not None}


def _always_there(host: Host, path: str) -> set[str]:
    """Lines that every earlier version of the file had: they were not put there by us, and may be how we got in. All of them, if
    we never changed it."""
    versions = [version.content.decode(errors="replace") for version in kept(host, path)] or [
        read_text(host, path) or ""
    ]
    return set.intersection(*({line.strip() for line in text.splitlines()} for text in versions))


def logins_left(context: SiteContext) -> str | None:
    return context.first_missing(
        lambda host: f"{next(iter(found))} has the servers" if (found := _stripped(context, host)) else None
    )


def remove_logins(context: SiteContext, reporter: Reporter) -> None:
    for host in context.hosts.values():
        for path, text in _stripped(context, host).items():
            if text:
                write_file(host, path, text)
            else:
                remove_file(host, path)


# settings


def _saves_nothing(text: str) -> bool:
    return not settings.saved_by_xendomains(text)


def _xendomains_before(host: Host) -> str | None:
    """/etc/default/xendomains as it must be again; None if there is nothing to put back."""
    text = read_text(host, settings.XENDOMAINS)
    if text is None or not _saves_nothing(text):
        return None
    original = before_on(host, settings.XENDOMAINS, _saves_nothing)
    if original is None:
        return None
    back = settings.with_save_as_before(text, original)
    return back if back != text else None


_OURS = (
    *server_program.LINKS,
    server_program.PATH,
    server_program.NAME,
    alert_agent.PATH,
    f"{PurePosixPath(dom0_weight.PATH).parent}/multi-user.target.wants/{dom0_weight.UNIT}",
)


def settings_left(host: Host) -> str | None:
    for path in (*_OURS, dom0_weight.PATH):
        if exists(host, path):
            return f"{path} exists"
    for path in image_devices.installed(host):
        return f"{path} exists"
    return "XENDOMAINS_SAVE is empty" if _xendomains_before(host) is not None else None


def restore_settings(host: Host, reporter: Reporter) -> None:
    """dom0 keeps its share of the processors until the next boot: that harms nobody."""
    for path in (*_OURS, dom0_weight.PATH, *image_devices.installed(host)):  # the link before what it points to
        remove_file(host, path)
    text = _xendomains_before(host)
    if text is not None:
        write_file(host, settings.XENDOMAINS, text)
