"""How much of a rollout's time is our own: the same plan on 2 servers, and on 8 with 8 times the domains.

The steps are those of ``snow ha apply`` with their needs and what they must not touch at once; each looks at the servers
that the real one looks at. What they do is replaced by commands on simulated hosts that answer after a set delay. Ours is the
processor time from the start of the program to its end; beside it, what the delays alone cost in an order like ours.

    python bench/rollout.py [--delay SECONDS] [--rounds N]
"""

from __future__ import annotations

import argparse
import heapq
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from snowha.checks import evaluate, gather
from snowha.hosts.caching import CachingHost
from snowha.hosts.host import Completed, Host
from snowha.hosts.parallel import each
from snowha.live.context import SiteContext
from snowha.migration.steps import all_steps
from snowha.plan import engine
from snowha.plan.journal import Journal
from snowha.plan.step import Reporter, Step, in_order
from snowha.site.model import Disk, Domain, FenceDevice, Paths, Server, Site, Vif

COMMANDS = 3
"""Of each step's apply, one after the other."""
WORKERS = 8
"""As the engine's own default."""


class DelayedHost:
    """Answers nothing, after a while."""

    def __init__(self, name: str, delay: float) -> None:
        self.name = name
        self.delay = delay
        self.asked = 0

    def reset(self) -> None: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.asked += 1
        time.sleep(self.delay)
        boundary = argv[4] if len(argv) > 4 else ""
        return Completed(tuple(argv), 0, f"{boundary} clock {time.time()}\n\n{boundary} end\n", "")


def site(servers: int, domains: int) -> Site:
    def domain(number: int) -> Domain:
        name, target = f"domain{number}", f"/dev/vg/domain{number}-disk"
        disk = Disk(f"phy:{target},xvda2,w", target, "xvda2")
        vif = Vif("xsnow0", f"00:16:3e:00:00:{number:02x}", f"192.168.9.{number}")
        return Domain(name, f"/sNow/{name}.cfg", 128, 1, "pvh", "/boot/k", "/boot/i", (disk,), (vif,), "xvda2")

    return Site(
        name="snow",
        paths=Paths("/sNow/etc/snow.conf", "/sNow/etc/domains", "/sNow/domains"),
        servers=tuple(
            Server(f"s{n}", f"10.0.0.{n}", (f"10.0.0.{n}",), FenceDevice("fence_ipmilan", f"10.0.1.{n}", "a", "b/c"))
            for n in range(1, servers + 1)
        ),
        domains=tuple(domain(number) for number in range(1, domains + 1)),
        mounts=(),
        floating_ip=None,
        apart=(),
    )


def simulated(context: SiteContext) -> list[Step]:
    """The migration's steps, each looking as the real one and doing ``COMMANDS`` commands on one server."""
    done: set[str] = set()
    lock = threading.Lock()

    def step(of: Step) -> Step:
        hosts = asked(context, of)

        def check() -> str | None:
            each(hosts, lambda host: host.run(["test", "-e", of.id]))
            with lock:
                return None if of.id in done else "missing"

        def apply(reporter: Reporter) -> None:
            context.invalidate()
            for _ in range(COMMANDS):
                hosts[0].run(["touch", of.id])
            with lock:
                done.add(of.id)

        return replace(of, check=check, apply=apply, proof=None, asks=None)

    return [step(one) for one in all_steps(context, {server.name: "x" for server in context.site.servers})]


def asked(context: SiteContext, step: Step) -> list[Host]:
    """The servers that a step looks at: the one that it is of, the first for images, else all."""
    own = context.hosts.get(step.id.rpartition(".")[2])
    if own is not None:
        return [own]
    return [context.first] if step.section == "images" else list(context.hosts.values())


def least(steps: Sequence[Step], delay: float) -> float:
    """Seconds that the hosts' delays alone cost in the engine's order, if nothing else cost anything."""
    ordered = in_order(steps)
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    now = delay  # the look at all steps before
    waiting = list(ordered)
    while waiting or running:
        busy = {name for _, running_id in running for one in ordered if one.id == running_id for name in one.uses}
        for one in list(waiting):
            if len(running) < WORKERS and all(need in ends for need in one.needs) and not busy & set(one.uses):
                # a look once its needs are done (else the one at the start), apply, and the look after it
                heapq.heappush(running, (now + delay * (COMMANDS + 1 + bool(one.needs)), one.id))
                busy |= set(one.uses)
                waiting.remove(one)
        now, ended = heapq.heappop(running)
        ends[ended] = now
    return now


@dataclass(frozen=True)
class Took:
    """Times in seconds: on the clock from start to end, the least possible, and of the processor."""

    steps: int
    commands: int
    clock: float
    possible: float
    processor: float


def rollout(servers: int, domains: int, delay: float) -> dict[str, float]:
    """One whole run, in this process."""
    there = site(servers, domains)
    delayed = [DelayedHost(server.name, delay) for server in there.servers]
    hosts: dict[str, Host] = {host.name: CachingHost(host) for host in delayed}
    steps = simulated(SiteContext(there, hosts))
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.sqlite") as journal:
        outcome = engine.run(
            steps, monitor=lambda event: None, journal=journal, confirm=lambda question: True, workers=WORKERS
        )
    assert outcome.ok
    return {
        "steps": len(steps),
        "commands": sum(host.asked for host in delayed),
        "possible": least(steps, delay),
    }


def measured(servers: int, domains: int, delay: float) -> Took:
    """One whole run in a process of its own, as `snow` is: what it takes to load the program is ours, too."""
    words = [sys.executable, __file__, "--one", str(servers), str(domains), "--delay", str(delay)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    clock, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(int(told["steps"]), int(told["commands"]), clock, told["possible"], processor)


def check(servers: int, domains: int, delay: float) -> float:
    """Seconds of `snow ha check`, the time that a lock is held included."""
    there = site(servers, domains)
    hosts: dict[str, Host] = {server.name: DelayedHost(server.name, delay) for server in there.servers}
    begin = time.monotonic()
    context = SiteContext(there, hosts)
    evaluate.evaluate(
        there, gather.gather_facts(context, {server.name: "x" for server in there.servers}, askers=[context.first])
    )
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--delay", type=float, default=0.2, help="seconds until a simulated host answers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", type=int, nargs=2, metavar=("SERVERS", "DOMAINS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(rollout(*options.one, options.delay)))
        return
    sizes = ((2, 4), (8, 32))
    runs = [[measured(*size, options.delay) for size in sizes] for _ in range(options.rounds)]
    print("| | steps | commands on servers | on the clock | the servers' delays alone | our processor time | `check` |")
    print("|---|---|---|---|---|---|---|")
    for number, (servers, domains) in enumerate(sizes):
        took = [pair[number] for pair in runs]
        looked = check(servers, domains, options.delay)
        print(
            f"| {servers} servers, {domains} domains | {took[0].steps} | {took[0].commands} "
            f"| {median(one.clock for one in took):.2f} s | {took[0].possible:.2f} s "
            f"| {median(one.processor for one in took):.2f} s | {looked:.2f} s |"
        )
    small, large = (median(pair[number].processor for pair in runs) for number in (0, 1))
    print(f"\nour processor time: {large / small:.2f} times for 8 times the domains")


if __name__ == "__main__":
    main()
