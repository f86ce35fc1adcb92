"""Domains on one hypervisor, through xl(1)."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass

from snowha.errors import CommandError, SiteError
from snowha.hosts.files import remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.hosts.wait import wait_for
from snowha.site.model import Domain
from snowha.site.names import single_slashes

UNTIL_GONE = read_only_script(
    """for look in $(seq 80); do
    xenstore-exists "$1" || break
    sleep 0.25
done
xl list"""
)
"""Until xl has taken a domain's path out of xenstore, which it does when its devices are released (libxl_domain.c), or 20 s;
then what is there. Asking xl all the time would cost it half of a small dom0."""
READS = read_only_script(
    """file=$(mktemp /run/snow-ha-read.XXXXXX) || exit 1
trap 'rm -f -- "$file"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$file" && xl create --quiet --dryrun "$file" > /dev/null
"""
)
"""Whether xl can read the config on stdin. (It takes a regular file only, and it has to know it by name.)"""
_REASONS = {"1": "rebooted", "2": "was suspended", "3": "crashed", "4": "was ended by a watchdog"}
"""Why a domain ended (Xen's public/sched.h, SHUTDOWN_*)."""
INCOMING, AWAY = "--incoming", "--migratedaway"
"""What xl calls the two halves of a domain while it migrates (xl_migrate.c); left behind when that broke."""


@dataclass(frozen=True)
class Running:
    """One row of ``xl list``. ``state`` are xl's letters: r running, b blocked, p paused, s shut down, c crashed, d dying.
    ``seconds`` of processor time it has used."""

    name: str
    domid: int
    memory_mib: int
    vcpus: int
    state: str
    seconds: float = 0.0

    @property
    def is_alive(self) -> bool:
        return not set(self.state) & set("scd")

    @property
    def is_paused(self) -> bool:
        """Alive, and does nothing: by `xl pause`, or while it is made."""
        return self.is_alive and "p" in self.state


def parse_list(text: str) -> dict[str, Running]:
    """``xl list`` by name, without Domain-0."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+([\d.]+)\s*", line)
        if match and match[1] != "Domain-0":
            found[match[1]] = Running(match[1], int(match[2]), int(match[3]), int(match[4]), match[5], float(match[6]))
    return found


def parse_dom0(text: str) -> int:
    """MiB that Domain-0 has, by ``xl list``; 0 if it does not say."""
    match = re.search(r"^Domain-0\s+0\s+(\d+)\s", text, re.MULTILINE)
    return int(match[1]) if match else 0


def running(host: Host) -> dict[str, Running]:
    """The domains on ``host``. Raises CommandError when it is not under Xen or xl fails: that is not "no domains"."""
    return parse_list(host.run(["xl", "list"], timeout=60).stdout)


def uuids(host: Host) -> dict[str, str]:
    """The UUID of every domain on ``host``. A live migration keeps it, a new start makes a new one."""
    found = {}
    for line in host.run(["xl", "vm-list"], timeout=60).stdout.splitlines():
        match = re.fullmatch(r"([0-9a-f-]{36})\s+(\d+)\s+(\S+)\s*", line)
        if match:
            found[match[3]] = match[1]
    return found


@dataclass(frozen=True)
class Hypervisor:
    """What ``xl info`` says. Memory in MiB."""

    version: str
    capabilities: frozenset[str]
    total_memory: int
    free_memory: int
    cpus: int = 0
    """0 where it is not said."""

    @property
    def migrates_pv(self) -> bool:
        """Live migration of PV domains needs shadow paging, which Debian's Xen is built without."""
        return "shadow" in self.capabilities

    @property
    def migrates_pvh(self) -> bool:
        """PVH and HVM need hardware-assisted paging."""
        return "hap" in self.capabilities


def parse_info(text: str) -> Hypervisor:
    """The facts in ``xl info``."""
    facts = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    return Hypervisor(
        facts.get("xen_version", ""),
        frozenset(facts.get("virt_caps", "").split()),
        int(facts.get("total_memory", 0)),
        int(facts.get("free_memory", 0)),
        int(facts.get("max_cpu_id", -1)) + 1 or int(facts.get("nr_cpus", 0)),
    )


def is_under_xen(host: Host) -> bool:
    """Whether ``host`` is a dom0 now. Not whether xl works: that is another question, and its failure is an error."""
    return host.run(["test", "-e", "/proc/xen/capabilities"], check=False, timeout=60).ok


def hypervisor(host: Host) -> Hypervisor | None:
    """What the hypervisor under ``host`` can do, None when there is none."""
    completed = host.run(["xl", "info"], check=False, timeout=60)
    return parse_info(completed.stdout) if completed.ok else None


def shut_down(host: Host, name: str, *, timeout: float, report: object = None) -> None:
    """Ask the domain to shut down and see it off. Never destroys. Raises SiteError if it is still there after ``timeout`` s."""
    found = running(host).get(name)
    if found is None:
        return
    if callable(report):
        report(f"waiting for {name} to shut down")
    remedy = f"check its console (xl console {name}) and /var/log/xen/xl-{name}.log"
    began = time.monotonic()
    said = failure = ""
    try:
        # -w returns when it has halted (xl(1)). Looking again and again would take from it what it needs to get there.
        done = host.run(["xl", "shutdown", "-w", name], timeout=timeout)
        said = done.stdout + done.stderr
    except CommandError as error:
        failure = error.message
    if failure and name in running(host):
        raise SiteError(f"{name} did not shut down: {failure}", where=host.name, remedy=remedy)
    reason = re.search(r"reason code (\d+)", said)
    if reason and reason[1] != "0":
        raise SiteError(
            f"{name} did not shut down: it {_REASONS.get(reason[1], reason[0])}", where=host.name, remedy=remedy
        )

    def gone() -> bool:
        text = host.run(["sh", "-c", UNTIL_GONE, "sh", f"/local/domain/{found.domid}"], timeout=120).stdout
        if name in parse_list(text) and parse_list(text)[name].domid != found.domid:
            raise SiteError(f"{name} was started again during its shutdown", where=host.name, remedy=remedy)
        return not re.search(rf"^\S+\s+{found.domid}\s", text, re.MULTILINE)

    wait_for(
        gone,
        timeout=max(60.0, timeout - (time.monotonic() - began)),
        interval=0.5,
        what=f"{name}, which has halted, to be removed",
        error=SiteError,
        where=host.name,
        remedy=f"check /var/log/xen/xl-{name}.log: xl should have removed it (on_poweroff in its config)",
    )


def uses(host: Host, name: str, path: str) -> bool:
    """Whether a running domain was started with ``path``, however spelled, in its configuration, as for a disk."""
    done = host.run(["xl", "list", "-l", name], check=False, timeout=60)
    return done.ok and json.dumps(path) in single_slashes(done.stdout)


def check_reads(host: Host, name: str, text: str, *, what: str) -> None:
    """Raise SiteError unless xl itself can read a config of ``text``: what it refuses starts no domain. Nothing is started.

    ``what``: which config of the domain that is, for the message. Only xl knows its own grammar, whatever ours may be.
    """
    done = host.run(["sh", "-c", READS, "sh"], input=text, check=False, timeout=120)
    if not done.ok:
        said = re.sub(r"\S*/snow-ha-read\.\w+", "config", done.stderr.strip()) or f"exit status {done.returncode}"
        raise SiteError(
            f"xl cannot read {what}: {said}",
            where=host.name,
            remedy=f"correct the config of {name}, then run this again; the domain was not changed",
        )


def create(host: Host, config: str, *, timeout: float = 120) -> None:
    """Start a domain from its config."""
    host.run(["xl", "create", config], timeout=timeout)


def boots_as_pvh(host: Host, domain: Domain) -> str | None:
    """Whether the hypervisor can build this domain's kernel as PVH: tried, with a paused domain without disks that is
    destroyed at once. None if it can, else xl's reason.
    """
    if domain.type == "pvh":
        return None
    name = f"snow-ha-probe-{domain.name}"
    config = f"/run/{name}.cfg"
    lines = {
        "name": name,
        "type": "pvh",
        "kernel": domain.kernel,
        "ramdisk": domain.ramdisk,
        "memory": min(domain.memory_mib, 128),  # the domain itself still runs, and has its own
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items() if value)
    write_file(host, config, text, keep=False)
    try:
        host.run(["xl", "destroy", name], check=False, timeout=60)  # left by a run that was killed
        done = host.run(["xl", "create", "-p", config], check=False, timeout=120)
        if done.ok:
            return None
        said = done.stderr.strip()
        if re.search(r"xc_dom|ELF|[Pp][Vv][Hh]|kernel image", said):
            return said.splitlines()[-1]
        raise CommandError(
            f"a domain to test {domain.kernel} as PVH cannot be created: {said}",
            where=host.name,
            remedy="free some memory, or check /var/log/xen; then run this again",
        )
    finally:
        host.run(["xl", "destroy", name], check=False, timeout=60)
        remove_file(host, config, keep=False)
