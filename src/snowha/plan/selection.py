"""Which steps a run is about: all, those up to one, one alone, or those of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from snowha.errors import InputError, SiteError
from snowha.plan.step import Reporter, Step
from snowha.site.names import did_you_mean, listed, show, there_are


def named(steps: Sequence[Step], name: str, *, option: str) -> tuple[str, ...]:
    """Ids of the steps that ``name`` means: a step, a section, or what several ids begin with (``servers.packages``).

    Raises InputError, with the nearest names, if there is none.
    """
    ids = [step.id for step in steps]
    sections = dict.fromkeys(step.section for step in steps)
    found = tuple(
        step.id for step in steps if name in (step.id, step.section) or step.id.startswith(f"{name.rstrip('.')}.")
    )
    if found:
        return found
    close = get_close_matches(name, dict.fromkeys((*ids, *sections)), n=3, cutoff=0.4)
    hint = f"did you mean {listed(close, 'or')}?" if close else f"give a section ({', '.join(sections)}) or a step."
    raise InputError(f"there is no step {show(name)}", where=option, remedy=f"{hint} `snow ha plan --short` shows all")


def until(steps: Sequence[Step], name: str) -> list[Step]:
    """The steps that ``name`` means, and all that they need."""
    return _with_needs(steps, named(steps, name, option="--until"))


def only(steps: Sequence[Step], name: str) -> list[Step]:
    """The steps that ``name`` means alone. What they need is checked, and must be up to date."""
    wanted = set(named(steps, name, option="--only"))
    return [
        step if step.id in wanted else replace(step, apply=_Refused(step), proof=None, asks=None, interrupts=())
        for step in _with_needs(steps, tuple(wanted))
    ]


def of_domains(steps: Sequence[Step], domains: Sequence[str], known: Sequence[str]) -> list[Step]:
    """The steps that are about these domains alone, and all that they need. Raises InputError for a name not known."""
    wanted: list[str] = []
    for domain in domains:
        if domain not in known:
            raise InputError(
                f"there is no domain {show(domain)}{did_you_mean(domain, known)}",
                where="--domain",
                remedy=there_are(known),
            )
        wanted += [step.id for step in steps if step.domain == domain]
    return _with_needs(steps, tuple(wanted))


def select(
    steps: Sequence[Step],
    *,
    until_step: str = "",
    only_step: str = "",
    domains: Sequence[str] = (),
    known: Sequence[str] = (),
) -> list[Step]:
    """The steps of a run, by the words of its command line. Raises InputError for words that contradict each other."""
    if sum(map(bool, (until_step, only_step, domains))) > 1:
        raise InputError("--until, --only and --domain cannot be combined", remedy="give one of them")
    if until_step:
        return until(steps, until_step)
    if only_step:
        return only(steps, only_step)
    if domains:
        return of_domains(steps, domains, known)
    return list(steps)


def _with_needs(steps: Sequence[Step], wanted: tuple[str, ...]) -> list[Step]:
    by_id = {step.id: step for step in steps}
    found: set[str] = set()
    open_ones = list(wanted)
    while open_ones:
        name = open_ones.pop()
        if name not in found:
            found.add(name)
            open_ones += by_id[name].needs
    return [step for step in steps if step.id in found]


class _Refused:
    """In place of the apply of a step that was not asked for."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def __call__(self, reporter: Reporter) -> None:
        raise SiteError(
            f"a required step is neither done nor selected: {self._step.id}",
            remedy=f"snow ha apply --until {self._step.id}",
        )
