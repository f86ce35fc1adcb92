"""Lines added to a file of a server, none of it replaced."""

from __future__ import annotations

from collections.abc import Sequence

from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host


def add_lines(host: Host, path: str, lines: Sequence[str], *, mode: int) -> None:
    """Append those of ``lines`` that ``path`` does not have."""
    text = read_text(host, path) or ""
    added = "".join(f"{line}\n" for line in absent_lines(text, lines))
    if added:
        separator = "" if not text or text.endswith("\n") else "\n"
        write_file(host, path, text + separator + added, mode=mode)


def absent_lines(text: str, lines: Sequence[str]) -> list[str]:
    """Those of ``lines`` that ``text`` does not have, each once."""
    present = {line.strip() for line in text.splitlines()}
    return [line for line in dict.fromkeys(lines) if line not in present]
