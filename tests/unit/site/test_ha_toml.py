"""ha.toml: what an administrator writes wrong is refused with its line, and what init writes is read back the same."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snowha.errors import InputError
from snowha.site import ha_file, names
from snowha.site.ha_toml import HaFile, compose, parse, render
from snowha.site.model import Disk, Domain, FenceDevice, FloatingIp, Mount, Paths, Server, Ssh

HA = HaFile(
    name="snow",
    paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
    servers=tuple(
        Server(
            f"snow0{n}",
            f"192.168.8.{n}",
            (f"192.168.8.{n}", f"10.0.0.{n}"),
            FenceDevice("fence_ipmilan", f"10.0.0.10{n}", "admin", f"secrets/snow0{n}.ipmi"),
        )
        for n in (1, 2)
    ),
    domains=("deploy01", "slurm01", "slurm02"),
    floating_ip=FloatingIp("192.168.8.254", 24, "xsnow0"),
    mounts=(Mount("nfs01:/sNow", "/sNow", "nfs4", "rw,hard"), Mount("nfs01:/home", "/home", "nfs4", "rw,hard")),
    apart=(("slurm01", "slurm02"),),
)
TEXT = render(HA)


def test_what_is_written_is_read_back_the_same() -> None:
    assert parse(TEXT, where="ha.toml") == HA
    bare = replace(HA, floating_ip=None, mounts=(), apart=(), domains=(), ssh=Ssh("snow", "/root/my ssh"))
    bare = replace(bare, servers=tuple(replace(server, fence=None) for server in bare.servers))
    odd = FenceDevice(
        "fence_ipmilan",
        "10.0.0.101",
        "admin",
        "s/x",
        cipher=17,
        privilege="operator",
        port=6230,
        lanplus=False,
        options=("target=0x20", "auth=md5"),
    )
    special = replace(HA, servers=(replace(HA.servers[0], fence=odd), HA.servers[1]))
    assert parse(render(special), where="ha.toml") == special
    assert parse(render(bare), where="ha.toml") == bare


def test_the_file_explains_itself_to_an_administrator() -> None:
    assert TEXT.count("\n# ") >= 6
    assert all(len(line) <= 120 for line in TEXT.split("\n"))


NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,8}\Z")


@settings(max_examples=40, deadline=None)
@given(
    domains=st.lists(NAMES.map(lambda name: f"d-{name}"), unique=True, max_size=4),
    username=st.text(st.characters(codec="utf-8"), min_size=1, max_size=10).filter(str.isprintable),
    config=st.text(st.characters(codec="utf-8"), max_size=10).filter(lambda s: s.isprintable() and s[:1] != "-"),
    servers=st.integers(2, 5),
    token_ms=st.integers(1000, 300_000),
)
def test_any_file_is_read_back_the_same(
    domains: list[str], username: str, config: str, servers: int, token_ms: int
) -> None:
    ha = replace(
        HA,
        servers=tuple(
            Server(f"s{n}", f"10.0.0.{n}", (f"10.0.0.{n}",), FenceDevice("fence_x", f"10.1.0.{n}", username, "s/x"))
            for n in range(1, servers + 1)
        ),
        domains=tuple(domains),
        apart=(tuple(domains),) if len(domains) > 1 else (),
        ssh=Ssh("root", config),
        token_ms=token_ms,
    )
    assert parse(render(ha), where="ha.toml") == ha


def line_of(text: str) -> int:
    return TEXT[: TEXT.index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("token_ms = 6000", 'token_ms = "6000"', "whole number"),
        ("token_ms = 6000", "token_ms = 5", "token_ms"),
        ('name = "snow"', 'name = "a b"', "cluster cannot have the name"),
        ('"snow02"', '"snow01"', "two servers are called"),
        ('address = "192.168.8.2"', 'address = "192.168.8.1"', "two servers have the address"),
        ('["192.168.8.2", "10.0.0.2"]', '["192.168.8.2", "10.0.0.1"]', "two links"),
        ('["192.168.8.2", "10.0.0.2"]', '["192.168.8.2"]', "links"),
        ('["192.168.8.2", "10.0.0.2"]', '["192.168.8.2", "snow02"]', "not an IP address"),
        ('floating_ip = "192.168.8.254/24"', 'floating_ip = "192.168.8.2/24"', "address of server snow02"),
        ('floating_ip = "192.168.8.254/24"', 'floating_ip = "192.168.8.254"', "prefix length"),
        ('floating_ip = "192.168.8.254/24"', 'floating_ip = "192.168.8.254/99"', "prefix length"),
        ('"deploy01"', '"a;reboot"', "domain cannot have the name"),
        ('"deploy01"', '"../../etc"', "domain cannot have the name"),
        ('"deploy01"', '"slurm01"', "two domains are called"),
        ('"deploy01"', '"3com"', "cannot run a domain called 3com"),
        ('"deploy01"', '"snow01"', "a server and a domain"),
        ('["slurm01", "slurm02"]', '["slurm01", "slrm02"]', "did you mean 'slurm02'"),
        ('["slurm01", "slurm02"]', '["slurm01"]', "two different domains"),
        ('domain_configs = "/sNow/etc/domains"', 'domain_configs = "etc"', "absolute"),
        ('target = "/home"', 'target = "/sNow/"', "two mounts"),
        ('"rw,hard"', '"rw,hard,noauto"', "nothing mounts /sNow"),
        ('user = "root"', 'user = "-oProxyCommand=x"', "ssh user"),
        ('user = "root"', 'usr = "root"', "did you mean 'user'"),
        ("[ssh]", "[ssh", "invalid TOML"),
        ("# The description", "\ufeff# The description", "byte order mark"),
        ("[[domain]]", "[[domian]]", "did you mean 'domain'"),
        ('"10.0.0.102"', '"10.0.0.101"', "fenced through"),
        ('"fence_ipmilan"', '"reboot"', "not a fence agent"),
    ],
)
def test_a_mistake_is_one_message_with_file_line_and_remedy(old: str, new: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        parse(TEXT.replace(old, new, 1), where="ha.toml")
    file, _, line = caught.value.where.partition(":")
    assert file == "ha.toml"
    if says not in ("two domains are called", "two servers are called", "two mounts"):
        # Of two that clash either may be named.
        assert abs(int(line) - line_of(old)) <= 1 or "slurm" in new
    assert caught.value.remedy


def test_a_path_is_one_however_it_is_written() -> None:
    """With a slash at the end of the images' folder udev's rules matched no image, and with one at a mount's nothing of it was
    checked: neither its locks nor whether it is hard."""
    text = re.sub(r'(?m)^(images|domain_configs|target) = "(/[^"]*)"', r'\1 = "/\2//"', TEXT)
    assert text != TEXT and parse(text, where="ha.toml") == parse(TEXT, where="ha.toml")


@pytest.mark.parametrize("servers", [(), HA.servers[:1]])
def test_fewer_than_two_servers_is_said_so(servers: tuple[Server, ...]) -> None:
    with pytest.raises(InputError, match="fewer than two servers"):
        parse(render(replace(HA, servers=servers)), where="ha.toml")


@pytest.mark.parametrize("key", ["password", "passwd", "ipmi_password", "passwd_script"])
def test_a_password_is_refused_and_not_repeated(key: str) -> None:
    text = TEXT.replace('secret = "secrets/snow01.ipmi"', f'{key} = "hunter2"')
    with pytest.raises(InputError, match="a password must not be in this file") as caught:
        parse(text, where="ha.toml")
    assert "hunter2" not in str(caught.value)
    assert "0600" in caught.value.remedy


@pytest.mark.parametrize("secret", ["hunter2", "", "a/../../etc/shadow", "p@ss/w ord", "-x"])
def test_a_password_in_the_place_of_the_secrets_path_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InputError, match="secret is not the path") as caught:
        parse(TEXT.replace("secrets/snow01.ipmi", secret), where="ha.toml")
    assert not secret or secret not in str(caught.value)


def domain(name: str) -> Domain:
    disk = Disk("", f"/dev/snow_vg/{name}-disk", "xvda2")
    return Domain(name, f"/sNow/etc/domains/{name}.cfg", 128, 1, "pv", "", "", (disk,), (), "xvda2")


def test_the_site_has_the_domains_that_the_file_names_and_no_other() -> None:
    site = compose(HA, [domain(name) for name in ("slurm02", "other", "slurm01", "deploy01")])
    assert [one.name for one in site.domains] == ["deploy01", "slurm01", "slurm02"]
    assert (site.servers, site.floating_ip, site.apart) == (HA.servers, HA.floating_ip, HA.apart)


def test_a_domain_without_a_config_or_with_two_is_refused() -> None:
    with pytest.raises(InputError, match="domain slurm02 has no config"):
        compose(HA, [domain("deploy01"), domain("slurm01")])
    two = replace(domain("slurm01"), config="/elsewhere/slurm01.cfg")
    with pytest.raises(InputError, match="two configs") as caught:
        compose(HA, [*map(domain, HA.domains), two])
    assert "/elsewhere/slurm01.cfg" in caught.value.where


@pytest.mark.parametrize(
    "wrong", ['privilege = "root"', "cipher = 256", "port = 70000", 'cipher = "3"', 'lanplus = "no"']
)
def test_what_no_bmc_can_be_told_is_refused_with_its_line(wrong: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(
            TEXT.replace('secret = "secrets/snow01.ipmi"', f'secret = "secrets/snow01.ipmi", {wrong}'), where="ha.toml"
        )
    assert caught.value.where.startswith("ha.toml:")


@pytest.mark.parametrize("option", ['privilege = "operator"', "cipher = 3", "port = 623", "lanplus = false"])
def test_what_another_agent_than_ipmis_has_no_option_for_is_refused(option: str) -> None:
    """It would be dropped, and the fence test fail without a word about it."""
    text = TEXT.replace('"fence_ipmilan"', '"fence_redfish"', 1)
    with pytest.raises(InputError, match="does not use IPMI"):
        parse(
            text.replace('secret = "secrets/snow01.ipmi"', f'secret = "secrets/snow01.ipmi", {option}'), where="ha.toml"
        )


def fenced_by(*fences: str) -> str:
    """The file with ``fence = { … }`` of its servers replaced in their order."""
    parts = re.split(r"fence = \{.*\}", TEXT)
    assert len(parts) == len(fences) + 1
    return "".join(f"{part}fence = {{ {fence} }}" for part, fence in zip(parts, fences, strict=False)) + parts[-1]


def outlet(plug: str) -> str:
    return f'agent = "fence_apc", address = "10.0.0.9", username = "a", secret = "s/x", options = ["plug={plug}"]'


def test_two_outlets_of_one_power_switch_fence_two_servers() -> None:
    """Many sites have no BMC but a switched power strip. One outlet for both would cut the server that fences."""
    servers = parse(fenced_by(outlet("3"), outlet("4")), where="ha.toml").servers
    assert [one.fence.parameters for one in servers if one.fence] == [{"plug": "3"}, {"plug": "4"}]
    with pytest.raises(InputError, match=r"two servers are fenced through 10\.0\.0\.9, plug 3"):
        parse(fenced_by(outlet("3"), outlet("3")), where="ha.toml")
    with pytest.raises(InputError, match=r"two servers are fenced through 10\.0\.0\.9, plug 3"):
        parse(fenced_by(outlet("3"), outlet("3").replace("plug", "port")), where="ha.toml")


def test_bmcs_behind_one_address_have_ports_of_their_own() -> None:
    """A management network behind one address, with a port for each BMC, was refused. 623 is the port of one that names none."""
    ipmi = outlet("3").replace("fence_apc", "fence_ipmilan").replace('options = ["plug=3"]', "port = 6231")
    assert len(parse(fenced_by(ipmi, ipmi.replace("6231", "6232")), where="ha.toml").servers) == 2
    for one, other in (("6231", "6231"), ("623", "")):
        fences = (ipmi.replace("6231", one), ipmi.replace(", port = 6231", other and f", port = {other}"))
        with pytest.raises(InputError, match=r"two servers are fenced through 10\.0\.0\.9"):
            parse(fenced_by(*fences), where="ha.toml")


def test_a_bmc_has_no_outlets_and_one_chassis_may_have_several_systems() -> None:
    """fence_ipmilan ignores ``plug``: with one address for both, fencing one server cuts the other."""
    ipmi = [outlet(plug).replace("fence_apc", "fence_ipmilan") for plug in ("3", "4")]
    with pytest.raises(InputError, match=r"two servers are fenced through 10\.0\.0\.9"):
        parse(fenced_by(*ipmi), where="ha.toml")
    systems = [outlet(f"{number}").replace("plug=", "systems_uri=/redfish/v1/Systems/") for number in (1, 2)]
    assert len(parse(fenced_by(*systems), where="ha.toml").servers) == 2


@pytest.mark.parametrize("option", ["plug=", "plug", "port", "ssl="])
def test_an_option_without_its_value_is_no_switch(option: str) -> None:
    """Pacemaker got plug=1, and would have cut whatever is at the first outlet."""
    with pytest.raises(InputError, match="a parameter of its agent") as caught:
        parse(fenced_by(outlet("4").replace("plug=4", option), outlet("3")), where="ha.toml")
    assert caught.value.remedy


def test_an_option_that_is_refused_is_not_shown() -> None:
    text = fenced_by(outlet("4").replace("plug=4", "snmp_priv_passwd=hunter2"), outlet("3"))
    with pytest.raises(InputError, match="is a secret") as caught:
        parse(text, where="ha.toml")
    assert "hunter2" not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"x = {'9' * 5000}", "too many digits"),
        (TEXT.replace("token_ms = 6000", f"token_ms = {'9' * 4000}"), "more than 20 digits"),
        (TEXT.replace("token_ms = 6000", f"token_ms = 0x{'f' * 5000}"), "more than 20 digits"),
        (TEXT.replace("token_ms = 6000", f"token_ms = -0b{'1' * 20000}"), "invalid TOML"),
        (TEXT.replace("warm_from_mib = ", f"warm_from_mib = {'9' * 4000}"), "more than 20 digits"),
        (f"x = {'[' * 3000}{']' * 3000}", "too deep"),
        (f"x = {'{a=' * 3000}1{'}' * 3000}", "too deep"),
        (f"{'.'.join('a' * 3000)} = 1", "unknown key"),
        ("x = 1979-99-99", "invalid TOML"),
        ("name = '\0'", "invalid TOML"),
    ],
)
def test_numbers_and_brackets_beyond_what_python_reads_are_one_short_message(text: str, says: str) -> None:
    """A stray key on the keyboard would be a traceback, or a screen full of nines."""
    with pytest.raises(InputError) as caught:
        parse(text, where="ha.toml")
    assert says in str(caught.value) and len(str(caught.value)) < 300


def test_many_domains_are_read_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a script wrote, or a wrong one, would stop everything for hours: each name compared with each."""
    compared = 0
    real = names.comparable

    def counted(address: str) -> str:
        nonlocal compared
        compared += 1
        return real(address)

    monkeypatch.setattr(ha_file, "comparable", counted)
    many = 500
    text = TEXT + "".join(f'[[domain]]\nname = "d{number}"\n' for number in range(many))
    assert len(parse(text, where="ha.toml").domains) == len(HA.domains) + many
    assert compared < 3 * many


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        # fencing that asks the server itself never cuts the power of one that hangs
        ('"10.0.0.101"', '"192.168.8.1"', "snow01 itself, and no BMC"),
        ('"10.0.0.101"', '"10.0.0.2"', "snow02 itself, and no BMC"),
        ('"10.0.0.101"', '"SNOW02"', "snow02 itself, and no BMC"),
        # the BMC is not reached any more from the day on which a server has its address
        ('"192.168.8.254/24"', '"10.0.0.101/24"', "an address of the BMC of snow01"),
        ('"192.168.8.254/24"', '"224.0.0.1/24"', "cannot have the address"),
        ('"192.168.8.254/24"', '"127.0.0.1/8"', "cannot have the address"),
        # its proof asks for an IPv4 address, and so failed with all the rest done
        ('"192.168.8.254/24"', '"fd00::fe/64"', "is an IPv6 address"),
        # what is meant for snow02 is done on snow01
        ('address = "192.168.8.2"', 'address = "10.0.0.1"', "a link of snow01, and the address of snow02"),
        # corosync does not start: "Nodes for link 1 have different IP families"
        ('"10.0.0.2"', '"fd00::2"', "not both IPv4 or both IPv6"),
        ('"10.0.0.2"', '"127.0.0.1"', "cannot have the address"),
        ('"10.0.0.2"', '"0.0.0.0"', "cannot have the address"),
        ('"10.0.0.2"', '"::ffff:10.0.0.2"', "is the IPv4 address 10.0.0.2"),
        ('"10.0.0.2"', '"fe80::2"', "which every card may have"),
    ],
)
def test_addresses_that_cannot_be_or_are_anothers_are_refused_before_a_cluster_stands_on_them(
    old: str, new: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        parse(TEXT.replace(old, new, 1), where="ha.toml")
    assert caught.value.remedy and caught.value.where != "ha.toml"


def test_an_address_is_one_however_it_is_written() -> None:
    """A link would be on none of the server's cards, since the kernel writes it otherwise."""
    text = TEXT.replace('"10.0.0.1"', '"FD00:0:0::1"').replace('"10.0.0.2"', '"fd00::0002"')
    assert [server.links[1] for server in parse(text, where="ha.toml").servers] == ["fd00::1", "fd00::2"]
    with pytest.raises(InputError, match="two links"):
        parse(text.replace("fd00::0002", "fd00:0::1"), where="ha.toml")
