"""What each step would change, found out by carrying it out on hosts on which nothing is changed.

So a plan cannot say anything else than what ``apply`` does. Where a step waits for something that only a real change
can bring, what is known by then is told, and that it goes on. Steps that move, fence or reboot the real thing are
described in ``describe``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from snowha.disks import engine_driver
from snowha.errors import SnowError
from snowha.hosts.dry_run import DryRunHost, Written
from snowha.hosts.host import Completed
from snowha.live.context import SiteContext
from snowha.plan.change import Change, FileChange, HostCommand
from snowha.plan.step import Fact, Step
from snowha.xen import xl

_PASSWORD = re.compile(r"pass|secret|token|credential|crypt|key", re.IGNORECASE)
_PROBE = "snow-ha-probe-"
_SHOWN_LINES = 400
"""Of one diff: a file that is written anew as a whole is better read where it is."""


class _DryRunEnd(BaseException):
    """The step waits for what a dry run cannot bring."""


class _Listener:
    """A Reporter that ends a dry run where it would wait for ever."""

    def say(self, text: str) -> None:
        pass

    def wait(self, text: str) -> None:
        raise _DryRunEnd

    def progress(self, done: float, total: float, unit: str = "") -> None:
        pass

    def fact(self, key: str, value: Fact) -> None:
        pass


class DryRun:
    """The site with nothing changed. What one step would have written is there for the next."""

    def __init__(
        self, context: SiteContext, steps_of: Callable[[SiteContext], Sequence[Step]], secrets: Iterable[str]
    ) -> None:
        self._off: set[str] = set()
        self._snapshots: dict[str, str] = {}
        self._secrets = tuple(secret for secret in secrets if secret)
        self._names = {domain.config: domain.name for domain in context.site.domains}
        self._configs = {*self._names, context.site.paths.snow_conf}
        self._hosts = {name: DryRunHost(host, self._simulate) for name, host in context.hosts.items()}
        self._steps = {step.id: step for step in steps_of(replace(context, hosts=dict(self._hosts)))}

    def change(self, step_id: str) -> Change:
        """What the step would change. Whatever stops it half way is told in a note."""
        step = self._steps[step_id]
        notes: tuple[str, ...] = ()
        complete = True
        try:
            step.apply(_Listener())
        except _DryRunEnd:
            complete = False
        except SnowError as error:
            notes, complete = (f"the rest is known only at that point: {error.message.splitlines()[0]}",), False
        except Exception as error:  # it read what a command that was not run has not printed
            notes, complete = (f"the rest is known only at that point ({type(error).__name__})",), False
        taken = {name: host.take() for name, host in self._hosts.items()}
        commands = [
            HostCommand(name, self._hide(text))
            for name, (_, noted) in taken.items()
            for text in noted
            if _PROBE not in text
        ]
        files = [
            self._file(name, written)
            for name, (noted, _) in taken.items()
            for written in _merged(noted)
            if not written.path.startswith("/run/")
        ]
        reboots = (step.server,) if step.restarts else ()
        return Change(tuple(files), tuple(commands), reboots=reboots, notes=notes, complete=complete)

    def _simulate(self, argv: Sequence[str], answer: Completed | None) -> str | None:
        """What a server would say once the commands before had been carried out."""
        words = list(argv)
        if words[:2] == ["xl", "shutdown"]:
            self._off.add(words[-1])
        elif words[:3] == ["sh", "-c", xl.UNTIL_GONE]:
            return ""
        elif words[:2] == ["xl", "create"]:
            self._off.discard(self._names.get(words[-1], ""))
        elif words[:2] == ["xl", "list"] and answer is not None and answer.ok and self._off:
            return "".join(
                line for line in answer.stdout.splitlines(keepends=True) if line.split(" ")[0] not in self._off
            )
        elif words[:1] == ["lvcreate"]:
            self._snapshots[words[words.index("--name") + 1]] = words[-1]
        elif words[:1] == ["lvremove"]:
            self._snapshots.pop(words[-1].rpartition("/")[2], None)
        elif words[:1] == ["lvs"] and answer is not None and answer.ok and self._snapshots:
            return _with_snapshots(answer.stdout, self._snapshots)
        elif words[0].startswith("fence_") and "--action=status" in words:
            return "Status: ON\n"
        return engine_driver.simulated_output(words)

    def _file(self, host: str, written: Written) -> FileChange:
        if self._is_secret(written):
            word = "removed" if written.after is None else "new" if written.before is None else "changed"
            return FileChange(host, written.path, about=f"{word}, content not shown")
        before = "" if written.before is None else hashlib.sha256(written.before).hexdigest()
        if written.after is None:
            return FileChange(host, written.path, about="removed; the earlier version is kept", before=before)
        diff, about = self._difference(written, written.after)
        return FileChange(host, written.path, diff, about, before)

    def _is_secret(self, written: Written) -> bool:
        """What not everybody may read is not shown, nor its hash, from which a short secret could be guessed. Configurations
        are, without the lines around what changes."""
        if written.path in self._configs:
            return False
        return not written.readable or any(self._has_secret(content) for content in (written.before, written.after))

    def _has_secret(self, content: bytes | None) -> bool:
        return content is not None and any(word.encode() in content for word in self._secrets)

    def _difference(self, written: Written, after: bytes) -> tuple[str, str]:
        """A unified diff, or what else can be said."""
        what = f"{'new' if written.before is None else 'changed'}, {len(after)} bytes"
        try:
            old, new = (written.before or b"").decode(), after.decode()
        except UnicodeDecodeError:
            return "", f"{what}, no text"
        guarded = not written.readable or self._has_secret(after)
        lines = list(
            difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                written.path if written.before is not None else "/dev/null",
                written.path,
                n=0 if guarded else 3,
            )
        )
        if len(lines) > _SHOWN_LINES:
            return "", what
        return "".join(_ended(self._hide(_masked(line)) if guarded else line) for line in lines), ""

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _with_snapshots(text: str, made: Mapping[str, str]) -> str:
    """What `lvs` would say with the snapshots ``made`` (the full name of each one's volume, by its own)."""
    found = json.loads(text)
    rows = found["report"][0]["lv"]
    for name, volume in made.items():
        origin = next(row for row in rows if f"{row['vg_name']}/{row['lv_name']}" == volume)
        made_of = {"lv_name": name, "lv_path": f"/dev/{origin['vg_name']}/{name}", "origin": origin["lv_name"]}
        rows.append({**origin, **made_of, "lv_attr": "swi-a-s---"})
    return json.dumps(found)


def _merged(noted: Iterable[Written]) -> list[Written]:
    """One change a file, however often it would be written."""
    found: dict[str, Written] = {}
    for written in noted:
        earlier = found.get(written.path)
        found[written.path] = replace(written, before=earlier.before) if earlier else written
    return [written for written in found.values() if written.before != written.after]


def _masked(line: str) -> str:
    name, equals, _ = line.partition("=")
    return f"{name}=***\n" if equals and _PASSWORD.search(name) else line


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n"


def secrets_of(passwords: Mapping[str, str]) -> tuple[str, ...]:
    """What must be in no plan."""
    return tuple(dict.fromkeys(passwords.values()))
