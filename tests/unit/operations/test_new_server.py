"""``snow init`` from the command line: a new server is set up, and nothing that the servers share is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_clusters import WHERE
from everyday_site import EverydaySite
from simulated import CONF, DOMAINS
from view_site import code_of

from snowha.errors import SiteError
from snowha.hosts import own
from snowha.hosts.host import Completed
from snowha.migration import own_machine, preflight
from snowha.provision.servers import boot
from snowha.site import definition

SHARED = "/sNow/snow-configspace/system_files/etc"
_DONE = ("mount", "install", "update-grub", "reboot")
XEN = "xen_version : 4.20.5\nvirt_caps : pv hvm hap\ntotal_memory : 2560\nfree_memory : 900\n"


class NewServerSite(EverydaySite):
    """A single server with its domains, and snow02 with nothing but Debian and a bridge. ``done``: what was done, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        world = self.world
        world.active.clear()
        world.running = dict.fromkeys(world.running, "snow01")
        self.hosts["snow01"].installed = True
        self.under_xen = {"snow01"}
        self.boots = dict.fromkeys(WHERE, 1)
        self.mounted = {"snow01": "nfs01:/export/sNow"}
        self.local_files = ""
        self.done: list[str] = []
        world.shared["/sNow/etc/nodes.json"] = (b'{"compute": {"n01": {"image": "centos"}}}', 0o644)
        world.shared[f"{SHARED}/static_hosts"] = (b"192.168.8.101 n01\n", 0o644)
        for host in self.hosts.values():
            host.own["/etc/os-release"] = (b"VERSION_CODENAME=trixie\n", 0o644)
            host.own["/boot/vmlinuz"] = host.own["/boot/initrd.img"] = (b"kernel", 0o644)
        monkeypatch.setattr(preflight, "check", lambda context, passwords: ())
        self.before = self.of_others()

    def of_others(self) -> str:
        """All files but those of snow02 itself, the journal's copies left out."""
        first = self.hosts["snow01"]
        own = {path: content for path, content in first.own.items() if not path.startswith("/var/lib/snow-ha/journal/")}
        return repr([self.world.shared, own, first.links])

    def answer(self, server: str, words: list[str]) -> str | int | Completed | None:
        xen = server in self.under_xen
        match words:
            case ["cat", path] if path == boot.BOOT_ID:
                return f"boot {self.boots[server]} of {server}\n"
            case ["test", "-e", "/proc/xen/capabilities"]:
                return "" if xen else 1
            case ["xl", "info"]:
                return XEN if xen else 1
            case ["xl", *_] if not xen:
                return 1
            case ["findmnt", *_, "--mountpoint", "/sNow"]:
                return f"{self.mounted[server]} nfs4\n" if server in self.mounted else 1
            case ["find", "/sNow", "-mindepth", *_]:
                return self.local_files
            case ["mount", "/sNow"]:
                self.mounted[server] = "nfs01:/export/sNow"
            case ["env", _, _, "apt-get", "-q", "-y", "install", *_]:
                self.hosts[server].installed = True
            case ["env", _, _, "apt-get", *_] | ["dpkg", "--audit"] | ["systemctl", "daemon-reload"]:
                return ""
            case ["sha256sum", *_] | ["sh", "-c", boot._GRUB_SETTINGS]:
                return ""
            case ["ip", "-j", "link"]:
                return '[{"ifname": "xsnow0"}]'
            case ["ip", "-j", "-d", *_]:
                info = {"family": "inet", "scope": "global", "local": f"192.168.8.{server[-1]}", "prefixlen": 24}
                return json.dumps([{"ifname": "xsnow0", "addr_info": [info]}])
            case ["update-grub"]:
                pass
            case ["systemctl", "--no-block", "reboot"]:
                assert server == "snow02", "a server with domains is rebooted"
                self.boots[server] += 1
                self.under_xen.add(server)
            case _:
                return super().answer(server, words)
        self.done.append(f"{server}: {next(word for word in words if word in _DONE)}")
        return ""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewServerSite:
    return NewServerSite(tmp_path, monkeypatch)


def test_a_new_server_is_set_up_and_nothing_else_is_written(site: NewServerSite) -> None:
    """sNow!'s own command would give every compute node its default image again."""
    ended = site.run("init", "snow02", "--yes")
    assert ended.exit_code == 0, ended.output
    assert site.done == ["snow02: mount", "snow02: install", "snow02: update-grub", "snow02: reboot"]
    assert site.of_others() == site.before
    assert "n01" in str(site.hosts["snow02"].text("/etc/hosts"))
    assert "n01" not in str(site.hosts["snow01"].text("/etc/hosts"))
    assert set(site.world.running.values()) == {"snow01"}
    again = site.run("init", "snow02", "--yes")
    assert again.exit_code == 0 and "nothing to do" in again.output, again.output
    assert len(site.done) == 4


def test_it_warns_with_snows_words_and_names_what_stays_and_asks(
    site: NewServerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator who knows the guide would take it for the command that resets the site, or that one for this."""
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("snowha.cli.new_server.ask", no)
    ended = site.run("init", "snow02")
    assert code_of(ended) == SiteError.exit_code and site.done == []
    assert asked == ["Do you want to proceed?"]
    for line in (
        "[W] sNow! configuration had been initiated before.",
        "[W] Please, do not run this command in a production environment",
        "  /sNow/etc/nodes.json",
        f"  {CONF}",
        f"  {SHARED}/static_hosts",
    ):
        assert line in ended.output.splitlines()
    assert "servers.mounts.snow02" in ended.output and "rebooted, or power cut: snow02" in ended.output
    assert "corosync." not in ended.output and "servers.packages.snow01" not in ended.output


def test_without_an_answer_nothing_is_done(site: NewServerSite) -> None:
    """sNow!'s command waits 20 s for one, and ends; a script that is not asked must not go on."""
    ended = site.run("init", "snow02")
    assert code_of(ended) == SiteError.exit_code and "use --yes" in str(ended.exception)
    assert site.done == []


def test_a_dry_run_and_data(site: NewServerSite) -> None:
    """A script would have to read the text."""
    ended = site.run("init", "snow02", "--dry-run", "--json")
    assert ended.exit_code == 0 and site.done == []
    plan = json.loads(ended.stdout)
    assert (plan["event"], plan["server"], plan["initiated"]) == ("plan", "snow02", True)
    assert {step["id"] for step in plan["steps"]} == {
        f"servers.{kind}.snow02" for kind in ("mounts", "hosts", "packages", "settings", "xen", "kernels")
    }


def test_a_site_that_was_never_initiated_is_not_said_to_be(site: NewServerSite) -> None:
    """The warning would be a lie, and the next one not be read."""
    del site.world.shared["/sNow/etc/nodes.json"]
    assert "[W]" not in site.run("init", "snow02", "--dry-run").output


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["snow01"], "snow01 is the first server", "give the name of the new one: there is snow02"),
        (["snow03"], "there is no server 'snow03'", "snow ha init snow01 snow02 SERVER --force"),
        (["snow2"], "did you mean 'snow02'?", "there is snow02"),
        (["snow01", "snow02"], "one new server at a time", "to write ha.toml: `snow ha init snow01 snow02`"),
        (["force"], "`snow init force` belongs to sNow!", "give the name of the new server: there is snow02"),
        ([], "this machine is not a server of the site", "snow init SERVER: there is snow02"),
    ],
)
def test_a_word_that_names_no_new_server_is_refused_before_any_is_asked(
    site: NewServerSite, words: list[str], message: str, remedy: str
) -> None:
    """The server with the domains would be rebooted."""
    site.lost = "snow01"
    ended = site.run("init", *words)
    assert code_of(ended) == 2
    assert message in str(ended.exception) and remedy in str(ended.exception)
    assert site.asked == [] and site.done == []


def test_without_a_word_it_is_about_this_machine(site: NewServerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide types it on the new server."""
    monkeypatch.setattr(own, "is_here", lambda name, addresses: name == "snow02")
    ended = site.run("init", "--dry-run")
    assert ended.exit_code == 0 and "servers.mounts.snow02" in ended.output


def _domains_there(site: NewServerSite) -> None:
    site.under_xen.add("snow02")
    site.world.running["proxy01"] = "snow02"


def _files_there(site: NewServerSite) -> None:
    site.local_files = "/sNow/etc\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_domains_there, "domains run there: proxy01"),
        (_files_there, "/sNow is not mounted from nfs01:/export/sNow, and has files of its own"),
    ],
)
def test_a_server_that_is_not_new_is_refused(
    site: NewServerSite, change: Callable[[NewServerSite], None], message: str
) -> None:
    """It would be rebooted under its domains; files that only it has would vanish below the mount."""
    change(site)
    ended = site.run("init", "snow02", "--yes")
    assert code_of(ended) == SiteError.exit_code and message in str(ended.exception)
    assert site.done == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_domains_there, "domains run there: proxy01"),
        (_files_there, "/sNow is not mounted from nfs01:/export/sNow, and has files of its own"),
    ],
)
def test_a_server_that_is_not_new_any_more_is_refused_under_the_lock(
    site: NewServerSite, change: Callable[[NewServerSite], None], message: str
) -> None:
    """Another administrator was at work there while the question was being answered: files were hidden below the mount, and a
    server that lacks a bridge was to be rebooted under the domains that it had got."""
    site.until_lock = lambda: change(site)
    ended = site.run("init", "snow02", "--yes")
    assert code_of(ended) == SiteError.exit_code and message in str(ended.exception), ended.output
    assert site.done == []


def test_a_site_that_somebody_else_has_changed_is_not_gone_on_with(site: NewServerSite) -> None:
    """The server was set up for the domains of before: it lacked the kernel and the bridge of one that had been added."""
    config = f"{DOMAINS}/proxy01.cfg"

    def changed() -> None:
        text, mode = site.world.shared[config]
        site.world.shared[config] = (text.replace(b"xsnow0", b"xnew0"), mode)

    site.until_lock = changed
    ended = site.run("init", "snow02", "--yes")
    assert code_of(ended) == SiteError.exit_code and site.done == []
    assert f"the site has changed since the plan was made: {config}" in str(ended.exception)


def test_an_ha_toml_that_is_older_than_the_servers_copy_sets_up_nothing(site: NewServerSite) -> None:
    """Its mounts, bridges and domains are not those of the site any more."""
    newer = definition.copy_of(Path("ha.toml").read_text() + "\n# since then\n", 4_000_000_000)
    site.hosts["snow01"].own[definition.PATH] = (newer.encode(), 0o644)
    ended = site.run("init", "snow02", "--yes")
    assert code_of(ended) == SiteError.exit_code and site.done == []
    assert "snow01 keeps a newer one" in str(ended.exception) and "--site snow01" in str(ended.exception)


def test_what_snow_runs_on_is_not_rebooted(site: NewServerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed on the new server, as the guide does, it would end itself halfway; it is said before the question."""
    monkeypatch.setattr(own_machine, "here", lambda: own_machine.Machine("boot 1 of snow02", ""))
    ended = site.run("init", "snow02", "--yes")
    assert code_of(ended) == SiteError.exit_code and "would be ended by" in str(ended.exception)
    assert site.done == []
