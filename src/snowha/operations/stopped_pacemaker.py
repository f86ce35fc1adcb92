"""What Pacemaker will do with domains when it runs again: it is stopped on every server, and its configuration is on disk.

That is not edited here: a server that is lost, or that somebody starts meanwhile, would have another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from snowha.cluster import cib_facts
from snowha.errors import LostLockError, SnowError
from snowha.hosts.files import read_file
from snowha.hosts.host import Host
from snowha.hosts.parallel import each
from snowha.live import cluster
from snowha.operations.power import Verb
from snowha.site.names import listed

CIB_FILE = "/var/lib/pacemaker/cib/cib.xml"
"""Pacemaker include/crm/cib/internal.h: CRM_CONFIG_DIR is below its state directory, which Debian leaves as it is."""


def consequence(hosts: cluster.Hosts, names: Sequence[str], verb: Verb) -> str:
    """What becomes of ``verb``, asked for ``names``, when Pacemaker runs again, with what to type then. Empty if it stays as
    asked: Pacemaker runs, or does not have them."""
    if verb == "reboot" or cluster.cluster_state(hosts) is not None:
        return ""
    answers = each(list(hosts.values()), _target_roles)
    if any(answer is None for answer in answers.values()):
        return ""  # it runs there, and the verb itself says that it does not answer
    _, roles = max((answer for answer in answers.values() if answer), default=((), {}), key=lambda one: one[0])
    starts = verb in ("boot", "reset")
    against = [name for name in names if name in roles and (roles[name] == "stopped") is starts]
    if not against:
        return ""
    which, them = listed(against), "it" if len(against) == 1 else "them"
    if starts:
        said = f"and was told earlier to keep {which} off: it shuts {them} down as soon as it runs again"
    else:
        said = f"so it cannot be told to keep {which} off: it starts {them} as soon as it runs again"
    return f"Pacemaker runs on no server that answers, {said}. Type then: snow {verb} {' '.join(against)}"


_Roles = tuple[tuple[int, ...], dict[str, str]]


def _target_roles(host: Host) -> _Roles | None:
    """The version of the configuration on ``host``, and every resource in it with its target-role. None if Pacemaker runs."""
    try:
        if cluster.is_active(host, "pacemaker"):
            return None
        text = read_file(host, CIB_FILE)
        return (cib_facts.version(text), cib_facts.target_roles(text)) if text else ((), {})
    except LostLockError:
        raise
    except SnowError:
        return (), {}
