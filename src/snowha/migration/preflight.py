"""What must be so before anything is changed: the site is looked at once, and what forbids going on is one message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snowha.errors import InputError
from snowha.hosts import user_file
from snowha.hosts.hidden import hide
from snowha.migration.checks import judge, look
from snowha.migration.ground import Ground
from snowha.site import rules
from snowha.site.rules import Finding


def read_secret(path: str, *, base: Path) -> str:
    """A BMC's password from its file: mode 0600, in a folder that is nobody else's, one line. Raises InputError."""
    user_file.check_private_folder((base / path).parent)
    return read_password(
        base / path, remedy="write the BMC's password into it, mode 0600; or correct `secret` in ha.toml"
    )


def read_password(file: Path, *, remedy: str) -> str:
    """The first line of a file that nobody else can read. ``remedy``: if it is not there. Raises InputError."""
    text = user_file.read(file, what="a BMC's password", remedy=remedy, private=True)
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise InputError("no password in it", where=str(file), remedy="write the BMC's password into its first line")
    return hide(password)


def check(ground: Ground, passwords: Mapping[str, str]) -> tuple[Finding, ...]:
    """Raise what forbids going on; else the findings that do not. ``passwords``: of the BMCs. Nothing is changed."""
    findings = judge.judge(ground.site, look.gather_facts(ground, passwords))
    rules.raise_on_stop(findings, judge.error_of)
    return findings
