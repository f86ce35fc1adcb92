"""What people are told of Pacemaker's events: the real program, run as Pacemaker runs it. A lost server that nobody hears of is
found out by the next one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from snowha.xen import alert_agent

NODE = {"kind": "node", "node": "snow02", "nodeid": "2"}
FENCING = {"kind": "fencing", "node": "snow02", "task": "reboot", "desc": "Operation reboot of snow02 by snow01"}
RESOURCE = {
    "kind": "resource",
    "rsc": "deploy01",
    "node": "snow01",
    "target_rc": "0",
    "status": "0",
    "interval": "60000",
}
"""As Pacemaker 2.1 sets it (lib/common/alerts.c), without CRM_alert_."""
FAILED = {**RESOURCE, "task": "start", "rc": "1", "interval": "0", "desc": "error"}


class Pager:
    """A command of the site's, and a sendmail, that write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = folder / "page-us"
        self.command.write_text(f"#!/bin/sh\nenv > {folder}/env\ncat >> {folder}/text\n")
        self.command.chmod(0o755)
        self.sendmail = folder / "sendmail"
        self.sendmail.write_text(f"#!/bin/sh\nprintf '%s ' \"$@\" > {folder}/words\ncat > {folder}/mail\n")
        self.sendmail.chmod(0o755)
        text = alert_agent.text().replace(alert_agent.SENDMAIL, str(self.sendmail))
        text = text.replace("'/var/lib/pacemaker'", f"'{folder}'")
        self.program = folder / "snow-alert"
        self.program.write_text(text)

    def tell(self, event: dict[str, str], recipient: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        environment = {f"CRM_alert_{name}": value for name, value in event.items()}
        environment["CRM_alert_recipient"] = recipient or str(self.command)
        environment["CRM_alert_timestamp"] = "2026-11-27 03:00:00 +0000"
        environment |= {"SNOW_CLUSTER": "snow", **more}
        return subprocess.run(
            ["/usr/bin/perl", str(self.program)], env=environment, check=False, capture_output=True, text=True
        )

    def told(self) -> str:
        """The sentence, since the last time."""
        text = self.folder / "text"
        said = text.read_text() if text.exists() else ""
        text.unlink(missing_ok=True)
        return said.split("\n")[0]


@pytest.fixture
def pager(tmp_path: Path) -> Pager:
    return Pager(tmp_path)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({**NODE, "desc": "lost"}, "snow02 is lost: the cluster does not see it any more"),
        ({**NODE, "desc": "member"}, "snow02 is in the cluster"),
        ({**FENCING, "rc": "0"}, "snow02 was fenced (reboot)"),
        ({**FENCING, "rc": "-62"}, "snow02 could not be fenced (reboot)"),
        (FAILED, "start of deploy01 has failed on snow01: error"),
        (
            {**FAILED, "task": "stop", "rc": "198", "status": "2", "desc": "Timed Out"},
            "stop of deploy01 has failed on snow01: Timed Out",
        ),
        (
            {**RESOURCE, "task": "monitor", "rc": "7", "desc": "not running"},
            "deploy01 does not run any more on snow01; it is started again",
        ),
        (
            {**RESOURCE, "rsc": "fence-snow02", "task": "monitor", "rc": "1", "desc": "error"},
            "snow02 cannot be fenced while this lasts: monitor of fence-snow02 has failed on snow01: error",
        ),
    ],
)
def test_what_somebody_must_know_is_a_sentence(pager: Pager, event: dict[str, str], sentence: str) -> None:
    assert pager.tell(event).returncode == 0
    assert pager.told() == sentence


@pytest.mark.parametrize(
    "event",
    [
        {**RESOURCE, "task": "start", "rc": "0", "interval": "0", "desc": "ok"},
        {**RESOURCE, "task": "monitor", "rc": "0", "target_rc": "7", "interval": "0", "desc": "ok"},
        {**RESOURCE, "task": "monitor", "rc": "7", "interval": "0", "desc": "not running"},
        {**RESOURCE, "task": "monitor", "rc": "1", "status": "1", "desc": "Cancelled"},
        {"kind": "attribute", "node": "snow01", "attribute_name": "shutdown", "attribute_value": "0"},
    ],
    ids=["success", "found running", "found stopped", "called off", "attribute"],
)
def test_nobody_is_woken_for_what_is_well(pager: Pager, event: dict[str, str]) -> None:
    """A mail for each start, and whatever Pacemaker finds when it first looks: soon nobody reads them."""
    assert pager.tell(event).returncode == 0
    assert pager.told() == ""


def test_one_failure_that_is_tried_again_is_told_of_once_and_a_lost_server_each_time(pager: Pager) -> None:
    for _ in range(2):
        pager.tell(FAILED)
        pager.tell({**NODE, "desc": "lost"})
    text = (pager.folder / "text").read_text()
    assert (text.count("start of deploy01 has failed"), text.count("snow02 is lost:")) == (1, 2)
    pager.tell(FAILED, "root")
    assert "start of deploy01" in (pager.folder / "mail").read_text(), "each recipient is told"


def test_the_command_gets_the_event_and_nothing_else_of_pacemakers_environment(pager: Pager) -> None:
    """Whatever a daemon has in its environment would be in somebody's pager, or log."""
    pager.tell({**NODE, "desc": "lost"}, PCMK_key="hunter2", HA_secret="hunter2", LD_PRELOAD="", PERL5LIB="")
    got = dict(line.split("=", 1) for line in (pager.folder / "env").read_text().splitlines())
    assert {key: value for key, value in got.items() if key.startswith(("CRM_", "SNOW_"))} == {
        "CRM_alert_kind": "node",
        "CRM_alert_node": "snow02",
        "CRM_alert_nodeid": "2",
        "CRM_alert_desc": "lost",
        "CRM_alert_recipient": str(pager.command),
        "CRM_alert_timestamp": "2026-11-27 03:00:00 +0000",
        "SNOW_CLUSTER": "snow",
        "SNOW_ALERT": "snow02 is lost: the cluster does not see it any more",
    }
    assert set(got) - {key for key in got if key.startswith(("CRM_", "SNOW_"))} <= {
        "PATH",
        "LC_ALL",
        "PWD",
        "_",
        "SHLVL",
    }
    assert "hunter2" not in str(got)


def test_the_mail_has_its_subject_and_no_header_of_somebody_elses(pager: Pager) -> None:
    """Text of an agent that failed is in it: a line break there must not become a header, or a recipient."""
    assert pager.tell({**FAILED, "desc": "no\nBcc: all@example.org\n\nspam"}, "admins@example.org").returncode == 0
    head, _, body = (pager.folder / "mail").read_text().partition("\n\n")
    assert (pager.folder / "words").read_text() == "-i -- admins@example.org "
    assert head.splitlines()[:2] == [
        "To: admins@example.org",
        "Subject: [snow] start of deploy01 has failed on snow01: no?Bcc: all@example.org??spam",
    ]
    assert len(head.splitlines()) == 4 and "snow status" in body and "2026-11-27 03:00:00" in body


@pytest.mark.parametrize("recipient", ["-oQ/tmp", "a b", "a;reboot", "$(reboot)@x"])
def test_what_is_no_address_is_given_to_nobody(pager: Pager, recipient: str) -> None:
    done = pager.tell({**NODE, "desc": "lost"}, recipient)
    assert done.returncode != 0 and "no address" in done.stderr and not (pager.folder / "words").exists()


def test_a_command_that_hangs_is_ended_and_said_so(pager: Pager) -> None:
    """Else one event after the other leaves processes on a server that has trouble already."""
    pager.command.write_text("#!/bin/sh\nwhile :; do sleep 600; done\n")
    pager.program.write_text(pager.program.read_text().replace("my $TIME_S = 20;", "my $TIME_S = 0.2;"))
    done = pager.tell({**NODE, "desc": "lost"})
    assert done.returncode != 0 and "took longer than" in done.stderr
    assert subprocess.run(["pgrep", "-f", str(pager.command)], check=False, capture_output=True).stdout == b""


def test_a_command_that_fails_or_is_not_there_is_said_in_pacemakers_log(pager: Pager) -> None:
    pager.command.write_text("#!/bin/sh\nexit 3\n")
    assert "ended with 3" in pager.tell({**NODE, "desc": "lost"}).stderr
    pager.command.unlink()
    assert pager.tell({**NODE, "desc": "lost"}).returncode != 0


def test_pacemaker_gives_it_more_time_than_it_gives_the_command() -> None:
    """Else Pacemaker ends it first, and nothing is said of the command that hangs."""
    assert "my $TIME_S = 20;" in alert_agent.text()
