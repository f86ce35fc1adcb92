"""Each finding from the one thing that is broken, and none on a healthy site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import broken_definitions
import broken_leases
import pytest
from broken_clusters import CASES
from check_sites import SITE, UUIDS, change, clustered, healthy, leased, mounts, running, server

from snowha.checks import catalogue, evaluate, explained, gather
from snowha.checks.facts import BmcFact, Facts, LoginFact, Mounted, PathFact, Permissions, Unit
from snowha.errors import InputError, SiteError, UnreachableError
from snowha.health import image_space
from snowha.health.catalogue import KINDS
from snowha.live.autostart import Autostart, Entry
from snowha.site import rules
from snowha.site.disk_spec import parse_disk
from snowha.site.model import Disk, Domain, FloatingIp, Site, Vif
from snowha.xen.xl import Hypervisor

Broken = tuple[Site, Facts]
DOCUMENT = Path(__file__).parents[3] / "docs" / "checks.md"

FOREIGN_CONF = """totem {
  version: 2
}
nodelist {
  node {
    ring0_addr: 10.9.9.1
    name: other01
    nodeid: 1
  }
}
"""
PACKAGED_CONF = FOREIGN_CONF.replace("10.9.9.1", "127.0.0.1").replace("other01", "node1")
FOREIGN_CIB = b"""<cib><configuration><crm_config/><nodes/><resources>
<primitive id="web" class="ocf" provider="heartbeat" type="apache"/></resources>
<constraints><rsc_location id="cli-ban-web-on-snow01" rsc="web" score="-INFINITY" node="snow01"/></constraints>
</configuration></cib>"""


def _path(facts: Facts, name: str, path: str, fact: PathFact | None) -> Facts:
    paths = {key: value for key, value in facts.server(name).paths.items() if key != path}
    return change(facts, name, paths=paths if fact is None else {**paths, path: fact})


def _site(**changes: object) -> Broken:
    return replace(SITE, **changes), healthy()  # type: ignore[arg-type]


def _facts(facts: Facts) -> Broken:
    return SITE, facts


def _case(code: str) -> Broken:
    if code == "holes":
        room = image_space.ImageSpace(8 << 30, (image_space.Image(IMAGE, 10 << 30, 1 << 30),))
        return SITE, change(clustered(healthy()), "snow01", room=room)
    if code == "config-without-lease":
        site, facts = leased(broken_leases.well())
        deploy, *others = site.domains
        stock = replace(deploy, disks=tuple(replace(disk, script=None) for disk in deploy.disks))
        return replace(site, domains=(stock, *others)), facts
    if code in broken_leases.CASES:
        return leased(broken_leases.CASES[code])
    if code in broken_definitions.CASES:
        broken = broken_definitions.CASES[code]
        facts = replace(healthy(), definition=broken.given)
        for name, text in broken.kept.items():
            facts = change(facts, name, definition=text)
        return SITE, facts
    return SITE, clustered(healthy(), CASES[code])


def _bmc(power: str, guid: str = "", **changes: object) -> Facts:
    facts = healthy() if not changes else change(healthy(), "snow01", **changes)
    return replace(facts, bmcs={**facts.bmcs, "snow01": BmcFact(power, "said so", guid)})  # type: ignore[arg-type]


def _reach(**changes: object) -> Facts:
    facts = healthy()
    return replace(facts, pings=(replace(facts.pings[0], **changes), *facts.pings[1:]))  # type: ignore[arg-type]


def _twin(**changes: object) -> Broken:
    deploy, slurm = SITE.domains
    return _site(domains=(deploy, replace(slurm, **changes)))  # type: ignore[arg-type]


def _twins(**changes: object) -> Broken:
    return _site(domains=tuple(replace(one, **changes) for one in SITE.domains))  # type: ignore[arg-type]


STARTED = Autostart("/etc/xen/auto", "/etc/xen/auto", (), (Entry("/etc/xen/auto/slurm01", SITE.domains[1].config),))
IMAGE = "/sNow/domains/deploy01/deploy01-disk"


def from_image(name: str) -> Domain:
    domain = next(one for one in SITE.domains if one.name == name)
    return replace(domain, disks=(replace(domain.disks[0], target=IMAGE),))


OTHER_XEN = Hypervisor("4.17.7", frozenset({"pv", "pvh", "hap"}), 2560, 1000)
NO_PAGING = Hypervisor("4.20.5", frozenset({"pv"}), 2560, 1000)
SMALL = Hypervisor("4.20.5", frozenset({"pv", "pvh", "hap"}), 1300, 100)
IN_CLUSTER = {"corosync.service": Unit("active", "disabled"), "pacemaker.service": Unit("inactive", "disabled")}
UP = {"pacemaker.service": Unit("active", "disabled")}
AT_BOOT = {"corosync.service": Unit("inactive", "enabled"), "pacemaker.service": Unit("inactive", "disabled")}
NAMES = server(2).names
OTHER_MOUNT = (mounts()[0], Mounted("nfs02:/export/sNow", "/sNow", "nfs4", mounts()[1].options), mounts()[2])

BREAKS: dict[str, Callable[[], Broken]] = {
    "unreachable": lambda: _facts(change(healthy(), "snow02", trouble="it does not answer")),
    "release": lambda: _facts(change(healthy(), "snow02", release="sid")),
    "release-differs": lambda: _facts(change(healthy(), "snow02", release="bookworm")),
    "version-differs": lambda: _facts(change(healthy(), "snow02", xen=OTHER_XEN)),
    "clock": lambda: _facts(change(healthy(), "snow02", clock=(4.0, 4.5))),
    "name-unknown": lambda: _facts(change(healthy(), "snow02", names={**NAMES, "nfs01": ""})),
    "name-differs": lambda: _facts(change(healthy(), "snow02", names={**NAMES, "snow01": "192.168.8.99"})),
    "root-ssh": lambda: _facts(replace(healthy(), logins=(LoginFact("snow01", "snow02", False, "denied"),))),
    "xendomains-save": lambda: _facts(change(healthy(), "snow01", xendomains="XENDOMAINS_SAVE=/var/lib/xen/save\n")),
    "starts-at-boot": lambda: _facts(change(healthy(), "snow01", units=AT_BOOT)),
    "writable-by-others": lambda: _facts(
        change(healthy(), "snow02", permissions=(Permissions(0o775, "root", "snow", "/sNow/etc/domains"),))
    ),
    "unattended-upgrades": lambda: _facts(
        change(healthy(), "snow02", upgrades='APT::Periodic::Unattended-Upgrade "1";\n')
    ),
    "not-nfs": lambda: _facts(change(healthy(), "snow01", mounts=mounts()[:1])),
    "mount-differs": lambda: _facts(change(healthy(), "snow02", mounts=OTHER_MOUNT)),
    "mount-options": lambda: _facts(change(healthy(), "snow02", mounts=mounts("rw,vers=4.1,hard,proto=tcp"))),
    "mount-soft": lambda: _facts(change(healthy(), "snow02", mounts=mounts("rw,vers=4.2,soft,proto=tcp"))),
    "not-writable": lambda: _facts(change(healthy(), "snow02", writable=frozenset())),
    "locks": lambda: _facts(replace(healthy(), locks="broken", locks_said="snow02 got it")),
    "nfs-version": lambda: _facts(change(healthy(), "snow02", mounts=mounts("rw,vers=4.0,hard,proto=tcp"))),
    "nfs-client-id": lambda: _facts(change(healthy(), "snow02", nfs_client="/snow01")),
    "locks-unknown": lambda: _facts(replace(healthy(), locks="unknown", locks_said="too slow")),
    "space": lambda: _facts(change(healthy(), "snow01", space=1 << 30)),
    "sector-size": lambda: _facts(
        _path(healthy(), "snow01", "/dev/snow_vg/slurm01-disk", PathFact("block", 1 << 29, 9, 0, 4096, "gpt"))
    ),
    "saved": lambda: _facts(
        change(healthy(), "snow01", running=running("slurm01"), saved={"deploy01": "/var/lib/xen/save/deploy01"})
    ),
    "undone-images": lambda: _facts(change(healthy(), "snow01", undone=(("/sNow/domains/a/a-disk.undone", 1 << 20),))),
    "snow-conf-syntax": lambda: _facts(
        change(healthy(), "snow01", conf_error="/sNow/etc/snow.conf: line 3: syntax error")
    ),
    "image-destination": lambda: _facts(change(healthy(), "snow01", snow_conf="IMG_DST='lvm=other_vg'\n")),
    "not-shared": lambda: _facts(change(healthy(), "snow01", folders=("/srv/images", "/sNow/etc/domains"))),
    "floating-ip-network": lambda: _site(floating_ip=FloatingIp("10.9.9.254", 24, "xsnow0")),
    "floating-ip-taken": lambda: _facts(replace(healthy(), floating={"snow01": "", "snow02": "52:54:00:00:00:01"})),
    "link-down": lambda: _facts(_reach(small=False, large=False)),
    "link-mtu": lambda: _facts(_reach(large=False)),
    "link-unknown": lambda: _facts(_reach(small=None, large=None)),
    "link-address": lambda: _facts(
        change(healthy(), "snow02", addresses={"192.168.8.2": server(2).addresses["10.0.0.2"]})
    ),
    "one-link": lambda: _site(servers=tuple(replace(one, links=one.links[:1]) for one in SITE.servers)),
    "no-fence": lambda: _site(servers=(replace(SITE.servers[0], fence=None), SITE.servers[1])),
    "bmc-refused": lambda: _facts(_bmc("refused")),
    "bmc-off": lambda: _facts(_bmc("off")),
    "bmc-unasked": lambda: _facts(_bmc("unasked")),
    "bmc-other-server": lambda: _facts(_bmc("on", UUIDS["snow02"])),
    "bmc-address": lambda: _facts(_bmc("on", lan_address="10.0.0.222")),
    "bmc-identity-unknown": lambda: _facts(_bmc("on", "00000000-1111-2222-3333-444444444444")),
    "fence-tools": lambda: _facts(change(healthy(), "snow02", tools=frozenset({"fence_ipmilan"}))),
    "duplicate-name": lambda: _twin(name="deploy01"),
    "duplicate-mac": lambda: _twin(vifs=(replace(SITE.domains[0].vifs[0], ip="192.168.8.77"),)),
    "duplicate-vifname": lambda: _twins(vifs=(Vif("xsnow0", options=(("vifname", "web"),)),)),
    "duplicate-uuid": lambda: _twins(uuid="6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4eff"),
    "duplicate-ip": lambda: _twin(vifs=(replace(SITE.domains[0].vifs[0], mac="00:16:3e:99:99:99"),)),
    "shared-disk": lambda: _twin(disks=SITE.domains[0].disks),
    "image-name": lambda: _twin(disks=(Disk("", "/sNow/domains/deploy01/DEPLOY01-disk.partial", "xvda1"),)),
    "image-there": lambda: _facts(
        _path(healthy(), "snow01", "/sNow/domains/deploy01/deploy01-disk", PathFact("file", 7, 99))
    ),
    "disk-unmovable": lambda: _twin(disks=(parse_disk("format=qed,file:/srv/d1.qed,xvda2,w"),)),
    "cd-elsewhere": lambda: (
        replace(
            SITE, domains=(replace(SITE.domains[0], disks=(parse_disk("/srv/i.iso,,hdc,cdrom"),)), SITE.domains[1])
        ),
        _path(healthy(), "snow01", "/srv/i.iso", PathFact("file", 7, 99)),
    ),
    "vif-script": lambda: (
        replace(SITE, domains=(replace(SITE.domains[0], vifs=(Vif("xsnow0", script="vif-site"),)), SITE.domains[1])),
        _path(healthy(), "snow01", "/etc/xen/scripts/vif-site", PathFact("file", 7, 99)),
    ),
    "maxmem-below-memory": lambda: _twin(maxmem_mib=SITE.domains[1].memory_mib - 1),
    "cpus-missing": lambda: _twin(cpus=("0-3", "8-15")),
    "server-hardware": lambda: _twin(hardware=("pci",)),
    "on-poweroff": lambda: _twin(on_poweroff="preserve"),
    "missing-volume": lambda: _facts(_path(healthy(), "snow01", "/dev/snow_vg/slurm01-disk", None)),
    "missing-kernel": lambda: _facts(_path(healthy(), "snow01", "/boot/vmlinuz", None)),
    "kernel-differs": lambda: _facts(_path(healthy(), "snow02", "/boot/vmlinuz", PathFact("file", 7, 1))),
    "kernel-booted": lambda: _facts(
        change(
            _path(healthy(), "snow02", "/boot/initrd.img", PathFact("file", 7, 1)),
            "snow02",
            booted=frozenset({"/boot/initrd.img"}),
        )
    ),
    "runs-twice": lambda: _facts(change(healthy(), "snow02", running=running("slurm01"))),
    "half-migrated": lambda: _facts(change(healthy(), "snow02", running=running("slurm01--incoming"))),
    "crashed": lambda: _facts(change(healthy(), "snow02", running=running("deploy01", state="----c-"))),
    "no-live-migration": lambda: _facts(change(healthy(), "snow02", xen=NO_PAGING)),
    "no-room-after-loss": lambda: _facts(change(healthy(), "snow02", xen=SMALL)),
    "autostart": lambda: _facts(change(clustered(healthy()), "snow01", autostart=STARTED)),
    "corosync-foreign": lambda: _facts(change(healthy(), "snow02", corosync_conf=FOREIGN_CONF)),
    "corosync-running": lambda: _facts(change(healthy(), "snow02", corosync_conf=FOREIGN_CONF, units=IN_CLUSTER)),
    "cib-foreign-resources": lambda: _facts(change(healthy(), "snow02", cib=FOREIGN_CIB)),
    "cib-leftover-move": lambda: _facts(change(healthy(), "snow02", cib=FOREIGN_CIB)),
    "cib-unreadable": lambda: _facts(change(healthy(), "snow02", cib=b"<cib")),
}
BREAKS |= {code: partial(_case, code) for code in catalogue.HEALTH}
FROM_FILES = {"config-unreadable", "config-missing", "config-left-alone", "own-machine"}
"""Found without asking the servers for all this: see test_view.py, test_own_machine.py."""


@pytest.mark.parametrize(
    ("kind", "said"), [("pv", "as PVH, which a PV domain becomes"), ("pvh", "100: it starts with")]
)
def test_what_a_domain_gets_of_a_maxmem_that_is_too_small_is_said(kind: str, said: str) -> None:
    """xl starts it without a word: it would have less memory after the migration, and nobody would know since when."""
    site, facts = _twin(maxmem_mib=100, type=kind)
    (one,) = (one for one in evaluate.evaluate(site, facts) if one.code == "maxmem-below-memory")
    assert said in one.message and one.message.endswith("with 100 MiB")
    for enough in (None, SITE.domains[1].memory_mib, 1 << 20):
        site, facts = _twin(maxmem_mib=enough)
        assert "maxmem-below-memory" not in {one.code for one in evaluate.evaluate(site, facts)}


def test_a_healthy_site_has_no_finding() -> None:
    """Findings that are always there are read by nobody."""
    assert evaluate.evaluate(SITE, healthy()) == ()
    assert evaluate.evaluate(SITE, clustered(healthy())) == ()
    assert evaluate.evaluate(*leased(broken_leases.well())) == ()


@pytest.mark.parametrize("code", sorted(set(catalogue.ENTRIES) - FROM_FILES))
def test_each_finding_is_made_of_what_is_broken(code: str) -> None:
    """A site would be changed that must not be, or nobody would learn why it fails later."""
    site, facts = BREAKS[code]()
    findings = {finding.code: finding for finding in evaluate.evaluate(site, facts)}
    assert code in findings
    assert findings[code].where and findings[code].message and findings[code].remedy


@pytest.mark.parametrize("code", sorted(code for code in BREAKS if catalogue.ENTRIES[code].severity == "stop"))
def test_a_stop_ends_an_apply_with_the_class_of_its_error(code: str) -> None:
    """A script could not tell a dead server from a typing mistake."""
    stops = [finding for finding in evaluate.evaluate(*BREAKS[code]()) if finding.code == code]
    assert stops[0].severity == "stop"
    with pytest.raises(catalogue.ENTRIES[code].error or SiteError) as caught:
        rules.raise_on_stop(stops, evaluate.error_of)
    assert stops[0].message in str(caught.value) and stops[0].remedy in str(caught.value)


@pytest.mark.parametrize("code", sorted(catalogue.HEALTH))
def test_what_is_wrong_with_a_running_cluster_never_forbids_an_apply(code: str) -> None:
    """The very run that brings a server back would be refused."""
    findings = evaluate.evaluate(*_case(code))
    # without a hypervisor there is no room for domains either
    assert {finding.code for finding in findings} - {"no-room-after-loss"} == {code}
    assert "stop" not in {finding.severity for finding in findings}


def test_a_server_that_is_lost_is_found_and_what_can_be_is_found_beside_it() -> None:
    """With the first server dead `check` ended in a traceback, and showed nothing of the other one."""
    for name in ("snow01", "snow02"):
        facts = change(
            clustered(healthy(), CASES["server-out"]), name, trouble="it does not answer", paths={}, running={}
        )
        other = "snow02" if name == "snow01" else "snow01"
        facts = change(
            facts, other, units={**facts.server(other).units, **AT_BOOT, **UP}, xendomains="XENDOMAINS_SAVE=/x\n"
        )
        found = {finding.code: finding.severity for finding in evaluate.evaluate(SITE, facts)}
        assert (found["unreachable"], found["server-out"], found["xendomains-save"]) == ("stop", "warn", "warn")


def test_before_there_is_a_cluster_a_lost_first_server_hides_nothing() -> None:
    facts = change(healthy(), "snow01", trouble="it does not answer", paths={}, running={}, snow_conf=None)
    found = {finding.code for finding in evaluate.evaluate(SITE, change(facts, "snow02", release="sid"))}
    assert found == {"unreachable", "release"}


def test_domains_that_were_not_handed_over_yet_are_not_missed_in_a_cluster() -> None:
    """Between two steps of the migration every domain would be said not to be managed."""
    facts = clustered(healthy(), CASES["not-managed"])
    for name in ("snow01", "snow02"):
        facts = change(facts, name, cib=b"<cib><configuration><resources/></configuration></cib>")
    assert evaluate.evaluate(SITE, facts) == ()


def test_leases_of_a_site_without_a_cluster_are_not_judged() -> None:
    """In the middle of the migration each image is attached that has no lease yet."""
    site, facts = leased(broken_leases.CASES["image-without-lease"])
    for name in ("snow01", "snow02"):
        facts = change(facts, name, cib=b"")
    assert evaluate.evaluate(site, facts) == ()


def test_the_errors_that_scripts_know() -> None:
    assert catalogue.ENTRIES["unreachable"].error is UnreachableError
    assert catalogue.ENTRIES["bmc-refused"].error is UnreachableError
    assert catalogue.ENTRIES["duplicate-name"].error is InputError


def test_several_stops_are_told_at_once() -> None:
    """An administrator would correct one, wait, and learn of the next."""
    facts = change(change(healthy(), "snow01", space=1 << 20), "snow02", release="sid")
    with pytest.raises(SiteError) as caught:
        rules.raise_on_stop(evaluate.evaluate(SITE, facts), evaluate.error_of)
    assert "sid" in str(caught.value) and "MiB are free" in str(caught.value)


def test_a_stock_server_that_is_to_be_migrated_to_is_no_stop() -> None:
    """The migration could not begin: it installs, mounts and copies all of that itself."""
    stock = replace(
        server(2), packages={}, units={}, under_xen=False, xen=None, dom0_mib=0, memory_mib=2400, tools=frozenset(),
        mounts=mounts()[:1], writable=frozenset(), paths={}, xendomains=None, corosync_conf=None,
    )  # fmt: skip
    facts = replace(
        healthy(),
        servers=(server(1), stock),
        logins=(LoginFact("snow01", "snow02", False, "Host key verification failed."),),
        locks="unknown",
    )
    assert {finding.severity for finding in evaluate.evaluate(SITE, facts)} == {"note"}


def test_what_the_package_installs_is_not_somebody_elses_cluster() -> None:
    """A run that was interrupted after the packages could not go on."""
    facts = change(healthy(), "snow02", corosync_conf=PACKAGED_CONF, units=IN_CLUSTER)
    assert "corosync-foreign" not in {finding.code for finding in evaluate.evaluate(SITE, facts)}
    assert "corosync-running" not in {finding.code for finding in evaluate.evaluate(SITE, facts)}


def test_our_own_configuration_of_before_is_not_somebody_elses() -> None:
    """A changed ha.toml could not be applied."""
    ours = "# Written by snow-ha from ha.toml.\n" + FOREIGN_CONF
    assert "corosync-foreign" not in {
        f.code for f in evaluate.evaluate(SITE, change(healthy(), "snow02", corosync_conf=ours))
    }


def test_the_images_of_a_finished_site_need_no_room() -> None:
    """A second run on a full file system would be refused."""
    site = replace(
        SITE,
        domains=tuple(
            replace(d, disks=tuple(replace(k, target=f"/sNow/domains/{d.name}/{d.name}-disk") for k in d.disks))
            for d in SITE.domains
        ),
    )
    facts = change(healthy(), "snow01", space=1 << 20)
    for domain in site.domains:
        facts = _path(facts, "snow01", domain.disks[0].target, PathFact("file", 1 << 30, 3))
    assert "space" not in {finding.code for finding in evaluate.evaluate(site, facts)}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("vers=3,hard,nolock,local_lock=all", "locks"),
        ("vers=4.2,hard,local_lock=flock", "locks"),
        ("vers=3,hard,local_lock=none", "nfs-version"),
        ("vers=4.0,hard,local_lock=none", "nfs-version"),
        ("vers=4.1,hard,local_lock=none", ""),
        ("vers=4.2,hard,local_lock=posix", ""),
    ],
)
def test_storage_that_carries_no_leases_is_found_on_any_server(options: str, code: str) -> None:
    """Locks are tried between the first two servers: a third that keeps its locks to itself would attach what another has."""
    third = replace(server(2), name="snow03", nfs_client="/snow03", mounts=mounts(f"rw,{options}"))
    facts = replace(healthy(), servers=(*healthy().servers, third))
    found = {one.code for one in evaluate.evaluate(SITE, facts) if one.where == "snow03"}
    assert found & {"locks", "nfs-version"} == ({code} if code else set())


@pytest.mark.parametrize(
    ("client", "options", "is_found"),
    [
        ("/snow01", "vers=4.2", True),
        ("id/snow01", "vers=4.2", False),
        ("/snow02", "vers=4.2", False),
        ("/snow01", "vers=4.0", False),  # its id has the address in it
        ("/snow01", "vers=3", False),
        ("", "vers=4.2", False),  # it could not be asked
    ],
)
def test_two_servers_with_one_nfs_client_id(client: str, options: str, is_found: bool) -> None:
    """A second server that was cloned from the first would make the storage forget the first one's locks."""
    facts = change(healthy(), "snow02", nfs_client=client, mounts=mounts(f"rw,hard,{options}"))
    assert ("nfs-client-id" in {one.code for one in evaluate.evaluate(SITE, facts)}) is is_found


def test_one_volume_under_two_names_is_found_on_the_server() -> None:
    """Its two images would drift apart, and the way back writes both into it."""
    site, facts = _twin(disks=(Disk("", "/dev/dm-3", "xvda2"),))
    facts = _path(facts, "snow01", "/dev/dm-3", facts.first.paths["/dev/snow_vg/deploy01-disk"])
    assert "shared-disk" in {finding.code for finding in evaluate.evaluate(site, facts)}


@pytest.mark.parametrize(("device", "access", "is_one"), [(7, "w", True), (8, "w", False), (7, "r", False)])
def test_one_file_by_two_names_is_seen(device: int, access: Literal["r", "w"], is_one: bool) -> None:
    """Through a link: both would be copied, and the way back would write both into the one, the second over the first."""
    names = ("/srv/images/web.img", "/images/web.img")
    site, facts = _twin(disks=(Disk("", names[1], "xvda2", access),))
    first = replace(site.domains[0], disks=(Disk("", names[0], "xvda2", access),))
    site = replace(site, domains=(first, *site.domains[1:]))
    for name, number in zip(names, (7, device), strict=True):
        facts = _path(facts, "snow01", name, PathFact("file", 1 << 20, 42, 1 << 20, device=number))
    shared = [one.message for one in evaluate.evaluate(site, facts) if one.code == "shared-disk"]
    assert [message.partition(" ")[0] for message in shared] == ([names[0]] if is_one else [])


def test_a_disk_that_is_in_its_place_through_a_link_is_not_to_be_moved_away() -> None:
    """The remedy was to move away what stands there: the disk that the domain runs from."""
    image = "/sNow/domains/slurm01/disk.img"
    site, facts = _twin(disks=(Disk("", "/srv/domains/slurm01/disk.img", "xvda2"),))
    for path in (image, "/srv/domains/slurm01/disk.img"):
        facts = _path(facts, "snow01", path, PathFact("file", 7, 99, device=5))
    (finding,) = (one for one in evaluate.evaluate(site, facts) if one.code == "image-there")
    assert "itself" in finding.message and finding.remedy.startswith("leave it there")
    facts = _path(facts, "snow01", image, PathFact("file", 7, 98, device=5))
    (finding,) = (one for one in evaluate.evaluate(site, facts) if one.code == "image-there")
    assert "itself" not in finding.message


def test_an_image_that_we_copied_is_nobody_elses() -> None:
    """A run that was killed before it changed the config could not go on."""
    image = "/sNow/domains/deploy01/deploy01-disk"
    facts = _path(healthy(), "snow01", image, PathFact("file", 7, 99))
    facts = _path(facts, "snow01", f"{image}.manifest", PathFact("file", 7, 98))
    assert evaluate.evaluate(SITE, facts) == ()


def test_two_exports_of_one_name_are_told_apart() -> None:
    """The name of the storage means another machine there: a domain would be started from another image."""
    facts = _path(healthy(), "snow02", "/sNow", PathFact("other", 0, 4711))
    messages = [f.message for f in evaluate.evaluate(SITE, facts) if f.code == "mount-differs"]
    assert messages == ["/sNow is not the same folder on all servers"]
    with_slash = [replace(one, source=f"{one.source}/") if one.is_nfs else one for one in mounts()]
    assert evaluate.evaluate(SITE, change(healthy(), "snow02", mounts=tuple(with_slash))) == ()
    not_mounted = change(facts, "snow02", mounts=mounts()[:1])
    assert "mount-differs" not in {finding.code for finding in evaluate.evaluate(SITE, not_mounted)}


def test_the_own_name_may_be_on_the_loopback_address() -> None:
    """Debian's installer writes it so: every new server would be refused."""
    names = {**NAMES, "snow02": "127.0.1.1"}
    assert evaluate.evaluate(SITE, change(healthy(), "snow02", names=names)) == ()


def test_clocks_that_may_be_alike_are_not_said_to_differ() -> None:
    """A slow answer would be taken for a wrong clock."""
    assert evaluate.evaluate(SITE, change(healthy(), "snow02", clock=(-3.0, 6.0))) == ()


def test_only_safe_remedies_are_carried_out_and_only_where_they_apply() -> None:
    """--fix would restart, remove or overwrite something."""
    facts = change(
        clustered(healthy()),
        "snow02",
        xendomains="",
        autostart=STARTED,
        running=running("slurm01"),
    )
    findings = evaluate.evaluate(SITE, facts)
    assert "runs-twice" in {finding.code for finding in findings}
    assert sorted(evaluate.fixes(findings, ["snow01", "snow02"])) == ["pacemaker.autostart", "servers.settings.snow02"]


def test_every_fix_is_a_step_that_an_apply_has_too() -> None:
    from snowha.hosts.playback import PlaybackHost
    from snowha.live.context import SiteContext
    from snowha.migration.steps import all_steps

    hosts = {one.name: PlaybackHost(one.name, []) for one in SITE.servers}
    ids = {step.id for step in all_steps(SiteContext(SITE, dict(hosts)), dict.fromkeys(hosts, "x"))}
    for entry in catalogue.ENTRIES.values():
        if entry.fix:
            assert entry.fix.format(server="snow02") in ids


def test_the_page_about_findings_is_made_from_the_code() -> None:
    """It would tell of findings that there are not: python -m snowha.checks > docs/checks.md."""
    assert DOCUMENT.read_text() == explained.document()


def test_a_migration_that_is_going_on_is_none_that_broke() -> None:
    """A run that was killed while a server was drained was not gone on with until the domains had moved."""
    facts = change(healthy(), "snow02", running=running("slurm01--incoming"))
    facts = change(facts, "snow01", migrating=frozenset(["xl", "migrate", "-l", "slurm01", "snow02"]))
    assert "half-migrated" not in {finding.code for finding in evaluate.evaluate(SITE, facts)}


def test_a_migration_that_ends_between_two_looks_is_none_that_broke() -> None:
    """`apply` would stop, with a domain said to run twice, because servers do not answer in the same instant."""
    on_snow01 = change(healthy(), "snow01", running=running("deploy01"))
    first = change(on_snow01, "snow02", running=running("slurm01--incoming")).servers
    settled = change(on_snow01, "snow02", running=running("slurm01")).servers
    next_one = change(on_snow01, "snow02", running=running("deploy01")).servers
    wrong = {"half-migrated", "runs-twice"}
    for again in (settled, next_one):
        facts = replace(healthy(), servers=gather.confirmed(first, again))
        assert not wrong & {finding.code for finding in evaluate.evaluate(SITE, facts)}
    for real, code in ((first, "half-migrated"), (next_one, "runs-twice")):
        facts = replace(healthy(), servers=gather.confirmed(real, real))
        assert code in {finding.code for finding in evaluate.evaluate(SITE, facts)}


@pytest.mark.parametrize("option", ["soft", "softerr", "fatal_neterrors=ENETDOWN:ENETUNREACH"])
def test_an_option_with_which_a_guest_gets_errors_is_a_stop(option: str) -> None:
    """Every domain's file system goes read-only when the storage is away for a minute."""
    facts = change(healthy(), "snow02", mounts=mounts(f"rw,vers=4.2,{option},proto=tcp"))
    assert "mount-soft" in {finding.code for finding in evaluate.evaluate(SITE, facts)}
    planned = replace(SITE, mounts=(replace(SITE.mounts[0], options=f"vers=4.2,{option}"),))
    assert "mount-soft" in {finding.code for finding in evaluate.evaluate(planned, healthy())}


@pytest.mark.parametrize("option", ["hard", "softreval", "fatal_neterrors=none", "fatal_neterrors=default"])
def test_an_option_with_which_it_waits_is_none(option: str) -> None:
    facts = change(healthy(), "snow02", mounts=mounts(f"rw,vers=4.2,{option},proto=tcp"))
    assert "mount-soft" not in {finding.code for finding in evaluate.evaluate(SITE, facts)}


MULTICAST = """totem {
  version: 2
  cluster_name: web
  interface {
    ringnumber: 0
    bindnetaddr: 10.9.9.0
    mcastaddr: 239.255.1.1
    mcastport: 5405
  }
}
"""


@pytest.mark.parametrize(
    ("text", "is_somebodys"),
    [
        (MULTICAST, True),
        (MULTICAST.replace("    bindnetaddr: 10.9.9.0\n", ""), True),
        ("totem {\n version: 2\n cluster_name: web\n}\n", True),
        (MULTICAST.replace("10.9.9.0", "127.0.0.1"), False),
        (MULTICAST.replace("10.9.9.0", "127.0.0.1\n member {\n memberaddr: 10.9.9.1\n }"), True),
        (PACKAGED_CONF, False),
    ],
)
def test_a_configuration_without_a_nodelist_is_not_the_packages_example(text: str, is_somebodys: bool) -> None:
    """Somebody else's cluster was replaced without asking."""
    findings = evaluate.evaluate(SITE, change(healthy(), "snow02", corosync_conf=text))
    assert ("corosync-foreign" in {finding.code for finding in findings}) == is_somebodys


@pytest.mark.parametrize(
    ("right", "is_stop"),
    [
        (Permissions(0o755, "root", "root", "/sNow"), False),
        (Permissions(0o775, "root", "root", "/sNow/etc/domains"), False),
        (Permissions(0o1777, "root", "root", "/srv"), False),
        (Permissions(0o1777, "root", "root", "/sNow/domains"), True),
        (Permissions(0o755, "snow", "snow", "/sNow"), True),
        (Permissions(0o757, "root", "root", "/sNow/etc"), True),
        (Permissions(0o664, "root", "users", "/sNow/etc/domains/deploy01.cfg"), True),
        (Permissions(0o644, "root", "users", "/sNow/etc/domains/deploy01.cfg"), False),
        (Permissions(0o644, "deploy", "root", "/sNow/etc/domains/deploy01.cfg"), True),
        (Permissions(0o775, "root", "root", "/sNow/domains"), False),
        (Permissions(0o775, "root", "root", "/sNow/domains", has_acl=True), True),
        (Permissions(0o755, "root", "root", "/sNow/domains", has_acl=True), False),
    ],
)
def test_who_can_write_a_config_is_root_on_every_server(right: Permissions, is_stop: bool) -> None:
    findings = evaluate.evaluate(SITE, change(healthy(), "snow01", permissions=(right,)))
    assert ("writable-by-others" in {finding.code for finding in findings}) == is_stop


SPARED = "".join(f'Unattended-Upgrade::Package-Blacklist:: "{name}";\n' for name in ("xen", "corosync", "pacemaker$"))
PERIODIC = 'APT::Periodic::Unattended-Upgrade "1";\n'


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        (PERIODIC, True),
        (PERIODIC + SPARED, False),
        (PERIODIC + SPARED.replace("corosync", "nginx"), True),
        (PERIODIC + SPARED.replace("xen", "xen-hyper"), True),
        (PERIODIC.replace("1", "0"), False),
        (PERIODIC.replace("1", "always"), True),
        (PERIODIC.replace("1", "12h"), True),
        (PERIODIC + 'APT::Periodic::Enable "0";\n', False),
        ("$nrconf{restart} = 'a';\n", True),
        ("$nrconf{restart} = 'a';\n$nrconf{restart} = 'l';\n", False),
        ("$nrconf{'restart'} = \"a\";\n", True),
        ("", False),
    ],
)
def test_what_replaces_packages_by_itself_is_said(text: str, is_said: bool) -> None:
    findings = evaluate.evaluate(SITE, change(healthy(), "snow01", upgrades=text))
    assert ("unattended-upgrades" in {finding.code for finding in findings}) == is_said


def test_the_terminal_explains_a_finding_in_the_words_of_the_document() -> None:
    """Who reads a code in a log would have to look for a page that is not installed."""
    text = "\n".join(explained.explain("root-ssh"))
    entry = catalogue.ENTRIES["root-ssh"]
    assert entry.title in text and entry.why in text and entry.remedy in text and "step `servers.ssh`" in text
    assert explained.data("root-ssh")["remedy"] == entry.remedy


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("root_ssh", "did you mean root-ssh"),
        ("Locks", "did you mean locks, "),
        ("bmc", "bmc-refused"),
        ("zzz", "`snow ha check --explain all` lists them"),
    ],
)
def test_of_a_code_that_is_none_those_like_it_are_named(code: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        explained.explain(code)
    assert says in caught.value.remedy
    assert len(caught.value.remedy) < 160, "it was a line of ninety codes"


def test_every_code_that_status_prints_can_be_explained() -> None:
    """`domain-unknown` is shown by `status`, and `--explain` said that there is no such finding."""
    lines = explained.all_lines()
    for code in (*catalogue.ENTRIES, *KINDS):
        assert explained.explain(code)[0] == code
        assert len([line for line in lines if line.startswith(f"{code} ")]) == 1
    assert [one["code"] for one in explained.all_data()] == [line.split()[0] for line in lines]


def codes(site: Site, facts: Facts) -> set[str]:
    return {finding.code for finding in evaluate.evaluate(site, facts)}


def test_what_a_run_has_copied_already_counts_as_room() -> None:
    """Killed at nine tenths of a copy, on storage with room for one image, it could not go on."""
    half = change(healthy(), "snow01", space=1 << 30)
    assert "space" in codes(SITE, half)
    begun = _path(half, "snow01", f"{IMAGE}.partial", PathFact("file", 1 << 30, 3, 700 << 20))
    assert "space" not in codes(SITE, begun)
    nothing = _path(half, "snow01", f"{IMAGE}.partial", PathFact("file", 1 << 30, 3, 0))
    assert "space" in codes(SITE, nothing), "a file of that length may take nothing"


def test_what_an_undo_has_moved_aside_is_named_where_there_is_no_room() -> None:
    """After `undo`, `apply` is refused on storage of the size that was enough before; what to remove would have to be guessed."""
    facts = change(healthy(), "snow01", space=1 << 30, undone=((f"{IMAGE}.undone", 3 << 30),))
    refused = next(one for one in evaluate.evaluate(SITE, facts) if one.code == "space")
    assert refused.remedy.endswith("moved 3072 MiB aside, which no domain uses: rm /sNow/domains/*/*.undone")


def test_a_disk_in_a_format_of_its_own_counts_for_what_a_domain_sees_of_it() -> None:
    """There is room for its file and not for its image: it was found after the domain was shut down."""
    disk = parse_disk("format=qcow2,vdev=xvda2,target=/srv/d.qcow2")
    site = replace(SITE, domains=(replace(SITE.domains[0], disks=(disk,)),))
    facts = change(healthy(), "snow01", space=2 << 30)
    facts = _path(facts, "snow01", "/srv/d.qcow2", PathFact("file", 1 << 20, 3))
    assert "space" not in codes(site, facts)
    large = change(facts, "snow01", virtual={"/srv/d.qcow2": 5 << 30})
    assert "space" in codes(site, large)
    raw = replace(site, domains=(replace(SITE.domains[0], disks=(replace(disk, format="raw"),)),))
    assert "space" not in codes(raw, large), "what is in a raw file is its domain's"


def test_images_with_all_of_their_room_and_holes_that_fit_are_no_finding() -> None:
    site = replace(SITE, domains=(from_image("deploy01"), SITE.domains[1]))
    for allocated, space in ((10 << 30, 1 << 30), (8 << 30, 8 << 30)):
        facts = _path(
            change(healthy(), "snow01", space=space), "snow01", IMAGE, PathFact("file", 10 << 30, 3, allocated)
        )
        assert "holes" not in codes(site, facts)


def test_a_file_system_on_large_sectors_and_a_saved_file_of_a_domain_that_runs_are_no_stops() -> None:
    facts = _path(healthy(), "snow01", "/dev/snow_vg/slurm01-disk", PathFact("block", 1 << 29, 9, 0, 4096, ""))
    assert "sector-size" not in codes(SITE, facts)
    assert "saved" not in codes(SITE, change(healthy(), "snow02", saved={"deploy01": "/var/lib/xen/save/deploy01"}))


def test_how_to_stop_a_cluster_is_told_with_what_becomes_of_its_domains() -> None:
    """`systemctl stop pacemaker` stops every domain: the remedy did not say so."""
    remedy = catalogue.ENTRIES["corosync-running"].remedy
    assert remedy.index("maintenance-mode --update=true") < remedy.index("systemctl stop pacemaker")


def test_a_kernel_of_the_same_size_is_another_one_all_the_same() -> None:
    """A distribution's update often keeps the size. The domain would boot another kernel after a loss than before."""
    facts = change(healthy(), "snow01", kernels={"/boot/vmlinuz": "a" * 64, "/boot/initrd.img": "b" * 64})
    facts = change(facts, "snow02", kernels={"/boot/vmlinuz": "c" * 64, "/boot/initrd.img": "b" * 64})
    assert [(one.code, one.where) for one in evaluate.evaluate(SITE, facts) if "kernel" in one.code] == [
        ("kernel-differs", "snow02")
    ]


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        (PathFact("other", 0, 5), "neither a volume nor a file"),
        (PathFact("file", 0, 5), "empty"),
        (None, "does not exist"),
    ],
)
def test_a_disk_that_is_no_disk_is_found_while_its_domain_runs(fact: PathFact | None, says: str) -> None:
    """A folder or a terminal behind a disk: it was shut down, and the copy failed then."""
    site, facts = _facts(_path(healthy(), "snow01", "/dev/snow_vg/slurm01-disk", fact))
    (finding,) = [one for one in evaluate.evaluate(site, facts) if one.severity == "stop"]
    assert finding.code == "missing-volume" and says in finding.message


@pytest.mark.parametrize("name", ["xsnow-vip", "fence-snow01"])
def test_a_domain_that_is_called_as_another_resource_is_found_before_its_disks_are_moved(name: str) -> None:
    """The cluster was refused when every image had been copied."""
    site, facts = _twin(name=name)
    found = [one for one in evaluate.evaluate(site, facts) if one.code == "duplicate-name"]
    assert len(found) == 1 and "in the cluster" in found[0].message


@pytest.mark.parametrize("action", ["destroy", "coredump-destroy"])
def test_a_domain_that_is_gone_when_it_has_shut_down_is_no_finding(action: str) -> None:
    site, facts = _twin(on_poweroff=action)
    assert not any(one.code == "on-poweroff" for one in evaluate.evaluate(site, facts))
