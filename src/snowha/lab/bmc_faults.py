"""What a BMC of the lab does wrong on purpose, and how it is told to: fencing has to cope with each of these."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from snowha.hosts.local import LocalHost
from snowha.lab import layout, network
from snowha.lab.layout import Machine

Fault = Literal["ok", "hang", "slow", "says-off", "says-on", "dead"]
"""``hang``: it takes packets and answers none. ``slow``: it answers what is asked of the power after ``SLOW_S``. ``says-off``,
``says-on``: its answer to what the power is, whatever the power is; it switches as it is told. ``dead``: it has no power, as its
server."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
SILENT: frozenset[Fault] = frozenset({"hang", "dead"})
SLOW_S = 20.0


def read(file: Path) -> Fault:
    """What the BMC with this file does wrong; ``ok`` without one."""
    try:
        word = file.read_text().strip()
    except FileNotFoundError:
        return "ok"
    return next((fault for fault in FAULTS if fault == word), "ok")


def write(file: Path, fault: Fault) -> None:
    """Have the BMC with this file do that from its next packet on."""
    new = file.with_suffix(".new")
    new.write_text(f"{fault}\n")
    new.replace(file)


def plug(machine: Machine, *, connected: bool) -> None:
    """Have a BMC's address on the network, or not: nobody answers for one without power."""
    words = ["ip", "address", "replace" if connected else "del", f"{machine.bmc_address}/24", "dev", layout.MGMT.bridge]
    # one that is not there cannot be deleted
    LocalHost().run(network.inside(*words), check=connected)
