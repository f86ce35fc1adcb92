"""The archive of a support case: a secret in it would be given away, and a site that is half lost needs one most."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from snowha.cluster import fencing
from snowha.errors import CommandError, UnreachableError
from snowha.hosts import files
from snowha.hosts.host import Completed
from snowha.operations import report

RECORDED = Path(__file__).parents[1] / "cluster" / "recorded"
BMC, OTHER_BMC, VNC, ROOT, CIB = "bmc's $ecret", "other-bmc-pw", "vnc-pw-77", "root-pw-88", "cib-pw-99"
SECRETS = (BMC, OTHER_BMC, VNC, ROOT, CIB)
CONFIG = f"name = 'deploy01'\nvfb = ['type=vnc,vncpasswd={VNC}']\nextra = 'rootpassword={ROOT} quiet'\n"
CIB_XML = f"""<cib><primitive id="f"><nvpair id="a" name="password" value="{CIB}"/>
<nvpair id="b" name="password_script" value="/etc/snow-ha/fence/snow01"/>
<nvpair value="{CIB}" name="passwd" id="c"/></primitive></cib>"""
COROSYNC = "totem {\n    cluster_name: snow\n    token: 6000\n    key: 0123456789abcdef\n    keyfile: /etc/corosync/authkey\n}\n"
LOG = f"""Nov 27 fence_ipmilan[7]: Executing: /usr/bin/ipmitool -I lanplus -H 10.0.0.101 -U admin -P {OTHER_BMC} power status
Nov 27 snow-ha: {BMC} was here, --password '{ROOT}', and https://me:{CIB}@example.org/
Nov 27 console: vnc opened with {VNC}
"""


class Server:
    """Answers what a server would; ``lost`` from a command on."""

    def __init__(self, name: str, *, lost: str = "") -> None:
        self.name = name
        self.lost = lost

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        words = tuple(argv)
        if self.lost and self.lost in words:
            raise UnreachableError("it does not answer", where=self.name, remedy="is it switched on?")
        call = files.call_of(words, input)
        if call is not None:
            assert call.verb == "folder", "nothing but whole folders is read from a server"
            found = {}
            if call.paths[0] == fencing.SECRETS:
                found = {f"{fencing.SECRETS}/{self.name}": fencing.render_password_script(BMC)}
                found[f"{fencing.SECRETS}/other"] = fencing.render_password_script(OTHER_BMC)
            if call.paths[0] == "/sNow/domains":
                found = {"/sNow/domains/deploy01.cfg": CONFIG}
            lines = [" ".join(base64.b64encode(one.encode()).decode() for one in pair) for pair in found.items()]
            return Completed(words, 0, "".join(f"{line}\n" for line in lines), "")
        if words[0] == "journalctl":
            return Completed(words, 0, LOG, "")
        if words[0] == "xl":
            raise CommandError(f"{words[0]} did not end within {timeout:.0f} s", where=self.name)
        answers = {"crm_mon": (RECORDED / "crm_mon-3.0-standby.xml").read_text(), "cibadmin": CIB_XML, "cat": COROSYNC}
        text = answers.get(words[0])
        return Completed(words, 0, text, "") if text is not None else Completed(words, 1, "", f"no {words[0]} here\n")


def packed(*servers: Server, **more: str) -> dict[str, str]:
    gathered = report.gather({one.name: one for one in servers}, "/sNow/domains", ["/sNow/domains/a"], days=3)
    gathered.files.update(more)
    data = report.pack("report", gathered, at=1_800_000_000)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            assert member.mode == 0o600 and member.name.startswith("report/")
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removeprefix("report/")] = file.read().decode()
    return found


def test_no_secret_of_the_site_is_in_it() -> None:
    """Who sends it would have to change every password; and never know."""
    status = json.dumps({"said": f'"{BMC}" and password=\\"{ROOT}\\"', "password": "only-in-json"})
    found = packed(Server("snow01"), Server("snow02"), **{"status.json": status, "journal.jsonl": f"{status}\n" * 2})
    whole = "\n".join(found.values())
    for secret in (*SECRETS, "0123456789abcdef", "only-in-json"):
        assert secret not in whole
    assert json.loads(found["status.json"])["password"] == "***"
    assert len(found["journal.jsonl"].splitlines()) == 2
    # what stands beside a secret is still there
    assert "name = 'deploy01'" in found["domains/deploy01.cfg"]
    assert 'value="/etc/snow-ha/fence/snow01"' in found["servers/snow01/cib.xml"]
    assert "token: 6000" in found["servers/snow01/corosync.conf"]
    assert "keyfile: /etc/corosync/authkey" in found["servers/snow01/corosync.conf"]
    assert "-U admin" in found["servers/snow02/log.txt"]
    assert found["servers/snow01/crm_mon.xml"] == (RECORDED / "crm_mon-3.0-standby.xml").read_text()


def test_a_server_that_is_lost_or_hangs_costs_only_what_it_would_have_said() -> None:
    found = packed(Server("snow01", lost="sh"), Server("snow02"), Server("snow03", lost="cibadmin"))
    assert [name for name in found if "snow01" in name] == ["servers/snow01/no-answer.txt"]
    assert "is it switched on?" in found["servers/snow01/no-answer.txt"]
    assert "did not end within" in found["servers/snow02/xl-list.txt"]
    assert "no dpkg-query here" in found["servers/snow02/versions.txt"]
    assert "servers/snow03/crm_mon.xml" in found and "servers/snow03/no-answer.txt" in found
    assert "domains/deploy01.cfg" in found


def test_of_a_log_without_an_end_the_end_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the folder of whoever asks for it."""
    monkeypatch.setattr(report, "_LARGEST", 100)
    found = packed(Server("snow01"))
    assert len(found["servers/snow01/log.txt"]) == 100
    assert found["servers/snow01/log.txt"].endswith("vnc opened with ***\n")
