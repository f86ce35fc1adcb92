"""Secrets removed from text that leaves the site: what is known to be one, and what stands where one stands.

What is removed in error costs a reader a word. What is left in error is a password given away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from snowha.hosts.redaction import HIDDEN, redact

_NAME = r"[\w.-]*(?:passw(?:or)?d|passphrase|secret|credential|token|api_?key|auth_?key|community)[\w.-]*"
_NOT_SECRET = re.compile(r".*(?:script|file|path)", re.IGNORECASE)
"""Names that have a path: ``password_script`` of a fence device."""
_KEY = re.compile(_NAME, re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"""(?P<name>['"]?\b{_NAME}['"]?)(?P<sign>\s*[=:]\s*)(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,;<>"']+)""",
    re.IGNORECASE,
)
_TAG = re.compile(rf"""<[^<>]*\bname=(["'])(?P<name>{_NAME})\1[^<>]*>""", re.IGNORECASE)
_VALUE = re.compile(r"""(\bvalue=)("[^"]*"|'[^']*')""")
_OPTION = re.compile(rf"""(?<!\S)(--{_NAME})(\s+)("[^"]*"|'[^']*'|[^\s-]\S*)""", re.IGNORECASE)
_SHORT = re.compile(r"""(\b(?:ipmitool|fence_\w+)\b[^\n]*?\s-[pP]\s*)("[^"]*"|'[^']*'|\S+)""")
_COROSYNC_KEY = re.compile(r"^(\s*key\s*:\s*).+$", re.MULTILINE)
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(@)", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_SHORTEST = 4
"""Characters of a value that is looked for in all other files; a shorter one would also be found in what is none."""


def values(text: str) -> set[str]:
    """What ``text`` gives as a secret under a name that says so, to be removed elsewhere as well."""
    found = {_bare(match["value"]) for match in _ASSIGNED.finditer(text) if _is_secret(match["name"], match["value"])}
    for tag in _TAG.finditer(text):
        found |= {_bare(match[2]) for match in _VALUE.finditer(tag[0]) if _is_secret(tag["name"], match[2])}
    return {value for value in found if len(value) >= _SHORTEST and value != HIDDEN}


def without(text: str, known: Iterable[str]) -> str:
    """``text`` without the ``known`` secrets, and without what stands where a secret stands."""
    text = redact(text, sorted(known, key=len, reverse=True))
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _TAG.sub(_hide_tag, text)
    text = _ASSIGNED.sub(_hide_assigned, text)
    for pattern in (_OPTION, _SHORT):
        text = pattern.sub(_hide_last, text)
    text = _COROSYNC_KEY.sub(rf"\g<1>{HIDDEN}", text)
    return _URL.sub(rf"\g<1>{HIDDEN}\g<2>", text)


def in_data(data: object, known: Iterable[str]) -> object:
    """The same of what becomes JSON: removed before it is written, so that it stays JSON."""
    known = tuple(known)
    if isinstance(data, str):
        return without(data, known)
    if isinstance(data, Mapping):
        return {
            without(str(key), known): HIDDEN
            if isinstance(value, str) and _KEY.fullmatch(str(key)) and _is_secret(str(key), value)
            else in_data(value, known)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [in_data(one, known) for one in data]
    return data


def _is_secret(name: str, value: str) -> bool:
    """``secret`` of ha.toml names a file, and ``token…`` of Corosync is a number: neither is one."""
    name, value = _bare(name).lower().lstrip("-"), _bare(value)
    if name == "secret":
        return "/" not in value
    return _NOT_SECRET.fullmatch(name) is None and not (name.startswith("token") and value.isdecimal())


def _bare(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value.strip("\"'")


def _hidden(value: str) -> str:
    """As the value was quoted, so that JSON stays JSON."""
    quote = value[0] if value[0] in "\"'" else ""
    return f"{quote}{HIDDEN}{quote}"


def _hide_assigned(match: re.Match[str]) -> str:
    if not _is_secret(match["name"], match["value"]):
        return match[0]
    return f"{match['name']}{match['sign']}{_hidden(match['value'])}"


def _hide_tag(match: re.Match[str]) -> str:
    def hide(value: re.Match[str]) -> str:
        return f"{value[1]}{_hidden(value[2])}" if _is_secret(match["name"], value[2]) else value[0]

    return _VALUE.sub(hide, match[0])


def _hide_last(match: re.Match[str]) -> str:
    *before, value = match.groups()
    return f"{''.join(before)}{_hidden(value)}" if len(before) < 2 or _is_secret(before[0], value) else match[0]
