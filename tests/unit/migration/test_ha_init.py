"""``snow ha init`` at a simulated site: what is refused before anybody is asked, what is written, and what stays."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from simulated import CONF, SECRET, SNOW_CONF, SimulatedHost, World, single_server

from snowha.cli import ha_init
from snowha.cli.tree import snow
from snowha.errors import SnowError
from snowha.hosts import user_file
from snowha.site import ha_toml
from snowha.site.ha_file import HaFile
from snowha.site.model import Ssh


class Server(SimulatedHost):
    """A server that says how it is called, and what it has mounted and for addresses. Reached by ``address``."""

    number = 1
    called = ""

    def _answer(self, words: list[str], input: str | bytes) -> tuple[int, str]:
        match words:
            case ["uname", "-n"]:
                return 0, f"{self.called or self.name}\n"
            case ["findmnt", *_, target]:
                mounted = {"source": "nfs01:/export/sNow", "fstype": "nfs4", "target": target}
                return 0, json.dumps({"filesystems": [mounted]})
            case ["ip", "-j", "-d", *_]:
                own = {"family": "inet", "scope": "global", "local": f"192.168.8.{self.number}", "prefixlen": 24}
                return 0, json.dumps([{"ifname": "xsnow0", "addr_info": [own]}])
            case ["getent", "ahostsv4", name] if name.endswith("-mgmt"):
                return 0, f"10.0.0.10{2 if '2' in name else 1} STREAM {name}\n"
            case _:
                return super()._answer(words, input)


class Site:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        _, self.world, _ = single_server()
        self.conf(
            SNOW_CONF
            + "IPMI_USER=admin\nNET_MGMT=( 'xmgmt0' '10.0.0.254' '10.0.0.1' '10.0.0.' '255.255.255.0' '-mgmt' )\n"
        )
        self.names: dict[str, str] = {}
        """What servers call themselves that are not named so on the command line."""
        self.asked: list[str] = []
        monkeypatch.chdir(folder)
        monkeypatch.setattr(ha_init, "SshHost", self.host)

    def conf(self, text: str) -> None:
        self.world.shared[CONF] = (text.encode(), 0o600)

    def host(self, name: str, address: str, ssh: Ssh) -> Server:
        assert name == address
        made = Recorded(name, self.world, self.asked)
        made.called = self.names.get(name, name)
        made.number = 2 if "2" in made.called else 1
        return made

    def init(self, *words: str, answer: str = "") -> Result:
        return CliRunner().invoke(snow, ["ha", "init", *words], input=answer)

    def refused(self, *words: str, code: int = 2) -> str:
        ended = self.init(*words)
        assert isinstance(ended.exception, SnowError), ended.output
        assert ended.exception.exit_code == code
        return str(ended.exception)

    def written(self, name: str = "ha.toml") -> HaFile:
        return ha_toml.parse((self.folder / name).read_text(), where=name)

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): path.read_text() for path in self.folder.rglob("*") if path.is_file()
        }


class Recorded(Server):
    def __init__(self, name: str, world: World, asked: list[str]) -> None:
        super().__init__(name, world)
        self.asked = asked

    def _answer(self, words: list[str], input: str | bytes) -> tuple[int, str]:
        self.asked.append(self.name)
        return super()._answer(words, input)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_what_is_written_is_what_is_read(site: Site) -> None:
    ended = site.init("snow01", "snow02")
    assert ended.exit_code == 0, ended.output
    found = site.written()
    assert [(server.name, server.address, server.fence and server.fence.address) for server in found.servers] == [
        ("snow01", "snow01", "10.0.0.101"),
        ("snow02", "snow02", "10.0.0.102"),
    ]
    secret = site.folder / "ha.secrets/ipmi"
    assert secret.read_text() == f"{SECRET}\n" and SECRET not in ended.output + (site.folder / "ha.toml").read_text()
    assert (stat.S_IMODE(secret.stat().st_mode), stat.S_IMODE(secret.parent.stat().st_mode)) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["snow01"], "fewer than two"),
        (["snow01", "snow01"], "given twice"),
        (["snow01", "SNOW01"], "given twice"),
        (["snow01", "a;reboot"], "neither an IP address nor a host name"),
        (["snow01", "192.168.8.300"], "neither an IP address nor a host name"),
        (["snow01", "snow02", "--bmc", "snow03=10.0.0.1"], "server 'snow03' is not given"),
        (["snow01", "snow02", "--bmc", "10.0.0.1"], "--bmc SERVER=ADDRESS"),
        (["snow01", "snow02", "--bmc", "snow01=;"], "--bmc snow01: neither an IP"),
        (["snow01", "snow02", "--bmc", "snow01=1.2.3.4", "--bmc", "snow01=1.2.3.5"], "given twice"),
        (["snow01", "snow02", "-o", "nowhere/ha.toml"], "no such folder"),
        (["snow01", "snow02", "-o", "new/"], "this is a folder"),
        (["snow01", "snow02", "-o", ""], "no file is named"),
        (["snow01", "snow02", "-o", "h" * 300], "at most 200 letters"),
        (["snow01", "snow02", "-o", f"{'h' * 190}.{'t' * 100}"], "File name too long"),
        (["snow01", "snow02", "-o", "/proc/ha.toml"], "nothing can be written"),
        (["snow01", "snow02", "-o", "/sys/ha.toml"], "nothing can be written"),
        (["snow01", "snow02", "--bmc-user", ""], "--bmc-user: the username"),
        (["snow01", "snow02", "--bmc-agent", "foo"], "--bmc-agent: 'foo' is not a fence agent"),
        (["snow01", "snow02", "--bmc-agent", ""], "--bmc-agent: '' is not a fence agent"),
        (["snow01", "snow02", "--bmc", "snow01=1.2.3.4", "--bmc", "snow02=1.2.3.4"], "given for snow01 and snow02"),
        (["snow01", "snow02", "--bmc", "snow01=snow02"], "is a server, not its BMC"),
        (["snow01", "snow02", "--ssh-config", "."], "this is a folder"),
        (["snow01", "snow02", "--bmc-password-file", "nowhere"], "write the BMCs' password into the first line"),
        (["snow01", "snow02", "-o", "/proc/self/ha.toml"], "nothing can be written"),
        (["snow01", "snow02", "-o", "folder", "--force"], "it is a folder"),
        (["snow01", "snow02", "-o", "folder"], "it is a folder"),
        (["snow01", "snow02", "-o", "fifo", "--force"], "it is a FIFO"),
        (["snow01", "snow02", "-o", "my ha.toml"], "named after this file"),
        (["snow01", "snow02", "-o", "there.toml"], "it exists already"),
        (["snow01", "snow02", "-o", "x.secrets"], "it is in the way"),
        (["snow01", "snow02", "-o", "inway.toml"], "it is in the way"),
        (["snow01", "snow02", "-o", "dangling.toml"], "it is in the way"),
        (["snow01", "snow02", "-o", "open.toml"], "others can write"),
        (["snow01", "snow02", "-o", "piped.toml"], "it is a FIFO"),
        (["snow01", "snow02", "--bmc-password-file", "nowhere"], "no such file"),
        (["snow01", "snow02", "--bmc-password-file", "open.pw"], "others can read"),
        (["snow01", "snow02", "--bmc-password-file", "fifo"], "it is a FIFO"),
    ],
)
def test_what_can_be_known_before_is_said_before_any_server_is_asked(site: Site, words: list[str], said: str) -> None:
    """After half a minute of asking, and with a password already written somewhere."""
    (site.folder / "folder").mkdir()
    os.mkfifo(site.folder / "fifo")
    (site.folder / "there.toml").write_text("mine")
    (site.folder / "inway.secrets").write_text("mine")
    (site.folder / "dangling.secrets").symlink_to("nowhere")
    (site.folder / "open.secrets").mkdir()
    (site.folder / "open.secrets").chmod(0o777)
    (site.folder / "piped.secrets").mkdir(mode=0o700)
    os.mkfifo(site.folder / "piped.secrets/ipmi")
    (site.folder / "open.pw").write_text("x")
    (site.folder / "open.pw").chmod(0o644)
    before = sorted(site.folder.rglob("*"))
    assert said in site.refused(*words)
    assert site.asked == [] and sorted(site.folder.rglob("*")) == before


def test_a_server_by_address_or_by_its_whole_name_is_asked_what_it_is_called(site: Site) -> None:
    """Its name would be 192, or no name at all: Pacemaker knows servers by what they call themselves."""
    site.names = {"192.168.8.1": "snow01.example.org", "snow02.example.org": "snow02"}
    ended = site.init("192.168.8.1", "snow02.example.org", "--bmc", "192.168.8.1=10.9.9.9")
    assert ended.exit_code == 0, ended.output
    assert [
        (server.name, server.address, server.fence and server.fence.address) for server in site.written().servers
    ] == [
        ("snow01", "192.168.8.1", "10.9.9.9"),
        ("snow02", "snow02.example.org", "10.0.0.102"),
    ]


def test_one_server_by_two_names_is_refused(site: Site) -> None:
    """It would be a cluster of a server with itself."""
    site.names = {"192.168.8.1": "snow01"}
    assert "snow01 and 192.168.8.1 are one server" in site.refused("snow01", "192.168.8.1")
    assert site.files() == {}


def test_what_snow_itself_would_refuse_is_not_written(site: Site) -> None:
    """The next command would name a line of a file that this one has just made."""
    folder = str(Path(next(path for path in site.world.shared if path.endswith(".cfg"))).parent)
    site.world.shared[f"{folder}/snow02.cfg"] = (b"name = 'snow02'\nkernel = '/boot/vmlinuz'\nmemory = 512\n", 0o644)
    said = site.refused("snow01", "snow02", code=4)
    assert "snow02" in said and "nothing is written" in said
    assert site.files() == {}


def test_servers_with_one_address_are_named(site: Site) -> None:
    """ "They share no network" would be looked for in cables and switches."""
    site.names = {"snow02": "snow03"}  # with the address of the first
    assert "192.168.8.1 is an address of snow01 and snow02" in site.refused("snow01", "snow02", code=4)
    assert site.files() == {}


def test_a_site_without_ipmi_in_its_snow_conf(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every site whose BMCs were never sNow!'s business."""
    site.conf("".join(line for line in SNOW_CONF.splitlines(keepends=True) if "IPMI" not in line))
    assert "--bmc-user NAME" in site.refused("snow01", "snow02")
    given = ["snow01", "snow02", "--bmc-user", "root", "--bmc", "snow01=10.1.1.1", "--bmc", "snow02=bmc2.example.org"]
    assert "--bmc-password-file FILE" in site.refused(*given)
    assert site.files() == {}

    (site.folder / "pw").write_text("typed once\n")
    (site.folder / "pw").chmod(0o600)
    ended = site.init(*given, "--bmc-agent", "fence_idrac", "--bmc-password-file", "pw")
    assert ended.exit_code == 0, ended.output
    fences = [server.fence for server in site.written().servers]
    assert [(fence.agent, fence.address, fence.username) for fence in fences if fence] == [
        ("fence_idrac", "10.1.1.1", "root"),
        ("fence_idrac", "bmc2.example.org", "root"),
    ]
    assert (site.folder / "ha.secrets/ipmi").read_text() == "typed once\n" and "typed once" not in ended.output

    asked: list[dict[str, object]] = []

    def prompt(text: str, **how: object) -> str:
        asked.append(how)
        return "typed at a terminal"

    monkeypatch.setattr(ha_init, "is_terminal", lambda: True)
    monkeypatch.setattr("click.prompt", prompt)
    assert site.init(*given, "--force").exit_code == 0
    assert (site.folder / "ha.secrets/ipmi").read_text() == "typed at a terminal\n"
    assert asked == [{"hide_input": True, "err": True}]


def test_a_bmc_that_has_no_name_is_asked_for_with_the_words_to_type(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Server._answer

    def nameless(self: Server, words: list[str], input: str | bytes) -> tuple[int, str]:
        return (2, "") if words[0] == "getent" else answer(self, words, input)

    monkeypatch.setattr(Server, "_answer", nameless)
    assert "--bmc snow01=ADDRESS" in site.refused("snow01", "snow02", code=4)


def test_a_password_that_was_corrected_by_hand_stays(site: Site) -> None:
    """The one in snow.conf may be years old: no server could be fenced with it."""
    site.init("snow01", "snow02")
    secret = site.folder / "ha.secrets/ipmi"
    secret.write_text("corrected\n")
    again = site.init("snow01", "snow02", "--force")
    assert again.exit_code == 0 and "is not changed" in again.output
    assert secret.read_text() == "corrected\n"

    (site.folder / "pw").write_text("given\n")
    (site.folder / "pw").chmod(0o600)
    given = site.init("snow01", "snow02", "--force", "--bmc-password-file", "pw")
    assert secret.read_text() == "given\n" and str(secret.with_name("ipmi.old")) in given.output
    kept = secret.with_name("ipmi.old")
    assert kept.read_text() == "corrected\n" and stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_force_keeps_every_earlier_file_and_its_mode(site: Site) -> None:
    path = site.folder / "ha.toml"
    for number, text in enumerate(("first", "second"), start=1):
        path.write_text(text)
        path.chmod(0o640)
        said = site.init("snow01", "snow02", "--force")
        assert said.exit_code == 0 and f"is kept: {path}.old" in said.output, said.output
        assert stat.S_IMODE(path.stat().st_mode) == 0o640, number
    assert [(site.folder / name).read_text() for name in ("ha.toml.old", "ha.toml.old.2")] == ["first", "second"]


def test_through_a_link_the_file_behind_it_is_written(site: Site) -> None:
    (site.folder / "real").mkdir()
    (site.folder / "real/site.toml").write_text("mine")
    (site.folder / "ha.toml").symlink_to("real/site.toml")
    assert site.init("snow01", "snow02", "--force").exit_code == 0
    assert (site.folder / "ha.toml").is_symlink() and site.written()
    assert set(site.files()) == {"ha.toml", "real/site.toml", "real/site.toml.old", "real/site.secrets/ipmi"}


@pytest.mark.parametrize("broken", ["beside", "put"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_disk_that_is_full_leaves_no_password_behind(
    site: Site, monkeypatch: pytest.MonkeyPatch, broken: str, at: int
) -> None:
    """In a folder that somebody had chosen by mistake, and is removed by nobody."""
    real: Callable[..., object] = getattr(user_file, broken)
    calls: list[object] = []

    def full(*words: object, **how: object) -> object:
        calls.append(words)
        if len(calls) == at:
            raise OSError(28, "No space left on device", "ha.toml")
        return real(*words, **how)

    # it fills up after it was looked at
    monkeypatch.setattr(user_file, "check_target", lambda path: None)
    monkeypatch.setattr(user_file, broken, full)
    ended = site.init("snow01", "snow02")
    assert isinstance(ended.exception, OSError)
    assert list(site.folder.iterdir()) == []


def test_a_floating_ip_that_somebody_has_is_not_proposed(site: Site) -> None:
    """The gateway of today is often a router: it would have been talked over, and every domain with it."""
    conf = SNOW_CONF.replace("'192.168.8.1' '192.168.8.11'", "'192.168.8.100' '192.168.8.11'")
    site.conf(f"{conf}IPMI_USER=admin\nNET_MGMT=( 'xmgmt0' '' '' '10.0.0.' '255.255.255.0' '-mgmt' )\n")
    site.world.answering = {"192.168.8.100": "52:54:00:00:00:01", "192.168.8.254": "somebody"}
    ended = site.init("snow01", "snow02")
    assert "192.168.8.100, belongs to another machine (52:54:00:00:00:01)" in ended.output
    found = site.written().floating_ip
    assert found is not None and found.address == "192.168.8.253"
    # one of the servers has it: the cluster is there already
    site.world.answering = {"192.168.8.100": "own"}
    assert site.init("snow01", "snow02", "--force").exit_code == 0
    found = site.written().floating_ip
    assert found is not None and found.address == "192.168.8.100"
    # as many as are tried
    site.world.answering = {f"192.168.8.{number}": "somebody" for number in (100, *range(240, 255))}
    assert "no free address" in site.refused("snow01", "snow02", "--force", code=4)


def test_a_floating_ip_that_a_domain_has_among_others_is_not_proposed(site: Site) -> None:
    """One that is off answers nobody: its address was given to the cluster, and was there twice once it was on again."""
    vif = "vif = [ 'ip=192.168.8.99 192.168.8.100/24,mac=00:16:3e:00:00:11,bridge=xsnow0' ]\n"
    site.world.shared["/sNow/etc/domains/off01.cfg"] = (f"name = 'off01'\nmemory = 256\n{vif}".encode(), 0o644)
    site.conf(
        SNOW_CONF.replace("'192.168.8.1' '192.168.8.11'", "'192.168.8.100' '192.168.8.11'")
        + "IPMI_USER=admin\nNET_MGMT=( 'xmgmt0' '' '' '10.0.0.' '255.255.255.0' '-mgmt' )\n"
    )
    assert site.init("snow01", "snow02").exit_code == 0
    found = site.written().floating_ip
    assert found is not None and found.address == "192.168.8.254"


def test_folders_that_have_configs_as_well_are_said(site: Site) -> None:
    """A site that went from sNow! 1.x to 2.0 has two: the domains of one were left out without a word."""
    ended = site.init("snow01", "snow02")
    assert "domain configs: /sNow/etc/domains\n" in ended.output
    assert "not used: /sNow/snow-tools/etc/domains, which also has domain configs" in ended.output


def test_what_one_domain_or_line_is_called_does_not_end_it(site: Site) -> None:
    """A name that Pacemaker cannot have was found when all images were moved; a line of active-domains.conf ended the verb."""
    site.world.shared["/sNow/etc/domains/3com.cfg"] = (b"name = '3com'\nmemory = 256\n", 0o644)
    site.world.shared["/sNow/etc/active-domains.conf"] = (b"deploy01 deploy\nweb* web\n", 0o644)
    ended = site.init("snow01", "snow02")
    assert ended.exit_code == 0, ended.output
    assert "3com.cfg: Pacemaker cannot run a domain called 3com" in ended.output
    assert "active-domains.conf:2: a domain cannot have the name 'web*'" in ended.output
    assert site.written().domains == ("deploy01", "slurm01")


def test_a_password_of_two_lines_is_refused(site: Site) -> None:
    """Only its first would be read."""
    site.conf(SNOW_CONF.replace(f"IPMI_PASSWORD='{SECRET}'", "IPMI_PASSWORD='a\nb'") + "IPMI_USER=admin\n")
    assert "control character" in site.refused("snow01", "snow02")
