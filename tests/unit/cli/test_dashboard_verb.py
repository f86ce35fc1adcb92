"""``snow dashboard``: what is refused before anything is served."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from snowha.cli import dashboard
from snowha.cli.tree import snow
from snowha.errors import InputError, MachineError


def error(*words: str) -> BaseException | None:
    return CliRunner().invoke(snow, ["dashboard", *words]).exception


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1:443", "[::]:8620", "::"])
@pytest.mark.parametrize("given", [(), ("--token-file", "t"), ("--certificate", "c", "--key", "k")])
def test_other_machines_get_in_only_with_a_token_over_tls(address: str, given: tuple[str, ...]) -> None:
    """Everybody in the network could see the site, or the token."""
    found = error("--listen", address, *given)
    assert isinstance(found, InputError) and "can be reached by other machines" in found.message
    assert found.where == "--listen" and "--token-file, --certificate and --key" in found.remedy


@pytest.mark.parametrize("address", ["snow01", "127.0.0.1:x", "127.0.0.1:65536", "[::1", "1.2.3", ":80"])
def test_what_is_no_address_is_said_so(address: str) -> None:
    found = error("--listen", address)
    assert isinstance(found, InputError) and "is not an address to listen on" in found.message


@pytest.mark.parametrize(
    "words",
    [
        ("--socket", "x", "--listen", "127.0.0.1"),
        ("--socket", "x", "--certificate", "c", "--key", "k"),
        ("--socket-group", "www-data"),
        ("--key", "k"),
    ],
    ids=" ".join,
)
def test_options_that_mean_nothing_together_are_refused(words: tuple[str, ...]) -> None:
    """Somebody would believe that the page is behind TLS."""
    ended = CliRunner().invoke(snow, ["dashboard", *words])
    assert ended.exit_code == 2 and "Usage:" in ended.output


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback of an import, where only the command is installed."""
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.prefix", "/opt/venv")
    found = error()
    assert isinstance(found, MachineError) and found.remedy == "/opt/venv/bin/pip install starlette uvicorn"
    monkeypatch.setattr("sys.prefix", sys.base_prefix)
    found = error()
    assert isinstance(found, MachineError) and found.where == "this machine"
    assert found.remedy == "apt-get install python3-starlette python3-uvicorn"


def test_without_ha_toml_or_with_a_port_that_is_taken_nothing_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = error("--file", "ha.toml")
    assert isinstance(found, InputError) and found.where == "ha.toml"
    from snowha.dashboard import listening

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen on") as refused:
            listening.on_address(listening.Address("127.0.0.1", listening.port_of(taken)), "--listen")
        assert "port 0 takes a free one" in refused.value.remedy
