"""What two domains must not share: found before anything is changed, or one of them loses its data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snowha.errors import InputError
from snowha.site.model import Disk, Domain, FloatingIp, Paths, Server, Site, Vif
from snowha.site.rules import check_domains, check_site, image_key, lines, raise_on_stop


def domain(name: str, number: int) -> Domain:
    return Domain(
        name=name,
        config=f"/sNow/etc/domains/{name}.cfg",
        memory_mib=128,
        vcpus=1,
        type="pv",
        kernel="",
        ramdisk="",
        disks=(Disk("", f"/dev/snow_vg/{name}-disk", "xvda2"),),
        vifs=(Vif("xsnow0", f"00:16:3e:00:00:0{number}", f"192.168.8.1{number}"),),
        root_vdev="xvda2",
    )


ONE, TWO = domain("deploy01", 1), domain("proxy01", 2)
SITE = Site(
    name="snow",
    paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
    servers=(Server("snow01", "192.168.8.1", ("192.168.8.1",)), Server("snow02", "192.168.8.2", ("192.168.8.2",))),
    domains=(ONE, TWO),
    mounts=(),
    floating_ip=FloatingIp("192.168.8.254", 24, "xsnow0"),
    apart=(),
)


def test_a_sound_site_has_no_findings() -> None:
    assert check_site(SITE, SITE.domains) == ()
    raise_on_stop(())


def test_two_cards_of_one_domain_may_have_one_address() -> None:
    """They are bonded in the domain: the site could not be migrated."""
    mac = "00:16:3e:00:00:09"
    bonded = replace(ONE, vifs=tuple(Vif(bridge, mac, "192.168.8.11/24") for bridge in ("xsnow0", "xsnow1")))
    assert bonded.addresses == ("192.168.8.11",) and check_site(SITE, [bonded, TWO]) == ()
    on_one = replace(ONE, vifs=(Vif("xsnow0", mac), Vif("xsnow1", mac.upper()), Vif("xsnow0", mac)))
    assert [finding.code for finding in check_site(SITE, [on_one, TWO])] == ["duplicate-mac"]


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (replace(TWO, name="Deploy01"), "duplicate-name"),
        (replace(TWO, disks=(Disk("", "/dev/snow_vg/./deploy01-disk", "xvda1"),)), "shared-disk"),
        (replace(TWO, disks=(Disk("", "/dev/mapper/snow_vg-deploy01--disk", "xvda1"),)), "shared-disk"),
        (replace(TWO, vifs=(Vif("xsnow0", "00:16:3E:00:00:01", ""),)), "duplicate-mac"),
        (replace(TWO, vifs=(Vif("xsnow0", "", "192.168.8.99 192.168.8.11/24"),)), "duplicate-ip"),
        (replace(TWO, vifs=(Vif("xsnow0", "", "FD00:0:0::11/64"),)), "duplicate-ip"),
        (replace(TWO, vifs=(Vif("xsnow1", options=(("vifname", "web.0"),)),)), "duplicate-vifname"),
    ],
)
def test_what_two_domains_share_is_found_and_stops(second: Domain, code: str) -> None:
    cards = (*ONE.vifs, Vif("xsnow1", "", "fd00::11", options=(("vifname", "web.0"),)))
    findings = check_domains([replace(ONE, vifs=cards), second])
    assert [finding.code for finding in findings] == [code]
    assert findings[0].where == f"{ONE.config}, {second.config}"
    assert findings[0].remedy
    with pytest.raises(InputError) as caught:
        raise_on_stop(findings)
    assert caught.value.where == findings[0].where


def test_one_domain_in_two_folders_is_one_finding() -> None:
    copy = replace(ONE, config="/sNow/domains/deploy01.cfg", vifs=())
    assert [finding.code for finding in check_domains([ONE, copy])] == ["duplicate-name"]


def test_an_image_that_nobody_writes_can_be_shared() -> None:
    disk = Disk("", "/sNow/iso/tools.iso", "xvdc", access="r")
    first, second = (replace(one, disks=(*one.disks, disk)) for one in (ONE, TWO))
    assert check_domains([first, second]) == ()
    writer = replace(second, disks=(*TWO.disks, replace(disk, access="w")))
    assert [finding.code for finding in check_domains([first, writer])] == ["shared-disk"]


@pytest.mark.parametrize("address", ["192.168.8.2", "192.168.8.254"])
def test_a_domain_with_an_address_of_the_cluster_is_found(address: str) -> None:
    taken = replace(TWO, vifs=(Vif("xsnow0", "", address),))
    assert [finding.code for finding in check_site(SITE, [ONE, taken])] == ["duplicate-ip"]


def test_addresses_that_dhcp_gives_are_no_duplicates() -> None:
    vifs = (Vif("xsnow0", "", "0.0.0.0"),)
    assert check_domains([replace(ONE, vifs=vifs), replace(TWO, vifs=vifs)]) == ()


def test_one_error_names_every_reason_to_stop_with_its_own_remedy() -> None:
    """Of thirteen remedies joined to one line nobody finds the one that belongs to a server."""
    twin = replace(TWO, vifs=ONE.vifs)
    with pytest.raises(InputError) as caught:
        raise_on_stop(check_domains([ONE, twin]))
    assert str(caught.value).splitlines() == [
        "2 findings prevent this run",
        *lines(caught_findings := check_domains([ONE, twin])),
        "  → correct these; `snow ha check` checks again",
    ]
    assert [finding["code"] for finding in caught.value.findings] == [one.code for one in caught_findings]


def test_a_volume_has_one_key_under_both_its_names() -> None:
    assert image_key("/dev/mapper/snow_vg-deploy01--disk") == image_key("/dev/snow_vg/deploy01-disk")
    assert image_key("/dev/mapper/my--vg-a") == "/dev/my-vg/a"
    assert image_key("/dev/disk/by-id/dm-name-my--vg-a") == "/dev/my-vg/a"


def test_two_domains_of_one_uuid_are_said_and_no_stop() -> None:
    """xl starts both: a site that works must not be refused."""
    same = "6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4eff"
    (finding,) = check_domains([replace(ONE, uuid=same), replace(TWO, uuid=same)])
    assert (finding.code, finding.severity) == ("duplicate-uuid", "warn")
    assert check_domains([replace(ONE, uuid=same), TWO]) == ()
