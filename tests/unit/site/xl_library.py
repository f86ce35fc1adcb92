"""Xen's own parsers, of its libxlutil (Debian: libxenmisc4.17, libxenmisc4.20 …): our reading is compared with them.

They run in a process of their own, since libxlutil ends what it does not like with an assertion.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import machine

_PROGRAM = Path(__file__).with_name("xl_library_process.py")
_FORMATS = ("", "qcow", "qcow2", "vhd", "raw", "empty", "qed")
_BACKENDS = ("", "phy", "tap", "qdisk", "standalone")
_SPECIFICATIONS = ("", "xen", "virtio")


@dataclass(frozen=True)
class XlDisk:
    """libxl_device_disk (libxl_types.idl) as xlu_disk_parse leaves it; None where it says nothing."""

    target: str | None
    vdev: str
    backend: str
    """``backendtype=``"""
    backend_domain: str | None
    """``backend=``"""
    format: str
    script: str | None
    is_removable: bool
    is_writable: bool
    is_cdrom: bool
    direct_io_safe: bool
    discard: bool | None
    specification: str
    colo: bool | None
    trusted: bool | None


class Refused(Exception):
    """xl's own words, or that it ended with an assertion."""


class _Library:
    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, **question: object) -> Any:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), str(machine.shared_object("libxlutil.so"))],
                env={**os.environ, "LD_LIBRARY_PATH": machine.shared_objects_path()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                bufsize=1,
            )
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Refused("an assertion of libxlutil failed")
        answer = json.loads(line)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["answer"]


@cache
def _library() -> _Library:
    return _Library()


def read_config(text: str | bytes, *keys: str) -> dict[str, str | list[str | None]]:
    """The values of ``keys`` that a config sets, as xl sees them; None in a list is a list. Raises Refused."""
    data = text.encode() if isinstance(text, str) else text
    found: dict[str, str | list[str | None]] = _library().ask(config=data.decode("latin-1"), keys=keys)
    return found


def read_disk(spec: str) -> XlDisk:
    """An entry of ``disk``. Raises Refused."""
    facts = _library().ask(disk=spec.encode().decode("latin-1"))
    return XlDisk(
        target=facts["pdev_path"],
        vdev=facts["vdev"],
        backend=_BACKENDS[facts["backend"]],
        backend_domain=facts["backend_domname"],
        format=_FORMATS[facts["format"]],
        script=facts["script"],
        is_removable=bool(facts["removable"]),
        is_writable=bool(facts["readwrite"]),
        is_cdrom=bool(facts["is_cdrom"]),
        direct_io_safe=facts["direct_io_safe"],
        discard=_bool(facts["discard_enable"]),
        specification=_SPECIFICATIONS[facts["specification"]],
        colo=_bool(facts["colo_enable"]),
        trusted=_bool(facts["trusted"]),
    )


def _bool(value: int) -> bool | None:
    """libxl_defbool."""
    return None if value == 0 else value > 0
