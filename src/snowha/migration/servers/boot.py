"""A server under Xen, with the domains' bridges, and restarts that are waited for."""

from __future__ import annotations

import re

from snowha.errors import SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import read_text, write_file
from snowha.hosts.remember import ResettableHost
from snowha.hosts.wait import wait_for
from snowha.migration.cards import cards, named, network_of, on_network
from snowha.migration.ground import Ground
from snowha.migration.interfaces import with_bridge
from snowha.plan.step import Reporter
from snowha.site.model import Server
from snowha.xen import xl


def bridges(ground: Ground) -> list[str]:
    """The bridges that a server of this site must have."""
    names = {vif.bridge for domain in ground.site.domains for vif in domain.vifs}
    if ground.site.floating_ip:
        names.add(ground.site.floating_ip.nic)
    return sorted(names - {""})


def missing(ground: Ground, host: Host) -> str | None:
    return _bridge_missing(ground, host) or (None if xl.hypervisor(host) else "it does not run under Xen")


def _bridge_missing(ground: Ground, host: Host) -> str | None:
    """A bridge that is not there, or on another network than on the first server: its domains would not be reached."""
    present = named(host)
    absent = [bridge for bridge in bridges(ground) if bridge not in present]
    if absent:
        return f"no bridge {', '.join(absent)}"
    theirs, own = cards(ground.first), cards(host)
    for card in (card for card in theirs if card.name in bridges(ground)):
        here = on_network(card.address.network, own)
        if here is not None and here.name != card.name:
            return f"{card.address.network} is on {here.name}, not on {card.name} as on {ground.first.name}"
    return None


def _xen_grub_lines(host: Host) -> str:
    """The active settings for Xen in GRUB's defaults: dom0's memory, consoles."""
    script = "cat /etc/default/grub /etc/default/grub.d/*.cfg 2>/dev/null || true"
    text = host.run(["sh", "-c", script]).stdout
    return "".join(f"{line}\n" for line in text.splitlines() if re.match(r"GRUB_CMDLINE_\w*XEN\w*=", line))


def bring_up(ground: Ground, server: Server, reporter: Reporter) -> None:
    host = ground.hosts[server.name]
    _make_bridges(ground, host)
    settings = _xen_grub_lines(ground.first)
    if settings and _xen_grub_lines(host) != settings:
        write_file(host, "/etc/default/grub.d/zz-snow-ha.cfg", settings, mode=0o644)
    reporter.say(f"{server.name} writes its GRUB configuration")
    host.run(["update-grub"], timeout=300)
    with ground.restarting(server.name):
        reboot(host, reporter, what=f"{server.name} to come back")
        wait_for_xen(host, reporter)


def _make_bridges(ground: Ground, host: Host) -> None:
    """Put the card that is on a bridge's network into that bridge, as the first server has it. In force after a reboot."""
    theirs, own, present = cards(ground.first), cards(host), named(host)
    for bridge in bridges(ground):
        network = network_of(bridge, theirs, where=ground.first.name)
        card = on_network(network, own)
        if card is not None and card.name == bridge:
            continue
        if card is None or bridge in present:
            raise SiteError(
                f"{bridge} is there already, on another network" if bridge in present else f"no card is on {network}",
                where=host.name,
                remedy=f"give the server an address of {network}, on {bridge} or on the card that belongs into it",
            )
        path = "/etc/network/interfaces"
        text = read_text(host, path) or ""
        write_file(host, path, with_bridge(text, card=card.name, bridge=bridge, where=f"{host.name}:{path}"))


def wait_for_xen(host: Host, reporter: Reporter) -> None:
    """Wait until Xen's tools answer: a server that boots answers on ssh before they do."""
    wait_for(
        lambda: xl.hypervisor(host),
        timeout=300,
        what=f"Xen on {host.name}",
        interval=3,
        report=reporter.wait,
        where=host.name,
        remedy="see which entry its GRUB boots",
    )


def boot_id(host: Host) -> str:
    """Differs after every boot (random(4))."""
    return host.run(["cat", "/proc/sys/kernel/random/boot_id"], timeout=30).stdout.strip()


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
