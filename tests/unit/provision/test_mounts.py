"""The shared file systems of a new server, which may have lines of its own for them."""

from __future__ import annotations

import pytest
from listener import Listener
from simulated import single_server

from snowha.errors import SiteError
from snowha.provision.servers import mounts

SOURCE = "nfs01:/export/sNow"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("noauto,hard", "noauto"),
        ("vers=4.2,soft", "soft"),
        ("hard,softerr", "softerr"),
        ("vers=3,nolock", "nolock"),
        ("local_lock=all", "local_lock=all"),
    ],
)
def test_a_line_with_which_domains_lose_writes_or_their_images_is_not_mounted_by(options: str, wrong: str) -> None:
    """ha.toml says `hard`, and the server had mounted it by its own line: a guest got EIO while the storage was away."""
    context, _, hosts = single_server()
    mount = context.site.mounts[0]
    line = f"{mount.source} {mount.target} nfs4 {options} 0 0\n"
    hosts[1].own["/etc/fstab"] = (line.encode(), 0o644)
    with pytest.raises(SiteError, match=f"{mount.target} has {wrong} in /etc/fstab") as caught:
        mounts.mount(context, hosts[1], Listener())
    assert caught.value.where == hosts[1].name and mount.options in caught.value.remedy
    assert hosts[1].own["/etc/fstab"][0] == line.encode()
