"""ha.toml on the servers: every verb without the folder of whoever migrated the site, also when the first server is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from conftest import Administrator, shell, wait_until

from snowha.lab import layout, lifecycle
from snowha.site import definition


class Stranger(Administrator):
    """Somebody with an empty folder, a server's name, and a way to log in there."""

    def at(self, server: str, *words: str) -> tuple[int, str]:
        config = str(layout.paths().ssh_config)
        ended = self.snow("--site", server, "--ssh-config", config, *words)
        return ended.code, ended.output

    def seen(self, server: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.at(server, "ha", "status", "--json")[1])
        return found


def codes(seen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {finding["code"]: finding for finding in seen["findings"]}


def test_a_stranger_sees_and_changes_the_site_through_any_server(cluster: Administrator, tmp_path: Path) -> None:
    """The site would be in the hands of one workstation."""
    stranger = Stranger(tmp_path)
    for server in ("snow01", "snow02"):
        assert stranger.seen(server)["healthy"]
    shell("snow02", f"echo '# edited' >> {definition.PATH}")
    assert "definition-differs" in codes(stranger.seen("snow01"))
    code, output = stranger.at("snow02", "ha", "apply", "--yes", "--only", "pacemaker.definition")
    assert code == 0, output
    assert codes(stranger.seen("snow01")).keys().isdisjoint({"definition-differs", "definition-other"})
    assert "# edited" in shell("snow01", f"cat {definition.PATH}")


def test_the_first_server_is_gone_and_with_it_nothing_but_a_server(cluster: Administrator, tmp_path: Path) -> None:
    """In the night in which it counts, the one ha.toml would be on the machine that does not answer."""
    stranger = Stranger(tmp_path)
    lifecycle.power("snow01", "off")
    wait_until(
        lambda: {"server-unclean", "server-out"} & codes(stranger.seen("snow02")).keys(),
        timeout=300,
        what="the cluster has lost snow01",
    )
    found = codes(stranger.seen("snow02"))
    lost = found.get("server-out") or found["server-unclean"]
    assert lost["since"], "since when is not known: has Pacemaker other words for it?"
    code, output = stranger.at("snow02", "ha", "check")
    assert code == 4 and "password" not in output, output
