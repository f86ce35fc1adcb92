"""Files as they were before: from the versions that were kept whenever one was changed."""

from __future__ import annotations

from collections.abc import Callable

from snowha.errors import SiteError
from snowha.hosts.files import KEPT, Kept, kept, read_text
from snowha.hosts.host import Host
from snowha.live.context import SiteContext


def before(context: SiteContext, path: str, is_ours: Callable[[str], bool]) -> str | None:
    """The newest kept version of a shared file that is not ours, wherever it was kept; None if there is none.

    The newest and not the first: it may have been put back before, changed by its administrator, and changed by us again. Each
    server counts for itself, so versions of two servers cannot be compared: the first one's count before those of others, since
    it is the one that such files are changed through.
    """
    by_server = context.on_all(lambda host: kept(host, path))
    found = (_newest(list(by_server[name]), is_ours) for name in context.hosts)
    return next((text for text in found if text is not None), None)


def before_on(host: Host, path: str, is_ours: Callable[[str], bool]) -> str | None:
    """The same of a server's own file."""
    return _newest(list(kept(host, path)), is_ours)


def _newest(versions: list[Kept], is_ours: Callable[[str], bool]) -> str | None:
    for version in sorted(versions, key=lambda one: one.name, reverse=True):
        try:
            text = version.content.decode()
        except UnicodeDecodeError:
            continue
        if not version.target and not is_ours(text):
            return text
    return None


def not_kept(path: str, where: str, *, otherwise: str = "restore the file from your backup") -> SiteError:
    """The error for a file of which no earlier version is there. ``otherwise``: what to do if there is none anywhere."""
    return SiteError(
        f"no earlier version of {path} was kept",
        where=where,
        remedy=f"look in {KEPT}{path} on every server; else {otherwise}",
    )


def changed_since(path: str, where: str) -> SiteError:
    """The error for a file that somebody has changed after us."""
    return SiteError(
        f"{path} was changed by somebody else since, so it is not restored",
        where=where,
        remedy=f"compare it with the newest version in {KEPT}{path}, and restore by hand what you need",
    )


def without_lines(host: Host, path: str, unwanted: Callable[[str], bool]) -> str | None:
    """The file without those lines; None if it has none of them, or is not there."""
    text = read_text(host, path)
    if text is None:
        return None
    lines = text.splitlines(keepends=True)
    left = [line for line in lines if not unwanted(line.strip())]
    return "".join(left) if len(left) < len(lines) else None
