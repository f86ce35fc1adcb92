"""Whether ``snow`` runs on a server of the site, or in a domain of it: a step that restarts that one would end the run that waits
for it, in the middle, with nobody there to give a server its power back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from snowha.checks.catalogue import found
from snowha.errors import SiteError, SnowError, UnreachableError
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.plan.step import Step
from snowha.provision.servers.boot import BOOT_ID
from snowha.site.names import listed
from snowha.site.rules import Finding
from snowha.xen import xl

XEN_UUID = Path("/sys/hypervisor/uuid")
"""Of this domain (Linux, drivers/xen/sys-hypervisor.c); of dom0 it is zero."""
DMI_UUID, DMI_VENDOR = Path("/sys/class/dmi/id/product_uuid"), Path("/sys/class/dmi/id/sys_vendor")
"""The same of an HVM domain whose kernel has no Xen drivers (Xen, tools/firmware/hvmloader/smbios.c)."""


_ELSEWHERE = (
    "run it on a machine that is neither a server nor a domain of this site, with root's ssh to the servers; "
    "or run these steps there, and select other ones here (for `snow ha apply`: --until or --only)"
)


@dataclass(frozen=True)
class Machine:
    """The machine that this process runs on. ``boot`` is that of its kernel, also in a container; ``domain`` the UUID of the Xen
    domain that it is, empty if it is none."""

    boot: str
    domain: str


def here() -> Machine:
    """This machine."""
    uuid = _text(XEN_UUID) or (_text(DMI_UUID) if _text(DMI_VENDOR) == "xen" else "")
    return Machine(_text(Path(BOOT_ID)), uuid if uuid.strip("0-") else "")


def names(hosts: Mapping[str, Host], machine: Machine) -> dict[str, str]:
    """What ``machine`` is of the site: a server, or a domain that runs on one; each with how to say so. Empty for another one.

    A server that does not answer is left out: what is to be done to it, or to its domains, waits for it in any case. Raises
    SnowError for one that answers and cannot say it.
    """

    def on(host: Host) -> dict[str, str]:
        try:
            return asked(host)
        except UnreachableError:
            return {}

    def asked(host: Host) -> dict[str, str]:
        found = {}
        if machine.boot and host.run(["cat", BOOT_ID], check=False, timeout=30).stdout.strip() == machine.boot:
            found[host.name] = f"on {host.name}"
        if machine.domain and xl.hypervisor(host):
            for name, uuid in xl.uuids(host).items():
                if uuid.lower() == machine.domain:
                    found[name] = f"in {name}, a domain of {host.name}"
        return found

    return {name: said for found in each(list(hosts.values()), on).values() for name, said in found.items()}


def refuse(hosts: Mapping[str, Host], steps: Sequence[Step]) -> None:
    """Raise SiteError if a step that is due would restart, fence, move or shut down what ``snow`` runs on."""
    risky = [step for step in steps if step.interrupts]
    own = names(hosts, here()) if risky else {}
    ended = _ended(own, risky)
    if ended:
        raise SiteError(_would_end(own, ended), remedy=_ELSEWHERE)


def findings(hosts: Mapping[str, Host], steps: Sequence[Step]) -> tuple[Finding, ...]:
    """For `snow ha check`: a stop if ``steps`` would be refused, else a note. A server that does not answer is left out."""
    machine = here()
    own: dict[str, str] = {}
    for name, host in hosts.items():
        with suppress(SnowError):  # that it cannot be asked is another finding
            own |= names({name: host}, machine)
    if not own:
        return ()
    where = ", ".join(own)
    ended = _ended(own, steps)
    if ended:
        return (found("own-machine", where, _would_end(own, ended), remedy=_ELSEWHERE),)
    message = f"snow runs {listed(own.values())}: steps that restart, fence or move it are refused from here"
    return (found("own-machine", where, message, severity="note"),)


def _ended(own: Mapping[str, str], steps: Sequence[Step]) -> list[Step]:
    """Those of ``steps`` that are due and would end what runs on, or in, ``own``."""
    return [step for step in steps if set(own) & set(step.interrupts) and _is_due(step)]


def _would_end(own: Mapping[str, str], ended: Sequence[Step]) -> str:
    text = "\n  ".join(f"{step.id}: {step.title}" for step in ended)
    return f"snow runs {listed(own.values())}, and would be ended by:\n  {text}"


def _is_due(step: Step) -> bool:
    """Also where it cannot be said yet."""
    try:
        return step.check() is not None
    except SnowError:
        return True


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return ""
