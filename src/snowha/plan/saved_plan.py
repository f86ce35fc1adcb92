"""A plan on disk, to be applied later; and whether the site is still the one that it was made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snowha.errors import InputError, SiteError, remedy_of
from snowha.hosts import user_file
from snowha.plan.change import Change
from snowha.plan.plan import Planned

FORMAT, VERSION = "snow-ha plan", 2
_MAKE = "`snow ha plan --save FILE`"
_SHOWN = 8
"""Differences that a message names."""
_LIMIT = 64 << 20
"""Bytes: a plan has every file that it would write."""


@dataclass(frozen=True)
class Saved:
    """``seen``: what each step, and each file that the plan stands on, was when it was made; by name, as a digest."""

    made: str
    seen: Mapping[str, str]
    reasons: Mapping[str, str]
    until: str
    only: str
    domains: tuple[str, ...]


def digest(thing: object) -> str:
    """Of anything that JSON can carry."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True, default=str).encode()).hexdigest()


def seen_of(plan: Sequence[Planned], inputs: Mapping[str, str]) -> dict[str, str]:
    """What a plan stands on. ``inputs``: files by name, with their content's digest.

    Of a step: what it found missing and what it would change, with the hash of every file that it would write.
    Estimates are left out: they get better without the site being another one.
    """
    return {
        **inputs,
        **{f"step {planned.id}": digest([planned.reason, asdict(_without_notes(planned.change))]) for planned in plan},
    }


def _without_notes(change: Change) -> Change:
    """Without what depends on the moment, such as whether a domain just answers a ping."""
    return replace(change, notes=(), complete=True)


def write(
    path: Path, plan: Sequence[Planned], inputs: Mapping[str, str], *, until: str, only: str, domains: Sequence[str]
) -> None:
    """Write a plan, readable by its owner alone: it shows configurations. Raises InputError."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "selection": {"until": until, "only": only, "domains": list(domains)},
        "seen": seen_of(plan, inputs),
        "steps": [asdict(planned) for planned in plan],
    }
    check_target(path)  # again: the site was asked meanwhile
    try:
        user_file.write(path, f"{json.dumps(content, indent=1)}\n", mode=0o600)
    except OSError as error:
        raise InputError(
            f"the plan cannot be written: {error.strerror}",
            where=str(path),
            remedy=remedy_of(error) or "choose another file with --save",
        ) from error


def check_target(path: Path) -> None:
    """Whether a plan can be written to ``path``: nothing is there, or an earlier plan. Raises InputError for any other file of
    the user's, which would be lost, and for a place where none can be written."""
    user_file.check_target(path)
    if not path.exists() or not path.stat().st_size:
        return
    try:
        _data(path)
    except InputError:
        raise InputError(
            "this file exists already, and is not a saved plan; it is not changed",
            where=str(path),
            remedy="choose another file with --save, for example ha.plan",
        ) from None


def read(path: Path) -> Saved:
    """Raises InputError."""
    data = _data(path)
    if data.get("version") != VERSION:
        raise InputError(
            "this plan was saved by another version of snow-ha", where=str(path), remedy=f"make a new one: {_MAKE}"
        )
    try:
        chosen = data["selection"]
        return Saved(
            made=str(data["made"]),
            seen={str(name): str(value) for name, value in data["seen"].items()},
            reasons={str(step["id"]): str(step["reason"]) for step in data["steps"]},
            until=str(chosen["until"]),
            only=str(chosen["only"]),
            domains=tuple(map(str, chosen["domains"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "this plan is damaged: a part of it is missing or invalid",
            where=str(path),
            remedy=f"make a new one: {_MAKE}",
        ) from error


def _data(path: Path) -> dict[str, Any]:
    """What is in a file that a plan was saved to, of any version. Raises InputError."""
    content = user_file.read_bytes(path, what="a saved plan", remedy=f"make one with {_MAKE}", limit=_LIMIT)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError("this file is not a saved plan", where=str(path), remedy=f"make one with {_MAKE}")
    return data


def compare(saved: Saved, plan: Sequence[Planned], inputs: Mapping[str, str]) -> tuple[str, ...]:
    """What is not as it was when the plan was made, a line each; empty if all is."""
    now = seen_of(plan, inputs)
    reasons = {planned.id: planned.reason for planned in plan}
    found = []
    for name in dict.fromkeys((*saved.seen, *now)):
        if saved.seen.get(name) == now.get(name):
            continue
        step = name.removeprefix("step ")
        if name not in now:
            found.append(f"{name} no longer exists")
        elif name not in saved.seen:
            found.append(f"{name} is new")
        elif not name.startswith("step "):
            found.append(f"{name} has changed")
        elif saved.reasons.get(step, "") != reasons[step]:
            was, is_now = saved.reasons.get(step, ""), reasons[step]
            found.append(f"{step}: {was or 'nothing was missing'}; now: {is_now or 'nothing is missing'}")
        else:
            found.append(f"{step}: its changes differ from those in the plan")
    return tuple(found)


def refuse(saved: Saved, differences: Sequence[str], where: str) -> None:
    """Raises SiteError if there are differences."""
    if not differences:
        return
    more = f"\n  and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    text = "\n  ".join(differences[:_SHOWN])
    raise SiteError(
        f"the site has changed since this plan was made ({saved.made}):\n  {text}{more}",
        where=where,
        remedy="check the differences, and make a new plan: snow ha plan --save FILE",
    )
