"""``snow add domain`` from the command line: the domain is one of the site's at once, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from broken_clusters import options
from domain_site import ACTIVE, IMAGES, MIB, TABLE, DomainSite, image
from simulated import DOMAINS
from view_site import code_of

from snowha.errors import SnowError
from snowha.operations.domains import adding
from snowha.plan.journal import Journal
from snowha.site import definition, domain_config, ha_toml
from snowha.site.model import Domain, Vif


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DomainSite:
    return DomainSite(tmp_path, monkeypatch)


def parsed(site: DomainSite, name: str) -> Domain:
    path = f"{DOMAINS}/{name}.cfg"
    return domain_config.parse(site.config(name), where=path, path=path)


def domains_of(text: str) -> tuple[str, ...]:
    return ha_toml.parse(definition.body(text), where="").domains


def test_a_copy_of_a_domain_is_one_of_the_sites_at_once(site: DomainSite) -> None:
    """A domain that Pacemaker does not have is not started again when its server is lost; one that ha.toml does not name is
    taken out by the next `snow ha apply`."""
    assert site.run("shutdown", "proxy01").exit_code == 0
    ended = site.run("add", "domain", "new01", "--copy-of", "proxy01", "--memory", "384", "--vcpus", "2")
    assert ended.exit_code == 0, ended.output
    assert site.turns == 2, "the site's lock was not taken"
    for kind in ("disk", "swap"):
        assert site.world.disks[image("new01", kind)] == site.world.disks[image("proxy01", kind)]
        assert image("new01", kind) in site.world.leases.records
    domain = parsed(site, "new01")
    assert [disk.target for disk in domain.disks] == [image("new01"), image("new01", "swap")]
    assert {disk.script for disk in domain.disks} == {"block-snow"}
    assert (domain.memory_mib, domain.vcpus, domain.kernel) == (384, 2, "/boot/vmlinuz")
    assert domain.vifs == (Vif("xsnow0", "76:fd:31:9e:07:01", "192.168.8.7"),), (
        "two servers and four domains are before it"
    )
    assert site.world.shared[f"{DOMAINS}/new01.cfg"][1] == 0o640, "not as the others"
    assert site.text(ACTIVE).endswith("slurm02      role\nnew01        minimal\n")
    for text in (Path("ha.toml").read_text(), *(host.text(definition.PATH) or "" for host in site.hosts.values())):
        assert domains_of(text)[-1] == "new01"
    resource = site.resource("new01")
    assert resource is not None
    assert resource.find("meta_attributes/nvpair[@name='target-role']").get("value") == "Stopped"  # type: ignore[union-attr]
    assert b'rsc="new01"' in site.cib, "it has no preferred server"
    assert "new01" not in site.world.running
    assert site.due() == []
    assert adding.NOTES not in "".join(site.hosts["snow01"].own)
    assert "change both before `snow boot new01`" in ended.output
    with Journal(Path("here/journal.sqlite")) as journal:
        assert ("add.cib.new01", "done") in {(entry.step, entry.what) for entry in journal.entries()}
    assert "would not be survived" in ended.output or "would be survived" in ended.output


def test_a_dry_run_changes_nothing(site: DomainSite) -> None:
    before = (dict(site.world.disks), dict(site.world.shared), site.cib, Path("ha.toml").read_text())
    ended = site.run("add", "domain", "new01", "--size", "1", "--dry-run")
    assert ended.exit_code == 0, ended.output
    assert "new01: 256 MiB memory, 1 vCPU; all else like deploy01" in ended.output
    assert (
        "192.168.8.7, 76:fd:31:9e:07:01, on xsnow0" in ended.output
        and f"{image('new01')}: empty, 1 MiB" in ended.output
    )
    assert before == (dict(site.world.disks), dict(site.world.shared), site.cib, Path("ha.toml").read_text())
    data = json.loads(site.run("add", "domain", "new01", "--size", "1", "--dry-run", "--json").output)
    assert data["event"] == "plan" and any("empty" in line for line in data["does"])
    assert site.told == [] and site.turns == 0


@pytest.mark.parametrize(
    "words",
    [
        ("add", "domain", "new01", "--size", "1"),
        ("resize", "domain", "proxy01", "--memory", "300"),
        ("remove", "domain", "slurm02", "--yes"),
    ],
)
def test_a_domain_that_somebody_else_adds_until_the_lock_is_taken_stays(
    site: DomainSite, words: tuple[str, ...]
) -> None:
    """Pacemaker's configuration, and ha.toml on the servers, were made from what had been before it: it was in neither any
    more."""
    assert site.run("shutdown", "slurm02").exit_code == 0

    def meanwhile() -> None:
        site.until_lock = lambda: None
        assert site.run("add", "domain", "new02", "--size", "1").exit_code == 0

    site.until_lock = meanwhile
    ended = site.run(*words)
    assert site.resource("new02") is not None, "Pacemaker does not have it any more"
    for host in site.hosts.values():
        assert domains_of(host.text(definition.PATH) or "")[-1] == "new02"
    assert "the site has changed since the plan was made: " in str(ended.exception)
    assert site.config("new01") is None and site.config("slurm02") and site.due() == []


def test_an_empty_disk_has_its_record_and_says_what_to_do(site: DomainSite) -> None:
    """Without a record our block script attaches nothing."""
    ended = site.run("add", "domain", "new01", "--size", "1", "--like", "slurm01")
    assert ended.exit_code == 0, ended.output
    assert site.world.disks[image("new01")] == bytes(MIB) and image("new01") in site.world.leases.records
    assert [disk.vdev for disk in parsed(site, "new01").disks] == ["xvda2"]
    assert "its disk is empty" in ended.output and site.due() == []


def test_an_image_is_copied_and_only_if_it_is_a_raw_one(site: DomainSite) -> None:
    """A domain would see the header of qcow2 where its disk begins."""
    site.world.disks["/sNow/template.img"] = b"template".ljust(MIB)
    site.first_bytes = "514649fb00000003"
    ended = site.run("add", "domain", "new01", "--image", "/sNow/template.img")
    assert code_of(ended) == 4 and "it is qcow2" in str(ended.exception)
    site.first_bytes = "0000000000000000"
    ended = site.run("add", "domain", "new01", "--image", "/sNow/template.img")
    assert ended.exit_code == 0, ended.output
    assert site.world.disks[image("new01")] == site.world.disks["/sNow/template.img"]
    assert f"{image('new01')}.manifest" not in site.world.shared, (
        "`snow images discard new01` would remove the template"
    )
    ended = site.run("add", "domain", "new02", "--image", image("deploy01"))
    assert code_of(ended) == 4 and "use --copy-of deploy01" in str(ended.exception)
    assert code_of(site.run("add", "domain", "new02", "--image", "/sNow/none.img")) == 4


def test_one_that_runs_is_not_copied(site: DomainSite) -> None:
    """Its file system would be a different one in each block."""
    ended = site.run("add", "domain", "new01", "--copy-of", "proxy01")
    assert (
        code_of(ended) == 4
        and "it runs on snow02" in str(ended.exception)
        and "snow shutdown proxy01" in str(ended.exception)
    )
    assert site.told == [] and site.config("new01") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new01"], "no source of its disk is given"),
        (["new01", "--size", "1", "--copy-of", "deploy01"], "more than one source"),
        (["new01", "--size", "0"], "it cannot be '0'"),
        (["new01", "--size", "inf"], "whole number"),
        (["a;reboot", "--size", "1"], "cannot have the name"),
        (["1new", "--size", "1"], "begin its name with a letter"),
        (["domains", "--size", "1"], "stands for every domain"),
        (["Deploy01", "--size", "1"], "there is already a domain called deploy01"),
        (["snow02", "--size", "1"], "there is already a server called snow02"),
        (["new01", "--copy-of", "deploy0"], "there is no domain 'deploy0' (did you mean 'deploy01'?)"),
        (["new01", "--size", "1", "--like", "x"], "there is no domain 'x'"),
        (["new01", "--copy-of", "deploy01", "--like", "slurm01"], "--like cannot be combined with --copy-of"),
        (["new01", "--image", "template.img"], "not an absolute path"),
        (["new01", "--image", "/a/../b"], "path with '..'"),
        (["new01", "--size", "1", "--ip", "192.168.8"], "not an IP address"),
        (["new01", "--size", "1", "--mac", "1"], "not a MAC address"),
        (["new01", "--size", "1", "--role", "a b"], "is no role"),
        (["new01", "--size", "1", "--role", ""], "separated by commas: --role minimal,monitor"),
        (["new01", "--size", "1", "--ip", ""], "nothing is named"),
    ],
)
def test_wrong_input_is_told_before_any_server_is_asked(site: DomainSite, words: list[str], said: str) -> None:
    site.hosts.clear()
    ended = site.run("add", "domain", *words)
    assert code_of(ended) == 2 and said in str(ended.exception), ended.output
    assert isinstance(ended.exception, SnowError) and ended.exception.remedy


def test_nothing_that_is_anybodys_is_taken(site: DomainSite) -> None:
    """Two domains with one address, or one image: both are lost for those who need them."""
    world = site.world

    def refused(*words: str) -> str:
        ended = site.run("add", "domain", "new01", "--size", "1", *words)
        assert code_of(ended) in (2, 4), ended.output
        assert site.told == [] and site.config("new01") is None and image("new01") not in world.disks
        return str(ended.exception)

    assert "192.168.8.11" in refused("--ip", "192.168.8.11"), "a domain has it"
    assert "192.168.8.254" in refused("--ip", "192.168.8.254"), "the floating IP"
    assert "192.168.8.2 " in refused("--ip", "192.168.8.2"), "a server"
    assert "00:16:3E:08:00:0B" in refused("--mac", "00:16:3E:08:00:0B").upper()
    world.answering["192.168.8.7"] = "52:54:00:00:00:01"
    assert "52:54:00:00:00:01 answers for it" in refused()
    world.answering.clear()
    site.names["192.168.8.7"] = "knl-07.lab.example"
    assert "snow01 resolves it to knl-07" in refused()
    site.names["192.168.8.7"] = "new01"
    for path in (f"{IMAGES}/new01/new01-disk", f"{IMAGES}/new01/new01-disk.manifest", f"{DOMAINS}/new01.cfg"):
        place = world.shared if path.endswith(".cfg") else world.disks
        place[path] = (b"memory = 1\nname = 'other01'\n", 0o644) if path.endswith(".cfg") else b"mine"  # type: ignore[assignment]
        ended = site.run("add", "domain", "new01", "--size", "1")
        assert code_of(ended) == 4 and f"{path} exists already" in str(ended.exception) and site.told == []
        del place[path]
    taken = site.run("add", "domain", "xsnow-vip", "--size", "1")
    assert code_of(taken) == 2 and "the name of the floating IP" in str(taken.exception) and site.told == []
    site.config("broken01", b"name = 'broken01\n")
    assert "a config cannot be read" in refused()


def test_the_table_of_snow_counts_and_gets_the_new_row(site: DomainSite) -> None:
    """sNow!'s own `snow boot` knows the domains that stand there, and no others."""
    cards = "eth0 192.168.8.7 xsnow0 76:fd:31:9e:07:01 m g eth1 none xpub0 76:fd:31:9e:07:02 m g"
    row = f"    other01\t    role   {cards} \n"
    site.world.shared[TABLE] = (row.encode(), 0o644)
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert code_of(ended) == 4 and "domains.conf assigns it to other01" in str(ended.exception)
    ended = site.run(
        "add", "domain", "new01", "--size", "1", "--ip", "192.168.8.77", "--mac", "76:fd:31:9e:77:01", "--role", "login"
    )
    assert ended.exit_code == 0, ended.output
    added = site.text(TABLE).removeprefix(row).split()
    assert added[:6] == ["new01", "login", "eth0", "192.168.8.77", "xsnow0", "76:fd:31:9e:77:01"]
    site.world.shared[TABLE] = (row.replace("other01", "new02").encode(), 0o644)
    ended = site.run("add", "domain", "new02", "--size", "1")
    assert ended.exit_code == 0 and parsed(site, "new02").vifs[0].ip == "192.168.8.7", ended.output


@pytest.mark.parametrize(
    ("first", "second", "ips"),
    [
        ("dhcp", "none", [""]),
        ("DHCP", "dhcp", ["", ""]),
        ("192.168.8.7", "dhcp", ["192.168.8.7", ""]),
        ("dhcp", "172.16.1.7", ["", "172.16.1.7"]),
    ],
)
def test_a_domain_may_ask_dhcp(site: DomainSite, first: str, second: str, ips: list[str]) -> None:
    """A row that sNow! takes was refused as no IP address. The word is in no config: where iptables works, Xen's hotplug script
    would let the domain reach a DHCP server, and nothing else."""
    cards = "eth0 {} xsnow0 76:fd:31:9e:{}:01 m g eth1 {} xdmz0 76:fd:31:9e:{}:02 m g"
    rows = f"other01 role {cards.format('dhcp', '06', 'dhcp', '06')}\nnew01 role {cards.format(first, '07', second, '07')}\n"
    site.world.shared[TABLE] = (rows.encode(), 0o644)
    site.names["dhcp"] = "somebody"
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert ended.exit_code == 0, ended.output
    assert [vif.ip for vif in parsed(site, "new01").vifs] == ips and site.text(TABLE) == rows
    assert "dhcp" not in site.config("new01").lower()
    assert "an address by DHCP, which snow-ha does not know and does not wait for, 76:fd:31:9e:07:0" in ended.output
    assert site.due() == []
    assert parsed(site, "new01").addresses == tuple(filter(None, ips)), "it would be waited for"


def test_dhcp_can_be_asked_for_and_stands_in_the_row_of_snow(site: DomainSite) -> None:
    """Without a word there the columns behind it would be read as others."""
    site.world.shared[TABLE] = (b"# hostname role\n", 0o644)
    ended = site.run("add", "domain", "new01", "--size", "1", "--ip", "DHCP")
    assert ended.exit_code == 0, ended.output
    assert site.text(TABLE).splitlines()[-1].split()[:6] == [
        *("new01", "minimal", "eth0", "dhcp", "xsnow0", "76:fd:31:9e:07:01")
    ]
    assert parsed(site, "new01").vifs == (Vif("xsnow0", "76:fd:31:9e:07:01", ""),)
    again = site.run("add", "domain", "new02", "--size", "1", "--ip", "dhcp")
    assert again.exit_code == 0 and site.due() == [], again.output


@pytest.mark.parametrize("word", ["cibadmin --replace", "snow-lease new"])
def test_a_run_that_failed_is_gone_on_with_by_the_same_command_alone(site: DomainSite, word: str) -> None:
    """What it has made would be in the way of itself, and had to be removed by hand."""
    site.refused = word
    assert site.run("add", "domain", "new01", "--size", "1").exit_code != 0
    site.refused = ""
    other = site.run("add", "domain", "new01", "--size", "2")
    assert code_of(other) in (2, 4), "what another command has begun is overwritten"
    assert len(site.world.disks[image("new01")]) == MIB
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert ended.exit_code == 0, ended.output
    assert site.text(ACTIVE).count("new01") == 1
    assert site.due() == []


def test_what_apply_would_change_as_well_is_not_changed_in_passing(site: DomainSite) -> None:
    """Somebody has edited ha.toml and not applied it: adding a domain would apply it."""
    file = Path("ha.toml")
    file.write_text(
        file.read_text().replace('name = "slurm02"', 'name = "slurm02"\n\n[[apart]]\ndomains = ["slurm01", "slurm02"]')
    )
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert code_of(ended) == 4 and "run `snow ha apply` first" in str(ended.exception) and site.told == []


def test_a_member_of_a_pair_is_kept_apart_from_it(site: DomainSite) -> None:
    """One loss of a server would take both."""
    ended = site.run("add", "domain", "proxy02", "--size", "1")
    assert ended.exit_code == 0, ended.output
    assert "kept on another server than proxy01" in ended.output
    assert ("proxy01", "proxy02") in ha_toml.parse(Path("ha.toml").read_text(), where="").apart
    assert b"snow-apart-proxy01-proxy02" in site.cib and site.due() == []


def test_without_the_files_of_snow_addresses_are_named(site: DomainSite) -> None:
    """A number that nobody gave would be 1: the first server's."""
    del site.world.shared[ACTIVE]
    ended = site.run("add", "domain", "new01", "--size", "1", "--ip", "192.168.8.77")
    assert code_of(ended) == 2 and "--ip and --mac" in str(ended.exception)
    ended = site.run("add", "domain", "new01", "--size", "1", "--ip", "192.168.8.77", "--mac", "00:16:3e:00:00:77")
    assert ended.exit_code == 0, ended.output
    assert parsed(site, "new01").vifs == (Vif("xsnow0", "00:16:3e:00:00:77", "192.168.8.77"),)
    assert ACTIVE not in site.world.shared


def test_a_disarmed_cluster_and_a_full_storage_are_refused(site: DomainSite) -> None:
    site.free = MIB - 1
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert code_of(ended) == 4 and "1 MiB are needed, 0 MiB are free" in str(ended.exception)
    site.free = 64 * MIB
    ended = site.run("add", "domain", "new01", "--size", "1", "--memory", "100000")
    assert code_of(ended) == 4 and "no server has more than" in str(ended.exception) and site.told == []
    site.lose("snow02")
    assert code_of(site.run("add", "domain", "new01", "--size", "1")) == 3


def test_on_a_single_server_it_gets_volumes(site: DomainSite) -> None:
    """Before `apply`: `snow ha apply` moves it with the others."""
    site.alone()
    site.run("shutdown", "proxy01")
    site.told.clear()
    ended = site.run("add", "domain", "new01", "--copy-of", "proxy01")
    assert ended.exit_code == 0, ended.output
    disks = site.world.disks
    assert disks["/dev/snow_vg/new01-disk"] == disks["/dev/snow_vg/proxy01-disk"]
    assert "phy:/dev/snow_vg/new01-swap,xvda1,w" in site.config("new01")
    assert domains_of(Path("ha.toml").read_text())[-1] == "new01" and Path("ha.toml.old").exists()
    assert not any(host.text(definition.PATH) for host in site.hosts.values())
    assert not any("snow-ha-new" in path for path in disks)
    ended = site.run("add", "domain", "new02", "--size", "1")
    assert ended.exit_code == 0 and disks["/dev/snow_vg/new02-disk"] == bytes(MIB), (
        "what another domain has left is there"
    )


def test_on_a_single_server_without_a_volume_group_it_says_so(site: DomainSite) -> None:
    site.alone()
    conf = site.text("/sNow/etc/snow.conf").replace("lvm=snow_vg", "dir=/sNow/domains")
    site.world.shared["/sNow/etc/snow.conf"] = (conf.encode(), 0o600)
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert code_of(ended) == 4 and "IMG_DST is dir=" in str(ended.exception) and "snow ha apply" in str(ended.exception)


def test_pacemaker_in_maintenance_is_not_told_of_a_domain(site: DomainSite) -> None:
    """It would be waited for until the time is up, with everything else made."""
    site.changes.append(options(maintenance_mode="true"))
    ended = site.run("add", "domain", "new01", "--size", "1")
    assert code_of(ended) == 4 and site.told == [], ended.output
