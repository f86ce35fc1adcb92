"""Servers that can be servers of a cluster (guide: "Install sNow! software in the new sNow! servers", "Install the
required software packages", "Disable auto start", "Xen configuration").
"""

from __future__ import annotations

import re
from functools import partial

from snowha.errors import SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import absent, exists, make_dir, read_file, read_text, write_file
from snowha.hosts.remember import RememberingHost
from snowha.hosts.ssh import SshHost
from snowha.hosts.wait import wait_for
from snowha.migration.cards import cards, named, network_of, on_network
from snowha.migration.ground import Ground, release_of
from snowha.migration.interfaces import with_bridge
from snowha.migration.packages import server_packages
from snowha.plan.step import Reporter, Step
from snowha.site.model import Mount, Server
from snowha.xen import block_script, dom0_weight, xl

NOT_AT_BOOT = ("corosync", "pacemaker")
"""A fenced server comes back out of the cluster until somebody has looked at it (guide: "death match")."""
# Offline for systemctl (systemd's ENVIRONMENT.md): Debian starts a service when its package is installed, and neither of those
# above may run before it is configured. It also saves a reload of all units for each package, which takes seconds.
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
# systemd's ENVIRONMENT.md. Both services have units; what their old init scripts are linked to is ignored, and keeping those
# links in step takes an emulated server most of a minute.
_SYSTEMCTL = ["env", "SYSTEMCTL_SKIP_SYSV=1", "systemctl"]


def steps(ground: Ground) -> list[Step]:
    """The section's steps."""
    found = []
    for server in ground.site.servers:
        found += _server_steps(ground, server)
    everywhere = tuple(f"servers.packages.{server.name}" for server in ground.site.servers)
    found.append(
        Step(
            id="servers.ssh",
            title="Let the servers log in to each other, host keys pinned",
            section="servers",
            check=partial(_ssh_missing, ground),
            apply=partial(_connect_servers, ground),
            needs=tuple(f"servers.xen.{server.name}" for server in ground.new_servers) or everywhere,
        )
    )
    return found


def _server_steps(ground: Ground, server: Server) -> list[Step]:
    host = ground.hosts[server.name]
    name = server.name
    new = server in ground.new_servers
    found = []
    if new:
        found.append(
            Step(
                id=f"servers.mounts.{name}",
                title=f"Mount the shared file systems on {name}",
                section="servers",
                check=partial(mounts_missing, ground, host),
                apply=partial(_mount, ground, host),
                uses=(f"server:{name}",),
            )
        )
    found.append(
        Step(
            id=f"servers.packages.{name}",
            title=f"Install the cluster's packages on {name}",
            section="servers",
            check=partial(_packages_missing, host),
            apply=partial(_install, host),
            needs=(f"servers.mounts.{name}",) if new else (),
            uses=(f"packages:{name}",),
        )
    )
    found.append(
        Step(
            id=f"servers.settings.{name}",
            title=f"Block script, dom0's weight, XENDOMAINS_SAVE and services of {name}",
            section="servers",
            check=partial(_settings_missing, host),
            apply=partial(_set, host),
            needs=(f"servers.packages.{name}",),
        )
    )
    if new:
        found.append(
            Step(
                id=f"servers.xen.{name}",
                title=f"Bring {name} up under Xen, with the domains' bridges",
                section="servers",
                check=partial(_xen_missing, ground, host),
                apply=partial(_bring_under_xen, ground, server),
                needs=(f"servers.settings.{name}",),
                uses=(f"server:{name}",),
            )
        )
        found.append(
            Step(
                id=f"servers.kernels.{name}",
                title=f"Bring the domains' kernels to {name}",
                section="servers",
                check=partial(_kernels_missing, ground, host),
                apply=partial(_copy_kernels, ground, host),
                needs=(f"servers.mounts.{name}",),
                uses=(f"server:{name}",),
            )
        )
    return found


# mounts


def _mounted(host: Host, mount: Mount) -> str | None:
    """What is mounted at ``mount.target``, None if nothing is."""
    completed = host.run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", mount.target], check=False)
    return completed.stdout.strip() or None


def mounts_missing(ground: Ground, host: Host) -> str | None:
    """Which shared file system ``host`` lacks, now or in its fstab; None if none."""
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in ground.site.mounts:
        source = _mounted(host, mount)
        if source is None:
            return f"{mount.target} is not mounted"
        if source != mount.source:
            return f"{mount.target} is {source}, not {mount.source}"
        if not _fstab_entry(fstab, mount.target):
            return f"{mount.target} is not in /etc/fstab"
    return None


def _fstab_entry(text: str, target: str) -> str | None:
    return next(
        (line for line in text.splitlines() if not line.startswith("#") and line.split()[1:2] == [target]), None
    )


def _mount(ground: Ground, host: Host, reporter: Reporter) -> None:
    fstab = read_text(host, "/etc/fstab") or ""
    for mount in ground.site.mounts:
        source = _mounted(host, mount)
        entry = _fstab_entry(fstab, mount.target)
        if (source and source != mount.source) or (entry and entry.split()[0] != mount.source):
            raise SiteError(
                f"{mount.target} is already something else: {source or entry}",
                where=host.name,
                remedy=f"the other servers have {mount.source} there; unmount it and correct /etc/fstab",
            )
        make_dir(host, mount.target)
        if not entry:
            fstab += f"{mount.source} {mount.target} {mount.fstype} {mount.options} 0 0\n"
            write_file(host, "/etc/fstab", fstab)
        if not source:
            reporter.say(f"mounting {mount.target} on {host.name}")
            host.run(["mount", mount.target], timeout=150)


# packages


def _not_installed(host: Host) -> tuple[str, ...]:
    names = server_packages(release_of(host))
    completed = host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False)
    installed = {line.split()[0] for line in completed.stdout.splitlines() if line.endswith(" installed")}
    return tuple(name for name in names if name not in installed)


def _packages_missing(host: Host) -> str | None:
    absent = _not_installed(host)
    return f"not installed: {', '.join(absent)}" if absent else None


def _install(host: Host, reporter: Reporter) -> None:
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


# settings


def _with_save_empty(text: str) -> str:
    """/etc/default/xendomains with XENDOMAINS_SAVE empty: a saved domain would come back beside Pacemaker's."""
    if re.search(r"^XENDOMAINS_SAVE=(\"\"|'')?\s*$", text, re.M):
        return text
    changed, count = re.subn(r"^XENDOMAINS_SAVE=.*$", 'XENDOMAINS_SAVE=""', text, flags=re.M)
    return changed if count else text + 'XENDOMAINS_SAVE=""\n'


def _enabled(host: Host) -> list[str]:
    states = host.run([*_SYSTEMCTL, "is-enabled", *NOT_AT_BOOT], check=False).stdout.split()
    return [service for service, state in zip(NOT_AT_BOOT, states, strict=False) if state not in ("disabled", "static")]


def _settings_missing(host: Host) -> str | None:
    wrong = block_script.missing(host) or dom0_weight.missing(host)
    if wrong:
        return wrong
    text = read_text(host, "/etc/default/xendomains") or ""
    if _with_save_empty(text) != text:
        return "XENDOMAINS_SAVE is not empty"
    enabled = _enabled(host)
    return f"started at boot: {', '.join(enabled)}" if enabled else None


def _set(host: Host, reporter: Reporter) -> None:
    block_script.install(host)
    dom0_weight.install(host)
    text = read_text(host, "/etc/default/xendomains") or ""
    write_file(host, "/etc/default/xendomains", _with_save_empty(text), mode=0o644)
    if _enabled(host):
        host.run([*_SYSTEMCTL, "disable", "--no-reload", *NOT_AT_BOOT], timeout=180)


# Xen


def bridges(ground: Ground) -> list[str]:
    """The bridges that a server of this site must have."""
    names = {vif.bridge for domain in ground.site.domains for vif in domain.vifs}
    if ground.site.floating_ip:
        names.add(ground.site.floating_ip.nic)
    return sorted(names - {""})


def _xen_missing(ground: Ground, host: Host) -> str | None:
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


def _bring_under_xen(ground: Ground, server: Server, reporter: Reporter) -> None:
    host = ground.hosts[server.name]
    _make_bridges(ground, host)
    settings = _xen_grub_lines(ground.first)
    if settings and _xen_grub_lines(host) != settings:
        write_file(host, "/etc/default/grub.d/zz-snow-ha.cfg", settings, mode=0o644)
    reporter.say(f"{server.name} writes its GRUB configuration")
    host.run(["update-grub"], timeout=300)
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
        report=reporter.say,
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
            if isinstance(host, SshHost | RememberingHost):
                host.reset()
            raise

    wait_for(
        another,
        timeout=timeout,
        what=what,
        interval=3,
        report=reporter.say,
        unreachable_is_not_yet=True,
        where=host.name,
    )


# kernels


def _kernel_files(ground: Ground) -> list[str]:
    return sorted({path for domain in ground.site.domains for path in (domain.kernel, domain.ramdisk) if path})


def _kernels_missing(ground: Ground, host: Host) -> str | None:
    files = _kernel_files(ground)
    gone = absent(host, files)
    if gone:
        return f"no {gone[0]}"
    here, there = (one.run(["sha256sum", *files], timeout=300).stdout for one in (host, ground.first))
    return None if here == there else f"the domains' kernels differ from {ground.first.name}'s"


def _copy_kernels(ground: Ground, host: Host, reporter: Reporter) -> None:
    for path in _kernel_files(ground):
        content = read_file(ground.first, path, timeout=300)
        if content is None:
            raise SiteError(
                f"no {path}", where=ground.first.name, remedy="the domain's config names it; correct the config"
            )
        reporter.say(f"copying {path} to {host.name}")
        write_file(host, path, content, mode=0o644, timeout=300)


# ssh between the servers

_KEY = "/root/.ssh/id_ed25519"
_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"


def _pins(ground: Ground) -> dict[str, list[str]]:
    """Lines for known_hosts by server: its public keys under all its names and addresses."""
    texts = ground.on_all(lambda host: host.run(["sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub"]).stdout)
    found = {}
    for server in ground.site.servers:
        names = ",".join(dict.fromkeys((server.name, server.address, *server.links)))
        lines = texts[server.name].splitlines()
        found[server.name] = [f"{names} {' '.join(line.split()[:2])}" for line in lines if line.strip()]
    return found


def _login_words(server: Server) -> list[str]:
    return [
        "ssh",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "ConnectTimeout=10",
        server.name,
        "true",
    ]


def _ssh_missing(ground: Ground) -> str | None:
    def failing(host: Host) -> str | None:
        for other in ground.site.servers:
            if other.name != host.name and not host.run(_login_words(other), check=False).ok:
                return f"cannot log in to {other.name} as root"
        return None

    return ground.first_missing(failing)


def _connect_servers(ground: Ground, reporter: Reporter) -> None:
    pins = _pins(ground)
    reporter.say("looking for each server's own key")
    publics = ground.on_all(_own_key)

    def trust_others(host: Host) -> None:
        reporter.say(f"pinning the servers' keys on {host.name}")
        others = [public for name, public in publics.items() if name != host.name]
        _add_lines(host, "/root/.ssh/authorized_keys", others, mode=0o600)
        lines = [line for name, pinned in pins.items() if name != host.name for line in pinned]
        _add_lines(host, _KNOWN_HOSTS, lines, mode=0o644)

    ground.on_all(trust_others)


def _own_key(host: Host) -> str:
    """The public key of root on ``host``, made if there is none."""
    make_dir(host, "/root/.ssh", mode=0o700)
    if not exists(host, _KEY):
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{host.name}", "-f", _KEY])
    return (read_text(host, f"{_KEY}.pub") or "").strip()


def _add_lines(host: Host, path: str, lines: list[str], *, mode: int) -> None:
    text = read_text(host, path) or ""
    present = {line.strip() for line in text.splitlines()}
    added = "".join(f"{line}\n" for line in lines if line not in present)
    if added:
        separator = "" if not text or text.endswith("\n") else "\n"
        write_file(host, path, text + separator + added, mode=mode)
