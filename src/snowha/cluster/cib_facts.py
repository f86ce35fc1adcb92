"""What a cluster's configuration says that crm_mon(8) does not: which resources migrate live, what moves have left behind, and
since when the cluster is disarmed, or was told to stop everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from snowha.cluster.cib_merge import DISARMED, STOPPED
from snowha.errors import SiteError

_YES = ("true", "1", "yes", "on", "y")
"""What Pacemaker takes for true (lib/common/strings.c, crm_str_to_boolean)."""

_TIME = "%Y%m%dT%H%M%SZ"


def _parse(text: bytes) -> etree._Element:
    try:
        return etree.fromstring(text, etree.XMLParser(resolve_entities=False))
    except etree.XMLSyntaxError as error:
        raise SiteError(
            f"the cluster's configuration is not XML: {error}", remedy="cibadmin --query shows it"
        ) from error


def live_migratable(cib: bytes) -> frozenset[str]:
    """Resources with the meta attribute allow-migrate; all others are stopped and started when they are moved.

    ``cib``: ``cibadmin --query``. Raises SiteError if it is not XML.
    """
    return frozenset(
        str(resource.get("id"))
        for resource in _parse(cib).iter("primitive")
        for pair in resource.iterfind("meta_attributes/nvpair")
        if pair.get("name") == "allow-migrate" and (pair.get("value") or "").lower() in _YES
    )


def left_by_moves(cib: bytes) -> frozenset[str]:
    """Resources that a constraint of ``crm_resource --move`` or ``--ban`` ties to a server, or keeps from one."""
    return frozenset(
        str(constraint.get("rsc"))
        for constraint in _parse(cib).iterfind(".//constraints/rsc_location")
        if (constraint.get("id") or "").startswith("cli-")
    )


def disarming(at: datetime) -> str:
    """The property set that disarms a cluster, to be created in ``crm_config``, and deleted to arm it again.

    maintenance-mode, so that nothing is started, stopped or moved; then nobody need be fenced either. Both begin and end in one
    commit. Its score is above that of all other sets, so what these say is in force again when it is gone.
    """
    return _properties(DISARMED, at, {"maintenance-mode": "true", "stonith-enabled": "false"})


def disarmed_since(cib: bytes) -> dict[str, datetime]:
    """The property sets that disarm the cluster, by id; empty if it is armed, or somebody else has set maintenance-mode."""
    return _sets_since(cib, DISARMED)


def stopping(at: datetime) -> str:
    """The property set that has Pacemaker stop everything, to be created in ``crm_config``, and deleted to start it again.

    What is to run afterwards stays as it is: no resource's target-role is changed.
    """
    return _properties(STOPPED, at, {"stop-all-resources": "true"})


def stopped_since(cib: bytes) -> dict[str, datetime]:
    """The property sets of ``stopping``, by id; empty if there is none, or somebody else has set stop-all-resources."""
    return _sets_since(cib, STOPPED)


STOP_ORDER = "snow-stop-order"


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
    name = f"{prefix}{at.astimezone(UTC).strftime(_TIME)}"
    pairs = etree.Element("cluster_property_set", {"id": name, "score": "2000"})
    for key, value in values.items():
        etree.SubElement(pairs, "nvpair", {"id": f"{name}.{key}", "name": key, "value": value})
    return etree.tostring(pairs, encoding="unicode")


def _sets_since(cib: bytes, prefix: str) -> dict[str, datetime]:
    found = {}
    for pairs in _parse(cib).iter("cluster_property_set"):
        name = pairs.get("id") or ""
        if name.startswith(prefix):
            try:
                found[name] = datetime.strptime(name.removeprefix(prefix), _TIME).replace(tzinfo=UTC)
            except ValueError:
                continue
    return found
