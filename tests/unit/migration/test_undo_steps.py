"""Back from the images onto the volumes, in memory: what is written, in which order, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from listener import Listener
from simulated import (
    CONF,
    DOMAINS,
    SECRET,
    SNOW_CONF,
    XENDOMAINS,
    SimulatedHost,
    World,
    config,
    single_server,
)

from snowha.cluster import cib_merge, corosync_conf
from snowha.errors import CommandError, InputError, ProofError, SiteError
from snowha.hosts.files import read_text, write_file
from snowha.live import left_down
from snowha.live.context import SiteContext, read_domains
from snowha.migration.steps import all_steps
from snowha.migration.undo import images as undo_images
from snowha.migration.undo import steps as undo_steps
from snowha.plan.step import Step, in_order
from snowha.site.image_names import image_paths
from snowha.xen import xl

PASSWORDS = {"snow01": SECRET, "snow02": SECRET}
DEPLOY = f"{DOMAINS}/deploy01.cfg"


def step(steps: Sequence[Step], name: str) -> Step:
    return next(one for one in steps if one.id == name)


def migrate(context: SiteContext) -> None:
    """The steps that only need the first server."""
    for one in all_steps(context, PASSWORDS):
        if one.id in (
            "servers.settings.snow01",
            "images.deploy01",
            "images.slurm01",
            "pacemaker.autostart",
            "snow.conf",
        ):
            one.apply(Listener())
            assert one.id == "servers.settings.snow01" or one.check() is None, one.id


def take_back(context: SiteContext, to: str = "") -> list[str]:
    done = []
    for one in in_order(undo_steps.steps(context, PASSWORDS, to=to)):
        if one.check() is not None:
            one.apply(Listener())
            assert one.check() is None, one.id
            done.append(one.id)
    return done


def test_everything_is_as_it_was_and_the_disks_have_what_was_written_since() -> None:
    """An administrator who tried it could not go back, or would lose what the domains wrote meanwhile."""
    context, world, hosts = single_server()
    before = dict(world.shared)
    links = dict(hosts[0].links)
    migrate(context)
    assert world.shared != before and not set(links) & set(hosts[0].links)
    for disk in ("disk", "swap"):
        world.disks[f"/sNow/domains/deploy01/deploy01-{disk}"] = f"written since, {disk}".encode()
    done = take_back(context)
    assert done[0] == "undo.snow.conf"
    assert world.shared == before
    assert hosts[0].links == links
    assert hosts[0].text("/etc/default/xendomains") == XENDOMAINS
    assert world.running == {"deploy01": "snow01", "slurm01": "snow01"}
    assert world.disks["/dev/snow_vg/deploy01-disk"] == b"written since, disk"
    assert world.disks["/dev/snow_vg/deploy01-swap"] == b"written since, swap"
    assert world.disks["/dev/snow_vg/slurm01-disk"] == b"slurm01 disk of before"
    assert take_back(context) == []


def test_undo_of_undo_is_apply_and_that_can_be_undone_again() -> None:
    """The second migration would be refused, or the second undo put an older state back."""
    context, world, _ = single_server()
    migrate(context)
    migrated = dict(world.shared)
    take_back(context)
    world.disks["/dev/snow_vg/deploy01-disk"] = b"newer"
    migrate(context)
    assert world.shared == migrated
    assert world.disks["/sNow/domains/deploy01/deploy01-disk"] == b"newer"
    take_back(context)
    assert world.shared[DEPLOY][0].decode() == config("deploy01", 11)
    assert world.shared[CONF][0].decode() == SNOW_CONF


def test_a_domain_is_off_before_its_image_is_copied_and_images_are_kept_aside() -> None:
    """A torn copy; or no way back from a way back."""
    context, world, _ = single_server(("deploy01",))
    migrate(context)
    world.log.clear()
    undo_images.move_back(context, "deploy01", Listener())
    assert [what for _, what in world.log] == [
        "shutdown deploy01",
        "copy /sNow/domains/deploy01/deploy01-disk /dev/snow_vg/deploy01-disk",
        "copy /sNow/domains/deploy01/deploy01-swap /dev/snow_vg/deploy01-swap",
        "create deploy01",
    ]
    assert "/sNow/domains/deploy01/deploy01-disk.undone" in world.disks
    assert "/sNow/domains/deploy01/deploy01-disk" not in world.disks


def test_a_domain_that_runs_on_another_server_is_seen_off_there() -> None:
    """It would run twice: on its image and on its volume."""
    context, world, _ = single_server(("deploy01",))
    migrate(context)
    world.running["deploy01"] = "snow02"
    undo_images.move_back(context, "deploy01", Listener())
    assert ("snow02", "shutdown deploy01") in world.log
    assert world.running == {"deploy01": "snow01"}


def test_a_copy_that_fails_leaves_the_domain_running_from_its_image() -> None:
    """A full or broken disk would cost the domain."""
    context, world, hosts = single_server(("deploy01",))
    migrate(context)
    config_of_ours = hosts[0].text(DEPLOY)
    world.fail = lambda host, argv: (
        "I/O error" if "copy" in argv and any(word.endswith("-swap") for word in argv) else None
    )
    with pytest.raises(CommandError, match="I/O error") as caught:
        undo_images.move_back(context, "deploy01", Listener())
    assert "runs from its image" in caught.value.remedy
    assert hosts[0].text(DEPLOY) == config_of_ours
    assert world.running == {"deploy01": "snow01"}
    world.fail = lambda host, argv: None
    undo_images.move_back(context, "deploy01", Listener())
    assert hosts[0].text(DEPLOY) == config("deploy01", 11)


def test_a_domain_that_does_not_start_from_its_volume_starts_from_its_image() -> None:
    context, world, hosts = single_server(("deploy01",))
    migrate(context)
    config_of_ours = hosts[0].text(DEPLOY)
    world.fail = lambda host, argv: (
        "no such device" if argv[:2] == ["xl", "create"] and hosts[0].text(DEPLOY) != config_of_ours else None
    )
    with pytest.raises(CommandError, match="does not start from its volumes"):
        undo_images.move_back(context, "deploy01", Listener())
    assert world.running == {"deploy01": "snow01"}
    assert "/sNow/domains/deploy01/deploy01-disk" in world.disks


def test_a_run_that_was_killed_after_the_config_was_put_back_goes_on() -> None:
    """The domain would stay down, or its volume be overwritten by an image that is older by then."""
    context, world, _ = single_server(("deploy01",))
    migrate(context)
    way = undo_images.plan_return(context, "deploy01")
    world.shared[DEPLOY] = (way.then.encode(), 0o644)
    left_down.note(context.first, left_down.Note("deploy01", DEPLOY))  # as it did before it shut it down
    del world.running["deploy01"]
    world.disks["/dev/snow_vg/deploy01-disk"] = b"verified copy"
    world.log.clear()
    assert undo_images.missing(context, "deploy01") is not None
    undo_images.move_back(context, "deploy01", Listener())
    assert [what for _, what in world.log] == ["create deploy01"]
    assert world.disks["/dev/snow_vg/deploy01-disk"] == b"verified copy"
    assert undo_images.missing(context, "deploy01") is None


def test_what_an_administrator_changed_since_in_a_config_stays() -> None:
    """More memory, given last week, would be gone."""
    context, world, hosts = single_server(("deploy01",))
    migrate(context)
    text = (hosts[0].text(DEPLOY) or "").replace("'256'", "'512'")
    world.shared[DEPLOY] = (text.encode(), 0o644)
    undo_images.move_back(context, "deploy01", Listener())
    now = hosts[0].text(DEPLOY) or ""
    assert "'512'" in now and "'phy:/dev/snow_vg/deploy01-disk,xvda2,w'" in now and "block-snow" not in now


def test_snow_conf_that_somebody_changed_since_is_not_put_back() -> None:
    """His change would be lost without a word."""
    context, world, _ = single_server()
    migrate(context)
    content, mode = world.shared[CONF]
    world.shared[CONF] = (content + b"NEW=1\n", mode)
    one = step(undo_steps.steps(context, PASSWORDS), "undo.snow.conf")
    with pytest.raises(SiteError, match="changed by somebody else") as caught:
        one.apply(Listener())
    assert SECRET not in str(caught.value)
    assert one.needs == () and all(
        "undo.snow.conf" not in other.needs for other in undo_steps.steps(context, PASSWORDS)
    )


def test_a_config_without_an_earlier_version_is_an_error_and_not_a_guess() -> None:
    context, world, hosts = single_server(("deploy01",))
    migrate(context)
    hosts[0].kept.clear()
    with pytest.raises(SiteError, match="no earlier version"):
        undo_images.move_back(context, "deploy01", Listener())
    assert world.running == {"deploy01": "snow01"}


def test_an_undo_of_a_site_that_was_never_migrated_does_nothing() -> None:
    """It would start a domain that is off on purpose."""
    context, world, _ = single_server()
    del world.running["slurm01"]
    assert take_back(context) == []
    assert world.log == []


def test_a_domain_that_always_ran_from_files_keeps_them() -> None:
    """Its only disk would be moved away."""
    context, world, hosts = single_server(("deploy01",))
    text = config("deploy01", 11)
    for disk in ("disk", "swap"):
        old, new = f"phy:/dev/snow_vg/deploy01-{disk}", f"file:/sNow/domains/deploy01/deploy01-{disk}"
        text = text.replace(old, new)
        world.disks[f"/sNow/domains/deploy01/deploy01-{disk}"] = b"its only one"
    world.shared[DEPLOY] = (text.encode(), 0o644)
    migrate(context)
    take_back(context)
    assert hosts[0].text(DEPLOY) == text
    assert world.disks["/sNow/domains/deploy01/deploy01-disk"] == b"its only one"
    assert world.running == {"deploy01": "snow01"}


def test_the_way_back_ends_where_it_is_told_to() -> None:
    """`--to images` would take the images back as well."""
    context, _, _ = single_server()
    ids = [one.id for one in undo_steps.steps(context, PASSWORDS, to="images")]
    assert "undo.corosync.start" in ids and not any(name.startswith("undo.images") for name in ids)
    ids = [one.id for one in undo_steps.steps(context, PASSWORDS, to="images.deploy01")]
    assert "undo.images.slurm01" in ids and "undo.images.deploy01" not in ids
    assert [one.id for one in undo_steps.steps(context, PASSWORDS, to="proofs")] == ["undo.snow.conf"]
    assert undo_steps.steps(context, PASSWORDS, to="snow.conf") == []
    with pytest.raises(InputError, match="no step"):
        undo_steps.steps(context, PASSWORDS, to="imagse")


def test_nothing_of_the_domains_is_touched_while_pacemaker_has_them() -> None:
    """Pacemaker would start a domain from its image while that is copied."""
    context, _, _ = single_server()
    steps = {one.id: one for one in undo_steps.steps(context, PASSWORDS)}
    needed: set[str] = set()
    open_ones = ["undo.images.deploy01"]
    while open_ones:
        open_ones += (now := steps[open_ones.pop()]).needs
        needed.add(now.id)
    assert {"undo.gather", "undo.pacemaker.cib", "undo.pacemaker.autostart", "undo.pacemaker.start"} <= needed
    assert "undo.snow.conf" not in needed


def form_cluster(context: SiteContext, world: World, hosts: list[SimulatedHost]) -> None:
    """What the rest of the migration leaves on the servers, slurm01 on the second."""
    for host in hosts:
        world.active |= {(host.name, "corosync"), (host.name, "pacemaker")}
        host.own["/var/lib/pacemaker/cib/cib.xml"] = (f"<cib>{cib_merge.MARK}</cib>".encode(), 0o600)
        host.own["/etc/corosync/corosync.conf"] = (corosync_conf.compose(context.site).encode(), 0o644)
        host.own["/etc/corosync/authkey"] = (b"key", 0o400)
        host.own["/var/lib/snow-ha/proofs/fence-snow01.json"] = (b"{}", 0o600)
        for server in context.site.servers:
            host.own[f"/etc/snow-ha/fence/{server.name}"] = (b"#!/bin/sh", 0o700)
    world.running["slurm01"] = "snow02"
    world.resources = {"xsnow-vip": "snow02", "deploy01": "snow01", "slurm01": "snow02"}


def test_a_whole_cluster_is_taken_back_with_its_domains_running() -> None:
    """Stopping Pacemaker stops every domain, unless it is told to leave them alone; and a domain that stays on the second
    server would be started on the first at its next boot."""
    context, world, hosts = single_server()
    before = dict(world.shared)
    migrate(context)
    form_cluster(context, world, hosts)
    world.log.clear()
    take_back(context)
    log = [what for _, what in world.log]
    begin = log[: log.index("stop corosync")]
    assert begin == [
        "migrate slurm01 to snow01",
        "stop xsnow-vip",
        "maintenance",
        "stop pacemaker",
        "stop pacemaker",
        "aside /var/lib/pacemaker/cib/cib.xml",
        "aside /var/lib/pacemaker/cib/cib.xml",
    ]
    assert log.index("shutdown deploy01") > max(n for n, what in enumerate(log) if what == "stop corosync")
    assert world.active == set() and world.shared == before
    assert world.running == {"deploy01": "snow01", "slurm01": "snow01"}
    for host in hosts:
        left = [
            path for path in host.own if path.startswith(("/etc/corosync/", "/etc/snow-ha/", "/var/lib/snow-ha/proofs"))
        ]
        assert left == []
    assert take_back(context) == []


def test_the_last_usable_server_is_not_drained() -> None:
    """After an interrupted proof, or the loss of a server, the first one is in standby or not in the cluster: Pacemaker would
    have nowhere to run a domain, stop all of them, and the second server would be empty, as was waited for."""
    for away in ("standby", "stopped"):
        context, world, hosts = single_server()
        migrate(context)
        form_cluster(context, world, hosts)
        world.running = {"deploy01": "snow02", "slurm01": "snow02"}
        world.resources = {"xsnow-vip": "snow02", "deploy01": "snow02", "slurm01": "snow02"}
        if away == "standby":
            world.standby.add("snow01")
        else:
            world.active -= {("snow01", "pacemaker"), ("snow01", "corosync")}
        world.log.clear()
        step(undo_steps.steps(context, PASSWORDS), "undo.gather").apply(Listener())
        assert world.running == {"deploy01": "snow01", "slurm01": "snow01"}
        assert not any(what.startswith("stop ") for _, what in world.log)


def test_a_domain_elsewhere_is_seen_when_pacemaker_is_stopped() -> None:
    """It would be started a second time, on the same image, when the first server boots."""
    context, world, hosts = single_server()
    migrate(context)
    form_cluster(context, world, hosts)
    world.active.clear()
    gather = step(undo_steps.steps(context, PASSWORDS, to="images"), "undo.gather")
    assert gather.check() == "slurm01 runs on snow02"
    with pytest.raises(SiteError, match="slurm01 runs on snow02, and Pacemaker does not run"):
        gather.apply(Listener())


def test_a_domain_goes_back_into_the_file_that_it_ran_from() -> None:
    """It was refused, since nobody knew who has that file open; and afterwards a record lay beside it that nothing removes."""
    context, world, _ = single_server(("deploy01",))
    file = "/srv/images/deploy01.img"
    text = config("deploy01", 11).replace("phy:/dev/snow_vg/deploy01-disk", f"file:{file}")
    world.shared[DEPLOY] = (text.encode(), 0o644)
    for host in (host for host in context.hosts.values() if host.name == "snow01"):
        host.own[file] = (b"x", 0o600)  # type: ignore[attr-defined]
    world.disks[file] = world.disks.pop("/dev/snow_vg/deploy01-disk")
    context = replace(context, site=replace(context.site, domains=read_domains(context.first, DOMAINS)))
    migrate(context)
    assert file not in world.leases.records
    listener = Listener()
    undo_images.move_back(context, "deploy01", listener)
    assert ("snow01", f"copy /sNow/domains/deploy01/deploy01.img {file}") in world.log
    assert world.running == {"deploy01": "snow01"} and world.shared[DEPLOY][0] == text.encode()
    assert world.leases.records == set()
    assert any(f"removing the lease record of {file}" in said for said in listener.said)


def test_an_image_that_is_written_is_not_moved_aside_whatever_the_config_says() -> None:
    """A config put back by hand: what the domain wrote since would be in a file that we call a leftover."""
    context, world, _ = single_server(("deploy01",))
    migrate(context)
    world.shared[DEPLOY] = (config("deploy01", 11).encode(), 0o644)
    world.leases.bare.add(("/sNow/domains/deploy01/deploy01-disk", "snow01"))
    with pytest.raises(SiteError, match="runs from /sNow/domains/deploy01/deploy01-disk, though its config"):
        undo_images.move_back(context, "deploy01", Listener())
    assert "/sNow/domains/deploy01/deploy01-disk" in world.disks


def test_back_to_the_images_leaves_the_domains_alone() -> None:
    """`--to images` would cost every domain its time away."""
    context, world, hosts = single_server()
    migrate(context)
    form_cluster(context, world, hosts)
    world.log.clear()
    take_back(context, to="images")
    assert not any(what.startswith(("shutdown", "create", "copy")) for _, what in world.log)
    assert world.running == {"deploy01": "snow01", "slurm01": "snow01"}
    assert b"block-snow" in world.shared[DEPLOY][0]
    assert hosts[0].links


def test_a_domain_that_does_not_survive_is_an_error() -> None:
    """An undo would go on as if nothing had happened."""
    context, world, hosts = single_server()
    migrate(context)
    form_cluster(context, world, hosts)
    world.maintenance = True

    def lose(host: str, argv: Sequence[str]) -> str | None:
        if argv[:3] == ["systemctl", "stop", "pacemaker"]:
            world.running.pop("slurm01", None)
        return None

    world.fail = lose
    with pytest.raises(ProofError, match="slurm01 stopped or restarted"):
        step(undo_steps.steps(context, PASSWORDS), "undo.pacemaker.cib").apply(Listener())


def test_logins_are_taken_back_line_by_line() -> None:
    """A key of the administrator's would go with ours."""
    context, _, hosts = single_server()
    hosts[1].own["/root/.ssh/id_ed25519.pub"] = (b"ssh-ed25519 BBBB root@snow02\n", 0o644)
    write_file(hosts[0], "/root/.ssh/authorized_keys", "ssh-ed25519 AAAA me\n")
    write_file(hosts[0], "/root/.ssh/authorized_keys", "ssh-ed25519 AAAA me\nssh-ed25519 BBBB root@snow02\n")
    pin = b"snow02,192.168.8.2,10.0.0.2 ssh-ed25519 CCCC\n"
    hosts[0].own["/etc/ssh/ssh_known_hosts"] = (pin, 0o644)
    one = step(undo_steps.steps(context, PASSWORDS), "undo.servers.ssh")
    assert one.check() is not None
    one.apply(Listener())
    assert read_text(hosts[0], "/root/.ssh/authorized_keys") == "ssh-ed25519 AAAA me\n"
    assert read_text(hosts[0], "/etc/ssh/ssh_known_hosts") is None
    assert one.check() is None


def test_a_login_that_was_there_before_us_stays() -> None:
    """Run on the first server itself, it may be the only way to the others."""
    context, _, hosts = single_server()
    hosts[0].own["/root/.ssh/id_ed25519.pub"] = (b"ssh-ed25519 AAAA root@snow01\n", 0o644)
    hosts[1].own["/root/.ssh/authorized_keys"] = (b"ssh-ed25519 AAAA root@snow01\n", 0o600)
    one = step(undo_steps.steps(context, PASSWORDS), "undo.servers.ssh")
    assert one.check() is None  # never changed by us
    write_file(hosts[1], "/root/.ssh/authorized_keys", "ssh-ed25519 AAAA root@snow01\nssh-ed25519 CCCC root@snow03\n")
    assert one.check() is None  # in every earlier version


def test_images_are_where_the_migration_puts_them() -> None:
    context, _, _ = single_server(("deploy01",))
    domain = context.site.domain("deploy01")
    assert image_paths(domain, context.site.paths.images)["xvda2"] == "/sNow/domains/deploy01/deploy01-disk"


@pytest.mark.parametrize("verb", ["apply", "undo"])
def test_what_xl_cannot_read_shuts_no_domain_down(verb: str) -> None:
    """A comment without a newline, CRLF, an escape: only xl knows its grammar."""
    context, world, _ = single_server(("deploy01",))
    if verb == "undo":
        migrate(context)
    before = (dict(world.shared), dict(world.disks), dict(world.running))
    world.log.clear()
    world.fail = lambda host, argv: "config parsing error" if xl.READS in argv else None
    with pytest.raises(SiteError, match="xl cannot read"):
        if verb == "apply":
            migrate(context)
        else:
            undo_images.move_back(context, "deploy01", Listener())
    assert (dict(world.shared), dict(world.disks), dict(world.running)) == before and world.log == []
