"""What does not happen by itself while the cluster as a whole is held back: whoever is told to wait for it waits for good."""

from __future__ import annotations

from dataclasses import replace

from snowha.cluster.crm_mon import ClusterState
from snowha.health.catalogue import KINDS
from snowha.health.findings import Finding

_UNFENCED = "fencing is switched off"
_OF_SILENT = frozenset({"unreachable", "domain-unknown"})
"""They are about servers that do not answer. Those may have quorum, and act."""
_FENCED = _OF_SILENT | {"server-unclean"}
_STARTED = frozenset({"resource-failed", "resource-stopped"})
_WAITED_FOR = frozenset({"server-unclean", "resource-stopped"})
"""Their remedy begins with waiting for Pacemaker, or with looking why it does nothing."""


def explained(finding: Finding, state: ClusterState) -> Finding:
    """``finding``, with what keeps Pacemaker from what would happen by itself."""
    because = _because(finding.code, state)
    if not because:
        return finding
    result = "it is not fenced" if because == _UNFENCED else "nothing"
    if finding.code in _WAITED_FOR and finding.remedy == KINDS[finding.code].remedy.format(where=finding.where):
        finding = replace(finding, remedy=f"first correct the state of the cluster: {because}")
    return replace(finding, next=f"{result}: {because}")


def _because(code: str, state: ClusterState) -> str:
    """Why Pacemaker does not do it; empty if it does. It fences nobody either while it manages nothing, or without quorum."""
    if code not in _FENCED | _STARTED:
        return ""
    if state.maintenance:
        return "Pacemaker is in maintenance-mode"
    if code in _FENCED and not state.fencing_enabled:
        return _UNFENCED
    if code in _STARTED and state.stops_everything:
        return "Pacemaker was told to stop everything"
    if not state.quorate and code not in _OF_SILENT:
        return "there is no quorum"
    return ""
