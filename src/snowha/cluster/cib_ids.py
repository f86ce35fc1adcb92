"""Ids in a CIB: each may be there only once (XML's type ID), and those of parts are made of names that may hold any sign that
stands between them. Resources keep theirs, since constraints and commands name them; a part that would have a taken id gets
another one."""

from __future__ import annotations

import hashlib

from lxml import etree

_NAMED = ("primitive", "group", "clone", "bundle", "node", "template")
"""Elements whose ids are their names."""


def make_unique(root: etree._Element) -> None:
    """Give each element below ``root`` an id of its own: ``x.params`` of a domain ``x`` where another domain is called so."""
    taken = {element.get("id") for element in root.iter(*_NAMED)}
    for element in root.iter(etree.Element):
        name = element.get("id")
        if name is None or element.tag in _NAMED:
            continue
        if name in taken:
            name = f"{name}.{_digest(element)}"
            element.set("id", name)
        taken.add(name)


def _digest(element: etree._Element) -> str:
    """The same at each run, whatever else there is: from what the element says, and from whose it is."""
    parents = [str(parent.get("id")) for parent in element.iterancestors()]
    words = [str(element.tag), *parents, *(f"{key!s}={value!s}" for key, value in sorted(element.attrib.items()))]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
