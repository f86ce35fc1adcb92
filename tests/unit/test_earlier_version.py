"""What an earlier version wrote to disk is read by this one. Recorded with that version, in ``recorded/earlier``."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from snowha.errors import InputError
from snowha.images import verify
from snowha.images.job import Options
from snowha.plan import saved_plan
from snowha.plan.journal import LOST, Journal
from snowha.site import ha_toml

EARLIER = Path(__file__).with_name("recorded") / "earlier"


def test_a_journal_is_read_and_gone_on_with(tmp_path: Path) -> None:
    """An upgrade in the middle of a migration would lose what was done, and what a lost run was in the middle of."""
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((EARLIER / "journal.sql").read_text())
    with Journal(path) as journal:
        assert [(run.who, run.outcome) for run in journal.runs()] == [("root", "done"), ("root", "")]
        assert [(entry.step, entry.what) for entry in journal.entries(1)] == [
            ("images.deploy01", "started"),
            ("images.deploy01", "done"),
        ]
        assert [(done.host, done.text, done.status) for done in journal.commands(1)] == [
            ("snow01", "xl shutdown -w deploy01", 0)
        ]
        assert journal.last_facts("images.deploy01") == {"bytes": 4096}
        assert journal.seconds("images.deploy01") == (12.5,)
        assert journal.unfinished() == ("corosync.start",)
        assert journal.questions() == {"snow01": (("true",),)}
        with journal.exclusive():
            assert journal.begin() == 3
        assert [run.outcome for run in journal.runs()][:2] == ["done", LOST]


def test_an_image_is_verified_against_its_manifest(tmp_path: Path) -> None:
    """Every image that was copied before an upgrade would count as unproven, and could not be brought back."""
    image = tmp_path / "deploy01-disk"
    content = bytearray(1 << 20)
    content[:8192] = bytes(range(256)) * 32
    content[400000:600000] = bytes(number * 7 & 255 for number in range(200000))
    image.write_bytes(content)
    shutil.copy(EARLIER / "deploy01-disk.manifest", f"{image}.manifest")
    done = verify.verify(str(image), lambda event: None, Options())
    assert done["verified"] is True and done["bytes"] == len(content)


def test_ha_toml_is_read() -> None:
    """A site that runs could not be looked at after an upgrade."""
    ha = ha_toml.parse((EARLIER / "ha.toml").read_text(), where="ha.toml")
    assert [(server.name, server.address, server.links) for server in ha.servers] == [
        ("snow01", "192.168.8.1", ("192.168.8.1", "10.0.0.1")),
        ("snow02", "192.168.8.2", ("192.168.8.2", "10.0.0.2")),
    ]
    assert [server.fence.secret for server in ha.servers if server.fence] == ["ha.secrets/ipmi"] * 2
    assert ha.domains == ("deploy01", "slurm01") and ha.apart == (("deploy01", "slurm01"),)
    assert ha.floating_ip is not None and ha.floating_ip.address == "192.168.8.254"
    assert [mount.target for mount in ha.mounts] == ["/sNow"]
    assert (ha.token_ms, ha.warm_from_mib, ha.ssh.user) == (6000, 4096, "root")


def test_a_saved_plan_is_refused_with_the_reason() -> None:
    """A plan of other steps than this version's would be applied, or refused as damaged although it is whole."""
    with pytest.raises(InputError, match="another version of snow-ha") as refused:
        saved_plan.read(EARLIER / "plan.json")
    assert "snow ha plan --save" in refused.value.remedy
