"""Which commands are recorded, how they are shown, and that no secret is among them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from snowha.errors import CommandError, UnreachableError
from snowha.hosts import files
from snowha.hosts.host import Completed
from snowha.hosts.local import LocalHost
from snowha.hosts.parallel import each
from snowha.hosts.read_only import is_read_only
from snowha.hosts.recording import Command, RecordingHost, text_of
from snowha.plan.command_log import CommandLog, on_behalf_of
from snowha.plan.journal import Journal


class Local(LocalHost):
    def reset(self) -> None: ...


class Gone(Local):
    def run(self, *words: object, **more: object) -> Completed:
        raise UnreachableError("gone")


@pytest.mark.parametrize(
    "line",
    [
        "true",
        "xl list",
        "env SYSTEMCTL_SKIP_SYSV=1 systemctl is-enabled corosync",
        "systemctl is-active --quiet corosync",
        "crm_mon -1 --inactive --output-as=xml",
        "cibadmin --query",
        "corosync-cfgtool -s",
        "ip -j address",
        "dpkg --audit",
        "find /etc/xen/auto -type l -printf x",
        "sh -c 'cat /etc/default/grub /etc/default/grub.d/*.cfg 2>/dev/null || true'",
        "sh -c 'cat /etc/ssh/ssh_host_*_key.pub'",
        "ssh -o BatchMode=yes snow02 true",
        "fence_ipmilan --ip=x --action=status",
    ],
)
def test_what_only_looks(line: str) -> None:
    """The log would be full of questions."""
    assert is_read_only(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    [
        "xl shutdown deploy01",
        "xl create /sNow/etc/domains/deploy01.cfg",
        "systemctl start corosync pacemaker",
        "systemctl --no-block reboot",
        "cibadmin --replace --scope=configuration --xml-file=x",
        "corosync-cfgtool -R",
        "ip address add 10.0.0.1/24 dev eth0",
        "dpkg --configure -a",
        "find / -name x -delete",
        "sh -c 'cat /etc/passwd > /etc/shadow'",
        "sh -c 'cat /a; reboot'",
        "sh -c 'ls $(reboot)'",
        "ssh snow02 reboot",
        "fence_ipmilan --ip=x --action=off",
        "stonith_admin --fence=snow02",
        "anything-else",
        "env A=1 systemctl disable corosync",
        "env",
    ],
)
def test_what_may_change_something(line: str) -> None:
    """It would be done without being in the log, or be done in a dry run."""
    assert not is_read_only(shlex.split(line))


def batch(*lines: str) -> str:
    """As hosts that are asked many things in one go are asked."""
    mark = "snow-ha-0123456789abcdef01234567"
    after = f" < /dev/null\nprintf '\\n%s %d\\n' {mark} $?\nprintf '\\n%s\\n' {mark} >&2\n"
    return "".join(f"{line}{after}" for line in lines)


def test_many_commands_in_one_go_are_judged_one_by_one() -> None:
    """A look would fill the log and be left out of a plan, or a change be hidden among looks."""
    script = "sh -c 'cat /a\ncat /b; reboot'"
    assert is_read_only(["sh"], batch("xl list", "crm_mon -1"))
    assert not is_read_only(["sh"], batch("xl list", "xl shutdown deploy01"))
    assert not is_read_only(["sh"], batch("xl list", script))
    assert not is_read_only(["sh"], "reboot\n")
    assert not is_read_only(["sh"], batch("xl list") + "reboot\n")
    assert text_of(["sh"], batch("xl list", "xl shutdown deploy01", script)) == f"xl shutdown deploy01; {script}"


def recorded(host: Local) -> tuple[RecordingHost, list[Command]]:
    told: list[Command] = []
    return RecordingHost(host, told.append), told


def test_a_file_is_told_by_its_path_and_never_by_its_content(tmp_path: Path) -> None:
    host, told = recorded(Local())
    path = str(tmp_path / "secret")
    files.write_file(host, path, "pa$$word", mode=0o700, kept=str(tmp_path / "kept"))
    files.write_file(host, path, "pa$$word", mode=0o700, kept=str(tmp_path / "kept"))
    files.read_file(host, path)
    files.write_file(host, f"{path}.open", "for all", mode=0o644)
    files.remove_file(host, path, kept=str(tmp_path / "kept"))
    assert [one.text.split(" sha256=")[0] for one in told] == [
        f"write {path} mode=700",
        f"write {path}.open mode=644 bytes=7",
        f"remove {path}",
    ]
    assert "word" not in "".join(one.text for one in told)


def test_what_failed_and_what_never_came_back_are_told_too() -> None:
    """Just these are looked for in a log."""
    host, told = recorded(Local())
    with pytest.raises(CommandError):
        host.run(["sh", "-c", "touch /nonexistent/x"])
    assert [(one.text, one.status) for one in told] == [("sh -c 'touch /nonexistent/x'", 1)]
    host, told = recorded(Gone())
    with pytest.raises(UnreachableError):
        host.run(["systemctl", "start", "x"])
    assert [one.status for one in told] == [None]


def test_commands_are_noted_under_their_step_also_when_many_servers_are_asked(tmp_path: Path) -> None:
    """Nobody could say which step has done it."""
    recorder = CommandLog()
    recorder.hide(["Adm;n$"])
    hosts = [RecordingHost(Local(name), recorder) for name in ("snow01", "snow02")]
    with Journal(tmp_path / "j.sqlite") as journal:
        recorder.journal = journal
        run = journal.begin()
        with on_behalf_of("corosync.start"):
            each(hosts, lambda host: host.run(["sh", "-c", "true || reboot", "sh", "Adm;n$"]))
        hosts[0].run(["sh", "-c", "exit 0"])
        done = journal.commands(run)
    assert sorted((one.step, one.host) for one in done[:2]) == [
        ("corosync.start", "snow01"),
        ("corosync.start", "snow02"),
    ]
    assert done[2].step == ""
    assert done[0].text == "sh -c 'true || reboot' sh '***'"
    assert "Adm;n" not in (tmp_path / "j.sqlite").read_bytes().decode(errors="replace")
