"""Our configuration and the one that a cluster has: what differs, what is somebody else's, and both in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy

from lxml import etree

from snowha.cluster.cib_ids import make_unique
from snowha.errors import SiteError
from snowha.site.rules import Finding

MARK = "Managed by snow-ha"
"""Description of every resource of ours. What does not carry it is somebody else's, and left alone."""

PLACE, APART, FENCE = "snow-place-", "snow-apart-", "snow-fence-"
"""How the ids of our constraints begin."""

DISARMED = "snow-disarmed-"
"""How the id of the property set begins that disarms a cluster (``cib_overrides.disarming``). It stays until `snow arm`."""

STOPPED = "snow-stopped-"
"""The same of the one that keeps everything stopped (``cib_overrides.stopping``). It stays until `snow start site`."""

_OURS = (PLACE, APART, FENCE)

TAKE_OVER = "snow-take-over"
"""Id of the property set that switches maintenance-mode on while domains get another resource agent."""

_OPERATOR_META = frozenset({"target-role", "is-managed", "maintenance"})
"""What an administrator sets on a resource for a while (``crm resource stop``, ``unmanage``). It is state and not
configuration: kept as it is, and no difference."""

_INFINITY = 1_000_000
_OPTION_SECTIONS = {"crm_config": "property", "rsc_defaults": "resource default", "op_defaults": "operation default"}
_MISSING = object()
TAKE_OUT = (
    "save it (cibadmin --query > FILE) and take it out. So that a domain keeps running, first: "
    "crm_attribute --type=crm_config --name=stop-orphan-resources --update=false; then for each: crm resource unmanage NAME; "
    "crm configure delete NAME; crm_resource --refresh --resource=NAME; and once crm_mon shows none of them: "
    "crm_attribute --type=crm_config --name=stop-orphan-resources --delete"
)
"""How resources of somebody else's are taken out. Unmanaged alone does not do: that is deleted with the resource, and Pacemaker
stops what runs and is not configured."""


def foreign(current: bytes) -> tuple[Finding, ...]:
    """What stands in a cluster's CIB that is not ours. ``stop``: resources, and levels of fencing; ``merge`` refuses while they
    are there.

    ``warn``: what ``crm_resource --move`` left behind, which outweighs any preference.
    """
    configuration = _configuration(current)
    findings = []
    resources = [element for element in configuration.iterfind("resources/*") if element.get("description") != MARK]
    if resources:
        names = ", ".join(f"{element.get('id')} ({_kind(element)})" for element in resources)
        findings.append(
            Finding(
                "cib-foreign-resources",
                "stop",
                "the cluster's configuration (CIB)",
                f"Pacemaker already runs resources that snow-ha did not create: {names}",
                TAKE_OUT,
            )
        )
    # of a server with levels Pacemaker asks the devices of these alone (fenced_remote.c), whatever ours say they fence
    ours = {element.get("id") for element in configuration.iterfind("resources/*")}
    levels = [
        level
        for level in configuration.iterfind("fencing-topology/fencing-level")
        if not {name.strip() for name in level.get("devices", "").split(",")} <= ours
    ]
    if levels:
        names = ", ".join(f"{level.get('id')} ({level.get('devices')})" for level in levels)
        findings.append(
            Finding(
                "cib-foreign-resources",
                "stop",
                "the cluster's configuration (CIB)",
                f"Pacemaker fences only by levels whose devices do not exist: {names}",
                "remove them: cibadmin --delete --scope=fencing-topology --xml-text='<fencing-level id=\"NAME\"/>' for each",
            )
        )
    for constraint in configuration.iterfind("constraints/*"):
        name = constraint.get("id", "")
        if name.startswith("cli-"):
            findings.append(
                Finding(
                    "cib-leftover-move",
                    "warn",
                    "the cluster's configuration (CIB)",
                    f"the constraint {name} was left by a manual move: it ties {constraint.get('rsc')} to a server, "
                    "or bans it from one",
                    f"crm_resource --clear --resource {constraint.get('rsc')}",
                )
            )
    return tuple(findings)


def differs(current: bytes, wanted: bytes) -> tuple[str, ...]:
    """What ``merge`` would change, as lines to read. Empty: nothing.

    ``current``: ``cibadmin --query``, ``wanted``: from ``compose``. Meaning is compared: order, ids of sets and pairs,
    and whatever is not ours do not count.
    """
    now, then = _configuration(current), _configuration(wanted)
    lines: list[str] = []
    for section, what in _OPTION_SECTIONS.items():
        present = _options(now, section)
        for name, value in _options(then, section).items():
            lines += _line(f"{what} {name}", present.get(name, _MISSING), value)
    mine, theirs = _resources(then), _resources(now)
    for name, element in mine.items():
        if name in theirs:
            lines += _resource_lines(name, theirs[name], element)
        else:
            lines.append(f"{name}: missing, wanted {_kind(element)}")
    lines += [
        f"{name}: present, no longer wanted"
        for name, element in theirs.items()
        if name not in mine and element.get("description") == MARK
    ]
    wishes, found = _constraints(then), _constraints(now)
    for name, attributes in wishes.items():
        if name not in found:
            lines.append(f"{name}: missing, wanted {_sentence(attributes)}")
        elif found[name] != attributes:
            lines.append(f"{name}: {_sentence(found[name])}, wanted {_sentence(attributes)}")
    lines += [f"{name}: present, no longer wanted" for name in found if name not in wishes]
    lines += _line("alerts", _alerts(now) or _MISSING, _alerts(then) or _MISSING)
    return tuple(lines)


def merge(current: bytes, wanted: bytes) -> bytes:
    """The CIB ``current`` with ``wanted`` in it: versions, nodes, status and whatever is not ours as they were.

    For ``cibadmin --replace --scope=configuration --xml-file=FILE``, which commits it in one go and leaves the status
    to Pacemaker. Raises SiteError if the CIB holds resources that are not ours.
    """
    stops = [finding for finding in foreign(current) if finding.severity == "stop"]
    if stops:
        raise SiteError(stops[0].message, where=stops[0].where, remedy=stops[0].remedy)
    root = _parse(current)
    configuration = root.find("configuration")
    if configuration is None:
        raise SiteError("this is not a CIB: it has no configuration", remedy="cibadmin --query shows it")
    then = _configuration(wanted)
    for section in _OPTION_SECTIONS:
        _merge_options(_section(configuration, section), then.find(section))
    _merge_resources(_section(configuration, "resources"), _section(then, "resources"))
    _merge_constraints(_section(configuration, "constraints"), _section(then, "constraints"))
    _merge_alerts(configuration, then)
    return etree.tostring(root, pretty_print=True)


def changes_agent(current: bytes, wanted: bytes) -> list[str]:
    """Resources of ours that are there with another agent than the one wanted. Pacemaker would stop and start them."""
    theirs, mine = _resources(_configuration(current)), _resources(_configuration(wanted))
    return [
        name
        for name, element in mine.items()
        if name in theirs and theirs[name].get("description") == MARK and _kind(theirs[name]) != _kind(element)
    ]


def suspended(cib: bytes) -> bytes:
    """The CIB with the whole cluster in maintenance-mode, under an id that tells why (``is_suspended``)."""
    root = _parse(cib)
    section = _section(_configuration_in(root), "crm_config")
    for left in section.findall(f"*[@id='{TAKE_OVER}']"):
        section.remove(left)  # of an earlier time: crm_attribute deletes the pair, and leaves its set
    pairs = etree.SubElement(section, "cluster_property_set", {"id": TAKE_OVER, "score": "1000"})
    etree.SubElement(pairs, "nvpair", {"id": f"{TAKE_OVER}.mode", "name": "maintenance-mode", "value": "true"})
    return etree.tostring(root, pretty_print=True)


def is_suspended(current: bytes) -> bool:
    """Whether ``suspended`` was committed and not taken back."""
    return any(
        pair.get("value") == "true"
        for pair in _configuration(current).iterfind(f"crm_config/*[@id='{TAKE_OVER}']/nvpair")
    )


def _merge_options(section: etree._Element, wanted: etree._Element | None) -> None:
    """Ours in, and the same names out of every other set: of two sets with one name Pacemaker takes the one with the
    higher score, or the first.
    """
    if wanted is None:
        return
    names = {pair.get("name") for pair in wanted.iter("nvpair")}
    for pair in [pair for element in section if not _disarms(element) for pair in element.iter("nvpair")]:
        if pair.get("name") in names:
            _remove(pair)
    ours = {element.get("id") for element in wanted}
    for element in list(section):
        if element.get("id") in ours:
            section.remove(element)
    section.extend(deepcopy(element) for element in wanted)


def _merge_resources(section: etree._Element, wanted: etree._Element) -> None:
    kept = {name: _operator_meta(element) for name, element in _resources_of(section).items()}
    for element in list(section):
        section.remove(element)
    for element in wanted:
        resource = deepcopy(element)
        name = resource.get("id", "")
        if name in kept:  # whether it runs is Pacemaker's business by now, and its administrator's
            for pair in [
                pair for pair in resource.iterfind("meta_attributes/nvpair") if pair.get("name") in _OPERATOR_META
            ]:
                _remove(pair)
        if kept.get(name):
            attributes = resource.find("meta_attributes")
            if attributes is None:
                attributes = etree.Element("meta_attributes", {"id": f"{name}.meta"})
                resource.insert(1, attributes)
            for key, value in kept[name].items():
                etree.SubElement(attributes, "nvpair", {"id": f"{name}.meta.{key}", "name": key, "value": value})
        section.append(resource)
    make_unique(section)


def _merge_constraints(section: etree._Element, wanted: etree._Element) -> None:
    for element in section.findall("*"):  # and not what somebody remarked
        if element.get("id", "").startswith(_OURS):
            section.remove(element)
    section.extend(deepcopy(element) for element in wanted)


def _merge_alerts(configuration: etree._Element, wanted: etree._Element) -> None:
    for element in _our_alerts(configuration):
        _remove(element)
    if ours := _our_alerts(wanted):
        _section(configuration, "alerts").extend(deepcopy(element) for element in ours)


def _resource_lines(name: str, now: etree._Element, wanted: etree._Element) -> Iterator[str]:
    if _kind(now) != _kind(wanted):
        yield f"{name}: is {_kind(now)}, wanted {_kind(wanted)}"
        return
    for tag, what in (("instance_attributes", "parameter"), ("meta_attributes", "meta attribute")):
        present, wishes = _pairs(now, tag), _pairs(wanted, tag)
        for key in dict.fromkeys((*wishes, *present)):
            if tag == "instance_attributes" or key not in _OPERATOR_META:
                yield from _line(f"{name}: {what} {key}", present.get(key, _MISSING), wishes.get(key, _MISSING))
    present_ops, wanted_ops = _operations(now), _operations(wanted)
    for operation in dict.fromkeys((*wanted_ops, *present_ops)):
        yield from _line(
            f"{name}: operation {operation}",
            present_ops.get(operation, _MISSING),
            wanted_ops.get(operation, _MISSING),
        )


def _line(what: str, now: object, wanted: object) -> Iterator[str]:
    if now == wanted:
        return
    if now is _MISSING:
        yield f"{what}: not set, wanted {wanted}"
    elif wanted is _MISSING:
        yield f"{what}: {now}, not wanted"
    else:
        yield f"{what}: {now}, wanted {wanted}"


def _options(configuration: etree._Element, section: str) -> dict[str, str]:
    """The values in force, or in force again once the cluster is armed: of one name in several sets the one with the highest
    score counts, else the first (Pacemaker, ``pcmk__sort_nvpairs`` and ``pcmk__unpack_nvpair_blocks``)."""
    found: dict[str, str] = {}
    sets = (element for element in configuration.iterfind(f"{section}/*") if not _disarms(element))
    for element in sorted(sets, key=lambda one: -_score(one.get("score", "0"))):
        for pair in element.iter("nvpair"):
            found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found


def _disarms(element: etree._Element) -> bool:
    return (element.get("id") or "").startswith(DISARMED)


def _score(text: str) -> int:
    """As Pacemaker reads it (``char2score``): limits are ±1,000,000, what is no number counts as 0."""
    words = {"INFINITY": _INFINITY, "+INFINITY": _INFINITY, "-INFINITY": -_INFINITY, "red": -_INFINITY}
    match = re.match(r"\s*([+-]?\d+)", text, re.ASCII)
    return words.get(text.strip(), max(-_INFINITY, min(_INFINITY, int(match[1]))) if match else 0)


def _resources(configuration: etree._Element) -> dict[str, etree._Element]:
    section = configuration.find("resources")
    return _resources_of(section) if section is not None else {}


def _resources_of(section: etree._Element) -> dict[str, etree._Element]:
    return {element.get("id", ""): element for element in section.iterfind("*")}


def _constraints(configuration: etree._Element) -> dict[str, dict[str, str]]:
    """Ours, by id."""
    return {
        element.get("id", ""): {
            "is": str(element.tag),
            **{str(k): str(v) for k, v in element.attrib.items() if k != "id"},
        }
        for element in configuration.iterfind("constraints/*")
        if element.get("id", "").startswith(_OURS)
    }


def _our_alerts(configuration: etree._Element) -> list[etree._Element]:
    return [element for element in configuration.iterfind("alerts/alert") if element.get("description") == MARK]


def _alerts(configuration: etree._Element) -> str:
    """Ours, as a line to read: who is told, of what, and how."""
    said = []
    for alert in _our_alerts(configuration):
        recipients = [one.get("value", "") for one in alert.iterfind("recipient")]
        kinds = sorted(str(one.tag).removeprefix("select_") for one in alert.iterfind("select/*"))
        pairs = {**_pairs(alert, "instance_attributes"), **_pairs(alert, "meta_attributes")}
        values = (f"{name}={value}" for name, value in sorted(pairs.items()))
        said.append(f"{alert.get('path')} for {', '.join(recipients)} of {', '.join(kinds)} ({', '.join(values)})")
    return "; ".join(said)


def _sentence(attributes: dict[str, str]) -> str:
    words = (f"{key}={value}" for key, value in sorted(attributes.items()) if key != "is")
    return " ".join((attributes["is"], *words))


def _pairs(resource: etree._Element, tag: str) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in resource.iterfind(f"{tag}/nvpair")}


def _operations(resource: etree._Element) -> dict[str, str]:
    found = {}
    for op in resource.iterfind("operations/op"):
        rest = {str(k): str(v) for k, v in op.attrib.items() if k not in ("id", "name")}
        found[f"{op.get('name')}"] = " ".join(f"{key}={value}" for key, value in sorted(rest.items()))
    return found


def _operator_meta(resource: etree._Element) -> dict[str, str]:
    return {name: value for name, value in _pairs(resource, "meta_attributes").items() if name in _OPERATOR_META}


def _kind(resource: etree._Element) -> str:
    words = (resource.get("class"), resource.get("provider"), resource.get("type"))
    return ":".join(word for word in words if word) or str(resource.tag)


def _configuration(text: bytes) -> etree._Element:
    return _configuration_in(_parse(text))


def _configuration_in(root: etree._Element) -> etree._Element:
    found = root if root.tag == "configuration" else root.find("configuration")
    if found is None:
        raise SiteError("this is not a CIB: it has no configuration", remedy="cibadmin --query shows it")
    return found


def _section(configuration: etree._Element, name: str) -> etree._Element:
    section = configuration.find(name)
    return etree.SubElement(configuration, name) if section is None else section


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _parse(text: bytes) -> etree._Element:
    try:
        return etree.fromstring(text, etree.XMLParser(remove_blank_text=True, resolve_entities=False))
    except etree.XMLSyntaxError as error:
        raise SiteError(
            f"the cluster's configuration is not XML: {error}", remedy="cibadmin --query shows it"
        ) from error
