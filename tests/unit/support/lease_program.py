"""snow-lease as it is on a server, for the engine to take leases with: the real program and real locks, on this machine."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from snowha.xen import leases, server_program

BOOT = {"snow01": "11111111-1111-1111-1111-111111111111", "snow02": "22222222-2222-2222-2222-222222222222"}


@dataclass(frozen=True)
class LeaseProgram:
    """The program in ``folder``, with what it notes there."""

    folder: Path

    def of(self, server: str) -> str:
        """Its path on a server. A script gives it that server's name: the engine hands no variables on."""
        path = self.folder / f"snow-lease-of-{server}"
        if not path.exists():
            program = self.folder / "snow-lease"
            program.write_text(server_program.text())
            program.chmod(0o755)
            words = {"SNOW_SERVER": server, "SNOW_BOOT": BOOT[server], "SNOW_RUN": str(self.folder / f"run-{server}")}
            exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in words.items())
            path.write_text(f'#!/bin/sh\nexport {exports}\nexec {shlex.quote(str(program))} "$@"\n')
            path.chmod(0o755)
        return str(path)

    def run(self, server: str, *words: str, descriptors: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.of(server), *words], pass_fds=descriptors, capture_output=True, text=True, timeout=60, check=False
        )

    def record(self, image: Path, server: str = "snow02") -> leases.Lease:
        """What a server reads beside an image."""
        return leases.parse(self.run(server, "list", str(image)).stdout).records[0]
