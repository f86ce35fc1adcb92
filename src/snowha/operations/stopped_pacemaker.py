"""What Pacemaker will do with domains when it runs again: it is stopped on every server, and its configuration is on disk.

That is not edited here: a server that is lost, or that somebody starts meanwhile, would have another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


def has_domains(hosts: cluster.Hosts) -> bool:
    """Whether Pacemaker is stopped on every server that answers, and has resources to run when it is started."""
    kept = _configuration(hosts)
    return kept is not None and bool(kept.roles)


def consequence(hosts: cluster.Hosts, names: Sequence[str], verb: Verb) -> str:
    """What becomes of ``verb``, asked for ``names``, when Pacemaker runs again, with what to type then. Empty if it stays as
    asked: Pacemaker runs, or does not have them."""
    kept = None if verb == "reboot" else _configuration(hosts)
    if kept is None:
        return ""
    known = [name for name in names if name in kept.roles]
    kept_off = [name for name in known if kept.roles[name] == "stopped"]
    if verb not in ("boot", "reset"):
        return _starts(kept, [name for name in known if name not in kept_off], verb)
    if not kept.stops_everything:
        return _shuts_down(kept, kept_off, verb)
    if not known:
        return ""
    then = [f"snow {verb} {' '.join(kept_off)}"] if kept_off else []
    said = f"and was told to stop everything: it shuts {listed(known)} down {kept.acts}"
    return f"{_NOWHERE}, {said}. Type then: {', then '.join(['snow start site', *then])}"


def _starts(kept: _Kept, names: Sequence[str], verb: Verb) -> str:
    if not names:
        return ""
    said = f"so it cannot be told to keep {listed(names)} off: it starts {_pronoun(names)} {kept.starts}"
    return f"{_NOWHERE}, {said}. Type then: snow {verb} {' '.join(names)}"


def _shuts_down(kept: _Kept, names: Sequence[str], verb: Verb) -> str:
    if not names:
        return ""
    off = f"{listed(names)} off: it shuts {_pronoun(names)} down {kept.acts}"
    return f"{_NOWHERE}, and was told earlier to keep {off}. Type then: snow {verb} {' '.join(names)}"


def _pronoun(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


def consequence_of_stop(hosts: cluster.Hosts, names: Sequence[str]) -> str:
    """What becomes of `snow stop site` when Pacemaker runs again, with what to type. Empty if everything stays off."""
    kept = _configuration(hosts)
    if kept is None or kept.stops_everything:
        return ""
    starts = [name for name in names if kept.roles.get(name, "stopped") != "stopped"]
    if not starts:
        return ""
    said = f"{_NOWHERE}, so it cannot be told to stop everything: it starts {listed(starts)} {kept.acts}"
    if kept.resumes:
        return f"{said}. Leave it in maintenance-mode until the work is done"
    return f"{said}. Start it nowhere before the work is done; or type first: snow start site, then snow stop site"


_NOWHERE = "Pacemaker runs on no server that answers"


@dataclass(frozen=True)
class _Kept:
    """What the configuration on a server's disk says."""

    version: tuple[int, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    """Every resource that it manages, with its target-role."""
    stops_everything: bool = False
    """`snow stop site` has told it so, and `snow start site` has not ended that."""
    resumes: str = ""
    """What ends its maintenance-mode, in which it leaves everything alone, also when it runs; empty if it is not in it."""

    @property
    def acts(self) -> str:
        """When it does what it was told."""
        return f"{self.resumes}, and leaves everything alone until then" if self.resumes else "as soon as it runs again"

    @property
    def starts(self) -> str:
        """When it starts what is to run."""
        if not self.stops_everything:
            return self.acts
        return f"with `snow start site`{f' and {self.resumes}' if self.resumes else ''}"


def _configuration(hosts: cluster.Hosts) -> _Kept | None:
    """The newest one on the servers that answer. None if Pacemaker runs: then it is told, or the verb says why it cannot be."""
    if cluster.cluster_state(hosts) is not None:
        return None
    answers = each(list(hosts.values()), _kept)
    found = [answer for answer in answers.values() if answer is not None]
    return max(found, key=lambda one: one.version, default=None) if len(found) == len(answers) else None


def _kept(host: Host) -> _Kept | None:
    """Empty where there is none, or none that can be read; None if Pacemaker runs there."""
    try:
        if cluster.is_active(host, "pacemaker"):
            return None
        text = read_file(host, CIB_FILE)
        if not text:
            return _Kept()
        unmanaged = cib_facts.unmanaged(text)
        resumes = "with `snow arm`" if cib_facts.disarmed_since(text) else "when maintenance-mode is switched off"
        return _Kept(
            cib_facts.version(text),
            {name: role for name, role in cib_facts.target_roles(text).items() if name not in unmanaged},
            bool(cib_facts.stopped_since(text)),
            resumes if cib_facts.in_maintenance(text) else "",
        )
    except LostLockError:
        raise
    except SnowError:
        return _Kept()
