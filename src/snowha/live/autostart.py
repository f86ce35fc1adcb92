"""What starts domains at boot without Pacemaker: whatever xendomains finds in its folder, looked at for what it is.

A relative link, a link through another folder, a copy, a second name of the same file: each starts the domain that its content
names. The folder itself may be a link, also to the folder of the configs.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from posixpath import dirname, join

from snowha.errors import InputError, SiteError
from snowha.hosts.files import KEPT, kept, make_link, remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.live.context import SiteContext, names_in
from snowha.site import domain_config
from snowha.site.model import Domain
from snowha.xen import xendomains


@dataclass(frozen=True)
class Entry:
    """A file or link in the folder."""

    path: str
    real: str
    """Where it is once every link is followed."""
    content: bytes = field(default=b"", repr=False)
    """Nothing where its target is not there."""


@dataclass(frozen=True)
class Autostart:
    """The folder of xendomains, empty where it starts nothing."""

    folder: str = ""
    real_folder: str = ""
    configs: tuple[str, ...] = ()
    """Where the site's configs really are."""
    entries: tuple[Entry, ...] = ()

    @property
    def holds_configs(self) -> bool:
        """Whether it is the folder of the configs itself: what is removed from it is gone."""
        return self.real_folder in {dirname(config) for config in self.configs}


def script() -> str:
    text = resources.files("snowha.live").joinpath("autostart.sh").read_text()
    return read_only_script(xendomains.FUNCTION + text.replace("@folder@", xendomains.AUTO))


def parse(text: str) -> Autostart:
    """What the script prints."""
    rows = [
        (kind, [base64.b64decode(word).decode(errors="surrogateescape") for word in words])
        for kind, *words in _rows(text)
    ]
    folder = next((words for kind, words in rows if kind == "folder"), ["", ""])
    return Autostart(
        folder=folder[0],
        real_folder=folder[1],
        configs=tuple(words[0] for kind, words in rows if kind == "config"),
        entries=tuple(
            Entry(words[0], words[1], "".join(words[2:]).encode(errors="surrogateescape"))
            for kind, words in rows
            if kind == "entry"
        ),
    )


def _rows(text: str) -> list[list[str]]:
    return [line.split(" ") for line in text.split("\n") if line]


def name_of(entry: Entry, domains: Sequence[Domain]) -> str | None:
    """The domain of ``domains`` that an entry would start; None if it is somebody else's."""
    for domain in domains:
        if entry.real == domain.config:
            return domain.name
    text = entry.content.decode(errors="replace")
    try:
        names = {domain_config.parse(text, where=entry.path, path="/x").name.lower()}
    except InputError:
        names = names_in(entry.content)
    return next((domain.name for domain in domains if domain.name.lower() in names), None)


def _query(host: Host, context: SiteContext) -> Autostart:
    configs = [domain.config for domain in context.site.domains]
    return parse(host.run(["sh", "-c", script(), "sh", *configs]).stdout)


def _ours(found: Autostart, context: SiteContext) -> list[Entry]:
    return [entry for entry in found.entries if name_of(entry, context.site.domains)]


def missing(context: SiteContext) -> str | None:
    """What still starts a domain of the site at boot; None if nothing does."""

    def starts(host: Host) -> str | None:
        found = _query(host, context)
        ours = _ours(found, context)
        return f"{found.folder} still starts {len(ours)} domains at boot" if ours else None

    return context.first_missing(starts)


def remove(host: Host, context: SiteContext) -> list[str]:
    """Take the site's domains out; the paths that were removed. Earlier versions are kept.

    Raises SiteError where the folder is that of the configs, and somebody else's domains start from it, too.
    """
    found = _query(host, context)
    ours = _ours(found, context)
    if not ours:
        return []
    paths = [entry.path for entry in ours]
    if found.holds_configs:
        if len(ours) < len(found.entries) or found.folder == found.real_folder:
            raise SiteError(
                f"xendomains starts domains from {found.real_folder}, which is the folder of their configs",
                where=host.name,
                remedy="make a folder of its own for it, with links to the configs of the domains that are not in ha.toml, "
                "and name it in /etc/default/xendomains (XENDOMAINS_AUTO), then run this again",
            )
        paths = [found.folder]
    for path in paths:
        remove_file(host, path)
    return paths


def lost(host: Host, context: SiteContext) -> dict[str, str | bytes]:
    """What was removed and is not there: a link's target, or a file's content, by path."""
    found = _query(host, context)
    there = {entry.path for entry in found.entries}
    folder = found.real_folder or "/etc/xen/auto"
    words = ["find", f"{KEPT}{folder}", "-mindepth", "1", "-maxdepth", "1", "-type", "d", "-printf", "%f\\n"]
    names = host.run(words, check=False).stdout.split("\n")
    result: dict[str, str | bytes] = {}
    for path in [*(f"{folder}/{name}" for name in names if name), *([found.folder] if found.folder else [])]:
        version = next(iter(kept(host, path)), None)
        if version is None or path in there or host.run(["test", "-e", path], check=False).ok:
            continue
        if host.run(["test", "-L", path], check=False).ok:
            continue
        target = join(dirname(path), version.target)
        real = host.run(["readlink", "-m", "-n", "--", target], check=False).stdout or target
        entry = Entry(path, real, version.content)
        if version.target and (path == found.folder or name_of(entry, context.site.domains)):
            result[path] = version.target
        elif not version.target and name_of(entry, context.site.domains):
            result[path] = version.content
    return result


def restore(host: Host, path: str, what: str | bytes) -> None:
    """Put a link or a file back."""
    if isinstance(what, str) and what.startswith("/"):
        make_link(host, path, what)
    elif isinstance(what, str):
        host.run(["ln", "-s", "--", what, path])
    else:
        write_file(host, path, what, mode=0o644)
