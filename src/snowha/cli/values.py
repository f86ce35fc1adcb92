"""Values of options that click's own types would take although nothing can be done with them: no name, a folder, no number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from snowha.errors import InputError


class FileName(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """The path of a file. ``--save ''`` would be the folder that one is in, and ``-o new/`` a file beside it."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if isinstance(value, Path):
            return value
        text = str(value)
        if not text:
            raise InputError("no file is named", where=_option(param), remedy=f"name one: {_option(param)} FILE")
        if text.endswith("/") or text.rpartition("/")[2] in (".", ".."):
            raise InputError("this is a folder", where=f"{_option(param)} {text}", remedy="name a file in it")
        return Path(text)


_MOST = 1 << 40
"""More of anything that is counted here is a slip of the finger, or ``inf``."""


class FolderName(click.ParamType):  # type: ignore[type-arg]
    """The path of a folder, which need not be there. ``--folder ''`` would be this one."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not str(value):
            raise InputError("no folder is named", where=_option(param), remedy=f"name one: {_option(param)} FOLDER")
        return Path(value)


class Name(click.ParamType):  # type: ignore[type-arg]
    """Any word but an empty one: `--until "$STEP"` without that variable would be the whole migration."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            raise InputError("nothing is named", where=_option(param), remedy="name one, or leave the option out")
        return str(value)


class Amount(click.ParamType):  # type: ignore[type-arg]
    """A number above 0 that can be counted with, in ``unit``; a whole one if ``whole``; from ``least`` to ``most`` if given."""

    name = "number"

    def __init__(self, unit: str, example: str, *, whole: bool = False, least: float = 0, most: float = _MOST) -> None:
        self.unit, self.example, self.whole = unit, example, whole
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = int(value) if self.whole else float(value)
        except ValueError:
            number = math.nan
        if not max(self.least, 0) <= number <= self.most or number == 0:
            kind = "a whole number: " if self.whole else ""
            above = f"above 0 up to {self.most}" if number > self.most else "above 0"
            range_ = f"from {self.least:g} to {self.most:g}" if self.least else above
            raise InputError(
                f"it cannot be {str(value)[:40]!r}",
                where=_option(param),
                remedy=f"write {kind}{self.unit} {range_}, for example {_option(param)} {self.example}",
            )
        return number


def _option(param: click.Parameter | None) -> str:
    return max(param.opts, key=len) if param is not None else ""


FILE_NAME = FileName()
FOLDER_NAME = FolderName()
NAME = Name()
