"""sNow!'s ``IPMI_TYPE``: it stands behind ``ipmitool -I``, not in quotes, so sites have options of ipmitool(1) in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snowha.errors import InputError
from snowha.site.names import show

_OPTION = re.compile(r"-([CLp])\s*([A-Za-z0-9]+)", re.ASCII)


@dataclass(frozen=True)
class IpmiType:
    """As a FenceDevice has it."""

    lanplus: bool = True
    cipher: int | None = None
    privilege: str = ""
    port: int | None = None


def parse(text: str, *, where: str) -> IpmiType:
    """``lanplus`` (IPMI 2.0, where nothing is said) or ``lan``, with ``-C``, ``-L`` and ``-p``. InputError for what no fence
    device speaks, or has no option for."""
    kind, *rest = text.split() or ["lanplus"]
    if kind not in ("lanplus", "lan"):
        raise InputError(
            f"IPMI_TYPE is {show(kind)}, but a BMC is queried over the network: lanplus or lan",
            where=where,
            remedy="write IPMI_TYPE=lanplus, or give each [[server]] of ha.toml the fence agent of its BMC",
        )
    options = dict(_OPTION.findall(" ".join(rest)))
    left = _OPTION.sub("", " ".join(rest)).split()
    numbers = [options[key] for key in "Cp" if key in options]
    if left or not all(number.isdecimal() for number in numbers):
        # no more of it than the option: a password or a key may follow
        raise InputError(
            f"IPMI_TYPE has {show(left[0][:2]) if left else 'a -C or -p without a number'}, which snow-ha does not know",
            where=where,
            remedy="keep only lanplus or lan, and -C, -L and -p; configure everything else in the BMC",
        )
    cipher, port = (int(options[key]) if key in options else None for key in "Cp")
    return IpmiType(kind == "lanplus", cipher, options.get("L", "").lower(), port)
