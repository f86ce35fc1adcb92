"""A baseboard management controller that speaks IPMI 2.0, one per emulated server.

Fence agents, ``ipmitool -I lanplus`` and Pacemaker talk to it as they talk to a real one; what it does to the machine
is behind ``PowerControl``. One process serves one BMC: pyghmi keeps its sessions in globals, by the client's address
and port alone, so two BMCs on port 623 in one process could get each other's packets.
"""

from __future__ import annotations

import logging
import queue
import socket
import stat
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pyghmi.ipmi.bmc import Bmc
from pyghmi.ipmi.private import session as pyghmi_session

from snowha.errors import InputError
from snowha.lab import bmc_faults
from snowha.lab.bmc_faults import Fault

PORT = 623
OFF_INTERVAL_S = 1.0
"""How long a power cycle keeps the power off: at least 1 s (IPMI 2.0, 28.3)."""
_LISTEN_S, _WITHOUT_ADDRESS_S = 5, 0.5
ANSWER_WITHIN_S = 0.7
"""ipmitool repeats a request after 1 s: an answer comes before that, even if the power takes longer."""
MAX_PASSWORD_BYTES = 20

NETFN_CHASSIS = 0
"""IPMI 2.0, table 5-1."""
COMPLETION_FAILED = 0xFF
COMPLETION_NOT_IN_THIS_STATE = 0xD5
"""IPMI 2.0, table 5-2."""

_log = logging.getLogger(__name__)


class PowerControl(Protocol):
    """The power of one machine. The calls return when it is done; doing what is already so does nothing."""

    def is_on(self) -> bool: ...

    def on(self) -> None: ...

    def off(self) -> None: ...

    def reset(self) -> None: ...


@runtime_checkable
class SoftPowerControl(Protocol):
    """A machine that also has a power button, to ask its operating system to shut down (ACPI)."""

    def soft(self) -> None: ...


def read_password(secret: Path) -> str:
    """The first line of ``secret``, as ``ipmitool -f`` takes it.

    Raises InputError if the file cannot be read, is open to others than its owner, or holds no usable password.
    """
    try:
        mode = secret.stat().st_mode
        text = secret.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the BMC's password: {error}", where=str(secret)) from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(
            f"the BMC's password can be read by others (mode {stat.S_IMODE(mode):04o})",
            where=str(secret),
            remedy=f"chmod 600 {secret}",
        )
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not 0 < len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise InputError(
            f"an IPMI 2.0 password has 1 to {MAX_PASSWORD_BYTES} bytes, this one has {len(password.encode())}",
            where=str(secret),
            remedy="Write the password, and nothing else, into the first line.",
        )
    return password


class PowerQueue:
    """Carries out power commands one after the other, in the order in which they came.

    A caller waits for its command at most ``patience`` seconds: like a real BMC it then says that the command was
    taken, and what came of it is what the power state says.
    """

    def __init__(self, *, patience: float = ANSWER_WITHIN_S) -> None:
        self._patience = patience
        self._waiting: queue.SimpleQueue[tuple[Callable[[], None], threading.Event, list[Exception]]]
        self._waiting = queue.SimpleQueue()
        threading.Thread(target=self._work, name="power", daemon=True).start()

    def do(self, action: Callable[[], None]) -> bool:
        """False if the action is known to have failed, True if it is done or under way."""
        done = threading.Event()
        failures: list[Exception] = []
        self._waiting.put((action, done, failures))
        done.wait(self._patience)
        return not failures

    def _work(self) -> None:
        while True:
            action, done, failures = self._waiting.get()
            try:
                action()
            except Exception as error:
                # The next command must still be carried out: a BMC that dies leaves a server that cannot be fenced.
                _log.exception("a power command failed")
                failures.append(error)
            done.set()


class ServerBmc(Bmc):  # type: ignore[misc]  # pyghmi has no types
    """The BMC of one server: pyghmi's protocol, our power. ``fault``: the file with what it does wrong, if anything."""

    def __init__(
        self,
        address: str,
        *,
        port: int,
        username: str,
        password: str,
        power: PowerControl,
        guid: uuid.UUID | None,
        fault: Path | None,
        slow_s: float,
    ) -> None:
        # pyghmi wakes its own thread with a packet to itself, by default to ::1, where a socket bound to one IPv4
        # address never gets it.
        pyghmi_session.myself = address
        super().__init__({username: password}, port=port, address=address, bmcuuid=guid)
        self._power = power
        self._queue = PowerQueue()
        self._answered: tuple[Any, int, int, int] | None = None
        self._fault_file = fault
        self._slow_s = slow_s
        self._delayed: set[tuple[Any, int, int]] = set()

    def _fault(self) -> Fault:
        return bmc_faults.read(self._fault_file) if self._fault_file else "ok"

    def sessionless_data(self, data: bytes, sockaddr: Any) -> None:
        if self._fault() not in bmc_faults.SILENT:
            super().sessionless_data(data, sockaddr)

    def handle_raw_request(self, request: dict[str, Any], session: Any) -> None:
        fault = self._fault()
        if fault in bmc_faults.SILENT:
            return
        if fault == "slow" and request["netfn"] == NETFN_CHASSIS:
            self._answer_late(request, session)
        else:
            super().handle_raw_request(request, session)

    def _answer_late(self, request: dict[str, Any], session: Any) -> None:
        """Once, however often ipmitool repeats the request meanwhile."""
        this = (session, session.seqlun, request["command"])
        if this in self._delayed:
            return
        self._delayed.add(this)

        def answer() -> None:
            super(ServerBmc, self).handle_raw_request(request, session)
            self._delayed.discard(this)

        timer = threading.Timer(self._slow_s, answer)
        timer.daemon = True
        timer.start()

    def get_power_state(self) -> str:
        fault = self._fault()
        if fault in ("says-on", "says-off"):
            return fault.removeprefix("says-")
        return "on" if self._power.is_on() else "off"

    def get_system_guid(self) -> uuid.UUID:
        """``ipmitool mc guid smbios``: the machine with this UUID in its DMI tables is the one whose BMC this is."""
        guid: uuid.UUID = self.uuid
        return guid

    def power_on(self) -> int:
        return self._do(self._power.on)

    def power_off(self) -> int:
        return self._do(self._power.off)

    def power_reset(self) -> int:
        return self._do(self._power.reset) if self._power.is_on() else COMPLETION_NOT_IN_THIS_STATE

    def power_cycle(self) -> int:
        return self._do(self._cycle) if self._power.is_on() else COMPLETION_NOT_IN_THIS_STATE

    def power_shutdown(self) -> int:
        if not isinstance(self._power, SoftPowerControl):
            raise NotImplementedError
        return self._do(self._power.soft)

    def control_chassis(self, request: dict[str, Any], session: Any) -> None:
        """Chassis Control, once per request: a repeated packet (same session, same sequence) is answered again only."""
        directive = request["data"][0]
        if self._answered and self._answered[:3] == (session, session.seqlun, directive):
            session.send_ipmi_response(code=self._answered[3])
            return
        code = COMPLETION_FAILED
        actions = {
            0: self.power_off,
            1: self.power_on,
            2: self.power_cycle,
            3: self.power_reset,
            5: self.power_shutdown,
        }
        try:
            code = actions[directive]() if directive in actions else 0xCC
        except NotImplementedError:
            code = 0xCC  # "invalid data field in request": this machine has no such directive
        self._answered = (session, session.seqlun, directive, code)
        session.send_ipmi_response(code=code)

    def _do(self, action: Callable[[], None]) -> int:
        return 0 if self._queue.do(action) else COMPLETION_FAILED

    def _cycle(self) -> None:
        self._power.off()
        time.sleep(OFF_INTERVAL_S)
        self._power.on()


def serve(
    address: str,
    *,
    username: str,
    password: str,
    power: PowerControl,
    port: int = PORT,
    guid: uuid.UUID | None = None,
    fault: Path | None = None,
    slow_s: float = bmc_faults.SLOW_S,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve one BMC for ever, bound to this IPv4 address alone; ``ready`` is called once it is bound.

    Call it in the network namespace that has the address, with its loopback interface up. ``guid`` is the machine's
    UUID, if it is known; ``fault`` the file with what it does wrong (``bmc_faults``). Raises InputError for an unusable
    address or port.
    """
    try:
        socket.inet_pton(socket.AF_INET, address)
        bmc = ServerBmc(
            address,
            port=port,
            username=username,
            password=password,
            power=power,
            guid=guid,
            fault=fault,
            slow_s=slow_s,
        )
    except OSError as error:
        raise InputError(
            f"the BMC cannot listen: {error}",
            where=f"{address}:{port}/udp",
            remedy="Is the address up on the management network, and nothing else on that port?",
        ) from error
    if ready:
        ready()
    while True:
        try:
            bmc.listen(_LISTEN_S)
        except OSError as error:
            # Without its address (bmc_faults.plug) it cannot send itself the packet by which one thread of pyghmi wakes another.
            print(f"{address}: {error}; it goes on when the address is back", file=sys.stderr, flush=True)
            time.sleep(_WITHOUT_ADDRESS_S)


def run(
    address: str,
    *,
    username: str,
    secret: Path,
    power: PowerControl,
    port: int = PORT,
    guid: uuid.UUID | None = None,
    fault: Path | None = None,
    slow_s: float = bmc_faults.SLOW_S,
    ready: Callable[[], None] | None = None,
) -> None:
    """``serve`` with the password from ``secret``, a file with mode 0600. Errors as ``read_password`` and ``serve``."""
    password = read_password(secret)
    serve(
        address,
        username=username,
        password=password,
        power=power,
        port=port,
        guid=guid,
        fault=fault,
        slow_s=slow_s,
        ready=ready,
    )
