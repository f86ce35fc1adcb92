"""The resource agent on a real server: what Pacemaker's own tools say of it, and what a look costs."""

from __future__ import annotations

from conftest import Administrator, shell
from lxml import etree
from test_3_one_image import holder_of

AGENT = "/usr/lib/ocf/resource.d/snow-ha/domain"
STOCK = "/usr/lib/ocf/resource.d/heartbeat/Xen"
CONFIG = "/sNow/etc/domains/proxy01.cfg"


def test_ocf_tester_has_nothing_to_say(cluster: Administrator) -> None:
    """It starts, looks, stops, and does each twice, as Pacemaker may."""
    here = holder_of("proxy01")
    shell(here, "crm_resource --resource=proxy01 --meta --set-parameter=is-managed --parameter-value=false")
    # it wants xmllint, which the lab's servers do not have: the metadata are validated by the test after this one
    shell(here, "printf '#!/bin/sh\\nexit 0\\n' > /usr/local/bin/xmllint; chmod 755 /usr/local/bin/xmllint")
    options = f"-o xmfile={CONFIG} -o name=proxy01 -o CRM_meta_timeout=240000"
    tested = f"PATH=$PATH:/usr/local/bin OCF_ROOT=/usr/lib/ocf ocf-tester -n proxy01 {options} {AGENT} 2>&1; echo ended with $?"
    said = shell(here, tested, timeout=1500)
    print(said)
    assert "passed all tests" in said and "ended with 0" in said


def test_the_metadata_follow_the_api(cluster: Administrator) -> None:
    dtd = etree.DTD(_as_file(shell("snow01", "cat /usr/share/resource-agents/ra-api-1.dtd")))
    text = shell("snow01", f"{AGENT} meta-data")
    assert dtd.validate(etree.fromstring(text.encode())), dtd.error_log


def _as_file(text: str) -> object:
    from io import StringIO

    return StringIO(text)


_COUNTED = """\
set -e
[ -e /sys/kernel/tracing/trace ] || mount -t tracefs nodev /sys/kernel/tracing
cd /sys/kernel/tracing
echo 0 > tracing_on; echo > trace; echo > set_event_pid
echo 1 > options/event-fork; echo 1 > events/sched/sched_process_fork/enable
sh -c 'echo $$ > set_event_pid; echo 1 > tracing_on; exec "$@"' sh env OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=proxy01 \\
    OCF_RESKEY_xmfile={config} OCF_RESKEY_name=proxy01 {agent} monitor >&2
echo 0 > tracing_on; echo 0 > events/sched/sched_process_fork/enable
grep -c sched_process_fork: trace
"""


def processes(host: str, agent: str) -> int:
    """How many processes a look starts, as the kernel counts forks."""
    return int(shell(host, _COUNTED.format(config=CONFIG, agent=agent)).split()[-1])


def test_a_look_starts_fewer_processes_than_the_stock_agent(cluster: Administrator) -> None:
    """Every domain is looked at once a minute, on a dom0 that Corosync has to be quick on."""
    here = holder_of("proxy01")
    ours, stock = processes(here, AGENT), processes(here, STOCK)
    print(f"processes of a look: {ours}, of the stock agent's: {stock}")
    assert 0 < ours < stock
