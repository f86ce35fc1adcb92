"""Files in the tree of a machine or a domain that is not running."""

from __future__ import annotations

import shutil
from pathlib import Path


def write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """A file in place of whatever is there: never through a link, which in another system's tree may point into this one."""
    path = _room_for(root, name)
    path.write_text(text)
    path.chmod(mode)


def link(root: Path, name: str, target: str) -> None:
    """A symbolic link in place of whatever is there."""
    _room_for(root, name).symlink_to(target)


def install(source: Path, root: Path, name: str) -> None:
    """A program."""
    path = _room_for(root, name)
    shutil.copyfile(source, path)
    path.chmod(0o755)


def _room_for(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path
