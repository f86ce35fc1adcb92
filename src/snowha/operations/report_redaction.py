"""Secrets removed from text that leaves the site: what is known to be one, and what stands where one stands.

What is removed in error costs a reader a word. What is left in error is a password given away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from snowha.hosts.redaction import HIDDEN, redact

_NAME = (
    r"(?:[\w.-]{0,80}(?:passw(?:or)?d|passphrase|secret|credential|token|(?:api|auth|private)[_-]?key|community)[\w.-]{0,80}"
    r"|[\w.-]{0,80}(?:(?<!by)(?<!com)pass|pwd?|psk)(?![\w.-]))"
)
_NOT_SECRET = re.compile(r".*(?:script|file|path)", re.IGNORECASE)
"""Names that have a path: ``password_script`` of a fence device."""
_KEY = re.compile(_NAME, re.IGNORECASE)
_MORE = r"""(?:"[^"\n]*"|'[^'\n]*'|\w)*"""
"""What a shell takes for the same word, behind a quote that ends."""
_QUOTED = rf"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'){_MORE}"""
_BARE = r"""(?:\\[ \t]|[^\s,;<>"']|[,;](?=\S)(?![\w.-]+\s*[=:])|["'<>](?=\w))+"""
"""A value without quotes. A comma ends it where another name follows; quotes and brackets where no letter does, as in XML."""
_ASSIGNED = re.compile(
    rf"""(?P<name>['"]?\b{_NAME}['"]?)(?P<sign>\s*[=:]\s*)(?P<value>{_QUOTED}|{_BARE})""", re.IGNORECASE
)
_WHOLE = re.compile(
    rf"""(?P<name>(?P<quote>['"])-{{0,2}}{_NAME})(?P<sign>=)(?P<value>[^'"\n]*(?P=quote){_MORE})""", re.IGNORECASE
)
"""As a shell quotes both: ``'PASSWORD=a b'``."""
_TAG = re.compile(rf"""<[^<>]*\bname=(["'])(?P<name>{_NAME})\1[^<>]*>""", re.IGNORECASE)
_VALUE = re.compile(r"""(\bvalue=)("[^"]*"|'[^']*')""")
_ELEMENT = re.compile(rf"(<{_NAME}>)[^<>]+(?=</)", re.IGNORECASE)
_OPTION = re.compile(
    rf"""(?<!\S)(--{_NAME})(\s+)((?:"[^"]*"|'[^']*'){_MORE}|[^\s-](?:(?<=\\)[ \t]|\S)*)""", re.IGNORECASE
)
_WORD = rf"""((?!["']?\*\*\*|-[a-z][ \t]|--[a-z])(?:(?:"[^"\n]*"|'[^'\n]*'){_MORE}|(?:\\[ \t]|\S)+))"""
"""Another option is none: ``-P`` of fence_ipmilan has no value."""
_BEHIND = tuple(
    re.compile(before + _WORD, re.IGNORECASE | re.MULTILINE)
    for before in (
        r"(\b(?:ipmitool|fence_\w+|sshpass|mysql\w*)\b[^\n]{0,400}?[ \t]-[pky][ \t]*)",
        r"(\bipmitool\b[^\n]{0,400}?[ \t]user[ \t]+set[ \t]+password[ \t]+\d+[ \t]+)",
        r"(\b(?:curl|wget)\b[^\n]{0,400}?[ \t](?:-u|--(?:proxy-)?user)[ \t=]*)",
        r"(\bldap\w+\b[^\n]{0,400}?[ \t]-w[ \t]*)",
        r"(\b(?:smbclient|rpcclient|mount\.cifs)\b[^\n]{0,400}?[ \t]-U[ \t]*[^\s%]+%)",
        r"(^\s*(?:bind|root|admin|user)_?(?:pw|passwd|password)[ \t]+)",  # ldap.conf(5), slapd.conf(5)
        r"(\bpassw(?:or)?d for \S+?[ \t]*[:=][ \t]*)",
        r"(\bauthorization[ \t]*[:=][ \t]*\w+[ \t]+)",
        r"(\bbearer[ \t]+)",
    )
)
"""What stands before a secret that no ``=`` names: options of commands, files of LDAP, headers of HTTP. An option is at most 400
characters behind its command: without a limit, a line that repeats the command takes the square of its length."""
_TOLD = re.compile(r"(\b[\w.-]{1,80}:)\S{1,200}(?=\s*\|\s*(?:sudo\s+)?chpasswd\b)")
_COROSYNC_KEY = re.compile(r"^(\s*key\s*:\s*).+$", re.MULTILINE)
_URL = re.compile(r"""(\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@"'<>]{0,200}:)[^\s"'<>]{1,500}(@)""", re.IGNORECASE)
_URL_TOKEN = re.compile(r"""(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/:@"'<>]{20,500}(@)""", re.IGNORECASE)
"""In place of a user: longer than names of users are."""
_HASH = re.compile(
    r"\$(?:1|2[abxy]?|5|6|7|y|gy|apr1|sha1|argon2\w*)\$[\w./+$=,*-]{8,}"  # crypt(5)
    r"|\{(?:S?SHA\d*|S?MD5|CRYPT|PBKDF2[\w-]*)\}[\w./+$=]{6,}",  # RFC 2307, userPassword
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_SHORTEST = 4
"""Characters of a value that is looked for in all other files; a shorter one would also be found in what is none."""
_COMMON = frozenset({"true", "false", "none", "null", "default", "unknown", "required", "optional", "prompt"})
"""Values that would be, too."""


def values(text: str) -> set[str]:
    """What ``text`` gives as a secret under a name that says so, to be removed elsewhere as well."""
    found = {_bare(match["value"]) for match in _ASSIGNED.finditer(text) if _is_secret(match["name"], match["value"])}
    for tag in _TAG.finditer(text):
        found |= {_bare(match[2]) for match in _VALUE.finditer(tag[0]) if _is_secret(tag["name"], match[2])}
    return {one for one in found if len(one) >= _SHORTEST and one != HIDDEN and one.lower() not in _COMMON}


def without(text: str, known: Iterable[str]) -> str:
    """``text`` without the ``known`` secrets, and without what stands where a secret stands."""
    text = redact(text, sorted(known, key=len, reverse=True))
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _TAG.sub(_hide_tag, text)
    text = _ELEMENT.sub(rf"\g<1>{HIDDEN}", text)
    for url in (_URL, _URL_TOKEN):
        text = url.sub(rf"\g<1>{HIDDEN}\g<2>", text)
    text = _HASH.sub(HIDDEN, text)
    text = _OPTION.sub(_hide_option, text)
    for pattern in _BEHIND:
        count = 1
        while count:  # the command stands once before several of its options
            text, count = pattern.subn(lambda match: f"{match[1]}{_hidden(match[2])}", text)
    text = _WHOLE.sub(_hide_whole, text)
    text = _ASSIGNED.sub(_hide_assigned, text)
    text = _TOLD.sub(rf"\g<1>{HIDDEN}", text)
    return _COROSYNC_KEY.sub(rf"\g<1>{HIDDEN}", text)


def in_data(data: object, known: Iterable[str]) -> object:
    """The same of what becomes JSON: removed before it is written, so that it stays JSON."""
    known = tuple(known)
    if isinstance(data, str):
        return without(data, known)
    if isinstance(data, Mapping):
        return {without(str(key), known): _hidden_below(str(key), in_data(value, known)) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [in_data(one, known) for one in data]
    return data


def _hidden_below(key: str, value: object) -> object:
    """``value`` if ``key`` names no secret; else the same with its texts hidden, also those of a list."""
    if _KEY.fullmatch(key) and isinstance(value, list):
        return [_hidden_below(key, one) for one in value]
    return HIDDEN if isinstance(value, str) and _KEY.fullmatch(key) and _is_secret(key, value) else value


def _is_secret(name: str, value: str) -> bool:
    """``secret`` of ha.toml names a file, ``PWD`` of an environment a folder, and ``token…`` of Corosync is a number: none of
    these is one."""
    name, value = _bare(name).lower().lstrip("-"), _bare(value)
    if name == "secret":
        return "/" not in value
    if name in ("pwd", "oldpwd"):
        return not value.startswith("/")
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


def _hide_whole(match: re.Match[str]) -> str:
    if not _is_secret(match["name"][1:], match["value"].partition(match["quote"])[0]):
        return match[0]
    return f"{match['name']}={HIDDEN}{match['quote']}"


def _hide_tag(match: re.Match[str]) -> str:
    def hide(value: re.Match[str]) -> str:
        return f"{value[1]}{_hidden(value[2])}" if _is_secret(match["name"], value[2]) else value[0]

    return _VALUE.sub(hide, match[0])


def _hide_option(match: re.Match[str]) -> str:
    name, blank, value = match.groups()
    return f"{name}{blank}{_hidden(value)}" if _is_secret(name, value) else match[0]
