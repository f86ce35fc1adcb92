"""Which domains are copied while they run, and which while they are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from lvm_server import LvmServer
from recorded import ground_on

from snowha.disks import steps


@pytest.mark.parametrize(("limit_mib", "large"), [(1087, True), (1088, False), (0, True)])
def test_apply_copies_a_domain_with_large_volumes_while_it_runs(limit_mib: int, large: bool) -> None:
    """1024 and 64 MiB. A domain with a large disk would be away for the whole of its copy."""
    context = ground_on(LvmServer())
    assert steps.is_large(replace(context, site=replace(context.site, warm_from_mib=limit_mib)), "deploy01") is large


@pytest.mark.parametrize("what", ["off", "no LVM"])
def test_a_domain_that_is_off_or_on_no_logical_volume_is_copied_as_it_is(what: str) -> None:
    def no_lvm(host: str, words: Sequence[str]) -> str | None:
        return "lvs: not found" if words[0] == "lvs" else None

    server = LvmServer()
    if what == "off":
        server.world.running.clear()
    else:
        server.world.fail = no_lvm
    context = ground_on(server)
    assert not steps.is_large(replace(context, site=replace(context.site, warm_from_mib=0)), "deploy01")
