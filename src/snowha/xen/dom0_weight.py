"""dom0's share of the processors: a unit that sets it at boot, as xl(1) keeps it nowhere.

Corosync and Pacemaker run in dom0. With the weight that every domain has (256), domains that are all busy, as when they boot
together after a server was lost, leave dom0 so little that its own watchdogs take it for dead and it is fenced.
"""

from __future__ import annotations

from snowha.hosts.files import read_text, write_file
from snowha.hosts.host import Host
from snowha.xen import xl

UNIT = "snow-dom0-weight.service"
PATH = f"/etc/systemd/system/{UNIT}"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
# credit2 is Xen's scheduler since 4.12; a site may have gone back to credit
_SET = "xl sched-credit2 -d Domain-0 -w 1024 || xl sched-credit -d Domain-0 -w 1024"
TEXT = f"""\
# Installed and kept alike on all servers by snow-ha: Corosync and Pacemaker need processor time when all domains are busy.
[Unit]
Description=Processor time for dom0 first
ConditionPathExists=/proc/xen/capabilities
After=xen.service
Before=xendomains.service corosync.service pacemaker.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c "{_SET}"

[Install]
WantedBy=multi-user.target
"""


def missing(host: Host) -> str | None:
    """What is wrong with the unit on ``host``, None if nothing is."""
    if read_text(host, PATH) != TEXT:
        return f"{PATH} is missing or differs"
    return None if host.run(["test", "-L", _WANTED], check=False).ok else f"{UNIT} is not enabled"


def install(host: Host) -> None:
    """Put the unit there and enable it; on a server that runs under Xen its setting is in force at once."""
    write_file(host, PATH, TEXT, mode=0o644, owner="root:root")
    host.run(["ln", "-sfn", PATH, _WANTED])
    if xl.is_under_xen(host):
        host.run(["sh", "-c", _SET], timeout=60)
