"""The shape of ha.toml: what was mistyped must be named with its place, never taken for something else."""

from __future__ import annotations

import pytest

from snowha.errors import InputError
from snowha.site.ha_toml import parse

CLUSTER = '[cluster]\nname = "snow"\n'
PATHS = '[paths]\nsnow_conf = "/a"\ndomain_configs = "/b"\nimages = "/c"\n'


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "cluster is missing; paths is missing", ""),
        (f"{CLUSTER}token_ms = true\n{PATHS}", "cluster.token_ms must be a whole number, without quotes", ":3"),
        (f"{CLUSTER}token_ms = 6000.0\n{PATHS}", "cluster.token_ms must be a whole number, without quotes", ":3"),
        (f"{CLUSTER}floating_ip = 1979-05-27\n{PATHS}", "cluster.floating_ip must be a string in quotes", ":3"),
        (f"cluster = 1\n{PATHS}", "cluster must be a table", ":1"),
        (f"{CLUSTER}{PATHS}[server]\nname = 'a'", "server must be a list of tables, each under [[server]]", ":7"),
        (f"mount = [1]\n{CLUSTER}{PATHS}", "mount.1 must be a table", ":1"),
        (f"{CLUSTER}{PATHS}[[apart]]\ndomains = 'a'", "apart.1.domains must be a list, [ … ]", ":8"),
        (f"{CLUSTER}{PATHS}[[apart]]\ndomains = ['a', 1]", "apart.1.domains.2 must be a string in quotes", ":8"),
        (f"{CLUSTER}{PATHS}[[domain]]\n[[domain]]", "domain.1.name is missing; domain.2.name is missing", ":7"),
        (
            f"{CLUSTER}{PATHS}[[server]]\nname = 'a'\naddress = 'b'\nlinks = []\nfence = {{ agnt = 'x' }}",
            "server.1.fence.agent is missing; server.1.fence.address is missing; server.1.fence.username is missing; "
            "server.1.fence.secret is missing; unknown key server.1.fence.agnt (did you mean 'agent'?)",
            ":11",
        ),
        (f"[clustr]\n{CLUSTER}{PATHS}", "unknown key clustr (did you mean 'cluster'?)", ":1"),
    ],
)
def test_every_mistake_is_named_with_its_place(text: str, message: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, where="ha.toml")
    assert caught.value.message == message
    assert caught.value.where == f"ha.toml{line}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (f"{CLUSTER}token_ms = '1'\n{PATHS}", "write token_ms = NUMBER"),
        (f"{CLUSTER}{PATHS}[alerts]\nmail = ['a@b']", 'write mail = "…"'),
        (f"{CLUSTER}{PATHS}[metrics]\nhacluster_exporter = 'yes'", "write hacluster_exporter = true"),
        (f"{CLUSTER}{PATHS}[[apart]]\ndomains = 'a'", 'write domains = ["…", …]'),
        (f"{CLUSTER}{PATHS}[[apart]]\ndomains = ['a', 1]", 'write domains = ["…", …]'),
        (f"{CLUSTER}{PATHS}[[domain]]\n[[domain]]", 'write name = "…"'),
        (f"cluster = 1\n{PATHS}", "docs/ha.toml.sample shows how it is written"),
    ],
)
def test_how_it_is_written_is_said(text: str, remedy: str) -> None:
    """Only "correct it as the message says" was what a user was told to do."""
    with pytest.raises(InputError) as caught:
        parse(text, where="ha.toml")
    assert caught.value.remedy == remedy


def test_a_server_without_a_link_is_not_compared_with_itself() -> None:
    """It said: snow01 has 0 links, snow01 has 0."""
    servers = "".join(f'[[server]]\nname = "snow0{n}"\naddress = "snow0{n}"\nlinks = []\n' for n in (1, 2))
    with pytest.raises(InputError) as caught:
        parse(f"{CLUSTER}{PATHS}{servers}", where="ha.toml")
    assert caught.value.message == "snow01 has 0 links"
