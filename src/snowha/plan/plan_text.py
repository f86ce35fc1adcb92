"""A plan as text: for `snow ha plan`, and before `apply` asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snowha.plan.estimate import Estimate
from snowha.plan.plan import Planned


def lines(plan: Sequence[Planned], *, details: bool = True) -> Iterator[str]:
    """The plan for a terminal."""
    due = [planned for planned in plan if planned.is_due]
    for number, planned in enumerate(due, start=1):
        time = _duration(planned.estimate)
        yield f"{number}. {planned.title}  [{planned.id}]{time}"
        yield f"   because: {planned.reason}"
        if details:
            yield from (f"   {line}" for line in _details(planned))
    skipped = len(plan) - len(due)
    if not due:
        yield f"nothing to do: all {skipped} steps are up to date"
        return
    yield ""
    yield f"{len(due)} steps to do, {skipped} up to date"
    reboots = dict.fromkeys(name for planned in due for name in planned.change.reboots)
    if reboots:
        yield f"rebooted, or power cut: {', '.join(reboots)}"
    away = [entry for planned in due for entry in planned.away]
    for name, estimate in away:
        yield f"downtime of {name}: {_duration(estimate).removeprefix(', ') or 'not known'}"
    seconds = sum(planned.estimate.seconds or 0 for planned in due)
    open_ones = [planned.id for planned in due if planned.estimate.seconds is None]
    yield f"at most {seconds:.0f} s if nothing runs in parallel" + (
        f", plus what was never measured: {', '.join(open_ones)}" if open_ones else ""
    )


def _details(planned: Planned) -> Iterator[str]:
    change = planned.change
    if planned.asks:
        yield f"asks: {planned.asks}"
    for command in change.commands:
        yield f"{command.host}$ {command.text}"
    alike: dict[tuple[str, str, str], list[str]] = {}
    for file in change.files:
        alike.setdefault((file.path, file.diff, file.about), []).append(file.host)
    for (path, diff, about), hosts in alike.items():
        yield f"{', '.join(hosts)}:{path}{f' ({about})' if about else ''}"
        yield from (f"  {line}" for line in diff.splitlines())
    yield from (f"CIB: {line}" for line in change.cib)
    yield from (f"note: {line}" for line in change.notes)
    if not change.complete:
        yield "… and continues from there"


def _duration(estimate: Estimate) -> str:
    return f", about {estimate.seconds:.0f} s ({estimate.source})" if estimate.seconds is not None else ""
