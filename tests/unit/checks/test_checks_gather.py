"""The scripts as they run in a real shell, and what is made of their answers."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import broken_leases
import machine
import pytest
from broken_clusters import RECORDED
from check_sites import SITE, leased

from snowha.checks import bmc, bmc_query, gather, scripts
from snowha.checks.gather import asked_names
from snowha.checks.parse_facts import parse_server
from snowha.errors import CommandError, UnreachableError
from snowha.hosts import file_scripts
from snowha.hosts.host import Completed, Host
from snowha.hosts.local import LocalHost
from snowha.live.autostart import Entry
from snowha.live.context import SiteContext
from snowha.site.model import Mount
from snowha.xen.attachments import Attachments

B = "snow-ha-0123"
GUID = "6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4e01"
IPMITOOL = f"Chassis Power is on\nSystem GUID  : {GUID}\nGUID Encoding : SMBIOS\n"


class Scripted:
    """A host that answers as a function says."""

    def __init__(self, name: str, answer: Callable[[Sequence[str], str | bytes], Completed]) -> None:
        self.name = name
        self.answer = answer
        self.inputs: list[str | bytes] = []
        self.words: list[Sequence[str]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.inputs.append(input)
        self.words.append(argv)
        done = self.answer(argv, input)
        for line in done.stdout.splitlines() if on_line else ():
            assert on_line is not None
            on_line(line)
        return done


def said(stdout: str, status: int = 0) -> Callable[[Sequence[str], str | bytes], Completed]:
    return lambda argv, input: Completed(tuple(argv), status, stdout, "")


def test_the_gathering_script_in_a_real_shell(tmp_path: Path) -> None:
    """Every check would be made of nothing. This machine has neither Xen nor a cluster: what is missing is left out."""
    kernel = tmp_path / "vmlinuz with blanks"
    running = f"/boot/vmlinuz-{platform.release()}"
    kernel.write_bytes(b"k" * 1234)
    conf = tmp_path / "snow.conf"
    conf.write_text(f"A=1\n{B}x < os\nfi\nB=2")
    (tmp_path / "images/deploy01").mkdir(parents=True)
    (tmp_path / "configs").symlink_to("/nowhere/else")
    (tmp_path / "images/deploy01/deploy01-disk").write_bytes(b"i" * 77)
    (tmp_path / "images/deploy01/deploy01-disk.undone").write_bytes(b"i" * 99)
    words = scripts.gather_argv(
        B,
        snow_conf=str(conf),
        images=str(tmp_path / "images"),
        configs=str(tmp_path / "configs/there"),
        names=["localhost", "no-such-name.invalid"],
        tools=["sh", "no-such-tool"],
        kernels=[str(kernel), str(tmp_path / "absent")],
        paths=[str(kernel), str(tmp_path / "absent"), str(tmp_path), running],
    )
    done = LocalHost().run(words, check=False, timeout=30)
    facts = parse_server("snow01", scripts.parse_sections(done.stdout, B, where="snow01"), None)
    assert scripts.clock_of(done.stdout.splitlines()[0], B) == pytest.approx(kernel.stat().st_mtime, abs=60)
    assert facts.answers and facts.memory_mib > 0
    assert facts.names == {"localhost": "127.0.0.1", "no-such-name.invalid": ""}
    assert facts.tools == {"sh"}
    assert facts.snow_conf == conf.read_text()
    assert facts.conf_error.startswith(f"{conf}: line 3: syntax error"), "bash reads no further than that"
    assert facts.kernel_cpus > 0
    assert facts.booted == {running}
    assert facts.kernels == {str(kernel): hashlib.sha256(b"k" * 1234).hexdigest()}
    assert {path: (fact.kind, fact.size) for path, fact in facts.paths.items() if path != running} == {
        str(kernel): ("file", 1234),
        str(tmp_path): ("other", 0),
    }
    assert facts.paths[str(kernel)].allocated == kernel.stat().st_blocks * 512
    found = facts.paths[str(kernel)]
    assert (found.device, found.inode) == (kernel.stat().st_dev, kernel.stat().st_ino)
    assert facts.undone == ((str(tmp_path / "images/deploy01/deploy01-disk.undone"), 99),)
    assert facts.space and facts.space > 1 << 20
    assert facts.folders == (str((tmp_path / "images").resolve()), "/nowhere/else/there")
    assert facts.addresses["127.0.0.1"].prefixlen == 8
    assert facts.attachments == Attachments()
    assert facts.room is not None and facts.room.free > 1 << 20
    assert [(image.path, image.size) for image in facts.room.images] == [
        (str(tmp_path / "images/deploy01/deploy01-disk"), 77)
    ]
    assert facts.nfs_client.endswith(f"/{platform.node()}")
    root = facts.mount_of("/")
    assert root is not None and root.target == "/"
    assert (facts.under_xen, facts.xen, facts.running) == (False, None, {})


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_sectors_of_a_partitioned_disk(sector: int, tmp_path: Path) -> None:
    """Its partition table means something else in an image, where sectors are of 512 bytes."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(8 << 20))
    words = ["losetup", "--find", "--show", "--sector-size", str(sector), str(path)]
    attached = LocalHost().run(words, check=False)
    if not attached.ok:
        pytest.skip(f"no loop device can be attached here: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        LocalHost().run(["sfdisk", "-q", "--label", "gpt", device], input=",,L\n")
        words = scripts.gather_argv(
            B, snow_conf="", images=str(tmp_path), configs="/x", names=[], tools=[], kernels=[], paths=[device]
        )
        done = LocalHost().run(words, check=False, timeout=30)
    finally:
        LocalHost().run(["losetup", "--detach", device])
    fact = parse_server("snow01", scripts.parse_sections(done.stdout, B, where="snow01"), None).paths[device]
    assert (fact.kind, fact.size, fact.sector) == ("block", 8 << 20, sector)
    assert fact.table == ("gpt" if sector == 4096 else "")


def test_an_access_list_is_seen(tmp_path: Path) -> None:
    """Its mask looks like the right of root's own group."""
    (tmp_path / "images").mkdir(mode=0o755)
    # acl(5), as in Linux' include/uapi/linux/posix_acl_xattr.h: tag, permissions, id; user:1234:rwx under the mask rwx
    nobody, entries = 0xFFFFFFFF, [(1, 7), (2, 7), (4, 5), (16, 7), (32, 5)]
    packed = b"".join(struct.pack("<HHI", tag, what, 1234 if tag == 2 else nobody) for tag, what in entries)
    try:
        os.setxattr(tmp_path / "images", "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        machine.unable(f"no access lists in {tmp_path}: {error.strerror}")
    words = scripts.gather_argv(
        B, snow_conf="", images=str(tmp_path / "images"), configs="/x", names=[], tools=[], kernels=[], paths=[]
    )
    done = LocalHost().run(words, check=False, timeout=30)
    permissions = parse_server("snow01", scripts.parse_sections(done.stdout, B, where="snow01"), None).permissions
    found = {one.path: one for one in permissions}
    assert found[str(tmp_path / "images")].has_acl and found[str(tmp_path / "images")].mode == 0o775
    assert not found[str(tmp_path)].has_acl


def test_an_automounted_file_system_is_mounted_before_it_is_looked_for(tmp_path: Path) -> None:
    """/sNow of a server where nobody had used it for a while was said to be another one than ha.toml names: a stop."""
    shared, tools = tmp_path / "sNow", tmp_path / "tools"
    shared.mkdir()
    tools.mkdir()
    # autofs(5) mounts for a path that goes on behind the folder, and says nothing else than its own before
    programs = {
        "ls": f'for last; do :; done\n[ "$last" != {shared}/. ] || : > {tmp_path}/mounted\n',
        "cat": f"[ ! -e {tmp_path}/mounted ] || echo nfs01:/export {shared} nfs4 rw,hard 0 0\n",
    }
    for name, text in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}")
        (tools / name).chmod(0o755)
    words = scripts.gather_argv(
        B, snow_conf="", images="", configs="", names=["snow01"], tools=["ls"], kernels=[], paths=[str(shared)]
    )
    done = subprocess.run(words, capture_output=True, text=True, env={"PATH": f"{tools}:/usr/bin:/bin"}, check=True)
    assert scripts.parse_sections(done.stdout, B, where="snow01")["mounts"].startswith(f"nfs01:/export {shared} ")


@pytest.mark.needs("qemu-img")
def test_what_a_domain_sees_of_a_disk_in_a_format_of_its_own(tmp_path: Path) -> None:
    """Their files are small, and the images of them would not fit."""
    paths = [str(tmp_path / name) for name in ("a qcow2", "old qcow2", "vhd", "raw")]
    options = (
        ["-f", "qcow2"],
        ["-f", "qcow2", "-o", "compat=0.10"],
        ["-f", "vpc", "-o", "force_size=on"],
        ["-f", "raw"],
    )
    for path, words in zip(paths, options, strict=True):
        LocalHost().run(["qemu-img", "create", "-q", *words, path, "5G"])
    words = scripts.gather_argv(
        B, snow_conf="", images=str(tmp_path), configs="/x", names=[], tools=[], kernels=[], paths=paths
    )
    done = LocalHost().run(words, check=False, timeout=30)
    found = parse_server("snow01", scripts.parse_sections(done.stdout, B, where="snow01"), None)
    assert found.virtual == dict.fromkeys(paths[:3], 5 << 30)


def test_an_answer_that_broke_off_is_an_error() -> None:
    """Half an answer would read as a server on which half of everything is missing."""
    with pytest.raises(CommandError, match="arrived incomplete"):
        scripts.parse_sections(f"\n{B} < os\nx\n{B} > 0\n", B, where="snow01")


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("snow01\n\n\n", "/snow01"),
        ("snow01\n(null)\nparameter\n", "parameter/snow01"),
        ("snow01\nidentifier\nparameter\n", "identifier/snow01"),
        ("snow01\n(null)\n\n", "/snow01"),
        ("", ""),
    ],
)
def test_what_an_nfs_client_calls_itself(said: str, client: str) -> None:
    """Two servers that the storage takes for one: each would lose its locks when the other comes."""
    assert parse_server("snow01", {"nfs-client": said}, None).nfs_client == client


def test_what_a_server_under_xen_answers() -> None:
    """Domains, memory and addresses are read from these."""
    sections = {
        "os": "VERSION_CODENAME=trixie\nID=debian\n",
        "xl-info": "xen_version            : 4.20.5\nvirt_caps              : pv hvm hap\n"
        "total_memory           : 2559\nfree_memory            : 900\n",
        "xl-list": "Name                   ID   Mem VCPUs\tState\tTime(s)\n"
        "Domain-0                0  1024     1     r-----      99.1\n"
        "slurm01                 3    96     1     -b----       7.2\n",
        "units": "Id=corosync.service\nActiveState=active\n\nId=pacemaker.service\nActiveState=inactive\n",
        "at-boot": "corosync.service disabled\npacemaker.service enabled\n",
        "packages": "corosync 3.1.9-2 installed\npacemaker  not-installed\ndpkg-query: no packages found\n",
        "address": '[{"ifname":"xsnow0","mtu":1500,"addr_info":[{"local":"192.168.8.1"}]}]',
        "mounts": "nfs01:/export/my\\040files /sNow nfs4 rw,hard,vers=4.2 0 0\n",
        "auto": "folder L2V0Yy94ZW4vYXV0bw== L2V0Yy94ZW4vYXV0bw==\nentry L2V0Yy94ZW4vYXV0by94 L3NOb3cveC5jZmc= bmFtZT0neCcK\n",
        "crm_mon": (RECORDED / "crm_mon-2.1-lost.xml").read_text(),
        "quorum": (RECORDED / "corosync-quorumtool-s.trixie.txt").read_text(),
        "links": (RECORDED / "corosync-cfgtool-s.trixie.txt").read_text(),
        "lan": "IP Address Source       : Static Address\nIP Address              : 10.0.0.101\n",
    }
    facts = parse_server("snow01", sections, (-1.0, 1.0))
    assert facts.xen is not None and facts.xen.migrates_pvh and not facts.xen.migrates_pv
    assert (facts.dom0_mib, list(facts.running)) == (1024, ["slurm01"])
    assert facts.is_active("corosync.service") and not facts.is_active("pacemaker.service")
    assert facts.packages == {"corosync": "3.1.9-2"}
    assert facts.addresses["192.168.8.1"].device == "xsnow0"
    mount = facts.mount_of("/sNow/etc/snow.conf")
    assert mount is not None and mount.source == "nfs01:/export/my files" and mount.is_nfs
    assert facts.mount_of("/sNowball") is None
    assert facts.autostart.entries == (Entry("/etc/xen/auto/x", "/sNow/x.cfg", b"name='x'\n"),)
    assert facts.lan_address == "10.0.0.101"
    assert facts.state is not None and not facts.state.is_online("snow02")
    assert facts.quorate is True and [link.connected for link in facts.links] == [True, True]
    assert facts.answer.running == {"slurm01"} and facts.answer.under_xen


def test_what_a_server_sees_of_the_others() -> None:
    """A dead link would be found out when the other one fails."""
    text = (
        f"{B} link 10.0.0.2 ens4 9000 0 1\n{B} link 192.168.8.2 xsnow0 1500 0 0\nnoise\n"
        f"{B} link 10.0.1.2 - 1500 127 127\n{B} login snow02 255 Host key verification failed.\n"
    )
    pings, logins = scripts.parse_connectivity(text, B, "snow01")
    assert [(one.address, one.device, one.small, one.large) for one in pings] == [
        ("10.0.0.2", "ens4", True, False),
        ("10.0.1.2", "", None, None),
        ("192.168.8.2", "xsnow0", True, True),
    ]
    assert [(one.to, one.ok, one.said) for one in logins] == [("snow02", False, "Host key verification failed.")]


@pytest.mark.parametrize(
    ("guid", "same"),
    [
        (GUID, True),
        (GUID.upper(), True),
        ("7e0f1f6b-0a0e-554b-9d3c-0a1b2c3d4e01", True),  # the first three fields swapped, as SMBIOS has them
        ("014e3d2c-1b0a-3c9d-554b-0a0e7e0f1f6b", True),  # all reversed, as IPMI sends them
        ("6b1f0f7e-0e0a-4b55-9d3c-0a1b2c3d4e02", False),
        ("", False),
        ("not a guid", False),
    ],
)
def test_a_bmc_is_known_by_its_machines_uuid(guid: str, same: bool) -> None:
    """Fencing would cut the power of the server that runs everything."""
    assert bmc.same_machine(guid, GUID) is same


@pytest.mark.parametrize("nothing", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_a_uuid_that_was_never_set_identifies_nobody(nothing: str) -> None:
    """Two machines of one careless maker would be taken for each other."""
    assert not bmc.same_machine(nothing, nothing)


def test_a_bmc_is_asked_by_whoever_has_a_tool_and_the_password_is_in_no_argument() -> None:
    """ps(1) shows arguments to everybody."""
    without, having = Scripted("here", said("", 127)), Scripted("snow01", said(IPMITOOL))
    seen = bmc_query.ask([without, having], SITE.servers[0], "secret-word")
    assert (seen.power, seen.guid) == ("on", GUID)
    assert having.inputs == ["secret-word\n"]
    assert "secret-word" not in " ".join(having.words[0])


def test_a_bmc_that_refuses_says_why() -> None:
    host = Scripted("snow01", said("Error: Unable to establish IPMI v2 / RMCP+ session\n", 1))
    seen = bmc_query.ask([host], SITE.servers[0], "x")
    assert (seen.power, seen.said) == ("refused", "Error: Unable to establish IPMI v2 / RMCP+ session")


def test_the_script_that_asks_a_bmc_in_a_real_shell(tmp_path: Path) -> None:
    """Its password would be lost or shown on the way, or a failure taken for an answer."""
    tool = tmp_path / "ipmitool"
    tool.write_text(
        '#!/bin/sh\nIFS= read -r got\n[ "$got" = "pass \\\\ \'$HOME" ] || { echo wrong; exit 1; }\n'
        'case "$*" in *power*) echo "Chassis Power is on" ;; *) echo "System GUID  : ' + GUID + '" ;; esac\n'
    )
    tool.chmod(0o755)
    host = LocalHost(environment={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/root"})
    assert bmc_query.ask([host], SITE.servers[0], "pass \\ '/root").guid == GUID
    refused = bmc_query.ask([host], SITE.servers[0], "another")
    assert (refused.power, refused.said) == ("refused", "wrong")


def test_locks_of_a_file_system_on_which_they_work(tmp_path: Path) -> None:
    """Real flock(1), twice on this machine."""
    file = tmp_path / "snow.conf"
    file.write_text("x")
    before = file.stat().st_mtime_ns
    assert gather.locks([LocalHost("snow01"), LocalHost("snow02")], str(file), hold_s=(1,)) == ("work", "")
    assert (file.read_text(), file.stat().st_mtime_ns) == ("x", before)
    assert gather.locks([LocalHost("snow01"), LocalHost("snow02")], str(tmp_path / "no"), hold_s=(1,))[0] == "unknown"
    assert not (tmp_path / "no").exists()


def test_a_lock_that_both_servers_get_is_a_stop_only_if_it_was_held_for_certain() -> None:
    """A slow server would make a healthy storage look broken, or a broken one healthy."""

    def hold(argv: Sequence[str], input: str | bytes) -> Completed:
        return Completed(tuple(argv), 0, "locked\n", "")

    holder, other = Scripted("snow01", hold), Scripted("snow02", said("got\n"))
    assert gather.locks([holder, other], "/sNow/etc/snow.conf", hold_s=(60,))[0] == "broken"
    assert gather.locks([holder, other], "/sNow/etc/snow.conf", hold_s=(0,))[0] == "unknown"
    # asked again with more time
    assert gather.locks([holder, other], "/sNow/etc/snow.conf", hold_s=(0, 60))[0] == "broken"


def test_the_first_server_that_answers_is_asked_for_what_there_is_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first server dead nobody asked the BMCs (and they were said to refuse), and nobody read snow.conf."""
    asked: list[Sequence[str]] = []

    def dead(argv: Sequence[str], input: str | bytes) -> Completed:
        raise UnreachableError("no route to host", where="snow01", remedy="look at it")

    def alive(argv: Sequence[str], input: str | bytes) -> Completed:
        asked.append(argv)
        return Completed(tuple(argv), 0, IPMITOOL if bmc_query.ASK in argv else "", "")

    hosts: dict[str, Host] = {"snow01": Scripted("snow01", dead), "snow02": Scripted("snow02", alive)}
    monkeypatch.setattr(gather, "LocalHost", lambda: Scripted("here", said("", 127)))
    facts = gather.gather_facts(SiteContext(SITE, hosts), {"snow01": "a", "snow02": "b"})
    assert {fact.power for fact in facts.bmcs.values()} == {"on"}
    assert any(SITE.paths.snow_conf in words for words in asked)


def test_a_server_that_does_not_answer_is_a_fact_and_the_others_are_looked_at() -> None:
    """The whole check would end at the first server that is down."""

    def dead(argv: Sequence[str], input: str | bytes) -> Completed:
        raise UnreachableError("no route to host", where="snow02", remedy="look at it")

    def alive(argv: Sequence[str], input: str | bytes) -> Completed:
        if argv[2:3] == [file_scripts.READ_FOLDER]:
            return Completed(tuple(argv), 0, "", "")
        boundary = argv[4] if len(argv) > 4 else ""
        text = "B clock 5.0\n\nB < os\nVERSION_CODENAME=trixie\n\nB > 0\n\nB end\n"
        return Completed(tuple(argv), 0, text.replace("B ", f"{boundary} "), "")

    hosts: dict[str, Host] = {"snow01": Scripted("snow01", alive), "snow02": Scripted("snow02", dead)}
    facts = gather.gather_facts(
        SiteContext(SITE, hosts), {"snow01": "a", "snow02": "b"}, askers=[Scripted("here", said("", 127))]
    )
    assert [(one.name, one.answers, one.release) for one in facts.servers] == [
        ("snow01", True, "trixie"),
        ("snow02", False, ""),
    ]
    assert facts.server("snow02").trouble == "no route to host"
    assert facts.bmcs["snow01"].power == "unasked"
    assert facts.server("snow01").clock is not None


def listing(name: str, *disks: str) -> str:
    """What `snow-lease list` prints on a server that has ``disks`` attached without a lease; records of all that is asked for."""
    rows = [
        {"id": "", "image": image, "domain": "", "loop": "loop3", "dm": "", "holder": "none", "frozen": "no"}
        for image in disks
    ]
    return json.dumps({"server": name, "boot": "b", "records": [], "attached": rows, "notes": {}})


def test_nothing_is_asked_about_leases_where_no_image_has_one() -> None:
    """A server that is still to be migrated to would be asked for a program that it does not have."""
    host = Scripted("snow01", said("", 127))
    assert gather.gather_leases(SiteContext(SITE, {"snow01": host}), {"snow01": host}) == ({}, ())
    assert host.words == []


def test_what_is_wrong_with_a_lease_is_looked_at_twice() -> None:
    """A live migration that ends while the servers are asked looks like an image that is attached twice."""
    site, _ = leased(broken_leases.well())
    image = site.domains[0].disks[0].target
    answers = [listing("snow01", image), listing("snow01"), listing("snow01"), listing("snow01")]
    moving = Scripted("snow01", lambda argv, input: Completed(tuple(argv), 0, answers.pop(0), ""))
    lost = Scripted("snow02", said("", 127))
    hosts: dict[str, Host] = {"snow01": moving, "snow02": lost}
    found, records = gather.gather_leases(SiteContext(site, hosts), hosts)
    assert found["snow02"] is None and records == ()
    assert found["snow01"] is not None and found["snow01"].attached == ()
    assert [list(words[2:]) for words in moving.words] == [[], [one.disks[0].target for one in site.domains]] * 2


def test_of_an_export_the_servers_name_is_asked_and_neither_a_part_of_its_path_nor_an_address() -> None:
    """A name that nobody can resolve is a stop."""
    mounts = [Mount(source, "/sNow", "nfs4", "hard") for source in ("nfs01:/a:b", "[fd00::1]:/x", "nfs02:/", "x")]
    context = SiteContext(replace(SITE, mounts=tuple(mounts)), {})
    assert asked_names(context) == ["snow01", "snow02", "nfs01", "nfs02"]
