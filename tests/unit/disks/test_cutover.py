"""A domain started from its image: or from what it ran from before, and never from both."""

from __future__ import annotations

import pytest
from lvm_server import NOTE, ORIGIN, WHOLE, LvmServer
from recorded import AFTER, BEFORE, CONFIG, IMAGES, ground_on

from snowha.disks import cutover
from snowha.errors import CommandError

EXISTS = "Domain with name deploy01 already exists."


@pytest.mark.parametrize("when", ["before", "between"])
@pytest.mark.parametrize("disk", [ORIGIN, IMAGES["xvda2"]])
def test_a_domain_that_somebody_else_started_keeps_its_volumes(when: str, disk: str) -> None:
    """xl refuses to start it a second time; it does not run from its image, and its config must not say so."""
    server = LvmServer()
    server.world.shared[CONFIG] = (AFTER.encode(), 0o644)
    server.own[NOTE] = (b"{}", 0o600)
    server.point = dict.fromkeys(IMAGES.values(), WHOLE)

    def start(host: str, words: object) -> str | None:
        if list(words)[:2] != ["xl", "create"]:  # type: ignore[call-overload]
            return None
        server.world.running["deploy01"] = "snow01"
        return EXISTS

    if when == "between":
        del server.world.running["deploy01"]
        server.world.fail = start
    server.started_with = disk
    context = ground_on(server)
    if disk == ORIGIN:
        with pytest.raises(CommandError):
            cutover.start_from_image(context, "deploy01", CONFIG, (BEFORE, AFTER), IMAGES["xvda2"])
    else:
        cutover.start_from_image(context, "deploy01", CONFIG, (BEFORE, AFTER), IMAGES["xvda2"])
    assert server.config == (BEFORE if disk == ORIGIN else AFTER)
    assert server.is_running and not server.is_noted and server.done == []
