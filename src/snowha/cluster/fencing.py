"""Cutting a server's power through its BMC: what is installed for it, how it is asked, and where the password is.

The password is printed by a script that only root can read (parameter ``password_script`` of the fence agents, in 4.12
as in 4.16; ``passwd_script`` is its deprecated name). So it is neither in the CIB, which every member of haclient can
read, nor in the arguments of a command of ours. The agent itself hands it to ipmitool as an argument, which ipmitool
overwrites as soon as it has read it (lib/ipmi_main.c).
"""

from __future__ import annotations

import re
import shlex
from typing import Literal

from snowha.errors import InputError, UnreachableError
from snowha.site.model import IPMI_AGENTS, FenceDevice, Server

Power = Literal["on", "off"]

IPMITOOL_TIMEOUT_S = 6
"""ipmitool asks four times, and waits this long for the first answer, each time a second longer (its lanplus.c): 30 s in all, so
that a BMC that takes 20 s is heard. The agents' default, 2, makes it 14 s. One that does not answer at all is given up after
twice that (seen: 60 s, and 28 s)."""
_PROBE_S = 40
"""For the agent's own limit on one call of ipmitool, which is on when it is not run by Pacemaker (20 s by default)."""

SECRETS = "/etc/snow-ha/fence"
"""Where the servers have the password scripts."""
SECRET_MODE = 0o700
"""Of the password script and its folder; root owns both. The agent runs it as root."""

_IPMI_PASSWORD_BYTES = 20
"""IPMI 2.0 (IPMI v2.0 specification, 22.30 "Set User Password"): 20 bytes; ipmitool refuses more."""

_STATUS = re.compile(r"^Status: (ON|OFF)\s*$", re.MULTILINE)


def tools(device: FenceDevice) -> tuple[str, ...]:
    """Commands that a server must have to fence through ``device``. The packages only recommend ipmitool."""
    return (device.agent, "ipmitool") if device.is_ipmi else (device.agent,)


def probe_argv(server: Server, script: str, action: Literal["status", "on"] = "status") -> tuple[str, ...]:
    """Ask for the power state of ``server``, or give it power. ``script``: its password script, on the asking host.

    ``parse_status`` reads the answer to ``status``. Raises InputError if the server has no fence device.
    """
    device = device_of(server)
    words = [device.agent, f"--ip={device.address}", f"--username={device.username}", f"--password-script={script}"]
    # the long form of a parameter's name has dashes (fence-agents lib/fencing.py, all_opt)
    options = {key.replace("_", "-"): value for key, value in agent_options(device).items()}
    words += [f"--{key}={value}" if value else f"--{key}" for key, value in options.items()]
    if device.is_ipmi and action == "status":
        words += [f"--ipmitool-timeout={IPMITOOL_TIMEOUT_S}", f"--power-timeout={_PROBE_S}"]
    return (*words, f"--action={action}")


def probe_input(server: Server, password: str, action: Literal["status", "on"] = "status") -> str:
    """The same question for the standard input of the agent, run without arguments: for a machine that has no password script.

    What is given so stands in no argument of ours (fence-agents lib/fencing.py, ``process_input``).
    """
    device = device_of(server)
    values = {"ip": device.address, "username": device.username, "password": password, "action": action}
    values |= {key: value or "1" for key, value in agent_options(device).items()}
    if device.is_ipmi and action == "status":
        values |= {"ipmitool_timeout": str(IPMITOOL_TIMEOUT_S), "power_timeout": str(_PROBE_S)}
    return "".join(f"{key}={value}\n" for key, value in values.items())


def agent_options(device: FenceDevice) -> dict[str, str]:
    """How this device is spoken to, by the names of the agent's parameters; a value is empty for a switch."""
    if not device.is_ipmi:
        return device.parameters
    options = {
        "lanplus": "" if device.lanplus else None,
        "cipher": str(device.cipher) if device.cipher is not None else None,
        "privlvl": device.privilege or None,
        "ipport": str(device.port) if device.port is not None else None,
    }
    return {key: value for key, value in options.items() if value is not None} | device.parameters


def parse_status(output: str, returncode: int, *, where: str) -> Power:
    """What the agent said. It exits with 0 for on, 2 for off (``fence_action`` of the agents' library).

    Only both together count: an agent that fails says nothing about the power. Raises UnreachableError otherwise.
    """
    match = _STATUS.search(output)
    if match and (match[1], returncode) in (("ON", 0), ("OFF", 2)):
        return "on" if match[1] == "ON" else "off"
    reason = reason_in(output.replace("Please use '-h'", "")) or f"no answer (exit code {returncode})"
    remedy = "check the address, user and password of the fence device, and that the BMC can be reached from the server"
    if "ipmitool not found" in reason.lower():
        remedy = "install ipmitool on the server"
    elif returncode in (126, 127):
        remedy = "install the fence agents on the server"
    raise UnreachableError(f"the power state cannot be read: {reason}", where=where, remedy=remedy)


_GENERAL = re.compile(
    r"Unable to establish|Error: Unable|Close Session|Failed: |Unable to connect|for usage"
    r"|Unable to get Chassis Power Status|Connection timed out|Could not open socket|^$"
)
"""What ipmitool and the agents say whatever went wrong."""


def reason_in(output: str) -> str:
    """Of what ipmitool or a fence agent printed, the line that says why; empty if it printed nothing."""
    lines = [line.strip() for line in output.split("\n") if line.strip()]
    return next((line for line in reversed(lines) if not _GENERAL.search(line)), lines[-1] if lines else "")


def password_script_path(server: Server) -> str:
    """Where the servers keep the script that prints a BMC's password to the fence agent."""
    return f"{SECRETS}/{server.name}"


def render_password_script(password: str, *, agent: str = "fence_ipmilan") -> str:
    """A /bin/sh script that prints ``password`` and nothing else. To be written with mode 0700, owned by root.

    Raises InputError for a password that ``agent`` cannot carry. The message does not show it.
    """
    wrong = _unusable(password, _IPMI_PASSWORD_BYTES if agent in IPMI_AGENTS else None)
    if wrong:
        raise InputError(
            f"this password of a fence device cannot be used: {wrong}",
            remedy="set another one in the BMC, and write it into the file that `secret` names",
        )
    return _script(password)


def _script(password: str) -> str:
    # printf and not echo: dash's echo interprets backslashes. '%s' so that a percent sign is a percent sign.
    return (
        "#!/bin/sh\n"
        "# Prints the password of a fence device. For root alone; written by snow-ha.\n"
        f"printf '%s\\n' {shlex.quote(password)}\n"
    )


def password_in(script: str) -> str:
    """The password that a script of ``render_password_script`` prints; empty for any other text."""
    try:
        words = shlex.split(script)
    except ValueError:
        return ""
    return words[-1] if words and _script(words[-1]) == script else ""


def device_of(server: Server) -> FenceDevice:
    """The fence device of ``server``. Raises InputError if it has none."""
    if server.fence is None:
        raise InputError(
            f"{server.name} has no fence device",
            where="ha.toml",
            remedy="add `fence = {…}` to its [[server]]: without one, two servers can write to one image",
        )
    return server.fence


def _unusable(password: str, longest: int | None) -> str | None:
    if not password:
        return "it is empty"
    if not password.isprintable():
        return "it contains a line break or another unprintable character"
    # The agents' library strips what the script printed (check_input: .rstrip()).
    if password != password.rstrip():
        return "it ends in a space"
    if longest is not None and len(password.encode()) > longest:
        return f"it is longer than the {longest} bytes of IPMI"
    return None
