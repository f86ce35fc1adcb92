"""XENDOMAINS_SAVE left set brings a saved domain back beside the one that Pacemaker started: two on one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from listener import Listener
from simulated import single_server

from snowha.errors import CommandError
from snowha.hosts.local import LocalHost
from snowha.hosts.playback import Call, PlaybackHost
from snowha.provision import servers
from snowha.provision.packages import server_packages
from snowha.provision.servers import boot, exporter, logins, software
from snowha.provision.servers.boot import wait_for_xen
from snowha.provision.servers.settings import saved_by_xendomains, with_save_as_before, with_save_empty
from snowha.xen import xl


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nXENDOMAINS_SAVE=/var/lib/xen/save\nB=2\n", "A=1\nXENDOMAINS_SAVE=''\nB=2\n"),
        ("", "XENDOMAINS_SAVE=''\n"),
        ("#XENDOMAINS_SAVE=/var/lib/xen/save\n", "#XENDOMAINS_SAVE=/var/lib/xen/save\nXENDOMAINS_SAVE=''\n"),
        ('XENDOMAINS_SAVE=""\nXENDOMAINS_SAVE="/x"\n', 'XENDOMAINS_SAVE=""\nXENDOMAINS_SAVE=""\n'),
        ("  export XENDOMAINS_SAVE=/x\n", "  export XENDOMAINS_SAVE=''\n"),
        ("XENDOMAINS_SAVE=/x\n. /etc/more\n", "XENDOMAINS_SAVE=/x\n. /etc/more\nXENDOMAINS_SAVE=''\n"),
        ("if true; then XENDOMAINS_SAVE=/x; fi\n", "if true; then XENDOMAINS_SAVE=/x; fi\nXENDOMAINS_SAVE=''\n"),
    ],
)
def test_it_becomes_empty(before: str, after: str) -> None:
    assert with_save_empty(before) == after


@pytest.mark.parametrize(
    "original",
    [
        "",
        "A=1\n",
        "A=1",
        "XENDOMAINS_SAVE=/x\nA=1\n",
        "  export XENDOMAINS_SAVE=/x # where\nA=1\n",
        'XENDOMAINS_SAVE=""\nXENDOMAINS_SAVE="/x"\n',
        "if true; then XENDOMAINS_SAVE=/x; fi\n",
    ],
)
def test_it_is_taken_back_however_it_was_set(original: str) -> None:
    """`snow ha undo` left it empty, and ended with an error where it had not been set at all."""
    assert with_save_as_before(with_save_empty(original), original) == original
    changed = with_save_empty(original).rstrip("\n") + "\nMORE=1\n"
    back = with_save_as_before(changed, original)
    assert back.endswith("MORE=1\n") and saved_by_xendomains(back) == saved_by_xendomains(original)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("XENDOMAINS_SAVE=''\n", ""),
        ('XENDOMAINS_SAVE="" # none\n', ""),
        ("export XENDOMAINS_SAVE=\n", ""),
        ('XENDOMAINS_SAVE=""\nXENDOMAINS_SAVE=/x\n', "'/x'"),
        ("XENDOMAINS_SAVE=/x\nXENDOMAINS_SAVE=\n", ""),
        ("A=1\n", "default folder"),
        ("D=/x\nXENDOMAINS_SAVE=$D/y\n", "'/x/y'"),
        ("[ -d /x ] && XENDOMAINS_SAVE=/x\n", "condition"),
    ],
)
def test_where_domains_are_saved_is_what_the_shell_says(text: str, said: str) -> None:
    """The first of two lines was taken, of which the shell takes the last: a domain would have come back beside Pacemaker's."""
    assert (said in saved_by_xendomains(text)) if said else saved_by_xendomains(text) == ""


@pytest.mark.parametrize("text", ["XENDOMAINS_SAVE=\n", 'XENDOMAINS_SAVE=""\n', "XENDOMAINS_SAVE=''\n"])
def test_empty_in_any_form_is_left_alone(text: str) -> None:
    assert with_save_empty(text) == text


def test_a_server_is_under_xen_when_its_tools_answer_not_when_ssh_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick boot would be taken for one without Xen, and the migration end in the middle."""
    answers = iter([None, None, xl.parse_info("xen_version : 4.20.5\nvirt_caps : pv hvm hap\n")])
    monkeypatch.setattr(xl, "hypervisor", lambda host: next(answers))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    said = Listener()
    wait_for_xen(LocalHost("snow02"), said)
    assert said.said == ["waiting for Xen on snow02"] * 3


def test_packages_wait_for_the_installation_that_a_killed_run_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was refused with dpkg's own words, once a killed run's apt was still at work."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(software, "release_of", lambda host: "trixie")
    query = ("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *server_packages("trixie"))
    installed = "".join(f"{name} installed\n" for name in query[4:])
    quietly = ("env", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1")
    configure = (*quietly, "dpkg", "--configure", "-a")
    locked = "dpkg: error: dpkg frontend lock was locked by /usr/bin/apt-get process with pid 1004\n"
    lists = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1004 (apt-get)\n"
    update = (*quietly, "apt-get", "-q", "-y", "update")
    calls = [
        Call(("dpkg", "--audit"), stdout="half installed\n"),
        Call(configure, returncode=2, stderr=locked),
        Call(configure, returncode=2, stderr=locked),
        Call(configure),
        Call(update, returncode=100, stderr=lists),
        Call(update),
        Call(query, stdout=installed),
        Call(("systemctl", "daemon-reload")),
    ]
    said = Listener()
    with PlaybackHost("snow02", calls) as host:
        software.install(host, (), said)
    assert any("another installation on snow02 to end" in text for text in said.said)


def test_a_lock_that_cannot_be_had_is_not_waited_for() -> None:
    """On a read-only file system the migration would wait half an hour for an installation that nobody runs."""
    update = ("env", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1", "apt-get", "-q", "-y", "update")
    refused = (
        "E: Could not open lock file /var/lib/apt/lists/lock - open (30: Read-only file system)\n"
        "E: Unable to lock directory /var/lib/apt/lists/\n"
    )
    calls = [Call(("dpkg", "--audit")), Call(update, returncode=100, stderr=refused)]
    with PlaybackHost("snow02", calls) as host, pytest.raises(CommandError, match="Read-only"):
        software.install(host, (), Listener())


def test_what_snow_itself_needs_with_several_servers_is_installed() -> None:
    """sNow!'s own boot, shutdown and list fail as soon as snow.conf names two servers: they run `crm` and `jq`."""
    for release in ("bookworm", "trixie"):
        assert {"crmsh", "jq"} <= set(server_packages(release))


def test_a_server_must_be_able_to_log_in_to_itself() -> None:
    """sNow!'s list asks every server of SNOW_NODES over ssh, the one that it runs on among them: its domains were `off`."""
    context, _, _ = single_server()
    words = [tuple(logins._login_words(server)) for server in context.site.servers]
    with (
        PlaybackHost("snow01", [Call(words[0], returncode=255)]) as first,
        PlaybackHost("snow02", [Call(one) for one in words]) as second,
    ):
        asked = replace(context, hosts={"snow01": first, "snow02": second})
        assert logins.missing(asked) == "snow01: cannot log in to snow01 as root"


@pytest.mark.parametrize(
    "text",
    [
        'GRUB_CMDLINE_XEN="dom0_mem=1024M \\\n  console=com1"\n',
        "export GRUB_CMDLINE_XEN=dom0_mem=512M\n",
        'GRUB_CMDLINE_XEN="a"\nGRUB_CMDLINE_XEN="$GRUB_CMDLINE_XEN b"\n',
        'A=1024M\nGRUB_CMDLINE_XEN="dom0_mem=$A,max:$A"\n',
        "GRUB_CMDLINE_XEN='it'\\''s'\nGRUB_CMDLINE_XEN_DEFAULT=\"\"\n",
        # what Debian's Xen has in grub.d
        'grub_warn "GRUB_DEFAULT changed"\nGRUB_DEFAULT=$(printf "$(gettext "%s, with Xen")" x)\nGRUB_CMDLINE_XEN="a"\n',
    ],
)
def test_grubs_settings_are_what_the_shell_reads_and_reads_again(tmp_path: Path, text: str) -> None:
    """Half a string was written on the new server, and update-grub failed there for ever."""
    grub = tmp_path / "grub"

    def read(content: str) -> dict[str, str]:
        grub.write_text(content)
        script = boot._GRUB_SETTINGS.replace("/etc/default/grub.d", str(tmp_path / "none")).replace(
            "/etc/default/grub", str(grub)
        )
        host = PlaybackHost(
            "snow01", [Call(("sh", "-c", boot._GRUB_SETTINGS), LocalHost().run(["sh", "-c", script]).stdout)]
        )
        with host:
            return boot.xen_settings(host)

    settings = read(text)
    assert settings["GRUB_CMDLINE_XEN"]
    assert "\n" not in settings["GRUB_CMDLINE_XEN"]
    assert read(boot._grub_lines(settings)) == settings


@pytest.mark.parametrize("text", ['GRUB_CMDLINE_XEN="a\n', "GRUB_CMDLINE_XEN=a\nfalse\n", "GRUB_CMDLINE_XEN =a\nX=1\n"])
def test_a_file_that_grub_cannot_read_is_not_copied(tmp_path: Path, text: str) -> None:
    grub = tmp_path / "grub"
    grub.write_text(text)
    script = boot._GRUB_SETTINGS.replace("/etc/default/grub", str(grub))
    assert not LocalHost().run(["sh", "-c", script], check=False).ok


def test_the_exporter_is_there_only_where_it_is_asked_for_and_runs_after_the_reboot() -> None:
    """A port that nobody asked for; or one that is asked for, installed, and never started."""
    context, world, _ = single_server()
    assert not [step for step in servers.steps(context) if "exporter" in step.id]
    wanted = replace(context, site=replace(context.site, exporter=True))
    steps = {step.id: step for step in servers.steps(wanted)}
    step = steps["servers.exporter.snow02"]
    assert step.needs == ("servers.xen.snow02",)
    assert "servers.exporter.snow01" in steps
    said: list[str] = []

    def answer(host: str, argv: Sequence[str]) -> str | None:
        said.append(" ".join(argv))
        return None

    world.fail = answer
    assert steps["servers.packages.snow01"].check() is not None
    assert any(words.startswith("dpkg-query") and exporter.PACKAGE in words for words in said)
    assert "ha_cluster_exporter" in str(step.check())
    step.apply(Listener())
    assert said[-1] == f"systemctl enable --now {exporter.UNIT}"


def test_a_domain_that_serves_the_cards_on_one_server_alone_is_refused() -> None:
    """The domains would have no network after a move, or not start."""
    context, _, hosts = single_server()
    hosts[0].own["/etc/xen/xl.conf"] = (b"vif.default.backend='netvm'\n", 0o644)
    theirs = "vif-bridge on xenbr0, served by the domain netvm"
    assert boot.missing(context, hosts[1]) == (
        f"/etc/xen/xl.conf puts a vif with vif-bridge on xenbr0, and on snow01 with {theirs}"
    )


def test_a_switch_that_xl_conf_alone_tells_is_no_bridge_to_be_made() -> None:
    """The new server got a Linux bridge of the name of the first one's switch, and its domains were on no network."""
    context, _, hosts = single_server()
    assert boot.bridges(context) == ["xsnow0"] and boot._needed(context).own == {"xsnow0"}
    hosts[0].own["/etc/xen/xl.conf"] = (b"vif.default.script='vif-openvswitch'\n", 0o644)
    assert boot._needed(context).switches == {"xsnow0"}
    assert boot.missing(context, hosts[1]) == (
        "/etc/xen/xl.conf puts a vif with vif-bridge on xenbr0, and on snow01 with vif-openvswitch on xenbr0"
    )
