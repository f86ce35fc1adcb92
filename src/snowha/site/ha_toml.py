"""``ha.toml``, the one file that says what the cluster shall be: text to HaFile and back.

Secrets never stand in it: a fence device names a file (mode 0600) that holds its password.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache

from snowha.errors import InputError
from snowha.site.ha_file import At, HaFile, check, compose
from snowha.site.ha_keys import Cluster, Fence, File
from snowha.site.model import Alerts, FenceDevice, FloatingIp, Mount, Paths, Server, Ssh
from snowha.site.names import did_you_mean, plain_address, plain_path, show
from snowha.site.toml_tables import Problem, ShapeError, read

__all__ = ["HaFile", "compose", "parse", "render"]

_PASSWORD = re.compile(r"pass|pwd|token$|credential", re.IGNORECASE)
_CONTROL = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def parse(text: str, *, where: str) -> HaFile:
    """Read and check an ``ha.toml``. What is wrong with its shape, or the first rule it breaks, is one InputError."""
    if text.startswith("\ufeff"):
        raise InputError(
            "it begins with a byte order mark, which TOML does not have",
            where=f"{where}:1",
            remedy="save it as UTF-8 without one: sed -i '1s/^\\xef\\xbb\\xbf//' FILE",
        )
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text, where=where) from None
    except (ValueError, RecursionError) as error:
        # what int() refuses, and what tomllib and Python have no room for: nothing that this file can mean
        problem = "brackets nested too deep" if isinstance(error, RecursionError) else "a number with too many digits"
        raise InputError(f"invalid TOML: {problem}", where=where, remedy="correct it") from None
    at = _locator(text, where)
    try:
        file = read(File, data)
    except ShapeError as error:
        raise _shape_error(error, at) from None
    return check(_ha_file(file, at), at=at)


def render(ha: HaFile) -> str:
    """``ha.toml`` for an administrator to read and edit; ``parse`` gives the same HaFile back."""
    return "\n".join(_lines(ha)) + "\n"


def _ha_file(file: File, at: At) -> HaFile:
    return HaFile(
        name=file.cluster.name,
        paths=Paths(**{key: _plain(path) for key, path in vars(file.paths).items()}),
        servers=tuple(
            Server(
                name=server.name,
                address=plain_address(server.address),
                links=tuple(map(plain_address, server.links)),
                fence=_fence(server.fence) if server.fence else None,
            )
            for server in file.server
        ),
        domains=tuple(domain.name for domain in file.domain),
        floating_ip=_floating_ip(file.cluster, at),
        mounts=tuple(Mount(**vars(mount) | {"target": _plain(mount.target)}) for mount in file.mount),
        apart=tuple(group.domains for group in file.apart),
        ssh=Ssh(**vars(file.ssh)),
        token_ms=file.cluster.token_ms,
        warm_from_mib=file.images.warm_from_mib,
        alerts=Alerts(**vars(file.alerts)),
        exporter=file.metrics.hacluster_exporter,
    )


def _fence(fence: Fence) -> FenceDevice:
    return FenceDevice(**vars(fence) | {"address": plain_address(fence.address)})


def _plain(path: str) -> str:
    """What is no path is left for the rules to say so."""
    return plain_path(path) if path.startswith("/") and ".." not in path.split("/") else path


def _floating_ip(cluster: Cluster, at: At) -> FloatingIp | None:
    if not cluster.floating_ip and not cluster.floating_nic:
        return None
    address, slash, length = cluster.floating_ip.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,3}", length, re.ASCII):
        raise InputError(
            f"floating_ip {show(cluster.floating_ip)} has no prefix length",
            where=at("cluster", "floating_ip"),
            remedy='write it like floating_ip = "192.168.8.254/24"',
        )
    if not cluster.floating_nic:
        raise InputError(
            "floating_nic is missing",
            where=at("cluster"),
            remedy='add the bridge that carries the floating IP: floating_nic = "xsnow0"',
        )
    return FloatingIp(plain_address(address), int(length), cluster.floating_nic)


def _syntax_error(message: str, text: str, *, where: str) -> InputError:
    match = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
    line = int(match[2]) if match else text.count("\n") + 1
    problem = match[1] if match else message.removesuffix(" (at end of document)")
    return InputError(
        f"invalid TOML: {problem}",
        where=f"{where}:{line}",
        remedy='correct this line (key = "value", [table], [[list]])',
    )


def _shape_error(error: ShapeError, at: At) -> InputError:
    said: list[str] = []
    forms = dict.fromkeys(_written(problem) for problem in error.problems if problem.form)
    remedy = f"write {', '.join(forms)}" if forms else "docs/ha.toml.sample shows how it is written"
    for problem in error.problems:
        key = str(problem.at[-1])
        shown = ".".join(str(part + 1) if isinstance(part, int) else part for part in problem.at)
        if not problem.known:
            said.append(f"{shown} {problem.says}")
        elif _PASSWORD.search(key):
            said.append(f"{shown}: a password must not be in this file")
            remedy = 'put it into a file of mode 0600 and name that file with secret = "secrets/…"'
        else:
            said.append(f"unknown key {show(shown)[1:-1]}{did_you_mean(key, problem.known)}")
            remedy = f"known here: {', '.join(problem.known)}"
    return InputError("; ".join(said), where=at(*error.problems[0].at), remedy=remedy)


def _written(problem: Problem) -> str:
    """How the key of a problem is written; that of a list also where one of its values is wrong."""
    *above, last = problem.at
    return f"{above[-1]} = [{problem.form}, …]" if isinstance(last, int) else f"{last} = {problem.form}"


def _locator(text: str, where: str) -> At:
    """Finds the line of a key by its table's header. Good enough for a message, in any usual layout; else the file."""
    lines = text.split("\n")

    @cache
    def headers_of(table: str) -> list[int]:
        header = re.compile(rf"\s*\[\[?\s*{table}\s*\]\]?\s*(#|$)")
        return [number for number, line in enumerate(lines) if header.match(line)]

    def at(*location: str | int) -> str:
        if not location:
            return where
        table = re.escape(str(location[0]))
        headers = headers_of(table)
        index = location[1] if len(location) > 1 and isinstance(location[1], int) else 0
        if index >= len(headers):
            plain = [n for n, line in enumerate(lines) if re.match(rf"\s*{table}\s*=", line)]
            return f"{where}:{plain[0] + 1}" if plain else where
        found = headers[index]
        for key in location[1:]:
            if isinstance(key, str):
                for number in range(found, len(lines)):
                    if number > headers[index] and re.match(r"\s*\[", lines[number]):
                        sub = rf"\s*\[\s*{table}\.{re.escape(key)}\s*\]"
                        if not re.match(sub, lines[number]):
                            break
                    if re.search(rf"(?:^|[\s{{,.]){re.escape(key)}\s*[=\]]", lines[number].partition("#")[0]):
                        found = number
                        break
        return f"{where}:{found + 1}"

    return at


def _lines(ha: HaFile) -> Iterator[str]:
    yield "# The description of the cluster. `snow ha apply` carries it out; it never changes this file."
    yield "# This file contains no password: `secret` names a file (mode 0600) with it. docs/ha-toml.md explains every key."
    yield ""
    yield "[cluster]"
    yield f"name = {_string(ha.name)}"
    if ha.floating_ip:
        yield "# The gateway of the domains and nodes, with its prefix length, and the bridge that carries it:"
        yield f"floating_ip = {_string(f'{ha.floating_ip.address}/{ha.floating_ip.prefixlen}')}"
        yield f"floating_nic = {_string(ha.floating_ip.nic)}"
    yield "# Milliseconds of silence after which a server is considered lost, and is fenced:"
    yield f"token_ms = {ha.token_ms}"
    yield ""
    yield "# Where things are, on the servers. The images must be on storage that all of them share."
    yield "[paths]"
    yield f"snow_conf = {_string(ha.paths.snow_conf)}"
    yield f"domain_configs = {_string(ha.paths.domain_configs)}"
    yield f"images = {_string(ha.paths.images)}"
    yield ""
    yield "# A domain with more than this on logical volumes is copied while it runs, and is down only for the final copy."
    yield "# The snapshot needs a fifth of the volume in its volume group. Smaller domains are copied while they are off."
    yield "[images]"
    yield f"warm_from_mib = {ha.warm_from_mib}"
    yield ""
    if ha.alerts.recipients:
        yield "# Who is told of a failure, a fence or a lost server: a mail address, a command on the servers."
        yield "[alerts]"
        yield f"mail = {_string(ha.alerts.mail)}"
        yield f"command = {_string(ha.alerts.command)}"
        yield ""
    if ha.exporter:
        yield "# prometheus-hacluster-exporter on every server, port 9664:"
        yield "[metrics]"
        yield "hacluster_exporter = true"
        yield ""
    yield "# How the servers are reached. config: path of an OpenSSH configuration (port, keys); empty: OpenSSH's own."
    yield "[ssh]"
    yield f"user = {_string(ha.ssh.user)}"
    yield f"config = {_string(ha.ssh.config)}"
    yield ""
    yield "# The sNow! servers. address: where ssh goes. links: one address per Corosync link, in one order everywhere."
    yield "# fence: how the power of this server is cut. Without it nothing can be highly available."
    for server in ha.servers:
        yield "[[server]]"
        yield f"name = {_string(server.name)}"
        yield f"address = {_string(server.address)}"
        yield f"links = {_strings(server.links)}"
        if server.fence:
            keys = ("agent", "address", "username", "secret")
            inline = ", ".join(f"{key} = {_string(getattr(server.fence, key))}" for key in keys)
            inline += "".join(f", {key} = {value}" for key, value in _further(server.fence))
            yield f"fence = {{ {inline} }}"
        yield ""
    if ha.mounts:
        yield "# File systems that every server must have, with the same mounts."
    for mount in ha.mounts:
        yield "[[mount]]"
        for key in ("source", "target", "fstype", "options"):
            yield f"{key} = {_string(getattr(mount, key))}"
        yield ""
    if ha.domains:
        yield "# The domains that the cluster runs. A domain that is not named here is left alone."
    for name in ha.domains:
        yield "[[domain]]"
        yield f"name = {_string(name)}"
        yield ""
    if ha.apart:
        yield "# Domains that replace each other, and are therefore kept on different servers."
    for group in ha.apart:
        yield "[[apart]]"
        yield f"domains = {_strings(group)}"
        yield ""


def _further(fence: FenceDevice) -> Iterator[tuple[str, str]]:
    """What a fence device needs beside address, user and password, where that is not the usual."""
    if fence.cipher is not None:
        yield "cipher", str(fence.cipher)
    if fence.privilege:
        yield "privilege", _string(fence.privilege)
    if fence.port is not None:
        yield "port", str(fence.port)
    if not fence.lanplus:
        yield "lanplus", "false"
    if fence.options:
        yield "options", _strings(fence.options)


def _string(value: str) -> str:
    """A basic string of TOML 1.0."""
    escaped = (
        _CONTROL.get(char) or (f"\\u{ord(char):04X}" if ord(char) < 0x20 or char == "\x7f" else char) for char in value
    )
    return f'"{"".join(escaped)}"'


def _strings(values: Iterable[str]) -> str:
    return f"[{', '.join(_string(value) for value in values)}]"
