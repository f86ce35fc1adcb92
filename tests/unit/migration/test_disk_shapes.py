"""Shapes of domains that sites have, moved and taken back: what is no image to move is left alone, and no two disks are one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from listener import Listener
from recorded import ground_on, lvs, snapshot, volume
from simulated import DOMAINS, SimulatedHost, World, config, single_server

from snowha.disks import cold, cutover, snapshots, warm, warm_disks
from snowha.errors import InputError, SiteError
from snowha.hosts.playback import PlaybackHost
from snowha.live.context import SiteContext, read_domains, read_domains_and_errors
from snowha.migration.undo import images as undo_images
from snowha.provision import servers
from snowha.site import domain_config
from snowha.xen import xl

DEPLOY = f"{DOMAINS}/deploy01.cfg"
DATA = (
    "'phy:/dev/ssd_vg/data,xvda3,w', 'phy:/dev/hdd_vg/data,xvdb,w', ',hdc:cdrom,r', 'file:/srv/my disc.iso,hdd:cdrom,r'"
)


def with_disks(disks: str) -> tuple[SiteContext, World, list[SimulatedHost]]:
    context, world, hosts = single_server(("deploy01",))
    text = config("deploy01", 11) + f"disk += [ {disks} ]\n"
    world.shared[DEPLOY] = (text.encode(), 0o644)
    return context, world, hosts


def test_two_disks_of_one_name_get_two_images_and_get_back_and_cds_are_left_alone() -> None:
    """The second would be copied over the first, and both volumes would be written with it on the way back."""
    context, world, _ = with_disks(DATA)
    before = world.shared[DEPLOY]
    world.disks |= {"/dev/ssd_vg/data": b"fast", "/dev/hdd_vg/data": b"slow"}
    cold.move(context, "deploy01", {}, Listener())
    assert world.disks["/sNow/domains/deploy01/data-xvda3"] == b"fast"
    assert world.disks["/sNow/domains/deploy01/data-xvdb"] == b"slow"
    text = world.shared[DEPLOY][0].decode()
    assert "',hdc:cdrom,r', 'file:/srv/my disc.iso,hdd:cdrom,r'" in text
    assert cutover.missing(context, "deploy01") is None
    world.disks["/sNow/domains/deploy01/data-xvda3"] = b"FAST"
    undo_images.move_back(context, "deploy01", Listener())
    assert (world.disks["/dev/ssd_vg/data"], world.disks["/dev/hdd_vg/data"]) == (b"FAST", b"slow")
    assert world.shared[DEPLOY] == before


@pytest.mark.parametrize("script", ["block", "/etc/xen/scripts/block"])
def test_a_disk_that_names_xens_own_script_is_a_disk_like_any_other(script: str) -> None:
    """It was refused, though it is what xl takes where nothing is named."""
    context, world, _ = with_disks(f"'format=raw,vdev=xvdc,access=rw,script={script},target=/dev/ssd_vg/more'")
    before = world.shared[DEPLOY]
    world.disks["/dev/ssd_vg/more"] = b"more"
    cold.move(context, "deploy01", {}, Listener())
    assert world.disks["/sNow/domains/deploy01/more"] == b"more"
    undo_images.move_back(context, "deploy01", Listener())
    assert world.shared[DEPLOY] == before


@pytest.mark.parametrize(
    "disk",
    ["format=qed,file:/srv/d1,xvdc,w", "tap:qcow:/srv/d1.qcow,xvdc,w", "backend=stor,vdev=xvdc,target=/dev/vg/x"]
    + ["format=qcow2,vdev=xvdc,target=/dev/vg/x"],
)
def test_what_cannot_be_moved_is_said_before_the_domain_is_shut_down(disk: str) -> None:
    context, world, _ = with_disks(f"'{disk}'")
    with pytest.raises(SiteError) as caught:
        cold.move(context, "deploy01", {}, Listener())
    assert "xvdc" in str(caught.value) and caught.value.remedy
    assert world.log == [] and world.running == {"deploy01": "snow01"}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("qcow2", "format=qcow2,file:/srv/d1.qcow2,xvdc,w"),
        ("qcow2", "format=qcow2,vdev=xvdc,access=rw,target=/sNow/domains/deploy01/d1.qcow2"),
        ("vhd", "tap:vhd:/srv/d1.vhd,xvdc,w"),
    ],
)
def test_a_disk_in_a_format_of_its_own_becomes_an_image_and_one_of_its_kind_again(kind: str, spec: str) -> None:
    """Its bytes were copied as they are, and attached as raw. What was written to the image since is in the disk afterwards."""
    context, world, _ = with_disks(f"'{spec}'")
    before, source = world.shared[DEPLOY], spec.replace("target=", ":").replace(",xvdc,w", "").split(":")[-1]
    world.disks[source] = f"{kind}:content".encode()
    cold.move(context, "deploy01", {}, Listener())
    assert world.disks["/sNow/domains/deploy01/d1.raw"] == b"content"
    assert world.disks[source] == f"{kind}:content".encode()
    text = world.shared[DEPLOY][0].decode()
    assert "format=raw,vdev=xvdc,access=rw,script=block-snow,target=/sNow/domains/deploy01/d1.raw" in text
    assert cutover.missing(context, "deploy01") is None
    world.disks["/sNow/domains/deploy01/d1.raw"] = b"written"
    undo_images.move_back(context, "deploy01", Listener())
    assert world.disks[source] == f"{kind}:written".encode()
    assert world.shared[DEPLOY] == before and world.running == {"deploy01": "snow01"}


def test_without_qemu_img_there_is_no_way_back_and_that_is_said_while_the_domain_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context, world, hosts = with_disks("'format=qcow2,vdev=xvdc,target=/srv/d1.qcow2'")
    world.disks["/srv/d1.qcow2"] = b"qcow2:content"
    cold.move(context, "deploy01", {}, Listener())
    hosts[0].programs -= {"qemu-img"}
    world.log.clear()
    with pytest.raises(SiteError, match="qemu-img, which"):
        undo_images.move_back(context, "deploy01", Listener())
    assert world.log == [] and world.running == {"deploy01": "snow01"}


def test_only_a_server_with_such_a_disk_gets_what_converts_it() -> None:
    for disks, wanted in (("'format=qcow2,vdev=xvdc,target=/srv/d1.qcow2'", True), ("'/srv/d1.img,,xvdc'", False)):
        context, _, hosts = with_disks(disks)
        context = replace(context, site=replace(context.site, domains=read_domains(hosts[0], DOMAINS, ["deploy01"])))
        steps = {step.id: step for step in servers.steps(context)}
        assert ("qemu-utils" in str(steps["servers.packages.snow01"].check)) == wanted
        assert all(
            "qemu-utils" not in str(step.check) for name, step in steps.items() if name != "servers.packages.snow01"
        )


def test_each_server_gets_qemu_and_firmware_where_a_domain_needs_them() -> None:
    """Xen's packages only recommend them: a domain with a frame buffer, or an HVM one, would start on the first server alone."""
    wanted = {"": (False, False), "vfb = [ 'type=vnc' ]\n": (True, False)}
    wanted["type = 'hvm'\nbios = 'ovmf'\n"] = True, True
    for more, (qemu, uefi) in wanted.items():
        context, world, hosts = single_server(("deploy01",))
        world.shared[DEPLOY] = (config("deploy01", 11) + more).encode(), 0o644
        context = replace(context, site=replace(context.site, domains=read_domains(hosts[0], DOMAINS, ["deploy01"])))
        packages = [step for step in servers.steps(context) if step.id.startswith("servers.packages.")]
        assert len(packages) == 2
        for step in packages:
            assert ("qemu-system-xen" in str(step.check), "'ovmf'" in str(step.check)) == (qemu, uefi)


def test_a_manifest_that_names_another_volume_ends_the_way_back() -> None:
    """The other volume's data would be written into this one."""
    context, world, _ = single_server(("deploy01",))
    cold.move(context, "deploy01", {}, Listener())
    record = {"source": {"path": "/dev/other_vg/deploy01-disk"}}
    world.shared["/sNow/domains/deploy01/deploy01-disk.manifest"] = (json.dumps(record).encode(), 0o644)
    world.log.clear()
    with pytest.raises(SiteError, match="names what its images were copied from: xvda2 /dev/other_vg/deploy01-disk"):
        undo_images.move_back(context, "deploy01", Listener())
    assert world.log == [] and world.running == {"deploy01": "snow01"}
    record = {"source": {"path": "/dev/mapper/snow_vg-deploy01--disk"}}
    world.shared["/sNow/domains/deploy01/deploy01-disk.manifest"] = (json.dumps(record).encode(), 0o644)
    undo_images.move_back(context, "deploy01", Listener())


def test_an_image_that_two_volumes_would_get_ends_the_way_back() -> None:
    context, world, _ = single_server(("deploy01",))
    cold.move(context, "deploy01", {}, Listener())
    text = world.shared[DEPLOY][0].decode().replace("deploy01/deploy01-swap", "deploy01/deploy01-disk")
    world.shared[DEPLOY] = (text.encode(), 0o644)
    world.log.clear()
    with pytest.raises(SiteError, match="is the image of two disks"):
        undo_images.move_back(context, "deploy01", Listener())
    assert world.log == []


def test_a_domain_without_disks_has_nothing_to_be_moved() -> None:
    context, world, _ = single_server(("deploy01",))
    world.shared[DEPLOY] = ((config("deploy01", 11) + "root = '/dev/nfs'\ndisk = [ ]\n").encode(), 0o644)
    assert warm.missing(context, "deploy01") is None
    assert undo_images.missing(context, "deploy01") is None


def test_a_domain_with_its_own_kernel_stays_pv_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel cannot be tried on the server: it was told to free some memory."""
    kind, heard = _kind_for_migration("bootloader='pygrub'\n", monkeypatch)
    assert kind == "pv"
    assert "pygrub" in heard.said[0] and "stays PV" in str(heard.facts["no_live_migration"])


@pytest.mark.parametrize("line", ["pci=['03:00.1']", "pci=[]\npci+=['03:00.1,permissive=1']", "iomem=['fd000,1']"])
def test_a_domain_with_a_device_of_its_server_stays_pv_and_says_so(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PVH cannot have one: its kernel boots as such, and the domain was down for a start that xl refused, at each run."""
    kind, heard = _kind_for_migration(f"kernel='/boot/vmlinuz'\n{line}\n", monkeypatch)
    assert kind == "pv" and line[: line.index("=")] in heard.said[0]


def _kind_for_migration(lines: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Listener]:
    monkeypatch.setattr(xl, "boots_as_pvh", lambda host, domain: pytest.fail("there is no kernel to try"))
    able = xl.Hypervisor("4.20.5", frozenset({"pv", "pvh", "hap"}), 2560, 1000)
    monkeypatch.setattr(xl, "hypervisor", lambda host: able)
    text = f"name='web'\nmemory=128\n{lines}disk=['phy:/dev/vg/web,xvda,w']\n"
    heard = Listener()
    with PlaybackHost("snow01", []) as host:
        kind = cutover.type_for_migration(host, domain_config.parse(text, where="x", path="/x.cfg"), {}, heard)
    return kind, heard


def test_a_snapshot_of_another_volume_of_the_same_name_is_not_removed() -> None:
    """Another domain's copy would be worth nothing."""
    mine = snapshot(1)
    theirs = {**mine, "vg_name": "hdd_vg", "lv_path": "/dev/hdd_vg/x", "lv_dm_path": "/dev/mapper/hdd_vg-x"}
    origin = {
        **volume("deploy01-disk"),
        "vg_name": "hdd_vg",
        "lv_path": "/dev/hdd_vg/deploy01-disk",
        "lv_dm_path": "/dev/m/o",
    }
    found = snapshots.parse_lvs(lvs(mine, theirs, origin).stdout)
    with PlaybackHost("snow01", []) as host:
        domain = ground_on(host).site.domains[0]
        assert [one.full_name for one in warm_disks.snapshots_of(host, domain, found)] == [
            "snow_vg/snow-ha-1-deploy01-disk"
        ]


@pytest.mark.parametrize(
    "path", ["/dev/mapper/snow_vg-deploy01--disk", "/dev//snow_vg/deploy01-disk", "/dev/snow_vg/./deploy01-disk"]
)
def test_a_volume_is_known_by_any_of_its_names(path: str) -> None:
    found = snapshots.volume_of(snapshots.parse_lvs(lvs().stdout), path)
    assert found and found.name == "deploy01-disk"


BAD = {
    "half": b"name = 'half'\nmemory = ",
    "latin": "name = 'latin'\n# m\xe1quina\nmemory = 1\ndisk = []\n".encode("latin-1"),
    "rbd": b"name = 'other'\nmemory = 1\ndisk = [ 'rbd:pool/x,raw,xvda,w' ]\n",
}


@pytest.mark.parametrize("file", sorted(BAD))
def test_a_config_that_cannot_be_used_and_is_not_ours_is_left_alone(file: str) -> None:
    """One of them ended every verb for the whole site."""
    context, world, hosts = single_server()
    world.shared[f"{DOMAINS}/{file}.cfg"] = (BAD[file], 0o644)
    domains, left = read_domains_and_errors(hosts[0], DOMAINS, ["deploy01", "slurm01"])
    assert [domain.name for domain in domains] == ["deploy01", "slurm01"]
    assert left[0].where.startswith(f"snow01:{DOMAINS}/{file}.cfg") and left[0].remedy
    assert cutover.missing(context, "deploy01") is not None
    with pytest.raises(InputError):
        read_domains(hosts[0], DOMAINS, [file])
    if file == "rbd":
        with pytest.raises(InputError):
            read_domains(hosts[0], DOMAINS, ["other"])


def test_reading_a_manifest_is_only_asked_for_snapshots_of_ours() -> None:
    with PlaybackHost("snow01", []) as host:
        domain = ground_on(host).site.domains[0]
        assert warm_disks.snapshots_of(host, domain, snapshots.parse_lvs(lvs().stdout)) == []
