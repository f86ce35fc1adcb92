"""``/etc/corosync/corosync.conf``: read, judged, and composed from a site (corosync.conf(5), corosync 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from snowha.errors import InputError
from snowha.site.model import Site
from snowha.site.names import is_ip, show
from snowha.site.rules import Finding

_RING_ADDRESS = re.compile(r"ring([0-7])_addr")
_OFF = ("", "none", "off", "no", "0")
_INDENT = "    "

_HEADER = """\
# Written by snow-ha from ha.toml. It is the same on all servers: change ha.toml and run `snow ha apply`,
# a change made here is noticed and replaced.
"""
STOP_REMEDY = (
    "to stop it without stopping the domains: crm_attribute --type=crm_config --name=maintenance-mode --update=true, then on "
    "every server systemctl stop pacemaker corosync; run this again; end it with crm_attribute --type=crm_config "
    "--name=maintenance-mode --delete when Pacemaker runs"
)
"""What to type where Corosync runs with another configuration."""


@dataclass(frozen=True)
class Section:
    """``name { … }``. The file itself is a section without a name. A key may stand more than once, so may a section."""

    name: str
    settings: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()

    def get(self, key: str, default: str = "") -> str:
        """The value that corosync uses: where a key stands twice, the later one."""
        return dict(self.settings).get(key, default)

    def named(self, name: str) -> Iterator[Section]:
        return (section for section in self.sections if section.name == name)

    def one(self, name: str) -> Section:
        """All sections of this name as one, as corosync reads them: ``totem { } … totem { }`` is allowed."""
        found = tuple(self.named(name))
        return Section(
            name,
            tuple(setting for section in found for setting in section.settings),
            tuple(inner for section in found for inner in section.sections),
        )


@dataclass(frozen=True)
class Node:
    """One ``node { }`` of the nodelist. ``name`` is empty where the file leaves it to the server's host name."""

    name: str
    nodeid: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What a configuration amounts to, defaults included."""

    cluster_name: str
    transport: str
    links: int
    """Links that every server has."""
    encrypted: bool
    """Both cipher and hash are on: without the hash anybody on the network can speak for a server."""
    token_ms: int
    two_node: bool
    nodes: tuple[Node, ...]


def parse(text: str, where: str = "/etc/corosync/corosync.conf") -> Section:
    """The file as sections. Raises InputError with the line where corosync (exec/coroparse.c) would fail."""
    root = _Open("", 0)
    stack = [root]
    for number, raw in enumerate(text.split("\n"), start=1):
        line, here = raw.strip(), f"{where}:{number}"
        if not line or line.startswith("#"):
            continue
        if "{" in line:
            name, _, rest = line.partition("{")
            if rest.strip() or not name.strip():
                raise _syntax("a section is opened by its name and '{' alone on a line", line, here)
            stack.append(_Open(name.strip(), number))
        elif "}" in line and (":" not in line or line.endswith(" }")):
            if line != "}":
                raise _syntax("'}' must be alone on its line", line, here)
            if len(stack) == 1:
                raise _syntax("'}' closes nothing", line, here)
            closed = stack.pop()
            stack[-1].sections.append(closed.close())
        elif ":" in line:
            key, _, value = line.partition(":")
            if not key.strip():
                raise _syntax("there is no key before ':'", line, here)
            stack[-1].settings.append((key.strip(), value.strip()))
        else:
            raise _syntax("neither a section nor `key: value`", line, here)
    if len(stack) > 1:
        raise InputError(
            f"the section {show(stack[-1].name)} is never closed",
            where=f"{where}:{stack[-1].line}",
            remedy="add its '}'",
        )
    return root.close()


def render(root: Section) -> str:
    """The file of these sections. ``parse(render(x)) == x``."""
    return "".join(f"{line}\n" for line in _lines(root, ""))


def compose(site: Site) -> str:
    """The corosync.conf of ``site``: knet over every link, encrypted and authenticated.

    - Transport and both of cipher and hash are named: without them the key in authkey protects nothing.
    - ``two_node`` lets one of two servers go on alone. It implies ``wait_for_all`` (votequorum(5)): a server that comes
      up alone waits for the other instead of fencing it. Written out, so that a reader need not know.
    - More servers have a majority, and need neither.
    - ``bindnetaddr``, ``mcastport``, ``ttl`` mean nothing to knet, and are left out.
    """
    links = len(site.servers[0].links)
    two = len(site.servers) == 2
    totem = Section(
        "totem",
        (
            ("version", "2"),
            ("cluster_name", site.name),
            ("transport", "knet"),
            ("token", str(site.token_ms)),
            ("crypto_cipher", "aes256"),
            ("crypto_hash", "sha256"),
        ),
        tuple(Section("interface", (("linknumber", str(number)),)) for number in range(links)),
    )
    nodes = tuple(
        Section(
            "node",
            (
                *((f"ring{number}_addr", address) for number, address in enumerate(server.links)),
                # Pacemaker takes a node's name from here (and not from DNS); fencing needs it to be the server's.
                ("name", server.name),
                ("nodeid", str(nodeid)),
            ),
        )
        for nodeid, server in enumerate(site.servers, start=1)
    )
    quorum = Section(
        "quorum",
        (("provider", "corosync_votequorum"), *((("two_node", "1"), ("wait_for_all", "1")) if two else ())),
    )
    logging = Section("logging", (("to_syslog", "yes"), ("to_logfile", "no"), ("to_stderr", "no")))
    return _HEADER + render(Section("", (), (totem, Section("nodelist", (), nodes), quorum, logging)))


def facts(root: Section) -> Facts:
    """What ``root`` amounts to under corosync 3.1. Its defaults: knet, no cipher, no hash, a token of 3000 ms."""
    totem, quorum = root.one("totem"), root.one("quorum")
    transport = totem.get("transport", "knet")
    nodes = tuple(_node(section) for section in root.one("nodelist").named("node"))
    # `secauth: on` is the older word for both (corosync.conf(5)).
    secauth = "aes256" if totem.get("secauth").lower() in ("on", "yes", "1") else ""
    cipher = totem.get("crypto_cipher", secauth).lower()
    digest = totem.get("crypto_hash", secauth).lower()
    return Facts(
        cluster_name=totem.get("cluster_name"),
        transport=transport,
        links=min((len(node.addresses) for node in nodes), default=len(tuple(totem.named("interface")))),
        # Only knet encrypts: udp and udpu ignore both settings.
        encrypted=transport == "knet" and cipher not in _OFF and digest not in _OFF,
        token_ms=_number(totem.get("token"), 3000),
        two_node=quorum.get("two_node") in ("1", "yes"),
        nodes=nodes,
    )


def rules(root: Section, site: Site, *, where: str = "/etc/corosync/corosync.conf") -> tuple[Finding, ...]:
    """What is wrong with a configuration that was found on a server, which may be somebody else's."""
    found = facts(root)
    findings = []
    if found.transport != "knet":
        findings.append(
            Finding(
                "corosync-transport",
                "warn",
                where,
                f"transport is {found.transport}: one link, no encryption",
                "let `snow ha apply` write a configuration with transport knet",
            )
        )
    elif not found.encrypted:
        findings.append(
            Finding(
                "corosync-unencrypted",
                "warn",
                where,
                "crypto_cipher or crypto_hash is off: the authkey is not used, and anybody can pose as a server",
                "let `snow ha apply` write a configuration with aes256 and sha256",
            )
        )
    if found.links < 2:
        findings.append(
            Finding(
                "corosync-one-link",
                "warn",
                where,
                "the servers are connected by one link: one failed cable, interface or switch isolates a server",
                "add an address in a second network to `links` of every [[server]] in ha.toml",
            )
        )
    named = {node.name or _host_name(node) for node in found.nodes} - {""}
    servers = {server.name for server in site.servers}
    if named and named != servers:
        findings.append(
            Finding(
                "corosync-names",
                "stop",
                where,
                f"it is the configuration of {', '.join(sorted(named))}, the servers are {', '.join(sorted(servers))}",
                "if that cluster is no longer in use, move the file away; otherwise correct ha.toml",
            )
        )
    if len(found.nodes) == 2 and not found.two_node:
        findings.append(
            Finding(
                "corosync-two-node",
                "warn",
                where,
                "two servers without two_node: when one is lost the other loses quorum and stops everything",
                "let `snow ha apply` write a configuration with two_node: 1",
            )
        )
    return tuple(findings)


class _Open:
    """A section that is being read."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.settings: list[tuple[str, str]] = []
        self.sections: list[Section] = []

    def close(self) -> Section:
        return Section(self.name, tuple(self.settings), tuple(self.sections))


def _syntax(message: str, line: str, where: str) -> InputError:
    return InputError(f"{message}: {show(line)}", where=where, remedy="correct the line (corosync.conf(5))")


def _lines(section: Section, indent: str) -> Iterator[str]:
    yield from (f"{indent}{key}: {value}" for key, value in section.settings)
    for inner in section.sections:
        yield f"{indent}{inner.name} {{"
        yield from _lines(inner, indent + _INDENT)
        yield f"{indent}}}"


def _node(section: Section) -> Node:
    addresses = {int(match[1]): value for key, value in section.settings if (match := _RING_ADDRESS.fullmatch(key))}
    return Node(
        section.get("name"), _number(section.get("nodeid"), 0), tuple(addresses[link] for link in sorted(addresses))
    )


def _host_name(node: Node) -> str:
    """What Pacemaker calls a node without a name: its first address, unless that is a number (corosync.c)."""
    return node.addresses[0] if node.addresses and not is_ip(node.addresses[0]) else ""


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() else default
