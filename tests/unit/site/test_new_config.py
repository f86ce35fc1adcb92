"""A new domain's config, and a changed size: what an administrator wrote into the other config is not lost."""

from __future__ import annotations

import difflib

import pytest

from snowha.errors import InputError
from snowha.site import domain_config
from snowha.site.disk_spec import parse_disk
from snowha.site.model import Domain, Vif
from snowha.site.new_config import derived, resized

TEXT = """\
# by hand
name        = 'deploy01'
kernel      = '/boot/vmlinuz'
extra       = 'elevator=noop'
vcpus       = '1'
memory      = '256'
root        = '/dev/xvda2 ro'
disk        = [
                  'phy:/dev/snow_vg/deploy01-disk,xvda2,w',
                  'phy:/dev/snow_vg/deploy01-swap,xvda1,w',
              ]
vif         = [ 'ip=192.168.8.11 ,mac=00:16:3e:08:00:0b,bridge=xsnow0' ]
cpus        = "0-3"   # pinned
on_crash    = 'restart'
"""
DISK = parse_disk("format=raw,vdev=xvda2,access=rw,script=block-snow,target=/sNow/domains/new01/new01-disk")
VIF = Vif("xsnow0", "76:fd:31:9e:05:01", "192.168.8.5")


def parsed(text: str) -> Domain:
    return domain_config.parse(text, where="x.cfg", path="/sNow/etc/domains/x.cfg")


def made(text: str = TEXT) -> str:
    return derived(text, parsed(text), "new01", [DISK], [VIF], where="deploy01.cfg")


def test_all_but_name_disks_and_cards_is_as_in_the_other() -> None:
    """A setting that is lost would be found out when the domain runs without it."""
    domain = parsed(made())
    assert (domain.name, domain.memory_mib, domain.root_vdev) == ("new01", 256, "xvda2")
    assert domain.disks == (DISK,) and domain.vifs == (VIF,)
    added = [line for line in difflib.ndiff(TEXT.splitlines(), made().splitlines()) if line[0] in "+-"]
    assert {line.split()[1] for line in added} <= {"#", "name", "disk", "vif", "]"} | {
        word.split()[0]
        for word in ("'phy:/dev/snow_vg/deploy01-disk,xvda2,w',", "'phy:/dev/snow_vg/deploy01-swap,xvda1,w',")
    } | {f"'{DISK.spec}',", "'ip=192.168.8.5,mac=76:fd:31:9e:05:01,bridge=xsnow0',"}
    assert 'cpus        = "0-3"   # pinned\n' in made()


def test_a_config_without_disks_gets_them_at_its_end() -> None:
    assert parsed(made("name = 'deploy01'\nmemory = 1")).disks == (DISK,)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("uuid = '5eed0000-0000-4000-8000-000000000001'", "two domains cannot share"),
        ("pci = [ '0000:03:00.0' ]", "two domains cannot share"),
        ("usbdevice = [ 'tablet', 'host:1d6b:0002' ]", "two domains cannot share"),
        ("serial = [ 'pty', '/dev/ttyS0' ]", "two domains cannot share"),
        ("serial = 'tcp::4444,server'", "two domains cannot share"),
        ("channel = [ 'connection=socket,path=/run/x,name=org.x' ]", "two domains cannot share"),
        ("gfx_passthru = 'igd'", "two domains cannot share"),
        # both would write the disk
        ("device_model_args = [ '-drive', 'file=/dev/snow_vg/more,if=scsi' ]", "two domains cannot share"),
        ("device_model_args_hvm = [ '-hdd', '/srv/more.img' ]", "two domains cannot share"),
        ("usbdevice = 'disk:/srv/stick.img'", "two domains cannot share"),
        # and one of them would not start beside the other
        ("spiceport = 6000", "two domains cannot share"),
        ("vncunused = 0", "two domains cannot share"),
        ("vfb = [ 'type=vnc,vncdisplay=1,vncunused=0' ]", "two domains cannot share"),
        ("extra = 'ip=192.168.8.11::192.168.8.1:255.255.255.0::eth0:off'", "extra names an address of deploy01"),
        ("vfb = [ 'x,mac=00:16:3E:08:00:0B' ]", "vfb names an address of deploy01"),
        ("disk += [ 'phy:/dev/snow_vg/more,xvdb,w' ]", "disk is not a single list"),
        ("vif = [ 'bridge=xsnow0,vifname=deploy' ]", "vif with vifname, which two domains cannot share"),
    ],
)
def test_what_only_one_domain_can_have_is_not_taken_over(line: str, said: str) -> None:
    text = f"{TEXT}{line}\n"
    with pytest.raises(InputError, match=said) as error:
        made(text)
    assert error.value.remedy


@pytest.mark.parametrize(
    "line",
    [
        "serial = 'pty'",
        "serial = [ 'pty', 'null' ]",
        "pci = []",
        "usbctrl = [ 'type=auto,version=2' ]",
        "usbdevice = 'tablet'",
        "channel = [ 'connection=pty,name=org.qemu.guest_agent.0' ]",
        "gfx_passthru = 0",
        "device_model_args = [ '-cpu', 'host' ]",
        "vncunused = 1",
        "vfb = [ 'type=vnc,vncunused=1' ]",
    ],
)
def test_what_each_domain_can_have_for_itself_is_taken_over(line: str) -> None:
    """A serial console made every HVM domain useless as a pattern."""
    assert f"\n{line}\n" in made(f"{TEXT}{line}\n")


def test_a_card_keeps_what_the_other_domains_card_has_beside_its_addresses() -> None:
    """A card without its script or rate is on the wrong network, or takes all of it."""
    card = "'ip=192.168.8.11,mac=00:16:3e:08:00:0b,bridge=xsnow0,script=vif-openvswitch,rate=10Mb/s,model=e1000'"
    first = parsed(made(f"{TEXT}vif = [ {card}, 'bridge=xsnow1,rate=1Mb/s' ]\n")).vifs
    assert len(first) == 1, "the new domain has no second card"
    assert (first[0].ip, first[0].script) == (VIF.ip, "vif-openvswitch")
    assert dict(first[0].options) == {"rate": "10Mb/s", "model": "e1000"}


def test_an_address_that_only_begins_alike_is_another_one() -> None:
    assert "192.168.8.110" in made(f"{TEXT}extra = 'server=192.168.8.110'\n")


def test_a_new_size_changes_its_two_values_and_no_other_byte() -> None:
    after = resized(TEXT, memory_mib=512, vcpus=2, where="x")
    assert after == TEXT.replace("'256'", "'512'").replace("vcpus       = '1'", "vcpus       = '2'")
    assert resized(TEXT, memory_mib=None, vcpus=None, where="x") == TEXT
    assert parsed(resized("name = 'a'\nmemory = 1\n", memory_mib=None, vcpus=3, where="x")).vcpus == 3


@pytest.mark.parametrize("limit", ["maxmem = 256", "maxmem = '0x100'", "maxvcpus = 1", "maxvcpus = 'many'"])
def test_a_size_above_another_settings_limit_is_refused(limit: str) -> None:
    """xl refuses the config, or gives the domain less, at its next start: at night, on the other server."""
    with pytest.raises(InputError, match=f"{limit.split()[0]} does not allow") as error:
        resized(f"{TEXT}{limit}\n", memory_mib=512, vcpus=2, where="x")
    assert error.value.where == "x:15"
    assert resized(f"{TEXT}maxmem = 512\n", memory_mib=512, vcpus=None, where="x")
