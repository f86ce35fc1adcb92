"""docs/ha-toml.md and its sample: a key that nobody explains, or one that is explained wrongly, costs an administrator hours."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from snowha.errors import InputError
from snowha.site.ha_keys import TABLES, File
from snowha.site.ha_reference import document, fields
from snowha.site.ha_toml import parse, render
from snowha.site.toml_tables import declared

DOCS = Path(__file__).parents[3] / "docs"
SAMPLE = (DOCS / "ha.toml.sample").read_text()
KEYS = [(name, key) for name, table in TABLES.items() for key, _, _ in fields(table)]

REFUSED = {
    "cluster.name": ("''", "'a b'", "'-a'", "'abcdefghijklmnop'", "1"),
    "cluster.floating_ip": ("'192.168.8.254'", "'192.168.8.2/24'", "''", "'snow/24'"),
    "cluster.floating_nic": ("'a-name-too-long-for-it'", "''"),
    "cluster.token_ms": ("999", "300001", "'6000'"),
    "paths.snow_conf": ("'snow.conf'", "'/a/../b'", "'/a b'"),
    "paths.domain_configs": ("'domains'", "'/a/../b'", "'/a,b'"),
    "paths.images": ("'images'", "'/a/../b'", "'/a;b'"),
    "images.warm_from_mib": ("-1", "1.5"),
    "alerts.mail": ("'a@b, c@d'", "'-oQ/tmp'", "'a b'", "'a@'", f"'{'a' * 255}'"),
    "alerts.command": ("'page-us'", "'/a/../b'", "'/a b'"),
    "metrics.hacluster_exporter": ("'yes'", "1"),
    "ssh.user": ("''", "'-x'", "'a b'"),
    "ssh.config": ("'-x'", '"a\\nb"'),
    "server.name": ("'snow_01'", "'snow02'", "'deploy01'", f"'{'a' * 64}'"),
    "server.address": ("'192.168.8'", "'192.168.8.2'"),
    "server.links": ("['192.168.8.1']", "['192.168.8.1', 'snow01']", "['192.168.8.1', '10.0.0.2']", "[]", "'10.0.0.1'"),
    "server.fence": ("'fence_ipmilan'", "{ }"),
    "fence.agent": ("'ipmilan'", "'fence_ipmilan;reboot'"),
    "fence.address": ("'10.0.0'", "'10.0.0.102'"),
    "fence.username": ("''", '"a\\nb"'),
    "fence.secret": ("'hunter2'", "'a/../../b'"),
    "fence.cipher": ("-1", "256", "'3'", "3.5"),
    "fence.privilege": ("'root'", "'Operator'", "4"),
    "fence.port": ("0", "65536", "'623'"),
    "fence.lanplus": ("'false'", "0"),
    "fence.options": (
        "['plug=3', 'plug=4']",
        "['Plug=3']",
        "['--plug=3']",
        '["plug=3\\n"]',
        "'plug=3'",
        "['pcmk_delay_max=5']",
        "['method=cycle']",
        "['power_timeout=1']",
        "['hexadecimal_kg=00']",
        "['snmp_priv_passwd=x']",
        "['cipher=3']",
        "['ipport=623']",
    ),
    "mount.source": ("''", "'-o'", "'a b'"),
    "mount.target": ("'sNow'", "'/home'"),
    "mount.fstype": ("''", "'nfs 4'"),
    "mount.options": ("'hard, rw'", "'-o'"),
    "domain.name": ("'12'", "'Domain-0'", "'a--incoming'", "'snow01'", "'slurm01'", f"'{'a' * 64}'"),
    "apart.domains": ("['slurm01']", "['slurm01', 'slurm01']", "['slurm01', 'nobody']"),
}
"""What the page says to be refused: values in TOML's notation, for the first of these keys in the sample."""


def test_the_page_is_what_the_tables_say() -> None:
    """It would explain keys that there are not: python -m snowha.site.ha_reference > docs/ha-toml.md."""
    assert (DOCS / "ha-toml.md").read_text() == document()


def test_a_new_key_cannot_go_without_an_explanation() -> None:
    @dataclass(frozen=True)
    class New:
        key: Annotated[str, "nothing is said of it"]

    with pytest.raises(ValueError, match=r"New\.key"):
        list(fields(New))


def test_every_table_of_the_file_is_in_the_page() -> None:
    """A table that the file takes and the page does not have could be found by nobody."""
    assert set(declared(File)) | {"fence"} == set(TABLES)


def test_the_sample_is_taken_and_uses_every_key() -> None:
    """Who starts from it would meet an error in the first line, or never hear of a key."""
    ha = parse(SAMPLE, where="ha.toml.sample")
    assert parse(render(ha), where="ha.toml") == ha
    data = tomllib.loads(SAMPLE)
    data["fence"] = [server["fence"] for server in data["server"]]
    used = {
        (name, key)
        for name, tables in data.items()
        for table in (tables if isinstance(tables, list) else [tables])
        for key in table
    }
    assert used == set(KEYS)


def test_the_sample_tells_the_defaults_that_there_are() -> None:
    """It says `unless it is said here` of a number that is another one meanwhile."""
    data = tomllib.loads(SAMPLE)
    for (
        name,
        key,
    ) in (("cluster", "token_ms"), ("images", "warm_from_mib")):
        default = declared(TABLES[name])[key].default
        assert data[name][key] == default
        assert f"{default} unless it is said here" in SAMPLE


@pytest.mark.parametrize(("name", "key"), KEYS)
def test_what_the_page_calls_refused_is_refused(name: str, key: str) -> None:
    """The page would promise a check that is not made, or a key would have come without one."""
    for value in REFUSED[f"{name}.{key}"]:
        with pytest.raises(InputError) as caught:
            parse(_with(name, key, value), where="ha.toml")
        assert caught.value.where.startswith("ha.toml:"), f"{value}: {caught.value.where}"
        assert caught.value.remedy, value


def _with(name: str, key: str, value: str) -> str:
    """The sample with ``value`` for the key in the first table ``name``."""
    opening = r"^fence = \{" if name == "fence" else rf"^\[+{name}\]+$"
    begin = re.search(opening, SAMPLE, re.MULTILINE)
    assert begin is not None
    old = re.compile(rf"(?<=[ \n]){key} = (\{{.*?\}}|\[.*?\]|\".*?\"|\d+|true|false)")
    return SAMPLE[: begin.end()] + old.sub(lambda _: f"{key} = {value}", SAMPLE[begin.end() :], count=1)
