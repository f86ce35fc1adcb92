"""``ha.toml`` on every server, so that each verb works on any of them, from any folder, whichever other server is lost."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path, PurePosixPath

from snowha.errors import InputError, SiteError
from snowha.hosts import user_file
from snowha.hosts.files import exists, make_dir, read_text, remove_file, write_file
from snowha.hosts.host import Host
from snowha.hosts.ssh import SshHost, runtime_folder
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter, Step
from snowha.site import definition, ha_toml
from snowha.site.model import Ssh
from snowha.site.names import check_address

STEP = "pacemaker.definition"


def steps(context: SiteContext) -> list[Step]:
    """One step; none for a site that was read from no file."""
    if not context.definition.text:
        return []
    return [
        Step(
            id=STEP,
            title="Copy ha.toml to every server",
            section="pacemaker",
            check=partial(missing, context),
            apply=partial(write, context),
            needs=("pacemaker.cib",),
        )
    ]


def missing(context: SiteContext) -> str | None:
    """The first server that does not keep the ha.toml of ``context``, with the reason; None if all do."""
    wanted = definition.body(context.definition.text)

    def wrong(host: Host) -> str | None:
        text = read_text(host, definition.PATH)
        copy = None if text is None else definition.read(text)
        if copy is None:
            return (
                f"{definition.PATH} does not exist" if text is None else f"{definition.PATH} was not written by snow-ha"
            )
        if copy.body != wanted:
            return f"{definition.PATH} differs"
        return None if copy.is_whole else f"{definition.PATH} was edited there"

    return context.first_missing(wrong)


def write(context: SiteContext, reporter: Reporter) -> None:
    """Bring it to every server. Earlier versions are kept."""

    def keep(host: Host) -> None:
        reporter.say(f"{host.name}: writing {definition.PATH}")
        make_dir(host, str(PurePosixPath(definition.PATH).parent), mode=0o755)
        write_file(host, definition.PATH, context.definition.text, mode=0o644, owner="root:root")

    context.on_all(keep)


def kept_text(host: Host) -> str:
    """What a server keeps; empty if that is nothing."""
    return read_text(host, definition.PATH) or ""


def refuse_older(host: Host, text: str, where: str, *, file: Path | None = None) -> None:
    """Raise SiteError if ``host`` keeps a newer ha.toml than the copy ``text``: a server that was away when that was applied must
    not bring the old one back, nor a workstation whose ``file`` nobody has changed since."""
    mine, theirs = definition.read(text), definition.read(kept_text(host))
    if mine and theirs and theirs.is_whole and theirs.body != mine.body and theirs.edited > mine.edited:
        newer = f"to use the newer one: --site {host.name}"
        touch = file and shlex.join(["touch", "-d", theirs.edited, str(file)])
        raise SiteError(
            f"{host.name} keeps a newer one, edited {theirs.edited}; this one was edited {mine.edited}",
            where=where,
            remedy=f"{newer}; to replace it: {touch}" if touch else newer,
        )


def kept(context: SiteContext) -> str | None:
    """What there is for an undo to take back."""
    return context.first_missing(lambda host: f"{definition.PATH} exists" if exists(host, definition.PATH) else None)


def remove(context: SiteContext, reporter: Reporter) -> None:
    """Take it from every server. An earlier version is kept."""
    context.on_all(lambda host: remove_file(host, definition.PATH))


def fetch(server: str, ssh_config: str) -> Path:
    """The site's ha.toml as ``server`` keeps it, brought to this machine. Raises InputError, UnreachableError."""
    host = SshHost(server, check_address(server, where="--site"), Ssh(config=ssh_config))
    where = f"{server}:{definition.PATH}"
    text = read_text(host, definition.PATH)
    if text is None:
        raise InputError(
            "this server does not keep an ha.toml",
            where=where,
            remedy="use the file that you have: --file FILE; `snow ha apply` with it copies it to the servers",
        )
    ha_toml.parse(text, where=where)
    folder = runtime_folder() / f"site-{server}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / PurePosixPath(definition.PATH).name
    if definition.read(text) is None:
        text = definition.copy_of(text, 0)
    user_file.write(path, text, mode=0o600)
    return path
