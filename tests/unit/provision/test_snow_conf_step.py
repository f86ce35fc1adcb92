"""snow.conf of a cluster: which of its keys change, and that sNow!'s administrator finds everything else as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from listener import Listener
from simulated import CONF, World, single_server

from snowha.errors import InputError
from snowha.live.context import SiteContext
from snowha.plan.step import Step
from snowha.provision import snow_conf_step
from snowha.site import snow_conf
from snowha.site.model import FloatingIp

BEFORE = """\
# SNOW_NODES=( snow01 snow02 )
SNOW_NODES=( snow01 )   # the first
IMG_DST='lvm=snow_vg'
#IMG_DST='dir=/sNow'
MASTER_PASSWORD='$ecret'
NET_PUB=( 'xpub0' '82.98.134.254' '' '82.98.134.' '255.255.255.0' '-pub' )
NET_SNOW=( 'xsnow0' '192.168.8.1' '192.168.8.1' '192.168.8.' '255.255.255.0' '' )
NET_COMP=( 'xsnow0' '192.168.8.1' '192.168.8.100' '192.168.8.' '255.255.255.0' '' )
HOST=$(hostname)
"""
FLOATING = FloatingIp("192.168.8.254", 24, "xsnow0")


def site(text: str = BEFORE, floating: FloatingIp | None = FLOATING) -> tuple[SiteContext, World, Step]:
    context, world, _ = single_server()
    context = replace(context, site=replace(context.site, floating_ip=floating))
    world.shared[CONF] = (text.encode(), 0o600)
    (step,) = snow_conf_step.steps(context, needs=())
    return context, world, step


def changed(before: str, after: str) -> list[str]:
    """The lines of ``after`` that are not as they were."""
    was, now = before.splitlines(), after.splitlines()
    assert len(was) == len(now)
    return [new for old, new in zip(was, now, strict=True) if new != old]


def test_servers_images_and_gateways_are_those_of_the_cluster_and_no_other_byte_changes() -> None:
    """sNow!'s own commands would ask one server only, deploy into LVM, or send compute nodes to a server that may be lost; and a
    password, a comment or a public network that changed would be found out much later."""
    context, world, step = site()
    assert step.check() is not None
    step.apply(Listener())
    content, mode = world.shared[CONF]
    assert mode == 0o600
    assert changed(BEFORE, content.decode()) == [
        "SNOW_NODES=( snow01 snow02 )   # the first",
        "IMG_DST='dir=/sNow/domains'",
        "NET_SNOW=( 'xsnow0' '192.168.8.254' '192.168.8.1' '192.168.8.' '255.255.255.0' '' )",
        "NET_COMP=( 'xsnow0' '192.168.8.254' '192.168.8.100' '192.168.8.' '255.255.255.0' '' )",
    ]
    assert step.check() is None
    assert snow_conf_step.wanted(context, content.decode()) == content.decode()


def test_without_a_floating_ip_the_gateways_stay() -> None:
    """The networks of the domains would lose a gateway that works."""
    context, _, _ = site(floating=None)
    assert [line.partition("=")[0] for line in changed(BEFORE, snow_conf_step.wanted(context, BEFORE))] == [
        "SNOW_NODES",
        "IMG_DST",
    ]


@pytest.mark.parametrize(
    "same",
    [
        "SNOW_NODES=( snow01 snow02 )\nIMG_DST=dir=/sNow/domains\n",
        "SNOW_NODES=( snow01 snow02 )\nIMG_DST=dir=//sNow//domains/\n",
        'SNOW_NODES=("snow01" "snow02")\nIMAGES=/sNow/domains\nIMG_DST="dir=$IMAGES"\n',
    ],
)
def test_what_says_the_same_in_another_form_is_left_as_it_is(same: str) -> None:
    """Each `snow ha apply` would change a file that its administrator has written."""
    context, _, step = site(same)
    assert snow_conf_step.wanted(context, same) == same
    assert step.check() is None


def test_a_snow_conf_that_is_gone_is_not_made_anew() -> None:
    """A file with three keys would be what sNow! reads from then on."""
    _, world, step = site()
    del world.shared[CONF]
    with pytest.raises(InputError, match=r"snow\.conf is gone"):
        step.check()
    with pytest.raises(InputError, match=r"snow\.conf is gone"):
        step.apply(Listener())


REPLACED = {
    "no SNOW_NODES": ("SNOW_NODES=( snow01 )   # the first\n", ""),
    "a name with dots": ("( snow01 )", "( snow01.example.org )"),
    "computed": ("( snow01 )", '( "$(hostname -s)" )'),
    "braces": ("( snow01 )", "( snow{01..01} )"),
    "under a condition": ("HOST=", "[ -e /x ] && SNOW_NODES=( x )\nHOST="),
    "no IMG_DST": ("IMG_DST='lvm=snow_vg'\n", ""),
    "another IMG_DST": ("lvm=snow_vg", "zfs=tank"),
    "a file that is not followed": ("HOST=", "SITE=/sNow/etc/site.conf; [ ! -e $SITE ] || . $SITE\nHOST="),
}


@pytest.mark.parametrize("shape", sorted(REPLACED))
def test_what_is_replaced_need_not_be_understood(shape: str) -> None:
    """The last step was refused, with all the rest done, for a value that it was to write anew."""
    old, new = REPLACED[shape]
    assert old in BEFORE
    _, world, step = site(BEFORE.replace(old, new, 1), floating=None)
    step.apply(Listener())
    assert step.check() is None
    conf = snow_conf.parse(world.shared[CONF][0].decode(), where="snow.conf")
    assert conf.servers() == ("snow01", "snow02")
    assert conf.image_destination().value == "/sNow/domains"


@pytest.mark.parametrize(
    "more",
    ["NET_TRUSTED=( 10.0.0.0/8 172.16.0.0/12 )\n", "declare -A NET_MTU=( [xsnow0]=9000 )\n", "NET_DMZ=( $(dmz) )\n"],
)
def test_arrays_that_are_called_like_networks_are_nobodys_business(more: str) -> None:
    _, _, step = site(BEFORE + more)
    step.apply(Listener())
    assert step.check() is None


def test_a_gateway_that_comes_from_a_variable_is_set_on_a_line_of_its_own() -> None:
    """Whoever reads the address from the variable elsewhere still finds it."""
    _, world, step = site(
        BEFORE.replace("NET_COMP=( 'xsnow0' '192.168.8.1'", "GW=192.168.8.1\nNET_COMP=( 'xsnow0' $GW")
    )
    step.apply(Listener())
    assert step.check() is None
    assert world.shared[CONF][0].decode().endswith("HOST=$(hostname)\nNET_COMP[1]='192.168.8.254'\n")
