"""What a domain takes from the server that it is started on, beside its disks and the files that it boots with (xl.cfg(5)).

Another server may not have it. Where it is a file it is not moved, and no lease guards it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from snowha.site.model import Vif

_SETTINGS = (
    "pci",
    "usbdev",
    "dtdev",
    "irqs",
    "iomem",
    "ioports",
    "p9",
    "vtpm",
    "gfx_passthru",
    "device_model_override",
)
"""Those that do so unless they are empty or 0."""
_BEGINNINGS = {"serial": ("/dev/",), "usbdevice": ("host:", "disk:")}
"""Those that do so if what they say begins like this."""
_ARGUMENTS = ("device_model_args", "device_model_args_pv", "device_model_args_hvm")
"""Go to QEMU as they are: ``-drive file=/dev/vg/lv`` is a disk that the list of disks does not have."""
_PATH = re.compile(r"(?:^|[=,:])/")
_LISTENERS = (("vnclisten", "vnc"), ("spicehost", "spice"))
"""What says on which address a program of the domain listens, and what switches it on."""
_ANYWHERE = ("", "0.0.0.0", "localhost")


def hardware(
    texts: Callable[[str], tuple[str, ...]], says_something: Callable[[str], bool], vifs: Sequence[Vif], *, is_hvm: bool
) -> tuple[str, ...]:
    """The settings that do so. ``texts``: what a key says, be it one string or a list of them."""
    found = [key for key in _SETTINGS if says_something(key) and texts(key) != ("0",)]
    found += [key for key, begins in _BEGINNINGS.items() if any(text.startswith(begins) for text in texts(key))]
    found += [key for key in _ARGUMENTS if any(map(_PATH.search, texts(key)))]
    found += dict.fromkeys(key for key, address in _listeners(texts, is_hvm=is_hvm) if not _is_anywhere(address))
    if any(pool not in ("", "0", "Pool-0") for pool in texts("pool")):
        found.append("pool")
    if any(dict(vif.options).get("backend", "") not in ("", "0", "Domain-0") for vif in vifs):
        found.append("vif backend")
    return tuple(found)


def _listeners(texts: Callable[[str], tuple[str, ...]], *, is_hvm: bool) -> Iterator[tuple[str, str]]:
    """Where it listens: by settings of its own, and in the list vfb, as xl_parse.c reads it."""
    for key, switch in _LISTENERS:
        # VNC alone is on in an HVM domain that does not say so (libxl__domain_build_info_setdefault)
        if (texts(switch) or (("1",) if is_hvm and switch == "vnc" else ("0",))) != ("0",):
            yield from ((key, address) for address in texts(key))
    for frame_buffer in texts("vfb"):
        words = (word.lstrip(" ").partition("=") for word in frame_buffer.split(","))
        yield from ((key, value) for key, _, value in words if key == "vnclisten")


def _is_anywhere(address: str) -> bool:
    """Whether every server has the address; VNC's may have a display behind it."""
    host = address.partition(":")[0].strip()
    return host in _ANYWHERE or host.startswith("127.")
