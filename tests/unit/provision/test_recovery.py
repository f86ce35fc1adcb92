"""A run that was lost while a server was without power: the next one must not leave it so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulated import SECRET, single_server

from snowha.errors import UnreachableError
from snowha.hosts.host import Completed
from snowha.migration.steps import all_steps
from snowha.operations import upgrade_steps
from snowha.operations.moves import Mover
from snowha.operations.upgrade import ServerPlan
from snowha.provision import recovery
from snowha.site.model import FenceDevice, Server

SERVERS = tuple(
    Server(name, f"10.0.0.{n}", (f"10.0.0.{n}",), fence=FenceDevice("fence_ipmilan", f"10.0.0.10{n}", "admin", "ipmi"))
    for n, name in enumerate(("snow01", "snow02"), start=1)
)


class Rack:
    """Which servers have power, and what was asked of their BMCs."""

    def __init__(self, **power: bool) -> None:
        self.power = power
        self.switched: list[str] = []
        self.said: list[str] = []

    def host(self, name: str) -> Powered:
        return Powered(self, name)

    def wait(self, *unfinished: str) -> None:
        recovery.wait_for_servers(SERVERS, {s.name: self.host(s.name) for s in SERVERS}, unfinished, self.said.append)


class Powered:
    def __init__(self, rack: Rack, name: str) -> None:
        self._rack = rack
        self.name = name

    def reset(self) -> None:
        pass

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes = "",
        timeout: float = 60.0,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        if not self._rack.power[self.name]:
            raise UnreachableError("there is no route to it", where=self.name)
        if "--action=on" in argv:
            server = next(s.name for s in SERVERS if s.fence and f"--ip={s.fence.address}" in argv)
            self._rack.power[server] = True
            self._rack.switched.append(server)
        return Completed(tuple(argv), 1 if argv[0] == "crm_mon" else 0, "", "")


def test_a_server_that_was_being_fenced_gets_its_power_back() -> None:
    """Else it stays off until somebody wonders, and the next loss of a server is the loss of the site."""
    rack = Rack(snow01=True, snow02=False)
    rack.wait("proofs.fence.snow02")
    assert rack.power["snow02"]
    assert rack.said == ["snow02 was being restarted when the last run was lost: waiting until it answers"]


def test_each_step_that_restarts_a_server_is_known_and_no_other() -> None:
    """A server that a new step restarts would be away, and the next run would fail instead of waiting for it."""
    context, _, _ = single_server()
    mover = Mover(context.hosts, {}, (), timeout=1)
    steps = [
        *all_steps(context, {server.name: SECRET for server in context.site.servers}),
        *upgrade_steps.steps(context, mover, [ServerPlan(server.name, (), True, None) for server in context.site.servers]),
    ]
    servers = context.site.servers
    found = [step.id for step in steps if recovery.concerns(servers, [step.id])]
    assert found == [step.id for step in steps if step.restarts]
    assert {step.kind for step in steps if step.restarts} == set(recovery.RESTARTING)
    assert all(step.id == f"{step.kind}.{step.server}" for step in steps if step.restarts)


def test_nobody_switches_on_what_no_run_had_switched_off() -> None:
    """A server may be off since somebody works in it."""
    rack = Rack(snow01=True, snow02=False)
    rack.wait("images.deploy01", "pacemaker.cib")
    rack.wait()
    assert rack.switched == []
    assert rack.said == []


def test_a_server_that_answers_is_left_alone() -> None:
    rack = Rack(snow01=True, snow02=True)
    rack.wait("proofs.fence.snow02", "servers.xen.snow02")
    assert rack.switched == []
