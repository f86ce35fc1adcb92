"""A BMC asked for its server's power, and for whose it is. bmc.py judges its answer."""

from __future__ import annotations

import re

from snowha.checks.facts import BmcFact
from snowha.cluster.fencing import reason_in
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.site.model import FenceDevice, Server

# The password comes over stdin and leaves over a pipe: it is in no argument (printf is the shell's own).
ASK = read_only_script("""\
export LC_ALL=C
command -v ipmitool > /dev/null || exit 127
IFS= read -r secret
ask() { printf '%s\\n' "$secret" | ipmitool "$@" 2>&1; }
said=$(ask "$@" -f /dev/stdin power status) || { printf '%s\\n' "$said"; exit 1; }
printf '%s\\n' "$said"
ask "$@" -f /dev/stdin mc guid || true
""")


def ask(askers: list[Host], server: Server, password: str, *, timeout: float = 40.0) -> BmcFact:
    """Ask the BMC of ``server`` from each of ``askers`` until one has an answer. ``timeout`` in seconds, for each."""
    fence = server.fence
    if fence is None:
        return BmcFact("unasked")
    found = BmcFact("unasked")
    for host in askers:
        done = host.run(["sh", "-c", ASK, "sh", *_options(fence)], input=f"{password}\n", check=False, timeout=timeout)
        if done.returncode == 127:
            continue
        found = parse(done.stdout + done.stderr, done.ok)
        if found.power != "refused":
            return found
    return found


def _options(fence: FenceDevice) -> list[str]:
    """How ipmitool(1) speaks to this BMC."""
    words = ["-I", "lanplus" if fence.lanplus else "lan", "-H", fence.address, "-U", fence.username]
    for option, value in (("-C", fence.cipher), ("-L", fence.privilege.upper()), ("-p", fence.port)):
        words += [option, str(value)] if value not in (None, "") else []
    return words


def parse(text: str, ok: bool) -> BmcFact:
    """``power status`` and ``mc guid`` of ipmitool 1.8.19, one after the other."""
    power = re.search(r"Chassis Power is (on|off)", text)
    if not ok or not power:
        return BmcFact("refused", reason_in(text) or "no answer")
    guid = re.search(r"^System GUID\s*:\s*([0-9a-fA-F-]{32,36})\s*$", text, re.MULTILINE)
    return BmcFact("on" if power[1] == "on" else "off", power[0], guid[1] if guid else "")
