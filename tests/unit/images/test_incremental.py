"""The short part of a warm copy. A snapshot is played here by two files and a store written as the kernel would:
the snapshot as it was, the origin as it is now, and which chunks differ."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import MIB, make_image, silent, tool
from snapshot_site import Site
from snapshot_store import store

from snowha.images import bundle
from snowha.images.cli import main
from snowha.images.copy_plan import plan_copy
from snowha.images.errors import SourceError, TargetError, UsageError
from snowha.images.full_copy import copy
from snowha.images.incremental import copy_changes, preview
from snowha.images.job import Options
from snowha.images.ranges import intersect
from snowha.images.storage import Storage
from snowha.images.verify import verify


@pytest.fixture(scope="module")
def used(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("used") / "disk", 24 * MIB, [], tree)


@pytest.fixture
def site(used: Path, tmp_path: Path) -> Site:
    shutil.copyfile(used, tmp_path / "origin")
    return Site(tmp_path, tmp_path / "origin")


def write_into(image: Path, files: dict[str, bytes], folder: Path) -> None:
    """Files put into a file system that is not mounted."""
    words = []
    for number, (name, content) in enumerate(files.items()):
        path = folder / f"content{number}"
        path.write_bytes(content)
        words.append(f"write {path} {name}")
    script = folder / "debugfs.words"
    script.write_text("\n".join(words) + "\n")
    tool("debugfs", "-w", "-f", script, image)


def same_where_used(site: Site) -> None:
    with Storage(str(site.origin)) as opened:
        used = plan_copy(opened).ranges
    origin, image = site.origin.read_bytes(), site.image.read_bytes()
    assert len(origin) == len(image)
    assert all(origin[start:end] == image[start:end] for start, end in used)
    tool("e2fsck", "-fn", site.image)


def test_what_was_written_since_the_snapshot_arrives(site: Site, tmp_path: Path) -> None:
    """A domain finds in its image what it wrote while it was copied."""
    site.take_snapshot()
    site.bulk()
    new = {"one": os.urandom(900_000), "two": os.urandom(10)}
    write_into(site.origin, new, tmp_path)
    tool("debugfs", "-w", "-R", "rm /large", site.origin)
    site.see_changes()
    done = site.last()
    same_where_used(site)
    for name, content in new.items():
        tool("debugfs", "-R", f"dump /{name} {tmp_path / 'out'}", site.image)
        assert (tmp_path / "out").read_bytes() == content
    assert done["verified"] and done["copied"] < 3 * MIB
    verify(str(site.image), silent)
    assert site.names() == {"image", "image.manifest"}
    assert "point" not in json.loads((tmp_path / "image.manifest").read_text())


def test_data_written_before_the_snapshot_and_called_used_after_it_arrives(site: Site, tmp_path: Path) -> None:
    """ext4 writes a new file's blocks first and commits the bitmaps that name them seconds later. A snapshot in between has
    the blocks, calls them free, and they are not written again: neither its bitmaps nor its store lead to them."""
    content = os.urandom(3 * MIB)
    write_into(site.origin, {"new": content}, tmp_path)
    site.snapshot.write_bytes(site.origin.read_bytes())
    tool("debugfs", "-w", "-R", "rm /new", site.snapshot)  # the data is there, the metadata knows nothing of it
    site.bulk()
    site.see_changes()
    done = site.last()
    assert done["missed"] >= 2 * MIB
    tool("debugfs", "-R", f"dump /new {tmp_path / 'out'}", site.image)
    assert (tmp_path / "out").read_bytes() == content
    same_where_used(site)


def test_what_the_journal_replay_wrote_into_the_snapshot_does_not_stay(site: Site) -> None:
    """The replayed state is no state that the domain ever had on its disk."""
    site.take_snapshot()
    with site.snapshot.open("r+b") as file:  # a block that only the replay touched
        with Storage(str(site.snapshot)) as opened:
            at = plan_copy(opened).ranges[-1][1] // 4096 * 4096 - 8192
        os.pwrite(file.fileno(), b"replayed" * 512, at)
    site.bulk()
    site.see_changes(at // 4096)
    site.last()
    assert site.image.read_bytes()[at : at + 4096] == site.origin.read_bytes()[at : at + 4096]
    verify(str(site.image), silent)


def test_two_rounds(site: Site, tmp_path: Path) -> None:
    """A busy domain needs a second snapshot, so that little is left for the time in which it is down."""
    site.take_snapshot()
    site.bulk("one")
    write_into(site.origin, {"first": os.urandom(2 * MIB)}, tmp_path)
    site.see_changes()
    second = tmp_path / "second"
    shutil.copyfile(site.origin, second)
    copy_changes(str(second), str(site.cow), str(site.image), silent, base="one", point="two", last=False)
    with pytest.raises(UsageError, match="image of two, not of one"):
        site.last("one")
    site.snapshot = second
    write_into(site.origin, {"second": os.urandom(1000)}, tmp_path)
    site.see_changes()
    done = site.last("two")
    assert done["copied"] < MIB
    same_where_used(site)
    verify(str(site.image), silent)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    writes=st.lists(
        st.tuples(st.integers(0, 3 * MIB), st.integers(1, 300_000), st.sampled_from([0, 7])), min_size=1, max_size=6
    ),
    size=st.integers(2 * MIB, 3 * MIB),
)
def test_any_writes_to_any_disk(
    writes: list[tuple[int, int, int]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A disk without a file system that is known ends as the same bytes, zeros and holes included."""
    folder = tmp_path_factory.mktemp("any")
    origin = folder / "origin"
    origin.write_bytes(random.Random(size).randbytes(size))
    site = Site(folder, origin)
    site.take_snapshot()
    site.bulk()
    with origin.open("r+b") as file:
        for at, count, value in writes:
            count = min(count, max(0, size - at))
            os.pwrite(file.fileno(), bytes([value]) * count, at)
    site.see_changes()
    site.last()
    assert site.image.read_bytes() == origin.read_bytes()
    verify(str(site.image), silent)
    for path in folder.iterdir():
        path.unlink()


def test_killed_in_the_middle_it_goes_on(site: Site, tmp_path: Path) -> None:
    """Half of the changes in the image: it must not look finished, and the second run ends it."""
    site.take_snapshot()
    site.bulk()
    write_into(site.origin, {"new": os.urandom(6 * MIB)}, tmp_path)
    site.see_changes()

    class Dying:
        def __init__(self, source: Storage) -> None:
            self.length, self._source, self._left = source.length, source, 5 * MIB

        def read_into(self, buffer: memoryview, at: int, size: int) -> None:
            self._left -= size
            if self._left < 0:
                raise OSError(5, "Input/output error")
            self._source.read_into(buffer, at, size)

    with pytest.raises(SourceError):
        copy_changes(
            str(site.origin),
            str(site.cow),
            str(site.image),
            silent,
            Options(threads=1, wrap=Dying),
            base="one",
        )
    assert not site.image.exists() and "image.partial" in site.names()
    site.last()
    same_where_used(site)
    verify(str(site.image), silent)
    assert site.names() == {"image", "image.manifest"}


def test_killed_at_random_instants_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """kill -9 as often as SNOW_KILLS says (2) while the image of a snapshot is brought up to date, then one run to the end."""
    packed = tmp_path / "engine.pyz"
    packed.write_bytes(bundle.pack())
    chance = random.Random(os.environ.get("SNOW_KILL_SEED", "7"))
    origin = tmp_path / "origin"
    origin.write_bytes(chance.randbytes(24 * MIB))
    site = Site(tmp_path, origin)
    site.take_snapshot()
    site.bulk()
    with origin.open("r+b") as file:
        for window in range(6):
            os.pwrite(file.fileno(), chance.randbytes(400_000), window * 4 * MIB + chance.randrange(3 * MIB))
        os.pwrite(file.fileno(), bytes(MIB), 9 * MIB)
    site.see_changes()
    words = ["incremental", str(origin), str(site.cow), str(site.image), "--base", "one"]
    for _ in range(int(os.environ.get("SNOW_KILLS", "2"))):
        with subprocess.Popen(
            [sys.executable, str(packed), *words, "--rate", str(chance.choice([100, 300, 1000]))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                process.wait(timeout=chance.uniform(0.1, 0.5))
            except subprocess.TimeoutExpired:
                process.kill()
        if site.image.exists() and '"point"' not in (tmp_path / "image.manifest").read_text():
            verify(str(site.image), silent)
            site.bulk()
    site.last()
    assert site.image.read_bytes() == origin.read_bytes()
    verify(str(site.image), silent)
    assert site.names() == {"image", "image.manifest"}


def test_killed_before_the_rename_only_the_rename_is_left(site: Site, tmp_path: Path) -> None:
    """The manifest says already that it is finished: without care neither the same call nor anybody else could go on."""
    site.take_snapshot()
    site.bulk()
    write_into(site.origin, {"new": os.urandom(MIB)}, tmp_path)
    site.see_changes()
    replaced = Path.replace

    def killed(self: Path, target: str) -> Path:
        if self.name == "image.partial":
            raise KeyboardInterrupt
        return replaced(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            site.last()
    assert not site.image.exists() and "point" not in json.loads((tmp_path / "image.manifest").read_text())
    assert site.last()["copied"] == 0
    same_where_used(site)
    verify(str(site.image), silent)
    assert site.names() == {"image", "image.manifest"}


def test_another_copy_that_was_killed_is_not_touched(site: Site, tmp_path: Path) -> None:
    """Its journal is what it goes on from."""
    site.take_snapshot()
    site.bulk()
    (tmp_path / "image").rename(tmp_path / "image.partial")
    (tmp_path / "image.journal").write_bytes(b"somebody else's\n")
    site.see_changes()
    with pytest.raises(TargetError, match="no image to update"):
        site.last()
    assert (tmp_path / "image.journal").read_bytes() == b"somebody else's\n"


def test_after_a_killed_round_a_plain_copy_begins_anew(site: Site, tmp_path: Path) -> None:
    site.take_snapshot()
    site.bulk()
    (tmp_path / "image").rename(tmp_path / "image.partial")
    copy(str(site.origin), str(site.image), silent)
    same_where_used(site)


def test_what_cannot_be_brought_up_to_date_is_refused_and_left_alone(site: Site, tmp_path: Path) -> None:
    site.take_snapshot()
    with pytest.raises(UsageError, match="manifest"):
        site.last()
    site.bulk()
    write_into(site.origin, {"new": os.urandom(MIB)}, tmp_path)
    site.see_changes()
    kept = site.image.read_bytes()
    with pytest.raises(UsageError, match="image of one, not of other"):
        site.last("other")
    whole = site.cow.read_bytes()
    site.cow.write_bytes(store([1], valid=0))
    with pytest.raises(SourceError, match="overflowed"):
        site.last()
    site.cow.write_bytes(whole)
    assert site.image.read_bytes() == kept and site.names() == {"image", "image.manifest"}
    with site.image.open("r+b") as file:
        os.pwrite(file.fileno(), b"a record", 0)
    with pytest.raises(TargetError, match="written since"):
        site.last()
    assert site.image.read_bytes()[:8] == b"a record" and site.names() == {"image", "image.manifest"}


def test_a_preview_says_how_much_and_touches_nothing(site: Site, tmp_path: Path) -> None:
    """The time away is estimated from it before the domain is shut down."""
    site.take_snapshot()
    site.bulk()
    write_into(site.origin, {"new": os.urandom(MIB)}, tmp_path)
    site.see_changes()
    before = site.image.read_bytes()
    plan = preview(str(site.origin), str(site.cow), str(site.image))
    assert plan["event"] == "plan" and MIB <= plan["write"] <= plan["bytes"] <= 24 * MIB and plan["chunks"] > 256
    assert site.image.read_bytes() == before and site.names() == {"image", "image.manifest"}


def test_from_the_command_line(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.take_snapshot()
    words = [str(site.origin), str(site.cow), str(site.image), "--base", "one", "--json"]
    assert main(["copy", str(site.snapshot), str(site.image), "--point", "one", "--json"]) == 0
    write_into(site.origin, {"new": os.urandom(MIB)}, tmp_path)
    site.see_changes()
    assert main(["incremental", *words, "--preview"]) == 0
    assert main(["incremental", *words]) == 0
    assert main(["incremental", *words]) == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["kind"] == "usage" and any(event.get("missed") == 0 for event in events)
    with Storage(str(site.image)) as opened:
        assert intersect(plan_copy(opened).ranges, [(0, 4096)])


def test_bitmaps_of_a_file_system_in_use_are_a_guess_and_only_with_a_last_round(site: Site, tmp_path: Path) -> None:
    """Its state and its totals are written when it is unmounted: without the guess every warm copy would read every block."""
    site.take_snapshot()
    for words in ("feature needs_recovery", "set_super_value free_blocks_count 17", "set_super_value last_orphan 12"):
        tool("debugfs", "-w", "-R", words, site.snapshot)
    assert site.bulk()["method"] == "ext4 used blocks"
    assert copy(str(site.snapshot), str(tmp_path / "cold"), silent)["method"] == "every block"
    site.see_changes()
    site.last()
    same_where_used(site)
    verify(str(site.image), silent)


def test_after_the_last_round_the_image_has_all_of_its_room(site: Site) -> None:
    """Zeros that a round copies are made holes: the storage may be full when the domain writes into one."""
    data = site.origin.read_bytes()
    site.take_snapshot()
    site.bulk()
    with site.origin.open("r+b") as file:
        file.seek(8 * MIB)
        file.write(bytes(2 * MIB))
    site.see_changes()
    site.last()
    assert site.image.stat().st_blocks * 512 >= len(data)
