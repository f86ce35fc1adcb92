"""What ``ha.toml`` may say of a fence device."""

from __future__ import annotations

import re
from collections.abc import Callable

from snowha.errors import InputError
from snowha.site.model import FenceDevice
from snowha.site.names import check_address, show

PRIVILEGES = ("callback", "user", "operator", "administrator")
"""As fence_ipmilan(8) names them."""
_AGENT = re.compile(r"fence_[a-z0-9_]{1,40}", re.ASCII)
_SECRET = re.compile(r"(?:\.{0,2}/)?(?:[A-Za-z0-9_.-]+/)+[A-Za-z0-9_.-]+", re.ASCII)
_OPTION = re.compile(r"([a-z][a-z0-9_]{0,40})(?:=([ -~]{1,200}))?", re.ASCII)
_OURS = frozenset(
    {"ip", "ipaddr", "username", "login", "action", "option", "method", "delay"}
    | {"disable_timeout", "power_timeout", "shell_timeout", "login_timeout", "power_wait", "ipmitool_timeout"}
    | {"verbose", "verbose_level", "quiet", "debug", "debug_file", "version", "help"}
)
"""Parameters that the cluster's configuration gives each agent, or that would change what a fence means."""
_KEYS = {"cipher": "cipher", "privlvl": "privilege", "ipport": "port", "lanplus": "lanplus"}
"""Parameters of the IPMI agents for which there is a key."""
_OUTLETS = ("switch", "plug", "port", "systems_uri")
"""Parameters that say which of a device's servers is meant. The IPMI agents ignore them."""
_IPMI_PORT = 623
_SECRETS = ("passw", "secret", "token", "key", "_kg", "community")
"""In the names of parameters that are secrets: the CIB would show them to all who may read it."""

At = Callable[..., str]


def check_fence(fence: FenceDevice, *, at: At) -> None:
    """Raise InputError for what cannot be a fence device. ``at``: the place of a key of its table."""
    check_agent(fence.agent, where=at("agent"))
    check_address(fence.address, where=at("address"))
    check_fence_user(fence.username, where=at("username"))
    if fence.privilege not in ("", *PRIVILEGES):
        raise InputError(
            f"{show(fence.privilege)} is not a privilege level of IPMI",
            where=at("privilege"),
            remedy=f"write one of {', '.join(PRIVILEGES)}",
        )
    for key, value, least, most in (("cipher", fence.cipher, 0, 255), ("port", fence.port, 1, 65535)):
        if value is not None and not least <= value <= most:
            raise InputError(f"{key} is {value}", where=at(key), remedy=f"write a number from {least} to {most}")
    of_ipmi = {
        "cipher": fence.cipher is not None,
        "privilege": fence.privilege != "",
        "port": fence.port is not None,
        "lanplus": not fence.lanplus,
    }
    if not fence.is_ipmi and (key := next((key for key, is_set in of_ipmi.items() if is_set), "")):
        raise InputError(
            f"{fence.agent} does not use IPMI, and {key} is an option for IPMI",
            where=at(key),
            remedy=f"remove {key}; write what {fence.agent} needs into options",
        )
    _check_options(fence, where=at("options"))
    # The value itself is never shown: it may be the password.
    if not _SECRET.fullmatch(fence.secret) or "/../" in fence.secret:
        raise InputError(
            "secret is not the path of a file",
            where=at("secret"),
            remedy='put the password into a file of mode 0600 and write its path, e.g. secret = "secrets/snow01.ipmi"',
        )


def check_agent(agent: str, *, where: str) -> None:
    """Raise InputError unless ``agent`` can be a fence agent."""
    if not _AGENT.fullmatch(agent):
        raise InputError(
            f"{show(agent)} is not a fence agent",
            where=where,
            remedy="write the name of an agent such as fence_ipmilan",
        )


def check_fence_user(user: str, *, where: str) -> None:
    """Raise InputError unless ``user`` can be a user of a fence device."""
    if not user or not user.isprintable():
        raise InputError(
            "the username of a fence device is empty or has unprintable characters",
            where=where,
            remedy="write the name of a user on the BMC",
        )


def outlet(fence: FenceDevice) -> str:
    """What two servers cannot share: the address, with its port of IPMI where BMCs are behind one address, or with the outlet
    where one device has several (``plug``)."""
    if fence.is_ipmi:
        return fence.address if fence.port in (None, _IPMI_PORT) else f"{fence.address}, port {fence.port}"
    # ``port`` is the older name of ``plug`` (fence-agents lib/fencing.py, all_opt)
    found = {name.replace("port", "plug"): value for name, value in fence.parameters.items() if name in _OUTLETS}
    return ", ".join([fence.address, *(f"{name} {found[name]}" for name in _OUTLETS if name in found)])


def _check_options(fence: FenceDevice, *, where: str) -> None:
    """The value of an option is never shown: it may be a password."""
    seen: set[str] = set()
    for option in fence.options:
        match = _OPTION.fullmatch(option)
        # a switch is given as 1, and that is an outlet
        if match is None or option in _OUTLETS:
            raise InputError(
                "an option of a fence device must be a parameter of its agent, with or without a value",
                where=where,
                remedy='write it like "ssl_insecure" or "plug=3"; the agent names its parameters: '
                f"{fence.agent} -o metadata",
            )
        name = match[1]
        if fence.is_ipmi and name in _KEYS:
            raise InputError(f"{name} has its own key", where=where, remedy=f"write {_KEYS[name]} = … beside secret")
        if name in _OURS or name.startswith("pcmk_"):
            raise InputError(
                f"{name} is set by the cluster's configuration and cannot be set here",
                where=where,
                remedy=f"remove {name}",
            )
        if any(word in name for word in _SECRETS):
            raise InputError(
                f"{name} is a secret, which the cluster's configuration would show",
                where=where,
                remedy=f"remove {name}: only the password in the file that `secret` names is kept out of that configuration",
            )
        if name in seen:
            raise InputError(f"{name} is given twice", where=where, remedy="give it once")
        seen.add(name)
