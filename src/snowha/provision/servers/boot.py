"""A server under Xen, with the domains' bridges, and restarts that are waited for."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from snowha.errors import SiteError
from snowha.hosts.caching import ResettableHost
from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import wait_for
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.provision.network_interfaces import named, network_interfaces, network_of, on_network
from snowha.provision.servers import network_file, network_guard
from snowha.site.bash_edit import quote
from snowha.site.model import Server, Vif
from snowha.xen import xl, xl_conf

_BOOT_S = 900.0
"""Seconds that a server may take to come back: memory tests and disk arrays of large ones take minutes."""


def bridges(context: SiteContext) -> list[str]:
    """The bridges that a server of this site must have. Raises InputError for an xl.conf that xl could not read."""
    needed = _needed(context)
    names = needed.own | needed.switches
    return sorted(names | {context.site.floating_ip.nic} if context.site.floating_ip else names)


def _vifs(context: SiteContext) -> list[Vif]:
    return [vif for domain in context.site.domains for vif in domain.vifs]


def _needed(context: SiteContext) -> xl_conf.Bridges:
    vifs = _vifs(context)
    return xl_conf.bridges(vifs, xl_conf.defaults(context.first) if vifs else xl_conf.Defaults())


def _defaults_differ(context: SiteContext, host: Host) -> str | None:
    """A network card whose config leaves its bridge, its script or who serves it open would be on another network there."""
    if not (vifs := _vifs(context)):
        return None
    theirs, own = (xl_conf.needed(vifs, xl_conf.defaults(one)) for one in (context.first, host))
    if own == theirs:
        return None
    return f"{xl_conf.PATH} puts a vif with {own}, and on {context.first.name} with {theirs}"


def missing(context: SiteContext, host: Host) -> str | None:
    return (
        _defaults_differ(context, host)
        or _bridge_missing(context, host)
        or (None if xl.hypervisor(host) else "it does not run under Xen")
    )


def _bridge_missing(context: SiteContext, host: Host) -> str | None:
    """A bridge that is not there, or on another network than on the first server: its domains would not be reached."""
    present = named(host)
    absent = [bridge for bridge in bridges(context) if bridge not in present]
    if absent:
        return f"no bridge {', '.join(absent)}"
    theirs, own = network_interfaces(context.first), network_interfaces(host)
    for card in (card for card in theirs if card.name in bridges(context)):
        here = on_network(card.address.network, own)
        if here is not None and here.name != card.name:
            return f"{card.address.network} is on {here.name}, not on {card.name} as on {context.first.name}"
    return None


# As grub-mkconfig reads its defaults: one file after the other, in a shell. A line a setting: its name, its value in base64.
_GRUB_SETTINGS = read_only_script("""\
set -e
names='GRUB_CMDLINE_XEN GRUB_CMDLINE_XEN_DEFAULT GRUB_CMDLINE_LINUX_XEN_REPLACE GRUB_CMDLINE_LINUX_XEN_REPLACE_DEFAULT'
unset $names
grub_warn() { :; }
# as grub-mkconfig does: the file of Debian's Xen calls functions of it
for file in /usr/share/grub/grub-mkconfig_lib /etc/default/grub /etc/default/grub.d/*.cfg; do
    [ ! -e "$file" ] || . "$file" > /dev/null || exit 1
done
for name in $names; do
    eval "[ -n \\"\\${$name+set}\\" ] || continue; value=\\$$name"
    printf '%s ' "$name"
    printf '%s' "$value" | base64 -w 0
    echo
done
""")


def xen_settings(host: Host) -> dict[str, str]:
    """The settings for Xen in GRUB's defaults as GRUB itself gets them: dom0's memory, consoles. Raises CommandError for files
    that the shell cannot read."""
    text = host.run(["sh", "-c", _GRUB_SETTINGS]).stdout
    return {
        name: base64.b64decode(value).decode() for name, _, value in (line.partition(" ") for line in text.splitlines())
    }


def _grub_lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={quote(value, 'single')}\n" for name, value in settings.items())


def bring_up(context: SiteContext, server: Server, reporter: Reporter) -> None:
    host = context.hosts[server.name]
    if differs := _defaults_differ(context, host):
        raise SiteError(
            differs, where=host.name, remedy=f"set vif.default.* in {xl_conf.PATH} to the same values on all servers"
        )
    on_trial = _make_bridges(context, host) or network_guard.is_on_trial(host)
    settings = xen_settings(context.first)
    if settings and xen_settings(host) != settings:
        write_file(host, "/etc/default/grub.d/zz-snow-ha.cfg", _grub_lines(settings), mode=0o644)
    reporter.say(f"{server.name} writes its GRUB configuration")
    host.run(["update-grub"], timeout=300)
    longest = _BOOT_S + (network_guard.WITHIN_S + _BOOT_S if on_trial else 0.0)
    with context.restarting(server.name):
        reboot(host, reporter, what=f"{server.name} to come back", timeout=longest)
        if on_trial:
            _trusted(host, reporter)
        wait_for_xen(host, reporter)


def _make_bridges(context: SiteContext, host: Host) -> bool:
    """Put the card that is on a bridge's network into that bridge, as the first server has it. In force after a reboot.

    True if files were changed: then the server puts the old ones back by itself should it not reach the first one with these.
    """
    theirs, own, present = network_interfaces(context.first), network_interfaces(host), named(host)
    switches = _needed(context).switches
    files: dict[str, str] = {}
    peers = []
    for bridge in bridges(context):
        if bridge in switches:
            if bridge not in present:
                raise SiteError(
                    f"{bridge} is an Open vSwitch bridge, which snow-ha does not create",
                    where=host.name,
                    remedy=f"create {bridge} there as on {context.first.name} (ovs-vsctl), then run this again",
                )
            continue
        network = network_of(bridge, theirs, where=context.first.name)
        card = on_network(network, own)
        if card is not None and card.name == bridge:
            continue
        if card is None or bridge in present:
            raise SiteError(
                f"{bridge} exists already, on another network"
                if bridge in present
                else f"no network interface is on {network}",
                where=host.name,
                remedy=f"give the server an address of {network}, on {bridge} or on the interface that belongs to it",
            )
        files = network_file.bridged(host, files or network_file.with_its_sources(host), card, bridge)
        peers += [str(one.address.ip) for one in theirs if one.name == bridge]
    before = {path: read_text(host, path) for path in files}
    changed = {path: text for path, text in files.items() if text != (before[path] or "")}
    if changed:
        network_guard.arm(host, peers, {path: before[path] for path in changed})
        for path, text in changed.items():
            write_file(host, path, text, mode=0o644 if before[path] is None else None)
    return bool(changed)


def _trusted(host: Host, reporter: Reporter) -> None:
    """Wait for the server's own verdict on its new network configuration. Raises SiteError if it has put the old one back."""
    wait_for(
        lambda: not network_guard.is_on_trial(host),
        timeout=network_guard.WITHIN_S + 120,
        what=f"{host.name} to reach the first server over its new bridge",
        interval=5,
        report=reporter.wait,
        unreachable_is_not_yet=True,
        where=host.name,
        remedy=f"journalctl -u {network_guard.UNIT} there",
    )
    if network_guard.gave_up(host):
        network_guard.forget(host)
        raise SiteError(
            "with its new network configuration it did not reach the first server, so it has restored its old one",
            where=host.name,
            remedy="create the bridge by hand (bridge-utils-interfaces(5)), reboot the server to see that it comes back, "
            "then run this again",
        )


def wait_for_xen(host: Host, reporter: Reporter) -> None:
    """Wait until Xen's tools answer: a server that boots answers on ssh before they do."""
    wait_for(
        lambda: xl.hypervisor(host),
        timeout=300,
        what=f"Xen on {host.name}",
        interval=3,
        report=reporter.wait,
        where=host.name,
        remedy="check which entry its GRUB boots",
    )


BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id(host: Host) -> str:
    """Differs after every boot (random(4))."""
    return host.run(["cat", BOOT_ID], timeout=30).stdout.strip()


def reboot(host: Host, reporter: Reporter, *, what: str, timeout: float = 900) -> None:
    """Reboot, and wait until it is another boot that answers."""
    before = boot_id(host)
    host.run(["systemctl", "--no-block", "reboot"], check=False)
    wait_for_boot(host, reporter, before=before, what=what, timeout=timeout)


def wait_for_boot(host: Host, reporter: Reporter, *, before: str, what: str, timeout: float = 900) -> None:
    """Wait until ``host`` answers with another boot id than ``before``."""

    def another() -> bool | None:
        try:
            return boot_id(host) != before or None
        except Exception:
            if isinstance(host, ResettableHost):
                host.reset()
            raise

    wait_for(
        another,
        timeout=timeout,
        what=what,
        interval=3,
        report=reporter.wait,
        unreachable_is_not_yet=True,
        where=host.name,
    )
