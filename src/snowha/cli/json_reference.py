"""docs/json.md, made from the code: ``python -m snowha.cli.json_reference > docs/json.md``"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from snowha.checks.entry import Entry as Explained
from snowha.cli.lazy import LazyGroup
from snowha.cli.tree import snow
from snowha.disks.image_verbs import Image
from snowha.health.findings import Finding
from snowha.health.leases import ImageStatus
from snowha.operations import domain_list, move_plan, new_server, resolve, status, upgrade
from snowha.plan import events, journal, plan
from snowha.site import rules
from snowha.site.model import Vif

Row = tuple[str, str, str]
"""Field, type, meaning."""

_NAMES: dict[type, str] = {rules.Finding: "SiteFinding", domain_list.Row: "ListedDomain"}
_NAMES |= {journal.Entry: "LoggedStep", Explained: "Explained"}
"""Where the name in the code is another one's as well, or says little by itself."""


@dataclass(frozen=True)
class Answer:
    """What a verb answers. ``shape``: the class with its fields; None if ``more`` has all of them."""

    shape: type | None = None
    more: tuple[Row, ...] = ()
    """Fields that are added to those of ``shape``."""
    is_array: bool = False
    is_plan: bool = False
    """It has ``"event": "plan"`` as well, and events follow."""
    without: frozenset[str] = frozenset()
    note: str = ""


_TEXTS = Answer(more=(("does", "array of strings", "The plan, as it is shown without --json."),), is_plan=True)
_STATUS = Answer(
    status.SiteStatus,
    (("healthy", "true or false", "No finding is red: the exit code is 0."),),
    without=frozenset({"events"}),
    note="With `--watch` a line for each refresh.",
)
ANSWERS: dict[str, Answer] = {
    "status": _STATUS,
    "ha status": _STATUS,
    "list domains": Answer(domain_list.Row, is_array=True),
    "list servers": Answer(
        status.ServerStatus,
        (("domains", "array of strings or null", "Names of the domains that it runs; null if it does not answer."),),
        is_array=True,
    ),
    "show domain": Answer(
        status.DomainStatus,
        (
            ("roles", "array of strings", "Of active-domains.conf."),
            ("config", "string", "Path of its config."),
            ("type", "string", "`pv`, `pvh` or `hvm`."),
            ("memory_mib", "number", "Of its config, in MiB."),
            ("vcpus", "number", "Of its config."),
            ("kernel", "string", "Path, on every server; empty if its config names none."),
            ("disks", "array of objects", "`vdev`, `target` (path of the image or volume) and `access` of each."),
            ("vifs", "array of Vif", "Its network cards."),
            ("images", "array of ImageStatus", "Its images, with their leases."),
            ("findings", "array of Finding", "What is wrong with it."),
        ),
    ),
    "ha check": Answer(
        more=(
            ("findings", "array of SiteFinding", ""),
            ("fixed", "array of strings", "Ids of the steps that --fix has carried out."),
            ("seconds", "number", "How long it took."),
        ),
        note="With `--fix` events come before it. `--explain CODE` answers with `code` and the fields of Explained, "
        "`--explain all` with an array of these.",
    ),
    "ha plan": Answer(
        more=(("steps", "array of Planned", "Each with `due` as well: whether there is something to do."),)
    ),
    "ha log": Answer(
        journal.Run,
        (
            ("steps", "array of LoggedStep", "What was noted of its steps, in order."),
            ("commands", "array of Done", "Every command that may have changed something on a server."),
        ),
        is_array=True,
    ),
    "ha resolve": Answer(resolve.Verdict, is_array=True, note="With `--yes` events instead."),
    "images list": Answer(Image, (("state", "string", "What `snow images list` shows of it."),), is_array=True),
    "drain": Answer(move_plan.MovePlan, is_plan=True),
    "rebalance": Answer(move_plan.MovePlan, is_plan=True),
    "upgrade": Answer(more=(("servers", "array of ServerPlan", "In their order."),), is_plan=True),
    "init": Answer(new_server.InitPlan, is_plan=True),
    "add domain": _TEXTS,
    "remove domain": _TEXTS,
    "resize domain": _TEXTS,
}
"""Of each verb that has more than events to answer, those of the lab left out."""
_MORE_SHAPES: tuple[type, ...] = (
    *(
        rules.Finding,
        Finding,
        ImageStatus,
        Vif,
        Explained,
        plan.Planned,
        journal.Entry,
        journal.Done,
        upgrade.ServerPlan,
    ),
)
"""Classes that only the text above names."""

_HEAD = """\
# JSON

What `--json` prints, for scripts. This page is generated from the code (`src/snowha/cli/json_reference.py`). Later versions may
add fields: ignore what you do not know.

- Standard output has JSON only. What is said besides (a server that is left out, a warning) is on standard error.
- A verb that looks answers with one object or array. A verb that changes something prints one event per line.
- An error is an object in one line, also where the words of the command line are wrong: see [below](#errors). If it says what an
  answer lacks (a server does not answer), only the answer is printed. The exit code is the same as without `--json`.
- Sizes are in the unit that the name ends in (`_mib`, `_s`), times in UTC as ISO 8601 unless something else is said.
"""


def document() -> str:
    """The page."""
    seen: dict[type, None] = {}
    lines = [_HEAD, "## Verbs", "", "| verb | answer |", "|---|---|"]
    lines += [f"| `snow {words}` | {_answer(words)} |" for words in verbs_with_json()]
    lines += ["", "## Answers", ""]
    for words, answer in ANSWERS.items():
        if words == "ha status":
            continue
        lines += [f"### snow {words}", "", *_of_answer(answer, seen), ""]
    lines += ["## Objects", ""]
    for shape in _MORE_SHAPES:
        seen.setdefault(shape)
    done: set[type] = set()
    while left := [shape for shape in seen if shape not in done]:
        for shape in left:
            done.add(shape)
            without = {"error"} if shape is Explained else ()
            lines += [f"### {name_of(shape)}", "", *_doc(shape), *_table(_rows(shape, seen, without)), ""]
    lines += [
        "## Events",
        "",
        "Every event has `event`, its name, and `at`, the time. Those of a step have `step` (its id),",
    ]
    lines += ["`title` and `section`.", "", "| event | further fields | |", "|---|---|---|"]
    lines += [_event(kind) for kind in event_kinds(events.Event)]
    lines += ["", "## Errors", "", *_ERRORS]
    return "\n".join(lines)


_ERRORS = (
    'An error that ends a verb: `{"event": "error", "message", "where", "remedy", "exit_code"}`, with `findings` (objects) if it',
    "stands for several. `where` is a file with its line, a server or a domain, and may be empty. `error` of a failed step has",
    "`kind` (the class of the error), `message`, `where` and `remedy`; a bug has `traceback` instead of the last two.",
    "",
)


def verbs_with_json(group: click.Command = snow, before: str = "") -> Iterator[str]:
    """The words of every verb that has --json, but for those of the lab."""
    assert isinstance(group, LazyGroup)
    for name in group.verbs:
        command = group.get_command(click.Context(group), name)
        words = f"{before}{name}"
        if isinstance(command, LazyGroup):
            if name != "lab":
                yield from verbs_with_json(command, f"{words} ")
        elif command is not None and any("--json" in parameter.opts for parameter in command.params):
            yield words


def name_of(shape: type) -> str:
    return _NAMES.get(shape, shape.__name__)


def _answer(words: str) -> str:
    if words not in ANSWERS:
        return "[events](#events)"
    answer = ANSWERS[words]
    anchor = f"snow {'status' if answer is _STATUS else words}".replace(" ", "-")
    link = f"[{'an array' if answer.is_array else 'an object'}](#{anchor})"
    return f"{link}, then [events](#events)" if answer.is_plan else link


def _of_answer(answer: Answer, seen: dict[type, None]) -> list[str]:
    first = [("event", "string", "`plan`")] if answer.is_plan else []
    rows = _rows(answer.shape, seen, answer.without) if answer.shape is not None else []
    more = [(name, _linked(kind), said) for name, kind, said in answer.more]
    return [
        *(["Each element:", ""] if answer.is_array else []),
        *(_doc(answer.shape) if answer.shape is not None else []),
        *_table([*first, *rows, *more]),
        *(["", _linked(answer.note)] if answer.note else []),
    ]


def _linked(text: str) -> str:
    """``text`` with a link at the name of each object."""
    names = "|".join(map(name_of, _MORE_SHAPES))
    return re.sub(rf"\b({names})\b", lambda match: f"[{match[1]}](#{match[1].lower()})", text)


def _table(rows: Sequence[Row]) -> list[str]:
    return ["| field | type | |", "|---|---|---|", *(f"| `{name}` | {kind} | {said} |" for name, kind, said in rows)]


def _rows(shape: type, seen: dict[type, None], without: Collection[str] = ()) -> list[Row]:
    hints = get_type_hints(shape, localns={"Fact": object})  # plan.step.Fact, which names itself
    said = _meanings(shape)
    return [
        (one.name, _kind(hints[one.name], seen), said.get(one.name, ""))
        for one in dataclasses.fields(shape)
        if one.name not in without
    ]


def _kind(hint: Any, seen: dict[type, None]) -> str:
    """A type in the words of JSON. ``seen`` gets the classes that it names."""
    origin, words = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = [_kind(one, seen) for one in words if one is not NoneType]
        return " or ".join([*kinds, *(["null"] if NoneType in words else [])])
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in words)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"object of {_plural(_kind(words[1], seen))}"
    if origin is tuple and words[-1] is not Ellipsis:
        return f"[{', '.join(_kind(one, seen) for one in words)}]"
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f"array of {_plural(_kind(words[0], seen))}"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        seen.setdefault(hint)
        return f"[{name_of(hint)}](#{name_of(hint).lower()})"
    return {str: "string", int: "number", float: "number", bool: "true or false"}.get(hint, "any")


def _plural(kind: str) -> str:
    return f"{kind}s" if kind in ("string", "number") else kind


def _event(kind: type[events.Event]) -> str:
    of_step = {"at", "step", "title", "section"}
    rows = [row for row in _rows(kind, {}) if row[0] not in of_step]
    fields = ", ".join(f"`{name}` ({'an [error](#errors)' if name == 'error' else what})" for name, what, _ in rows)
    said = " ".join([*_doc(kind), *(f"`{name}`: {text}" for name, _, text in rows if text)])
    return f"| `{events.name_of(kind)}` | {fields or '—'} | {said.strip()} |"


def event_kinds(kind: type[events.Event]) -> Iterator[type[events.Event]]:
    """Those that occur: the classes without one below them, in the order of the code."""
    for one in kind.__subclasses__():
        if one.__subclasses__():
            yield from event_kinds(one)
        else:
            yield one


def _doc(shape: type) -> list[str]:
    """What a class says of itself; nothing where Python has made that up."""
    text = shape.__doc__ or ""
    return [] if text.startswith(f"{shape.__name__}(") or not text else [_prose(text), ""]


def _meanings(shape: type) -> dict[str, str]:
    """The text below each field, of the class and those that it is made of."""
    found: dict[str, str] = {}
    for one in reversed(shape.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for line, after in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
                found[line.target.id] = _prose(str(ast.literal_eval(after.value)))
    return found


def _prose(text: str) -> str:
    """Of the code, in the words of JSON."""
    text = re.sub(r"\bNone\b", "null", re.sub(r"\s+", " ", text.replace("``", "`")))
    return text.strip().replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(document())
