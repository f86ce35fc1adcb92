"""What goes round the leases is found wherever it stands: in a config of any domain, at a server's boot, and running."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from broken_leases import BARE, DEPLOY, IMAGES, server

from snowha.health import image_space, lease_bypass
from snowha.health.catalogue import KINDS
from snowha.health.findings import Finding
from snowha.hosts.host import Completed
from snowha.operations import status
from snowha.site.disk_spec import parse_disk
from snowha.site.model import Domain, FenceDevice, Paths, Server, Site
from snowha.xen import attachments
from snowha.xen.attachments import Attachments, Backend
from snowha.xen.leases import Leases

OURS = "format=raw,vdev=xvda2,access=rw,script=block-snow,target={}"


def domain(name: str, spec: str, folder: str = "/sNow/etc/domains") -> Domain:
    return Domain(name, f"{folder}/{name}.cfg", 256, 1, "pvh", "", "", (parse_disk(spec),), (), "xvda2")


DOMAINS = tuple(domain(name, OURS.format(image)) for image, name in IMAGES.items())
SITE = Site(
    name="snow",
    paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
    servers=tuple(
        Server(name, "192.168.8.1", ("192.168.8.1",), FenceDevice("fence_ipmilan", "10.0.0.1", "admin", "secret"))
        for name in ("snow01", "snow02")
    ),
    domains=DOMAINS,
    mounts=(),
    floating_ip=None,
    apart=(),
)


def judged(
    configs: Iterable[Domain] = DOMAINS,
    said: Attachments | None = None,
    leased: Leases | None = None,
    site: Site = SITE,
) -> list[Finding]:
    names = {"snow02": {5: "deploy01"}}
    return list(lease_bypass.evaluate(site, configs, {"snow02": said or Attachments()}, names, {"snow02": leased}))


@pytest.mark.parametrize(
    ("spec", "is_found"),
    [
        (f"file:{DEPLOY},xvda2,w", True),
        (f"tap:aio:{DEPLOY},xvda2,w", True),
        (f"format=raw,vdev=xvda2,access=rw,target={DEPLOY}", True),
        (f"format=raw,vdev=xvda2,access=rw,script=block,target={DEPLOY}", True),
        (f"format=raw,vdev=xvda2,access=rw,script=/etc/xen/scripts/block,target={DEPLOY}", True),
        (f"format=raw,vdev=xvda2,access=rw,script=/etc/xen/scripts/block-snow,target={DEPLOY}", False),
        (OURS.format(DEPLOY), False),
        (f"format=raw,vdev=xvda2,access=ro,target={DEPLOY}", False),
        ("phy:/dev/snow_vg/deploy01-disk,xvda2,w", False),
        ("file:/var/lib/images/scratch,xvda2,w", False),
    ],
)
def test_a_config_that_goes_round_the_leases(spec: str, is_found: bool) -> None:
    """A domain that ha.toml does not name, started by hand from its own config, would write what another server has open."""
    other = domain("other01", spec)
    found = judged((*DOMAINS, other))
    assert [one.code for one in found] == (["config-without-lease"] if is_found else [])
    if is_found:
        assert found[0].where == other.config and other.config in found[0].message
        assert found[0].severity == KINDS["config-without-lease"].severity
    at_boot = judged(said=Attachments(configs={"/etc/xen/auto/other01.cfg": other}))
    assert [one.where for one in at_boot] == (["snow02:/etc/xen/auto/other01.cfg"] if is_found else [])


@pytest.mark.parametrize(
    ("backend", "by"),
    [
        (Backend(5, DEPLOY, "block", True), "for deploy01, by the script block"),
        (Backend(6, DEPLOY, "", True), "for domain 6, by QEMU"),
        (Backend(5, DEPLOY, "block-snow", True), ""),
        (Backend(5, DEPLOY, "block", False), ""),
        (Backend(5, "/dev/snow_vg/deploy01-disk", "block", True), ""),
    ],
)
def test_a_domain_that_runs_without_a_lease(backend: Backend, by: str) -> None:
    """QEMU opens an image without a loop device: no list of loop devices shows it."""
    found = judged(said=Attachments((backend,)), leased=server("snow02"))
    assert [one.code for one in found] == (["image-without-lease"] if by else [])
    assert all(by in one.message and "snow02" in one.message for one in found)


def test_what_the_leases_say_already_is_not_said_twice() -> None:
    said = Attachments((Backend(5, DEPLOY, "block", True),))
    assert judged(said=said, leased=server("snow02", BARE)) == []


def test_status_shows_what_goes_round_the_leases_and_what_has_no_room() -> None:
    """Both were found by no verb, or by `check` alone, which nobody runs each day."""
    xenstore = f"""/local/domain/0/backend/qdisk/5/51712/params = "aio:{DEPLOY}"\n"""
    answers = {
        attachments._LOOK: xenstore,
        image_space._LOOK: f"1 4096\n{1 << 30} 8 512 {DEPLOY}\n",
        "info": "xen_version : 4.20.5\nvirt_caps : pvh\ntotal_memory : 9\nfree_memory : 9\n",
    }

    class Server:
        name = "snow02"

        def run(self, argv: Sequence[str], **how: object) -> Completed:
            said = next((text for word, text in answers.items() if word in argv), "")
            return Completed(tuple(argv), 0, said, "")

    stock = domain("other01", f"file:{DEPLOY},xvda2,w")
    seen = status.status_of(SITE, {"snow02": Server()}, configs=(*DOMAINS, stock))
    found = {(one.code, one.severity) for one in seen.findings}
    assert {("holes", "yellow"), ("config-without-lease", "yellow"), ("image-without-lease", "red")} <= found


def test_before_the_migration_nothing_goes_round_a_lease() -> None:
    """Each domain of a site that ran from files all along would be a finding."""
    files = tuple(domain(name, f"file:{image},xvda2,w") for image, name in IMAGES.items())
    assert judged(files, site=replace(SITE, domains=files)) == []
