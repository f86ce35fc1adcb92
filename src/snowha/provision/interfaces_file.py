"""/etc/network/interfaces (interfaces(5)): put a bridge between a card and its address. Pure text.

Stanzas are parsed as ifupdown does. What belongs to the address moves to the bridge, what belongs to the wire stays with the
card; whatever is not known to be one or the other is refused: a server with a wrong file does not come back from its reboot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NoReturn

from snowha.errors import SiteError

PATH = "/etc/network/interfaces"

_KEYWORDS = (
    "iface",
    "mapping",
    "auto",
    "source",
    "source-directory",
    "rename",
    "template",
    "no-auto-down",
    "no-scripts",
)
_ADDRESS = frozenset(
    {
        "address",
        "netmask",
        "broadcast",
        "network",
        "gateway",
        "metric",
        "scope",
        "mtu",
        "accept_ra",
        "autoconf",
        "privext",
    }
    | {
        "pointopoint",
        "description",
        "dad-attempts",
        "dad-interval",
        "preferred-lifetime",
        "dns-nameservers",
        "dns-nameserver",
        "dns-search",
        "dns-domain",
    }
)
"""Options of the address, which go with it. ``mtu`` stays with the card, too."""
_WIRE = ("bond-", "bond_", "vlan-", "vlan_", "ethernet-", "link-", "offload-", "hardware-", "driver-")
_COMMANDS = ("pre-up", "up", "post-up", "down", "pre-down", "post-down")
_METHODS = {"inet": ("static",), "inet6": ("static", "auto", "manual")}
_PORTS = ("bridge_ports", "bridge-ports")
_SLAVES = ("bond-slaves", "bond_slaves", "slaves")
_MASTER = ("bond-master", "bond_master")
_OF_VLAN = ("vlan-raw-device", "vlan_raw_device")
_BELOW = (*_MASTER, *_OF_VLAN)
"""With what another interface names the card and goes on doing so: the cards of a bond stay its own, a VLAN stays on its card,
since the kernel takes its frames before the bridge gets them."""
_AT_BOOT = ("auto", "allow-auto", "allow-hotplug")
_NOTHING = ("true", ":")
"""What ends a list of commands so that it does not fail."""
_IP = {
    **dict.fromkeys(
        ("address", "addrlabel", "maddress", "mroute", "route", "rule", "neighbor", "neighbour"), "address"
    ),
    "link": "wire",
    **dict.fromkeys(("tunnel", "tunl"), "address"),
}
"""Objects of ip(8) in the order in which it looks for one that begins with a word (iproute2's ip.c)."""
_IP_OPTIONS = frozenset({"-4", "-6", "-s", "-stats", "-d", "-details", "-o", "-oneline", "-br", "-brief", "-force"})
"""Those without a value that change nothing of what a command means."""
_LONGEST_NAME = 15


@dataclass
class _Line:
    """A logical line: continuations are in it."""

    raw: str
    """With its end, as it stands."""
    words: list[str]
    """Empty for a comment or a blank line."""

    @property
    def keyword(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def begins(self) -> bool:
        return self.keyword in _KEYWORDS or self.keyword.startswith("allow-")


@dataclass
class _Stanza:
    head: _Line
    body: list[_Line] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The interface of an ``iface``, those of an ``auto``."""
        words = self.head.words[1:]
        return words[:1] if self.head.keyword in ("iface", "rename", "template") else words

    @property
    def options(self) -> list[_Line]:
        return [line for line in self.body if line.words]


def sources(text: str) -> Iterator[tuple[str, str]]:
    """The ``source`` and ``source-directory`` lines of a file: keyword and pattern."""
    for stanza in _stanzas(text)[1]:
        if stanza.head.keyword in ("source", "source-directory"):
            yield from ((stanza.head.keyword, word) for word in stanza.head.words[1:])


def interfaces(files: Mapping[str, str]) -> list[str]:
    """Every interface that has an ``iface`` stanza."""
    heads = (stanza for text in files.values() for stanza in _stanzas(text)[1] if stanza.head.keyword == "iface")
    return list(dict.fromkeys(name for stanza in heads for name in stanza.names))


def with_bridge(files: Mapping[str, str], *, card: str, bridge: str, where: str) -> dict[str, str]:
    """The files with ``bridge`` having what ``card`` had, and ``card`` in it. Unchanged if ``bridge`` is there already.

    ``files``: /etc/network/interfaces and what it sources, by path. Raises SiteError when they do not configure ``card`` with a
    static address, or say something of it whose meaning for a bridge is not known.
    """
    if bridge in interfaces(files):
        return dict(files)
    return _Edit(card, bridge, where).run(files)


@dataclass
class _Edit:
    card: str
    bridge: str
    where: str
    made: bool = False
    kept: list[str] = field(default_factory=list)
    """Lines that stay with the card."""

    def refuse(self, message: str) -> NoReturn:
        raise SiteError(
            message,
            where=self.where,
            remedy=f"configure the bridge {self.bridge} with {self.card} in it by hand (bridge-utils-interfaces(5)), reboot "
            "the server to see that it comes back, then run this again",
        )

    def run(self, files: Mapping[str, str]) -> dict[str, str]:
        parsed = {path: _stanzas(text) for path, text in files.items()}
        everything = [stanza for _, stanzas in parsed.values() for stanza in stanzas]
        own = [one for one in everything if one.head.keyword == "iface" and one.names == [self.card]]
        if not any(one.head.words[2:4] == ["inet", "static"] for one in own):
            self.refuse(f"{self.card} has no static address there, so {self.bridge} cannot be put in its place")
        for stanza in everything:
            self.refuse_unknown(stanza)
        if not any(self.card in one.names for one in everything if one.head.keyword in _AT_BOOT):
            self.refuse(f"nothing there brings {self.card} up at boot (auto), so nothing would bring {self.bridge} up")
        if any(line.words for before, _ in parsed.values() for line in _lines(before)):
            self.refuse("it begins with an option that belongs to no interface, so ifupdown refuses the file")
        self.kept = [line.raw for one in own for line in one.options if self.stays(line)]
        return {path: before + "".join(map(self.written, stanzas)) for path, (before, stanzas) in parsed.items()}

    def refuse_unknown(self, stanza: _Stanza) -> None:
        """Refuse what says something of the card that is not understood."""
        kind, words = stanza.head.keyword, stanza.head.words
        if kind not in ("iface", "mapping", "template") and stanza.options:
            self.refuse(f"{' '.join(stanza.options[0].words)!r} belongs to no interface, so ifupdown refuses the file")
        if kind in ("source", "source-directory"):
            return
        for name in words[1:]:
            if kind == "mapping" and name != self.card and fnmatchcase(self.card, name):
                self.refuse(f"{' '.join(words)!r} also applies to {self.card}")
            if name.startswith("/") and ("=" in name or fnmatchcase(self.card, name.strip("/").partition("/")[0])):
                self.refuse(f"{' '.join(words)!r} may also apply to {self.card}")
        if kind != "iface":
            named = self.card in [part for word in words[1:] for part in word.split("=")]
            if named and kind not in _AT_BOOT:
                self.refuse(f"{' '.join(words)!r} is not supported for an interface in a bridge")
            return
        if "inherits" in words and self.card in (*words[words.index("inherits") + 1 :], words[1]):
            self.refuse(f"{' '.join(words)!r} inherits another stanza")
        if self.is_own(stanza) or self.is_alias(stanza):
            self.check_own(stanza)
            return
        for line in stanza.options:
            if line.keyword in (*_PORTS, *_SLAVES) and self.card in line.words[1:]:
                self.refuse(f"{self.card} is already part of {stanza.names[0]}")
            if line.keyword in _PORTS and {"all", "regex"} & set(line.words[1:]):
                self.refuse(f"{' '.join(line.words)!r} of {stanza.names[0]} may take {self.card}, too")
            if not self.mentions(line, own=False) or line.keyword in _BELOW:
                continue
            if line.keyword not in _COMMANDS:
                self.refuse(f"it is unknown what {' '.join(line.words)!r} of {stanza.names[0]} means for a bridge")
            self.moved(line)

    def check_own(self, stanza: _Stanza) -> None:
        family, method = (*stanza.head.words[2:4], "", "")[:2]
        if method not in _METHODS.get(family, ()):
            self.refuse(f"{' '.join(stanza.head.words)!r} is not a static address")
        if self.is_alias(stanza) and len(self.alias(stanza.names[0])) > _LONGEST_NAME:
            self.refuse(f"{self.alias(stanza.names[0])} is too long for the name of an interface")
        for line in stanza.options:
            if line.keyword in _MASTER:
                self.refuse(f"{self.card} is already part of {' '.join(line.words[1:])}")
            if line.keyword.startswith("bridge"):
                self.refuse(f"{self.card} is a bridge itself ({' '.join(line.words)})")
            if line.keyword in _COMMANDS:
                if not self.stays(line):
                    self.moved(line)
            elif line.keyword not in _ADDRESS and not self.stays(line):
                self.refuse(f"it is unknown what {line.keyword!r} of {self.card} means for a bridge")

    def is_own(self, stanza: _Stanza) -> bool:
        return stanza.names == [self.card]

    def is_alias(self, stanza: _Stanza) -> bool:
        return stanza.names[0].startswith(f"{self.card}:") if stanza.names else False

    def alias(self, name: str) -> str:
        return f"{self.bridge}:{name.partition(':')[2]}"

    def stays(self, line: _Line) -> bool:
        """Whether a line of the card's own stanza is about the wire."""
        if line.keyword in _COMMANDS:
            kinds = {_kind(words) for words in _commands(line)}
            return "wire" in kinds and kinds <= {"wire", "nothing"}
        wire = ("mtu", "hwaddress", "hw-mac-address", "wakeonlan", *_SLAVES)
        return line.keyword in wire or line.keyword.startswith(_WIRE)

    def mentions(self, line: _Line, *, own: bool) -> bool:
        """Whether a command names the card, by its name or as the interface that its stanza is about."""
        text = " ".join(line.words[1:])
        named = re.search(rf"(?<![\w-]){re.escape(self.card)}(?![\w-]|\.\d)", text)
        return bool(named) or (own and re.search(r"\$\{?(IFACE|LOGICAL)\b", text) is not None)

    def moved(self, line: _Line) -> str:
        """A command of the address, with the bridge in the card's place. Raises SiteError for one that is not understood."""
        if not self.mentions(line, own=True):
            return line.raw
        after_dev = re.compile(rf"(\bdev\s+|\bdev\s+\\\n\s*){re.escape(self.card)}(?![\w.:-])")
        changed = after_dev.sub(lambda match: match[1] + self.bridge, line.raw)
        rest = re.sub(r"\bdev\s+(\\\n\s*)?\$\{?IFACE\}?", "", changed)
        left = _Line(rest, rest.split())
        kinds = {_kind(words) for words in _commands(line)}
        if not kinds or not kinds <= {"address", "nothing"} or self.mentions(left, own=True):
            self.refuse(f"it is unknown what {' '.join(line.words)!r} means once {self.card} is in a bridge")
        return changed

    def written(self, stanza: _Stanza) -> str:
        kind = stanza.head.keyword
        if kind == "auto" or kind.startswith("allow-"):
            return self.started(stanza)
        if kind != "iface":
            return _text(stanza)
        if self.is_own(stanza):
            return self.own(stanza)
        if self.is_alias(stanza):
            return self.renamed(stanza, self.alias(stanza.names[0])) + self.body(stanza, self.moved)
        return stanza.head.raw + self.body(stanza, self.moved_elsewhere)

    def started(self, stanza: _Stanza) -> str:
        """``auto`` with the bridge: a card that is plugged in brings no bridge up. The card is first where it has options."""
        names = stanza.names
        ours = [name for name in names if name == self.card or name.startswith(f"{self.card}:")]
        if not ours:
            return _text(stanza)
        new = [self.bridge if name == self.card else self.alias(name) for name in ours]
        if self.card in ours and self.kept:
            new.insert(0, self.card)
        others = [name for name in names if name not in ours]
        lines = [f"{stanza.head.keyword} {' '.join(others)}\n"] if others else []
        if others and stanza.head.keyword in ("auto", "allow-auto"):
            lines = [stanza.head.raw]
            for name in ours:
                replaced = " ".join(new) if name == ours[0] else ""
                lines[0] = re.sub(rf"(?<=\s){re.escape(name)}(?=\s|$)", replaced, lines[0])
        else:
            indent = stanza.head.raw[: len(stanza.head.raw) - len(stanza.head.raw.lstrip())]
            lines.append(f"{indent}auto {' '.join(new)}\n")
        return "".join(lines) + "".join(line.raw for line in stanza.body)

    def own(self, stanza: _Stanza) -> str:
        head = ""
        options = ""
        indent = stanza.head.raw[: len(stanza.head.raw) - len(stanza.head.raw.lstrip())]
        if not self.made:
            self.made = True
            head = f"{indent}iface {self.card} inet manual\n" + "".join(map(_ended, self.kept)) + f"\n{indent}"
            pairs = (("ports", self.card), ("stp", "off"), ("fd", "0"))
            options = "".join(f"    bridge_{key} {value}\n" for key, value in pairs)
        rest = self.body(stanza, lambda line: "" if self.stays(line) and line.keyword != "mtu" else self.moved(line))
        renamed = self.renamed(stanza, self.bridge)
        return head + (renamed.removeprefix(indent) if head else renamed) + options + rest

    def renamed(self, stanza: _Stanza, name: str) -> str:
        """The stanza's first line with another interface."""
        return _ended(re.sub(rf"(?<=\s){re.escape(stanza.names[0])}(?=\s|$)", name, stanza.head.raw, count=1))

    def moved_elsewhere(self, line: _Line) -> str:
        return self.moved(line) if line.keyword in _COMMANDS and self.mentions(line, own=False) else line.raw

    def body(self, stanza: _Stanza, change: Callable[[_Line], str]) -> str:
        return "".join(change(line) if line.words else line.raw for line in stanza.body)


def _stanzas(text: str) -> tuple[str, list[_Stanza]]:
    """What stands before the first stanza, and the stanzas."""
    before = ""
    found: list[_Stanza] = []
    for line in _lines(text):
        if line.begins:
            found.append(_Stanza(line))
        elif found:
            found[-1].body.append(line)
        else:
            before += line.raw
    return before, found


def _lines(text: str) -> Iterator[_Line]:
    """As ifupdown's get_line: a comment or blank line stands alone, any other goes on behind a backslash."""
    raws = iter(re.findall(r"[^\n]*\n|[^\n]+", text))
    for raw in raws:
        if not raw.strip(" \t\n") or raw.lstrip(" \t").startswith("#"):
            yield _Line(raw, [])
            continue
        joined = raw.removesuffix("\n")
        while joined.endswith("\\") and (following := next(raws, None)) is not None:
            raw += following
            joined = joined[:-1] + following.removesuffix("\n")
        yield _Line(raw, joined.split())


def _commands(line: _Line) -> list[list[str]]:
    """The commands of an ``up`` or ``down``, each in words; none where it is more than a list of them."""
    text = re.sub(r"[0-9]*>>?\s*(?:&[0-9]|/dev/null)(?=\s|$|;)", "", " ".join(line.words[1:]))
    parts = re.split(r"\|\||&&|;", text)
    return [] if set("|&<>()`\"'\\") & set("".join(parts)) else [words for part in parts if (words := part.split())]


def _kind(words: list[str]) -> str:
    """Whether a command is about the ``wire`` or the ``address``, or does ``nothing``; empty if that is not known."""
    program = words[0].rpartition("/")[2]
    if program == "ip":
        return _kind_of_ip(words[1:])
    if program == "ethtool":
        return "wire"
    return "address" if program == "route" else "nothing" if words[0] in _NOTHING else ""


def _kind_of_ip(words: list[str]) -> str:
    """The same of ip(8): its objects can be shortened (``ip li set …``), and options stand in front of them."""
    rest = iter(words)
    for word in rest:
        if word in ("-f", "-family"):
            next(rest, "")
        elif not word.startswith("-"):
            return next((kind for name, kind in _IP.items() if name.startswith(word)), "")
        elif word not in _IP_OPTIONS:
            return ""
    return ""


def _text(stanza: _Stanza) -> str:
    return stanza.head.raw + "".join(line.raw for line in stanza.body)


def _ended(raw: str) -> str:
    return raw if raw.endswith("\n") else f"{raw}\n"
