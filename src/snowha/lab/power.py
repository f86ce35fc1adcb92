"""The power of a machine as its BMC sees it, and the BMC's process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from snowha.lab import bmc, layout, machines
from snowha.lab.layout import LabPaths, Machine


@dataclass(frozen=True)
class MachinePower:
    """PowerControl over a QEMU process: off is SIGKILL, which is what a cut cable looks like."""

    machine: Machine
    paths: LabPaths

    def is_on(self) -> bool:
        return machines.is_on(self.machine, self.paths)

    def on(self) -> None:
        machines.start(self.machine, self.paths)

    def off(self) -> None:
        machines.stop(self.machine, self.paths)

    def reset(self) -> None:
        self.off()
        self.on()


def main() -> None:
    """The process behind one BMC: ``python -m snowha.lab.power MACHINE PASSWORD_FILE``."""
    machine = layout.machine(sys.argv[1])
    assert machine.bmc_address is not None
    paths = layout.paths()
    bmc.run(
        machine.bmc_address,
        username=layout.IPMI_USER,
        secret=Path(sys.argv[2]),
        power=MachinePower(machine, paths),
        guid=machines.uuid_of(machine),
        fault=paths.fault(machine.name),
    )


if __name__ == "__main__":
    main()
