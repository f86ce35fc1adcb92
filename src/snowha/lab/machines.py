"""QEMU: start, stop, snapshot. One function a verb; the machine's state is QEMU's, we keep only its process id."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snowha.errors import InputError, SiteError
from snowha.hosts.local import LocalHost
from snowha.lab.layout import MACHINES, NETWORKS, QUICK_KERNEL, LabPaths, Machine
from snowha.lab.network import inside
from snowha.site.names import show


@functools.cache
def accelerator() -> tuple[str, ...]:
    """QEMU's words for the fastest way to run a machine here: KVM where a guest really starts with it, else emulation.

    /dev/kvm may exist and still abort at the first instruction, so a guest is started to find out. Under emulation Xen
    boots on qemu64 with svm and npt (without npt there is no PVH); ``-cpu max`` crashes dom0 in early boot.
    """
    kvm = ("-accel", "kvm", "-cpu", "host")
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and _nested_flag():
        probe = ["timeout", "5", "qemu-system-x86_64", *kvm, "-display", "none", "-nodefaults", "-S", "-qmp", "stdio"]
        answer = LocalHost().run(
            probe, input='{"execute":"qmp_capabilities"}{"execute":"quit"}', check=False, timeout=15
        )
        if answer.ok and '"return"' in answer.stdout:
            return kvm
    return ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64,+svm,+npt")


def _nested_flag() -> bool:
    words = Path("/proc/cpuinfo").read_text().split()
    return "vmx" in words or "svm" in words


def uuid_of(machine: Machine) -> uuid.UUID:
    """What the machine's DMI tables and its BMC both say: it tells whose BMC it is."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine.name}.machine.lab.example")


# One processor each: with two, every grant that Xen unmaps waits for the other one to be scheduled by this machine, and four
# idle domains take a whole core.
def _argv(
    machine: Machine, paths: LabPaths, *, snapshot: str | None, kernel: Path | None, ramdisk: Path | None
) -> list[str]:
    console = f"socket,id=console,path={paths.console(machine.name)},server=on,wait=off"
    words = [
        "qemu-system-x86_64", *accelerator(), "-name", machine.name, "-uuid", str(uuid_of(machine)), "-smp", "1",
        "-m", str(machine.memory), "-display", "none", "-nodefaults", "-no-user-config",
        "-machine", "pc", "-rtc", "base=utc,clock=vm",
        "-device", "virtio-rng-pci,addr=0xa",
        "-chardev", f"{console},logfile={paths.console_log(machine.name)},logappend=on",
        "-serial", "chardev:console",
        "-qmp", f"unix:{paths.qmp(machine.name)},server=on,wait=off",
        "-pidfile", str(paths.pid(machine.name)), "-daemonize",
    ]  # fmt: skip
    for index, letter in enumerate("ab"):
        disk = paths.disk(machine.name, letter)
        if disk.exists():
            # unsafe: a flush to the machine's own disk proves nothing here, the power of the whole lab is never lost
            words += ["-drive", f"if=none,id=disk{letter},file={disk},format=qcow2,cache=unsafe,discard=unmap"]
            words += ["-device", f"virtio-blk-pci,drive=disk{letter},addr={hex(6 + index)}"]
    for index, network in enumerate(NETWORKS):
        words += ["-netdev", f"tap,id=net{index},ifname={machine.tap(network)},script=no,downscript=no"]
        words += [
            "-device",
            f"virtio-net-pci,netdev=net{index},mac={machine.mac(network)},addr={hex(3 + index)},romfile=",
        ]
    if kernel and ramdisk:
        words += [
            "-kernel",
            str(kernel),
            "-initrd",
            str(ramdisk),
            "-append",
            f"root=/dev/vda1 ro quiet {QUICK_KERNEL} console=ttyS0,115200",
        ]
    if snapshot:
        words += ["-loadvm", snapshot]
    return words


def pid(machine: Machine, paths: LabPaths) -> int | None:
    """The id of the machine's QEMU, None if it is off."""
    try:
        number = int(paths.pid(machine.name).read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return number if machine.name.encode() in command else None


def is_on(machine: Machine, paths: LabPaths) -> bool:
    return pid(machine, paths) is not None


def start(machine: Machine, paths: LabPaths, *, snapshot: str | None = None) -> None:
    """Power on; from ``snapshot`` when given."""
    if is_on(machine, paths):
        return
    kernel, ramdisk = paths.site / f"{machine.name}.vmlinuz", paths.site / f"{machine.name}.initrd"
    direct = kernel.exists()
    words = _argv(
        machine,
        paths,
        snapshot=snapshot,
        kernel=kernel if direct else None,
        ramdisk=ramdisk if direct else None,
    )
    LocalHost().run(inside(*words), timeout=120)


def stop(machine: Machine, paths: LabPaths) -> None:
    """Cut the power, as a BMC does: at once. Returns when the process is gone."""
    number = pid(machine, paths)
    if number is None:
        return
    end_process(number)
    paths.pid(machine.name).unlink(missing_ok=True)


def end_process(number: int, *, gently: bool = False, timeout: float = 20.0) -> None:
    """Kill a process and wait until it is no more; ``gently``: only if it does not end when it is asked to."""
    try:
        handle = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM if gently else signal.SIGKILL)
        if _over(number, timeout):
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        wait_for_end(number, timeout=timeout)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def wait_for_end(number: int, *, timeout: float = 20.0) -> None:
    """Wait until a process is no more. Raises SiteError."""
    if not _over(number, timeout):
        raise SiteError(f"process {number} does not end", remedy=f"look at it: ps -fp {number}")


def _over(number: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while _alive(number):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def command(machine: Machine, paths: LabPaths, name: str, **arguments: object) -> object:
    """One QMP command to a machine that is on."""
    # here, so that the lab can tell what it is without the package that only it needs
    from qemu.qmp.legacy import QEMUMonitorProtocol

    monitor = QEMUMonitorProtocol(str(paths.qmp(machine.name)))
    monitor.settimeout(120)
    monitor.connect(negotiate=True)
    try:
        return monitor.cmd(name, **arguments)
    finally:
        monitor.close()


def _human(machine: Machine, paths: LabPaths, line: str) -> None:
    answer = command(machine, paths, "human-monitor-command", **{"command-line": line})
    if isinstance(answer, str) and answer.strip():
        raise SiteError(answer.strip(), where=machine.name, remedy="`snow lab down`, then `snow lab up`")


def _on(paths: LabPaths) -> list[Machine]:
    return [machine for machine in MACHINES if is_on(machine, paths)]


def _all(machines: Iterable[Machine], function: Callable[[Machine], object]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(function, machines))


_MOST_STOPS = 400
_BETWEEN_STOPS_S = 0.05


def save(name: str, paths: LabPaths) -> None:
    """Snapshot of every machine's memory and disks at one instant: all stopped, all saved, all go on."""
    machines = _on(paths)
    if len(machines) != len(MACHINES):
        off = ", ".join(machine.name for machine in MACHINES if machine not in machines)
        raise SiteError(f"{off} is off; a snapshot holds every machine", remedy="`snow lab power HOST on` first")
    _stop(machines, paths)
    try:
        _all(machines, lambda machine: _human(machine, paths, f"savevm {name}"))
    finally:
        _all(machines, lambda machine: command(machine, paths, "cont"))


def _stop(machines: Sequence[Machine], paths: LabPaths) -> None:
    """Stop all of them at an instant at which no processor is inside a domain.

    QEMU does not load what it saved there: "vCPU set in guest-mode inconsistent with migrated kernel nested state"
    (target/i386/machine.c, cpu_post_load, of a QEMU that knows KVM as well; seen with 7.2 and its own emulation).
    Raises SiteError.
    """
    for _ in range(_MOST_STOPS):
        _all(machines, lambda machine: command(machine, paths, "stop"))
        inside = [machine.name for machine in machines if inside_a_domain(_registers(machine, paths))]
        if not inside:
            return
        _all(machines, lambda machine: command(machine, paths, "cont"))
        time.sleep(_BETWEEN_STOPS_S)
    raise SiteError(
        f"{', '.join(inside)}: a processor was inside a domain each of {_MOST_STOPS} times", remedy="try it again"
    )


def inside_a_domain(registers: str) -> bool:
    """Whether a processor may be carrying out a domain's own code, by what the monitor's `info registers -a` prints.

    Virtualization is on (EFER.SVME: AMD64 manual, volume 2, 15.4), and the instruction is not Xen's own
    (xen/arch/x86/include/asm/config.h, XEN_VIRT_START and the GiB from there).
    """
    pointers = [int(value, 16) for value in re.findall(r"\b[RE]IP=([0-9a-f]+)", registers)]
    enabled = [int(value, 16) & 0x1000 for value in re.findall(r"\bEFER=([0-9a-f]+)", registers)]
    if not pointers or len(pointers) != len(enabled):
        raise SiteError("the monitor does not tell the registers", remedy="use the QEMU of Debian 12 or 13")
    return any(
        on and not 0xFFFF82D040000000 <= at < 0xFFFF82D080000000 for at, on in zip(pointers, enabled, strict=True)
    )


def _registers(machine: Machine, paths: LabPaths) -> str:
    return str(command(machine, paths, "human-monitor-command", **{"command-line": "info registers -a"}))


def check_snapshot(name: str, paths: LabPaths) -> None:
    """Raise InputError unless every machine has this snapshot."""
    for machine in MACHINES:
        names = snapshots(machine, paths)
        if name not in names:
            raise InputError(
                f"{machine.name} has no snapshot called {show(name)}", remedy=f"there are: {', '.join(names) or 'none'}"
            )


def restore(name: str, paths: LabPaths) -> None:
    """Bring every machine back to the snapshot.

    In new processes: one that goes on after ``loadvm`` never turns its processor's clock back (QEMU, softmmu/cpu-timers.c), so
    the machine would wake up having slept since the snapshot, and every timeout in it would be over.
    """
    _all(_on(paths), lambda machine: _quit(machine, paths))
    _all(MACHINES, lambda machine: start(machine, paths, snapshot=name))


def _quit(machine: Machine, paths: LabPaths) -> None:
    """End the machine's process, its disks closed in order."""
    number = pid(machine, paths)
    if number is not None:
        with contextlib.suppress(EOFError):  # the monitor ends with the process
            command(machine, paths, "quit")
        wait_for_end(number)


def snapshots(machine: Machine, paths: LabPaths) -> list[str]:
    """Names of the machine's snapshots."""
    words = ["qemu-img", "snapshot", "-U", "-l", str(paths.disk(machine.name))]
    lines = LocalHost().run(words).stdout.splitlines()[2:]
    return [line.split()[1] for line in lines if line.strip()]


def console_socket(machine: Machine, paths: LabPaths) -> socket.socket:
    """A connection to the machine's serial console."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(paths.console(machine.name)))
    except OSError as error:
        raise SiteError(
            f"no console: {error.strerror}", where=machine.name, remedy="is it on? `snow lab status`"
        ) from error
    return connection


def free_disk(path: Path) -> int:
    """Bytes free where ``path`` will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
