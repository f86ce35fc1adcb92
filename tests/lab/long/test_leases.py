"""Leases that are lost, left behind, or gone round: told, and mended, on a running cluster. Each from its snapshot."""

from __future__ import annotations

import shlex

from conftest import Administrator, shell
from test_3_one_image import at_once, holder_of, other

IMAGE = "/sNow/domains/proxy01/proxy01-disk"
STOCK = (
    'name="other01"\\nmemory=72\\nkernel="/boot/vmlinuz"\\n'
    f'disk=[ "format=raw,vdev=xvda2,access=rw,script=block,target={IMAGE}" ]\\n'
)


def codes(administrator: Administrator) -> set[str]:
    return {finding["code"] for finding in administrator.status()["findings"]}


def domid(host: str, domain: str) -> str:
    return shell(host, f"xl domid {domain}").strip()


def test_a_record_that_is_removed_is_written_anew_by_the_server_that_has_the_image(cluster: Administrator) -> None:
    """What would be lost: the domain's next start, and its migrations. No run could mend it."""
    here = holder_of("proxy01")
    before = domid(here, "proxy01")
    refused = shell(other(here), f"rm {IMAGE}.lease; snow-lease adopt {IMAGE} 2>&1", check=False)
    assert "no domain of this server has" in refused
    assert "lease-unreadable" in codes(cluster)
    assert cluster.snow("ha", "apply", "--yes").code == 0
    assert "lease-unreadable" not in codes(cluster)
    assert domid(here, "proxy01") == before, "it was restarted for its record"
    said = shell(other(here), "xl create /sNow/etc/domains/proxy01.cfg 2>&1", check=False)
    assert f"{here} has it open for proxy01" in said
    shell(here, f"crm_resource --move --resource=proxy01 --node={other(here)}; crm_resource --wait --timeout=300s")
    shell(here, "crm_resource --clear --resource=proxy01")
    assert holder_of("proxy01") == other(here)
    assert at_once() == []


def test_a_copy_that_was_killed_leaves_a_lease_that_is_told_and_freed(cluster: Administrator) -> None:
    """What would be lost: an image that no other server can have, and nobody knows why."""
    image = "/sNow/domains/proxy01/left"
    shell("snow02", f"truncate -s 1M {image}; snow-lease new {image}")
    taken = f"exec 9<> {image}; snow-lease take {image} --fd 9; sh -c 'kill -9 $PPID'"
    shell("snow02", f"sh -c {shlex.quote(taken)}", check=False)
    said = shell("snow01", f"exec 9<> {image}; snow-lease take {image} --fd 9 2>&1", check=False)
    assert f"snow-lease give {image}, on snow02" in said
    assert '"process": "gone"' in shell("snow02", f"snow-lease list {image}")
    shell("snow02", f"snow-lease give {image}")
    shell("snow01", f"exec 9<> {image}; snow-lease take {image} --fd 9; snow-lease give {image}")
    shell("snow01", f"snow-lease forget {image}; rm {image}")


def test_configs_that_go_round_the_leases_are_found(cluster: Administrator) -> None:
    """What would be lost: the image, to a domain that somebody starts from a config of his own."""
    assert "config-without-lease" not in codes(cluster)
    for path, host in (("/sNow/etc/domains/other01.cfg", "snow01"), ("/etc/xen/auto/other01.cfg", "snow02")):
        shell(host, f"mkdir -p /etc/xen/auto; printf '{STOCK}' > {path}")
        assert "config-without-lease" in codes(cluster), path
        shell(host, f"rm {path}")
        assert "config-without-lease" not in codes(cluster), path


def test_a_running_domain_that_goes_round_the_leases_is_found(cluster: Administrator) -> None:
    """What would be lost: the same. QEMU opens a file without a loop device."""
    image = "/sNow/domains/proxy01/scratch"
    kernel = shell("snow02", "ls /boot/domain-vmlinuz-*").split()[0]
    shell("snow02", f"truncate -s 1M {image}")
    disk = f"format=raw,vdev=xvda2,access=rw,script=block,target={image}"
    words = f"'name=\"scratch01\"' 'kernel=\"{kernel}\"' 'type=\"pv\"' memory=72 'disk=[\"{disk}\"]'"
    shell("snow02", f"xl create -p /dev/null {words}")
    assert "image-without-lease" in codes(cluster)
    shell("snow02", f"xl destroy scratch01; rm {image}")
    assert "image-without-lease" not in codes(cluster)
