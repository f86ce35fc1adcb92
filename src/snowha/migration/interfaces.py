"""/etc/network/interfaces (interfaces(5)): put a bridge between a card and its address. Pure text."""

from __future__ import annotations

import re

from snowha.errors import SiteError


def with_bridge(text: str, *, card: str, bridge: str, where: str) -> str:
    """The file with ``bridge`` having what ``card`` had, and ``card`` in it. Unchanged if ``bridge`` is there already.

    Raises SiteError when the file does not configure ``card`` with a static address.
    """
    if re.search(rf"^\s*iface\s+{re.escape(bridge)}\s", text, re.M):
        return text
    stanza = re.search(rf"^([ \t]*)iface\s+{re.escape(card)}\s+inet\s+static[ \t]*\n", text, re.M)
    if not stanza:
        raise SiteError(
            f"{card} has no static address there, so {bridge} cannot be put in its place",
            where=where,
            remedy=f"configure the bridge {bridge} with {card} in it by hand, then run this again",
        )
    options = "".join(f"    bridge_{key} {value}\n" for key, value in (("ports", card), ("stp", "off"), ("fd", "0")))
    head = f"iface {card} inet manual\n\n{stanza[1]}iface {bridge} inet static\n{options}"
    changed = text[: stanza.start()] + head + text[stanza.end() :]
    auto = re.compile(rf"^([ \t]*(?:auto|allow-hotplug)\b[^\n]*?)\b{re.escape(card)}\b", re.M)
    return auto.sub(lambda match: re.sub(r"allow-hotplug", "auto", match[1]) + bridge, changed)
