"""Which commands only look. Whatever is not known to is taken for one that changes something."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import dropwhile

from snowha.hosts.batch import LIMITED
from snowha.hosts.files import call_of

_ALWAYS = frozenset(
    {"true", "cat", "test", "stat", "ls", "findmnt", "dpkg-query", "getent", "sha256sum", "ping", "uname", "pgrep"}
    | {"crm_mon", "crm_verify", "corosync-quorumtool"}
    | {"lvs", "vgs", "pvs", "lsblk", "df", "nproc", "readlink", "ifquery"}
)
_WORDS: dict[str, frozenset[str]] = {
    "xl": frozenset({"list", "info", "vm-list"}),
    "systemctl": frozenset({"is-active", "is-enabled", "show"}),
    "corosync-cfgtool": frozenset({"-s"}),
    "blkid": frozenset({"-p"}),
    "blockdev": frozenset({"--getsize64"}),
    "losetup": frozenset({"--list"}),
    "dpkg": frozenset({"--audit"}),
    "cibadmin": frozenset({"--query"}),
    "dmsetup": frozenset({"info", "status", "table", "ls"}),
    "crm_resource": frozenset({"--wait"}),
    "/usr/lib/snow-ha/snow-lease": frozenset({"list"}),
}
_ours: set[str] = set()
_FIND_ACTS = ("-delete", "-exec", "-execdir", "-ok", "-fprint")
_PLAIN = r"[^;|&<>`$]*"
_LOOKING_SCRIPT = re.compile(
    rf'(?:cat|ls) {_PLAIN}(?:"\$1")?{_PLAIN}(?:>/dev/null)?(?: ?2>/dev/null| ?2>&1)?(?: \|\| true)?'
)


def read_only_script(script: str) -> str:
    """``script`` itself, a fixed one of ours that changes nothing on the host that runs it."""
    _ours.add(script)
    return script


_BATCH = re.compile(r"printf '\\n%s %d\\n' (snow-ha-[0-9a-f]+) \$\?\n")


def batch_of(argv: Sequence[str], input: str | bytes) -> list[list[str]] | None:
    """The commands that are given to one shell over its standard input, each with a mark after it; None for all else."""
    text = input if isinstance(input, str) else input.decode(errors="replace")
    match = _BATCH.search(text) if list(argv) == ["sh"] else None
    if match is None:
        return None
    after = f" < /dev/null\nprintf '\\n%s %d\\n' {match[1]} $?\nprintf '\\n%s\\n' {match[1]} >&2\n"
    *commands, rest = text.split(after)
    return None if rest else [shlex.split(command) for command in commands]


def is_read_only(argv: Sequence[str], input: str | bytes = b"") -> bool:
    """Whether ``argv`` is known to change nothing on the host that runs it."""
    if tuple(argv[: len(LIMITED)]) == LIMITED:
        argv = argv[len(LIMITED) + 1 :]
    if call := call_of(argv, input):
        return not call.changes
    words = list(argv)
    batch = batch_of(argv, input)
    if batch is not None:
        return all(is_read_only(one) for one in batch)
    if words[0] == "env":
        words = list(dropwhile(lambda word: "=" in word, words[1:])) or ["env"]
    name, rest = words[0], words[1:]
    if name in _ALWAYS:
        return True
    if name in _WORDS:
        return bool(_WORDS[name] & set(rest[:1]))
    if name == "sh" and rest[:1] == ["-c"] and len(rest) > 1:
        return rest[1] in _ours or bool(_LOOKING_SCRIPT.fullmatch(rest[1]))
    if name == "perl" and rest[:2] == ["-", "list"]:  # snow-lease, where it is not installed
        return (input if isinstance(input, str) else input.decode(errors="replace")) in _ours
    if name == "ip":
        return not {"add", "del", "set", "replace", "flush"} & set(rest)
    if name == "find":
        return not any(word.startswith(_FIND_ACTS) for word in rest)
    if name == "ssh":
        return rest[-1:] == ["true"]
    if name.startswith("fence_"):
        return "--action=status" in rest
    return False
