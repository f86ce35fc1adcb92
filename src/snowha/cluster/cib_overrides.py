"""What is added to a cluster's configuration for a while, and removed again: what disarms the cluster, what stops everything, and
the order of stops. cib_facts.py says since when it is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from snowha.cluster.cib_merge import DISARMED, STOPPED

STOP_ORDER = "snow-stop-order"
TIME = "%Y%m%dT%H%M%SZ"
"""How the time of the commit, UTC, stands at the end of a property set's id."""


def disarming(at: datetime) -> str:
    """The property set that disarms a cluster, to be created in ``crm_config``, and deleted to arm it again.

    maintenance-mode, so that nothing is started, stopped or moved; then nobody need be fenced either. Both begin and end in one
    commit. Its score is above that of all other sets, so what these say is in force again when it is gone.
    """
    return _properties(DISARMED, at, {"maintenance-mode": "true", "stonith-enabled": "false"})


def stopping(at: datetime) -> str:
    """The property set that has Pacemaker stop everything, to be created in ``crm_config``, and deleted to start it again.

    What is to run afterwards stays as it is: no resource's target-role is changed.
    """
    return _properties(STOPPED, at, {"stop-all-resources": "true"})


def stop_order(resources: Iterable[str]) -> str:
    """A constraint by which ``resources`` stop one after the other, where they are stopped together; for ``constraints``.

    Optional and for stops alone: none of them is stopped or started because of it. Those that are stopped already must be left
    out: a chain holds only between neighbours that have something to do.
    """
    order = etree.Element("rsc_order", {"id": STOP_ORDER, "kind": "Optional", "symmetrical": "false"})
    for number, resource in enumerate(resources):
        one = etree.SubElement(order, "resource_set", {"id": f"{STOP_ORDER}.{number}", "action": "stop"})
        etree.SubElement(one, "resource_ref", {"id": resource})
    return etree.tostring(order, encoding="unicode")


def _properties(prefix: str, at: datetime, values: dict[str, str]) -> str:
    name = f"{prefix}{at.astimezone(UTC).strftime(TIME)}"
    pairs = etree.Element("cluster_property_set", {"id": name, "score": "2000"})
    for key, value in values.items():
        etree.SubElement(pairs, "nvpair", {"id": f"{name}.{key}", "name": key, "value": value})
    return etree.tostring(pairs, encoding="unicode")
