"""``snow`` killed in every step: what an administrator has when his laptop's battery is empty."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
from collections import Counter
from xml.etree import ElementTree

import pytest
from conftest import CLUSTER, Administrator, on
from test_2_migration import nothing_lost
from test_4_everyday import running_on

from snowha.lab import layout, lifecycle

SEED = 2026
INTO_S = ((0.0, 2.0), (2.0, 40.0), (0.0, 5.0), (0.0, 5.0))
"""How far into a step it is killed, at random: the first time that it is begun, the second, and so on. Short steps are over by
then, and the next one is hit; so fewer runs are killed than this says: with the first two of these it was 29."""
FILES = (
    "/etc/corosync /etc/default/xendomains /etc/default/grub.d /etc/fstab /etc/network /etc/snow-ha /etc/xen "
    "/etc/systemd/system /root/.ssh/authorized_keys"
)
"""Of each server, but for keys, which are other ones each time."""


def end_state(host: str) -> list[str]:
    """Files with mode, owner and content; services and links. Of ha.toml not its first line, which says when it was edited; of
    leases no content: it says by whom, since when and how often they were taken."""
    script = (
        f"cd /; find {FILES} -path /etc/corosync/authkey -prune -o -type f -exec stat -c '%n %a %U' {{}} + | sort; "
        f"find {FILES} -path /etc/corosync/authkey -prune -o -type f -not -name authorized_keys "
        "-not -path /etc/snow-ha/ha.toml -exec sha256sum {} + | sort; tail -n +2 /etc/snow-ha/ha.toml | sha256sum; "
        "find /etc/xen/auto /etc/systemd/system -type l -exec readlink {} + | sort; "
        "systemctl is-enabled corosync pacemaker; wc -l < /root/.ssh/authorized_keys; "
        "stat -c '%n %a %U' /etc/corosync/authkey; "
        "find /sNow -type f -not -name '*disk' -not -name '*swap' -not -name '*.manifest' -not -name '*.lease' "
        "-exec sha256sum {} + | sort; "
        "find /sNow/domains -type f -exec stat -c '%n %a %U %s' {} + | sort"
    )
    return on(host, "sh", "-c", "'" + script.replace("'", "'\\''") + "'").splitlines()


def configuration() -> dict[str, tuple[str, dict[str, str]]]:
    """What the CIB says of resources, constraints and options, by id. Not of servers: what is left of a standby is empty.
    Nor of empty sets, which a restart by hand leaves."""
    root = ElementTree.fromstring(on("snow01", "cibadmin", "--query", "--scope", "configuration"))
    for nodes in root.findall("nodes"):
        root.remove(nodes)
    named = [
        element for element in root.iter() if element.get("id") and (element.tag != "meta_attributes" or len(element))
    ]
    return {element.get("id", ""): (element.tag, dict(element.attrib)) for element in named}


def killed(administrator: Administrator, already: Counter[str], chance: random.Random) -> int:
    """One run, killed with SIGKILL in the first step that was not killed often enough before; how it ended."""
    with administrator.started("ha", "apply", "--yes", "--json") as process:
        assert process.stdout is not None
        timer: threading.Timer | None = None
        for line in process.stdout:
            print(line, end="")
            event = json.loads(line) if line.startswith("{") else {}
            step = event.get("step", "")
            if event.get("event") == "step-started" and already[step] < len(INTO_S) and timer is None:
                instant = chance.uniform(*INTO_S[already[step]])
                already[step] += 1
                timer = threading.Timer(instant, process.send_signal, [signal.SIGKILL])
                timer.start()
        code = process.wait(timeout=60)
    if timer is not None:
        timer.cancel()
    return code


@pytest.mark.timeout(7200)
def test_killed_in_every_step_it_ends_as_if_it_had_not_been(cluster: Administrator, fresh: Administrator) -> None:
    """What would be lost: a site half way, in a state that nobody has ever seen."""
    lifecycle.restore(CLUSTER)
    expected = {host: end_state(host) for host in ("snow01", "snow02")}
    wanted = configuration()
    lifecycle.restore(layout.PREPARED)

    chance = random.Random(SEED)
    already: Counter[str] = Counter()
    kills = 0
    while (code := killed(fresh, already, chance)) != 0:
        assert code == -signal.SIGKILL, "it must go on from wherever it was killed"
        kills += 1
        assert kills < 100
    print(f"killed {kills} times, in {sorted(already)}")
    assert fresh.status()["healthy"]
    assert {host: end_state(host) for host in ("snow01", "snow02")} == expected
    assert configuration() == wanted
    nothing_lost()
    assert kills >= 40


def test_a_move_that_was_killed_is_finished_by_the_next_run(cluster: Administrator) -> None:
    """The domain is on its way when the next run looks: it was taken for moved, and its constraint stayed behind."""
    (there,) = running_on("slurm01")
    assert cluster.snow("move", "slurm02", there).code == 0
    with cluster.started("ha", "apply", "--yes", "--json") as process:
        assert process.stdout is not None
        moving = next(line for line in process.stdout if "waiting for slurm02 to run on" in line)
        print(moving)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert 'id="cli-' in on("snow01", "cibadmin", "--query", "--scope", "constraints")
    ended = cluster.snow("ha", "apply", "--yes")
    assert ended.code == 0, ended.output
    assert not re.search(r"waiting for\s*$", ended.output, re.MULTILINE), "it must say what it waits for"
    assert running_on("slurm02") != [there]
    assert 'id="cli-' not in on("snow01", "cibadmin", "--query", "--scope", "constraints")
    assert cluster.status()["healthy"]
