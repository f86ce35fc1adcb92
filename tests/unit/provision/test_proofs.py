"""Proofs of live migration: what is written down that was only believed is relied on in a disaster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from everyday_site import EverydaySite
from listener import Listener

from snowha.live import connect
from snowha.live.context import SiteContext
from snowha.provision import proofs


@pytest.mark.parametrize("last", ["start", "migrate_from"])
@pytest.mark.parametrize("is_fixed", [True, False])
def test_a_restart_with_the_uuid_of_its_config_is_no_live_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, is_fixed: bool
) -> None:
    """It was proven that a domain can be migrated live that was shut down and started anew."""
    site = EverydaySite(tmp_path, monkeypatch)
    made = connect.load(connect.read(Path("ha.toml")))
    fixed = site.uuids["deploy01"] if is_fixed else ""
    domains = tuple(replace(one, uuid=fixed if one.name == "deploy01" else "") for one in made.site.domains)
    context = SiteContext(replace(made.site, domains=domains), made.hosts)
    rows = f'<lrm_rsc_op operation="{last}" rc-code="0" call-id="11"/>'
    status = f'<node_state uname="snow02"><lrm_resource id="deploy01">{rows}</lrm_resource></node_state></cib>'
    before = site._cib
    monkeypatch.setattr(site, "_cib", lambda: before().replace("</cib>", status))
    written: list[str] = []
    monkeypatch.setattr(proofs, "_record", lambda context, name, *_: written.append(name))
    with proofs.proving_migrations(context, Listener()):
        site.world.running["deploy01"] = "snow02"
    # without a UUID in its config, the same one is proof enough
    assert written == (["migration-deploy01"] if last == "migrate_from" or not is_fixed else [])
