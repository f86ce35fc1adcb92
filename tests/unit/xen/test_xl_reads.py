"""xl is asked whether it can read a config; here its place is taken by a program that says what it got."""

from __future__ import annotations

from pathlib import Path

import pytest

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.hosts.read_only import is_read_only
from snowha.xen import xl

TEXT = "name = 'deploy01'\r\n# no newline at the end"


def host_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> LocalHost:
    (tmp_path / "xl").write_text(f"#!/bin/sh\n{script}")
    (tmp_path / "xl").chmod(0o755)
    monkeypatch.setattr(
        xl, "READS", xl.READS.replace("xl create", f"{tmp_path}/xl create").replace("/run/", f"{tmp_path}/")
    )
    return LocalHost()


def test_the_config_arrives_byte_for_byte_in_a_regular_file_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = tmp_path / "got"
    script = f'echo "$1 $2 $3" > {got}.words; [ -f "$4" ] && cp -- "$4" {got}\n'
    xl.check_reads(host_with(tmp_path, monkeypatch, script), "deploy01", TEXT, what="it")
    assert got.read_bytes() == TEXT.encode()
    assert (tmp_path / "got.words").read_text() == "create --quiet --dryrun\n", "it would be started"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "got.words", "xl"]


def test_what_xl_says_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_with(tmp_path, monkeypatch, 'echo "$4:2: config parsing error near end of file" >&2; exit 1\n')
    with pytest.raises(SiteError, match="xl cannot read the new config: config:2: config parsing error") as raised:
        xl.check_reads(host, "deploy01", TEXT, what="the new config")
    assert "deploy01" in raised.value.remedy and [path.name for path in tmp_path.iterdir()] == ["xl"]


def test_a_plan_asks_as_well() -> None:
    """It changes nothing, so `snow ha plan` finds it too."""
    assert is_read_only(["sh", "-c", xl.READS, "sh"])
