"""A volume, a snapshot of it, and an image, played by files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from image_files import silent
from snapshot_store import store

from snowha.images.full_copy import copy
from snowha.images.incremental import copy_changes
from snowha.images.job import Options


class Site:
    """A volume, a snapshot of it, and where the image goes."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.origin, self.snapshot, self.cow, self.image = (
            origin,
            folder / "snapshot",
            folder / "cow",
            folder / "image",
        )

    def take_snapshot(self) -> None:
        shutil.copyfile(self.origin, self.snapshot)

    def see_changes(self, *also: int) -> None:
        """Write the store: every chunk in which origin and snapshot differ, and ``also`` those (the replay's)."""
        before, now = self.snapshot.read_bytes(), self.origin.read_bytes()
        differ = [at // 4096 for at in range(0, len(now), 4096) if before[at : at + 4096] != now[at : at + 4096]]
        self.cow.write_bytes(store(sorted({*differ, *also}), chunks=4096))

    def bulk(self, point: str = "one") -> dict[str, Any]:
        return copy(str(self.snapshot), str(self.image), silent, Options(point=point))

    def last(self, base: str = "one", **more: Any) -> dict[str, Any]:
        return copy_changes(str(self.origin), str(self.cow), str(self.image), silent, base=base, **more)

    def names(self) -> set[str]:
        return {path.name for path in self.image.parent.iterdir() if path.name.startswith("image")}
