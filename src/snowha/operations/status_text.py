"""The status of a site for a terminal: what is wrong first, with what to type, then the tables."""

from __future__ import annotations

from collections.abc import Sequence

from snowha.operations.findings import Finding, Severity
from snowha.operations.leases import ImageStatus
from snowha.operations.status import DomainStatus, ServerStatus, SiteStatus

Cell = tuple[str, str]
"""Text and its colour."""

_PLAIN, _RED, _YELLOW, _GREEN, _END = "", "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_MARKS: dict[Severity, Cell] = {"red": ("WRONG", _RED), "yellow": ("WARN ", _YELLOW), "note": ("NOTE ", _PLAIN)}
_WORDS = {"red": "wrong", "yellow": "to look at", "note": "worth knowing"}


def lines(status: SiteStatus, *, colour: bool = False) -> list[str]:
    """The status as lines. ``colour``: with escape sequences of ECMA-48."""
    text = [_painted(_verdict(status), colour)]
    for finding in status.findings:
        text += _finding(finding, colour)
    text += ["", *_table([_SERVER_HEAD, *(_server(server, status) for server in status.servers)], colour)]
    text += ["", *_table([_DOMAIN_HEAD, *(_domain(domain, status) for domain in status.domains)], colour)]
    if status.floating_ip:
        on = status.floating_ip_on
        nowhere = "on no server" if _is_pacemaker_known(status) else "unknown"
        text += ["", _painted((f"floating IP {status.floating_ip}: {on or nowhere}", _PLAIN if on else _RED), colour)]
    return text


def _is_pacemaker_known(status: SiteStatus) -> bool:
    """Whether a server told what Pacemaker has, or every server told that it has no cluster."""
    in_cluster = any(server.cluster not in ("unknown", "no cluster") for server in status.servers)
    return in_cluster or all(server.reachable for server in status.servers)


def _verdict(status: SiteStatus) -> Cell:
    counts = {word: sum(one.severity == severity for one in status.findings) for severity, word in _WORDS.items()}
    summed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if not status.healthy:
        return f"NOT well: {summed}", _RED
    return f"all is well{f': {summed}' if summed else ''}", _GREEN


def _finding(finding: Finding, colour: bool) -> list[str]:
    mark, paint = _MARKS[finding.severity]
    first, *rest = finding.message.splitlines()
    head = f"{_painted((mark, paint), colour)}  {first}"
    return [head, *(f"       {line}" for line in rest), f"       → {finding.remedy}"]


def _plain(*words: str) -> list[Cell]:
    return [(word, _PLAIN) for word in words]


_SERVER_HEAD = _plain("SERVER", "CLUSTER", "QUORUM", "LINKS", "FENCING", "XEN", "FREE")
_NO_HOLDER = {"free": "nobody", "none": "no record", "unknown": "not known"}
_DOMAIN_HEAD = _plain("DOMAIN", "STATE", "SERVER", "PACEMAKER", "IMAGES HELD BY")


def _server(server: ServerStatus, status: SiteStatus) -> list[Cell]:
    links = " ".join(f"{link.number}:{'up' if link.connected else 'DOWN'}" for link in server.links) or "-"
    fence = status.fencing.get(server.name, "none")
    free = f"{server.free_memory_mib} MiB" if server.free_memory_mib is not None else "-"
    return [
        (server.name, _PLAIN if server.reachable else _RED),
        (server.cluster, _PLAIN if server.cluster == "online" else _RED),
        ({True: "yes", False: "NO", None: "-"}[server.quorate], _RED if server.quorate is False else _PLAIN),
        (links, _RED if "DOWN" in links else _PLAIN),
        (fence, _PLAIN if fence == "ready" else _RED),
        (server.xen or "-", _PLAIN),
        (free, _PLAIN),
    ]


def _domain(domain: DomainStatus, status: SiteStatus) -> list[Cell]:
    state = "off on purpose" if domain.on_purpose else domain.state
    believed = ", ".join(domain.pacemaker) or ("on no server" if domain.managed else "not managed")
    if not _is_pacemaker_known(status):
        believed = "unknown"
    if domain.pacemaker and not domain.managed:
        believed += " (not managed)"
    well = domain.state == "running" or domain.on_purpose
    return [
        (domain.name, _PLAIN),
        (state, _PLAIN if well else _RED),
        (", ".join(domain.servers) or "-", _PLAIN),
        (believed, _PLAIN if domain.managed else _RED),
        _holders([image for image in status.images if image.domain == domain.name], domain),
    ]


def _holders(images: Sequence[ImageStatus], domain: DomainStatus) -> Cell:
    """Who has the leases of a domain's images: one server, or what is not so."""
    holders = list(dict.fromkeys(image.holder or _NO_HOLDER.get(image.state, image.state) for image in images))
    wrong = bool(domain.servers) and any(holder not in domain.servers for holder in holders)
    return ", ".join(holders) or "-", _RED if wrong else _PLAIN


def _table(rows: list[list[Cell]], colour: bool) -> list[str]:
    widths = [max(len(row[column][0]) for row in rows) for column in range(len(rows[0]))]
    return [_row(row, widths, colour) for row in rows]


def _row(row: list[Cell], widths: list[int], colour: bool) -> str:
    words = []
    for number, ((text, paint), width) in enumerate(zip(row, widths, strict=True)):
        filling = "" if number == len(row) - 1 else " " * (width - len(text))
        words.append(_painted((text, paint), colour) + filling)
    return "  ".join(words).rstrip()


def _painted(cell: Cell, colour: bool) -> str:
    text, paint = cell
    return f"{paint}{text}{_END}" if colour and paint else text
