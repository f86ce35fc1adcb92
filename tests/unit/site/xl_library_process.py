"""Questions as JSON lines in, answers of libxlutil (its path is the argument) as JSON lines out. Run by xl_library.py."""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any


class _Disk(ctypes.Structure):
    """libxl_device_disk of Xen 4.17 to 4.20 (_libxl_types.h); newer versions add fields at the end."""

    _fields_ = [
        ("backend_domid", ctypes.c_uint32),
        ("backend_domname", ctypes.c_char_p),
        ("pdev_path", ctypes.c_char_p),
        ("vdev", ctypes.c_char_p),
        ("backend", ctypes.c_int),
        ("format", ctypes.c_int),
        ("script", ctypes.c_char_p),
        ("removable", ctypes.c_int),
        ("readwrite", ctypes.c_int),
        ("is_cdrom", ctypes.c_int),
        ("direct_io_safe", ctypes.c_bool),
        ("discard_enable", ctypes.c_int),
        ("specification", ctypes.c_int),
        ("transport", ctypes.c_int),
        ("irq", ctypes.c_uint32),
        ("base", ctypes.c_uint64),
        ("colo_enable", ctypes.c_int),
        ("colo_restore_enable", ctypes.c_int),
        ("colo_host", ctypes.c_char_p),
        ("colo_port", ctypes.c_int),
        ("colo_export", ctypes.c_char_p),
        ("active_disk", ctypes.c_char_p),
        ("hidden_disk", ctypes.c_char_p),
        ("trusted", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    ]


def main() -> None:
    xlu, libc = _load(sys.argv[1]), ctypes.CDLL(None)
    libc.open_memstream.restype = ctypes.c_void_p
    for line in sys.stdin:
        question = json.loads(line)
        said, size = ctypes.c_char_p(), ctypes.c_size_t()
        report = ctypes.c_void_p(libc.open_memstream(ctypes.byref(said), ctypes.byref(size)))
        config = ctypes.c_void_p(xlu.xlu_cfg_init(report, b"config"))
        if "disk" in question:
            error, answer = _disk(xlu, config, question["disk"].encode("latin-1"))
        else:
            error, answer = _config(xlu, config, question["config"].encode("latin-1"), question["keys"])
        libc.fflush(report)
        text = (said.value or b"").decode(errors="replace")
        print(json.dumps({"refused": text or f"error {error}"} if error else {"answer": answer}), flush=True)


def _load(path: str) -> Any:
    xlu = ctypes.CDLL(path)
    pointer = ctypes.c_void_p
    xlu.xlu_cfg_init.restype = pointer
    xlu.xlu_cfg_readdata.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int]
    xlu.xlu_cfg_get_listitem.restype = ctypes.c_char_p
    xlu.xlu_cfg_get_listitem.argtypes = [pointer, ctypes.c_int]
    return xlu


def _config(xlu: Any, config: ctypes.c_void_p, data: bytes, keys: list[str]) -> tuple[int, object]:
    error = xlu.xlu_cfg_readdata(config, data, len(data))
    if error:
        return error, None
    found: dict[str, object] = {}
    for key in keys:
        value, items, count = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_int()
        if xlu.xlu_cfg_get_string(config, key.encode(), ctypes.byref(value), 1) == 0:
            found[key] = _text(value.value)
        elif xlu.xlu_cfg_get_list(config, key.encode(), ctypes.byref(items), ctypes.byref(count), 1) == 0:
            found[key] = [_text(xlu.xlu_cfg_get_listitem(items, number)) for number in range(count.value)]
    return 0, found


def _disk(xlu: Any, config: ctypes.c_void_p, spec: bytes) -> tuple[int, object]:
    disk = _Disk()
    error = xlu.xlu_disk_parse(config, 1, (ctypes.c_char_p * 1)(spec), ctypes.byref(disk))
    if error:
        return error, None
    facts = {name: getattr(disk, name) for name, *_ in _Disk._fields_ if name != "room"}
    return 0, {key: _text(value) if isinstance(value, bytes) else value for key, value in facts.items()}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="surrogateescape")


if __name__ == "__main__":
    main()
