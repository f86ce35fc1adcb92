"""The status of a site for a terminal: what is wrong first, with what to type, then the tables."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from snowha.health.catalogue import Severity
from snowha.health.findings import Finding
from snowha.health.leases import ImageStatus
from snowha.operations.status import DomainStatus, ServerStatus, SiteStatus

Cell = tuple[str, str]
"""Text and its colour."""

_PLAIN, _RED, _YELLOW, _GREEN, _END = "", "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"
_MARKS: dict[Severity, Cell] = {"red": ("WRONG", _RED), "yellow": ("WARN ", _YELLOW), "note": ("NOTE ", _PLAIN)}
_INDENT = " " * 7
_FEW = 5
"""Findings of one kind that are all shown."""
_LEAST = 8
"""Characters of a column that are shown in any case."""
_WORDS = {"red": "wrong", "yellow": "to look at", "note": "worth knowing"}


@dataclass(frozen=True)
class _Page:
    """How it is shown: as the parameters of ``lines``."""

    colour: bool
    width: int
    screen: bool
    now: float


def lines(
    status: SiteStatus, *, colour: bool = False, width: int = 0, screen: bool = False, now: float | None = None
) -> list[str]:
    """The status as lines. ``colour``: with escape sequences of ECMA-48. ``width``: of the terminal, 0 where there is none.
    ``screen``: nothing may be wider than that, what is wrong comes first among the domains too, and of alike findings one is
    shown; else what is to be typed stays in one line, so that it can be copied. ``now``: seconds since 1970."""
    page = _Page(colour, width, screen, time.time() if now is None else now)
    domains = sorted(status.domains, key=is_healthy) if screen else status.domains
    images: dict[str, list[ImageStatus]] = {}
    for image in status.images:
        images.setdefault(image.domain, []).append(image)
    text = [_painted(verdict(status), colour)]
    for code, group in groupby(status.findings, key=lambda finding: finding.code):
        text += _alike(code, list(group), page)
    text += [
        "",
        *_table([_SERVER_HEAD, *(_server(server, status, page.now) for server in status.servers)], colour, width),
    ]
    rows = [_domain(domain, images.get(domain.name, ())) for domain in domains]
    text += ["", *_table([_DOMAIN_HEAD, *rows], colour, width)]
    if status.floating_ip:
        on = status.floating_ip_on
        nowhere = "unknown" if status.pacemaker_unknown else "on no server"
        text += ["", _painted((f"floating IP {status.floating_ip}: {on or nowhere}", _PLAIN if on else _RED), colour)]
    return text


def ago(when: str, now: float) -> str:
    """How long ``when`` (UTC, ISO 8601) is ago, in one unit: ``3 d``. Empty if that cannot be said."""
    try:
        seconds = now - datetime.fromisoformat(when).timestamp()
    except ValueError:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def verdict(status: SiteStatus) -> Cell:
    """The whole status in one sentence."""
    counts = {word: sum(one.severity == severity for one in status.findings) for severity, word in _WORDS.items()}
    summed = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    silent = [server.name for server in status.servers if not server.reachable]
    if silent and len(silent) == len(status.servers):
        return f"NOT known: none of {', '.join(silent)} could be asked; {summed}", _RED
    unasked = f"; {', '.join(silent)} could not be asked" if silent else ""
    if not status.healthy:
        return f"NOT well: {summed}{unasked}", _RED
    return f"all is well{f': {summed}' if summed else ''}", _GREEN


def _alike(code: str, group: Sequence[Finding], page: _Page) -> list[str]:
    """Findings of one kind: all of them if they are few; of 200 domains of one server it is said once."""
    few = 1 if page.screen else _FEW
    shown = group if len(group) <= few else group[: max(1, few - 1)]
    text = [line for finding in shown for line in _finding(finding, page)]
    more = [finding.where for finding in group[len(shown) :]]
    if more:
        named = ", ".join(more[:_FEW]) + (", …" if len(more) > _FEW else "")
        text += _wrapped(f"and {len(more)} more alike ({code}): {named}", page.width)
    return text


def _finding(finding: Finding, page: _Page) -> list[str]:
    mark, paint = _MARKS[finding.severity]
    first, *rest = [line for part in finding.message.splitlines() for line in _wrapped(part, page.width)]
    text = [f"{_painted((mark, paint), page.colour)}  {first.lstrip()}", *rest]
    if finding.since:
        moment = finding.since.replace("T", " ").removesuffix("Z")
        text.append(f"{_INDENT}since {moment} UTC ({ago(finding.since, page.now)})")
    if finding.next:
        text += _wrapped(f"by itself: {finding.next}", page.width)
    return [*text, *_wrapped(f"→ {finding.remedy}", page.width if page.screen else 0)]


def _wrapped(text: str, width: int) -> list[str]:
    """``text``, indented; in lines of at most ``width``. No word of it is cut: some are commands to paste."""
    if not width:
        return [f"{_INDENT}{text}"]
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(*words: str) -> list[Cell]:
    return [(word, _PLAIN) for word in words]


_SERVER_HEAD = _plain("SERVER", "CLUSTER", "QUORUM", "LINKS", "FENCING (PROOF)", "XEN", "FREE", "ITS LOSS")
_NO_HOLDER = {"free": "nobody", "none": "no record", "unknown": "not known"}
_DOMAIN_HEAD = _plain("DOMAIN", "STATE", "SERVER", "PACEMAKER", "IMAGES HELD BY")


def _server(server: ServerStatus, status: SiteStatus, now: float) -> list[Cell]:
    links = " ".join(f"{link.number}:{'up' if link.connected else 'DOWN'}" for link in server.links) or "-"
    fence = status.fencing.get(server.name, "none")
    proven = status.fenced_at.get(server.name)
    proof = ago(proven, now) if proven else "never"
    loss = status.losses.get(server.name, "unknown")
    free = f"{server.free_memory_mib} MiB" if server.free_memory_mib is not None else "-"
    return [
        (server.name, _PLAIN if server.reachable else _RED),
        (server.cluster, _PLAIN if server.cluster == "online" else _RED),
        ({True: "yes", False: "NO", None: "-"}[server.quorate], _RED if server.quorate is False else _PLAIN),
        (links, _RED if "DOWN" in links else _PLAIN),
        (f"{fence} ({proof})" if fence != "unknown" else fence, _PLAIN if fence == "ready" else _RED),
        (server.xen or "-", _PLAIN),
        (free, _PLAIN),
        (loss if loss != "unknown" else "-", _YELLOW if loss.startswith("no ") else _PLAIN),
    ]


def is_healthy(domain: DomainStatus) -> bool:
    """Whether nothing has to be done about a domain."""
    return bool((domain.state == "running" and domain.managed) or domain.on_purpose)


def pacemaker_location(servers: Sequence[str] | None, *, managed: bool | None) -> str:
    """Where Pacemaker has a domain."""
    if servers is None:
        return "unknown"
    if not servers:
        return "on no server" if managed else "not managed"
    return ", ".join(servers) + ("" if managed else " (not managed)")


def _domain(domain: DomainStatus, images: Sequence[ImageStatus]) -> list[Cell]:
    state = "off on purpose" if domain.on_purpose else domain.state
    well = domain.state == "running" or domain.on_purpose
    return [
        (domain.name, _PLAIN),
        (state, _PLAIN if well else _RED),
        (", ".join(domain.servers) or "-", _PLAIN),
        (pacemaker_location(domain.pacemaker, managed=domain.managed), _PLAIN if domain.managed else _RED),
        holders(images, domain),
    ]


def holders(images: Sequence[ImageStatus], domain: DomainStatus) -> Cell:
    """Who has the leases of a domain's images: one server, or what is not so."""
    holders = list(dict.fromkeys(image.holder or _NO_HOLDER.get(image.state, image.state) for image in images))
    wrong = bool(domain.servers) and any(holder not in domain.servers for holder in holders)
    return ", ".join(holders) or "-", _RED if wrong else _PLAIN


def _table(rows: list[list[Cell]], colour: bool, width: int) -> list[str]:
    widths = [max(len(row[column][0]) for row in rows) for column in range(len(rows[0]))]
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return [_row(row, widths, colour) for row in rows]


def _row(row: list[Cell], widths: list[int], colour: bool) -> str:
    words = []
    for number, ((text, paint), width) in enumerate(zip(row, widths, strict=True)):
        text = text if len(text) <= width else f"{text[: width - 1]}…"
        filling = "" if number == len(row) - 1 else " " * (width - len(text))
        words.append(_painted((text, paint), colour) + filling)
    return "  ".join(words).rstrip()


def _painted(cell: Cell, colour: bool) -> str:
    text, paint = cell
    return f"{paint}{text}{_END}" if colour and paint else text
