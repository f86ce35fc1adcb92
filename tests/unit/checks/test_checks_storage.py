"""Rules about the storage: images and configs are where every server has them."""

from __future__ import annotations

from dataclasses import replace

from check_sites import SITE, change, healthy, messages, mounts

from snowha.checks.facts import Mounted
from snowha.site.model import Disk, Mount, Paths


def test_images_and_configs_must_be_where_every_server_has_them() -> None:
    """A domain was moved to images on the first server's own disk, and nobody could start it when that server was lost."""
    local = replace(SITE, paths=Paths(SITE.paths.snow_conf, "/root/domains", "/srv/images"))
    facts = change(healthy(), "snow01", folders=("/srv/images", "/root/domains"))
    assert messages("not-shared", local, facts) == [
        "snow01:/srv/images: paths.images is on ext4 (/dev/vda1) of snow01 alone",
        "snow01:/root/domains: paths.domain_configs is on ext4 (/dev/vda1) of snow01 alone",
    ]
    # what leads out of it by a link; and one that leads nowhere else
    linked = change(healthy(), "snow01", folders=("/srv/images", "/sNow/etc/domains"))
    assert messages("not-shared", SITE, linked) == [
        "snow01:/sNow/domains: paths.images is on ext4 (/dev/vda1) of snow01 alone (a link to /srv/images)"
    ]
    assert messages("not-shared", SITE, change(healthy(), "snow01", folders=())) == []
    # the whole of /sNow is said once
    assert messages("not-shared", SITE, change(healthy(), "snow01", mounts=mounts()[:1])) == []
    # a share of its own, which a new server would not get
    share = Mounted("nfs02:/images", "/images", "nfs4", frozenset({"hard"}))
    apart = replace(SITE, paths=replace(SITE.paths, images="/images/domains"))
    there = change(healthy(), "snow01", folders=("/images/domains", "/sNow/etc/domains"), mounts=(*mounts(), share))
    assert messages("not-shared", apart, there) == [
        "snow01:/images/domains: paths.images is on nfs02:/images, which is not mounted on snow02 and has no [[mount]] in ha.toml"
    ]
    assert messages("not-shared", apart, change(there, "snow02", mounts=(*mounts(), share))) == []
    # and one that is mounted below /sNow
    below = Mounted("nfs02:/images", "/sNow/domains", "nfs4", frozenset({"hard"}))
    facts = change(healthy(), "snow01", mounts=(*mounts(), below))
    assert messages("not-shared", SITE, facts) == [
        "snow01:/sNow/domains: paths.images is on nfs02:/images, which is not mounted on snow02 and has no [[mount]] in ha.toml"
    ]
    assert messages("not-shared", SITE, change(facts, "snow02", mounts=(*mounts(), below))) == []
    named = replace(apart, mounts=(*SITE.mounts, Mount("nfs02:/images", "/images", "nfs4", "hard")))
    assert messages("not-shared", named, there) == []


def test_a_volume_by_its_other_name_is_in_the_group_of_img_dst() -> None:
    """A site with /dev/mapper in its configs was told to correct what is right; a diskless domain has no place at all."""
    deploy01, slurm01 = SITE.domains
    other = Disk("", "/dev/mapper/snow_vg-deploy01--disk", "xvda2")
    site = replace(SITE, domains=(replace(deploy01, disks=(other,)), replace(slurm01, disks=())))
    assert messages("image-destination", site, healthy()) == []
