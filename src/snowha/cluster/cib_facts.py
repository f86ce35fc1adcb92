"""What a cluster's configuration says that crm_mon(8) does not: which resources migrate live, what moves have left behind, and
since when the cluster is disarmed, or was told to stop everything.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lxml import etree

from snowha.cluster.cib_merge import DISARMED, STOPPED
from snowha.cluster.cib_overrides import TIME
from snowha.errors import SiteError

_YES = ("true", "1", "yes", "on", "y")
"""What Pacemaker takes for true (lib/common/strings.c, crm_str_to_boolean)."""
_FIRST_SET, _INFINITY = "cib-bootstrap-options", 1_000_000
_PLACES = ("start", "stop", "migrate_from", "migrate_to")
"""Operations by which a resource comes to a server, or leaves it."""


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


def arrived_live(cib: bytes, resource: str, server: str) -> bool:
    """Whether ``resource`` is on ``server`` by a live migration, and was not started there since.

    Of each kind of operation the history on a server has the last one, and keeps migrations apart from starts and stops; call-id
    counts them (lib/pacemaker/pcmk_sched_actions.c, pcmk__create_history_xml). Raises SiteError if ``cib`` is not XML.
    """
    done = [
        (int(operation.get("call-id") or 0), operation.get("operation"))
        for state in _parse(cib).iter("node_state")
        if state.get("uname") == server
        for history in state.iter("lrm_resource")
        if history.get("id") == resource
        for operation in history.iterfind("lrm_rsc_op")
        if operation.get("rc-code") == "0" and operation.get("operation") in _PLACES
    ]
    return bool(done) and max(done)[1] == "migrate_from"


def version(cib: bytes) -> tuple[int, int, int]:
    """Of two configurations of one cluster Pacemaker takes the one with the larger (lib/cib/cib_utils.c, cib_version_details).
    Raises SiteError if it is not XML."""
    root = _parse(cib)
    admin_epoch, epoch, updates = (root.get(name) or "" for name in ("admin_epoch", "epoch", "num_updates"))
    return _number(admin_epoch), _number(epoch), _number(updates)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def target_roles(cib: bytes) -> dict[str, str]:
    """Every resource with its meta attribute target-role in lower case, empty where it has none. Raises SiteError if it is not
    XML."""
    return {name: meta.get("target-role", "") for name, meta in _meta_attributes(cib).items()}


def unmanaged(cib: bytes) -> frozenset[str]:
    """Resources that Pacemaker leaves alone since they say so themselves (is-managed, maintenance). Raises SiteError if it is not
    XML."""
    return frozenset(
        name
        for name, meta in _meta_attributes(cib).items()
        if meta.get("maintenance") in _YES or meta.get("is-managed", "true") not in _YES
    )


def _meta_attributes(cib: bytes) -> dict[str, dict[str, str]]:
    """Of every resource, with values in lower case."""
    return {
        str(resource.get("id")): {
            str(pair.get("name")): (pair.get("value") or "").lower()
            for pair in resource.iterfind("meta_attributes/nvpair")
        }
        for resource in _parse(cib).iter("primitive")
    }


def in_maintenance(cib: bytes) -> bool:
    """Whether Pacemaker with this configuration leaves everything alone (maintenance-mode). Raises SiteError if it is not XML.

    Of several property sets that have an option the one with the largest score counts, and before all of them the one that is
    named first (lib/common/nvpair.c, pcmk__cmp_nvpair_blocks). Those with a rule are left out.
    """
    sets = [one for one in _parse(cib).iter("cluster_property_set") if one.find("rule") is None]
    for one in sorted(sets, key=lambda one: (one.get("id") != _FIRST_SET, -_score(one.get("score") or ""))):
        for pair in one.iterfind("nvpair"):
            if pair.get("name") == "maintenance-mode":
                return (pair.get("value") or "").lower() in _YES
    return False


def _score(text: str) -> int:
    number = text.lstrip("+-")
    size = _INFINITY if number.upper() == "INFINITY" else _number(number)
    return -size if text.startswith("-") else size


def left_by_moves(cib: bytes) -> frozenset[str]:
    """Resources that a constraint of ``crm_resource --move`` or ``--ban`` ties to a server, or keeps from one."""
    return frozenset(str(constraint.get("rsc")) for constraint in _of_moves(cib))


def left_by_interrupted_moves(cib: bytes) -> frozenset[str]:
    """Of these, resources with a constraint that ends at a time, as ours do (``crm_resource --move --lifetime``). What an
    administrator has tied to a server for good is not among them."""
    timed = (one for one in _of_moves(cib) if one.find(".//date_expression") is not None)
    return frozenset(str(constraint.get("rsc")) for constraint in timed)


def _of_moves(cib: bytes) -> list[etree._Element]:
    places = _parse(cib).iterfind(".//constraints/rsc_location")
    return [constraint for constraint in places if (constraint.get("id") or "").startswith("cli-")]


def disarmed_since(cib: bytes) -> dict[str, datetime]:
    """The sets of ``cib_overrides.disarming``, by id; empty if it is armed, or somebody else has set maintenance-mode."""
    return _sets_since(cib, DISARMED)


def stopped_since(cib: bytes) -> dict[str, datetime]:
    """The sets of ``cib_overrides.stopping``, by id; empty if there is none, or somebody else has set stop-all-resources."""
    return _sets_since(cib, STOPPED)


def _sets_since(cib: bytes, prefix: str) -> dict[str, datetime]:
    found = {}
    for pairs in _parse(cib).iter("cluster_property_set"):
        name = pairs.get("id") or ""
        if name.startswith(prefix):
            try:
                found[name] = datetime.strptime(name.removeprefix(prefix), TIME).replace(tzinfo=UTC)
            except ValueError:
                continue
    return found
