"""The scripts that go to a server, and what comes back: sections between lines that begin with a boundary.

The boundary is new for every call: content that looks like one of its lines cannot be mistaken for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from snowha.checks.facts import LoginFact, PingResult
from snowha.errors import CommandError
from snowha.health import image_space
from snowha.hosts.read_only import read_only_script
from snowha.live import autostart, first_bytes
from snowha.provision.servers import kernels as kernel_files
from snowha.xen import attachments, saved_domains, xendomains

_MISSING_COMMAND = (126, 127)


def gather_argv(
    boundary: str,
    *,
    snow_conf: str,
    images: str,
    configs: str,
    names: Sequence[str],
    tools: Sequence[str],
    kernels: Sequence[str],
    paths: Sequence[str],
) -> list[str]:
    """Words for gather.sh. ``snow_conf`` is empty where it is not asked for."""
    script = read_only_script(
        kernel_files.FUNCTION
        + xendomains.FUNCTION
        + saved_domains.FUNCTION
        + attachments.FUNCTION
        + image_space.FUNCTION
        + first_bytes.FUNCTION
        + _script("gather.sh")
    )
    lists = [*names, "--", *tools, "--", *kernels, "--", *paths]
    return ["sh", "-c", script, "sh", boundary, snow_conf, images, configs, *lists]


def connectivity_argv(boundary: str, *, servers: Sequence[str], addresses: Sequence[str]) -> list[str]:
    """Words for connectivity.sh."""
    return ["sh", "-c", _script("connectivity.sh"), "sh", boundary, *servers, "--", *addresses]


def parse_sections(text: str, boundary: str, *, where: str) -> dict[str, str]:
    """Section → content, byte for byte. Raises CommandError if the answer did not arrive to its end."""
    if f"\n{boundary} end" not in text:
        raise CommandError("the server's answer arrived incomplete", where=where, remedy="run this again")
    found = {}
    for part in text.split(f"\n{boundary} < ")[1:]:
        name, _, rest = part.partition("\n")
        content, _, _ = rest.rpartition(f"\n{boundary} > ")
        found[name] = content
    return found


def clock_of(line: str, boundary: str) -> float | None:
    """Seconds since 1970 on the server, if ``line`` is the one that says so."""
    words = line.split()
    return float(words[2]) if words[:2] == [boundary, "clock"] and len(words) == 3 else None


def parse_connectivity(text: str, boundary: str, by: str) -> tuple[tuple[PingResult, ...], tuple[LoginFact, ...]]:
    """What connectivity.sh printed on the server ``by``."""
    pings, logins = [], []
    for line in text.splitlines():
        words = line.split()
        if words[:1] != [boundary] or len(words) < 4:
            continue
        if words[1] == "link" and len(words) == 7:
            small, large = (_answered(int(word)) for word in words[5:])
            pings.append(PingResult(by, words[2], "" if words[3] == "-" else words[3], int(words[4]), small, large))
        elif words[1] == "login":
            logins.append(LoginFact(by, words[2], words[3] == "0", " ".join(words[4:])))
    order = sorted(pings, key=lambda ping: ping.address)
    return tuple(order), tuple(sorted(logins, key=lambda login: login.to))


def _answered(status: int) -> bool | None:
    return None if status in _MISSING_COMMAND else status == 0


def _script(name: str) -> str:
    text = resources.files("snowha.checks").joinpath(name).read_text()
    return read_only_script(text.replace("@autostart@\n", autostart.script()))
