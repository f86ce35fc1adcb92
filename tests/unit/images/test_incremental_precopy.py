"""What of a warm copy is done while the domain still runs, and that none of it is trusted further than it reaches."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import MIB, make_image, silent
from snapshot_site import Site

from snowha.images.cli import main
from snowha.images.copy_plan import plan_copy
from snowha.images.copy_windows import VerifiedWindows
from snowha.images.errors import TargetError, UsageError
from snowha.images.incremental import precopy
from snowha.images.job import Options
from snowha.images.ranges import gaps
from snowha.images.storage import Storage
from snowha.images.verify import verify
from snowha.images.wait_for_file import wait


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A disk of 24 MiB of which an image was made; nothing is known of what is on it."""
    (tmp_path / "origin").write_bytes(random.Random(3).randbytes(24 * MIB))
    site = Site(tmp_path, tmp_path / "origin")
    site.take_snapshot()
    site.bulk()
    return site


def write(site: Site, *spans: tuple[int, int]) -> None:
    """Something else at each of these (at, size), as the domain writes it; the store names it."""
    with site.origin.open("r+b") as file:
        for at, size in spans:
            os.pwrite(file.fileno(), os.urandom(size), at)
    site.see_changes()


def go_ahead(site: Site, **options: Any) -> VerifiedWindows:
    event, proven = precopy(str(site.origin), str(site.cow), str(site.image), silent, Options(**options), base="one")
    assert event["event"] == "ahead"
    return proven


def is_finished(site: Site) -> None:
    assert site.image.read_bytes() == site.origin.read_bytes()
    verify(str(site.image), silent)
    assert site.names() == {"image", "image.manifest"}


def test_what_was_done_ahead_is_not_done_again_while_the_domain_is_down(site: Site) -> None:
    """The domain would be away for as long as without it."""
    write(site, (MIB, 700_000), (9 * MIB, 700_000), (17 * MIB, 700_000))
    proven = go_ahead(site)
    assert not site.image.exists() and set(proven.windows) == {0, 2, 4}
    write(site, (9 * MIB, 4096))
    done = site.last(proven=proven)
    assert done["kept"] > 1_300_000 and done["copied"] < 800_000
    is_finished(site)


def test_a_chunk_that_is_written_again_has_no_new_record_and_is_copied_all_the_same(site: Site) -> None:
    """The store names a chunk once. That it was copied ahead says nothing of what the domain wrote there afterwards."""
    write(site, (9 * MIB, 4096))
    proven = go_ahead(site)
    store = site.cow.read_bytes()
    write(site, (9 * MIB, 4096))
    assert site.cow.read_bytes() == store
    site.last(proven=proven)
    is_finished(site)


def test_what_is_written_while_it_is_read_is_not_taken_for_copied(site: Site) -> None:
    """It is read, and so is in the hash of its window, but the store did not name it yet, so it is not in the image."""
    write(site, (9 * MIB, 4096))

    class Written:
        def __init__(self, source: Storage) -> None:
            self.length, self._source = source.length, source

        def read_into(self, buffer: memoryview, at: int, size: int) -> None:
            if at <= 10 * MIB < at + size:
                write(site, (10 * MIB, 4096))
            self._source.read_into(buffer, at, size)

    proven = go_ahead(site, wrap=Written)
    assert 2 not in proven.windows
    site.last(proven=proven)
    is_finished(site)


def test_an_image_that_was_touched_since_is_not_taken_for_what_it_was(site: Site, tmp_path: Path) -> None:
    write(site, (9 * MIB, 4096))
    proven = go_ahead(site)
    with (tmp_path / "image.partial").open("r+b") as file:
        os.pwrite(file.fileno(), b"somebody else's", 9 * MIB)
    assert site.last(proven=proven)["kept"] == 0
    is_finished(site)


def test_gaps_that_were_bridged_ahead_belong_to_the_image(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between many small writes, deleted data is copied as well. If the last round did not know, the image would hold what by
    its manifest is zeros, and `verify` would blame the storage."""
    site = Site(tmp_path, make_image(tmp_path / "origin", 24 * MIB, [], tree))
    with Storage(str(site.origin)) as opened:
        free = max(gaps(plan_copy(opened).ranges, 24 * MIB), key=lambda gap: gap[1] - gap[0])
    start = free[0] // 4096 * 4096 + 4096
    with site.origin.open("r+b") as file:
        os.pwrite(file.fileno(), os.urandom(MIB), start)
    site.take_snapshot()
    site.bulk()
    write(site, *((at, 4096) for at in range(start, start + MIB, 8192)))
    with monkeypatch.context() as patch:
        patch.setattr("snowha.images.delta.MOST_RANGES", 8)
        proven = go_ahead(site)
    site.last(proven=proven)
    verify(str(site.image), silent)


def test_what_is_known_of_another_snapshot_is_not_used(site: Site) -> None:
    write(site, (9 * MIB, 4096))
    proven = go_ahead(site)
    assert site.last(proven=VerifiedWindows("two", proven.stamp, proven.windows))["kept"] == 0
    is_finished(site)


def test_killed_after_it_the_next_run_goes_on_or_begins_anew(site: Site) -> None:
    """The domain runs from its volumes then; what was done ahead is half of a change."""
    write(site, (9 * MIB, 4096))
    go_ahead(site)
    site.last()
    is_finished(site)
    with pytest.raises(UsageError, match="image of no snapshot"):
        go_ahead(site)
    site.take_snapshot()
    site.bulk("one")
    write(site, (9 * MIB, 4096))
    go_ahead(site)
    site.take_snapshot()
    site.bulk("two")
    site.last("two")
    is_finished(site)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    before=st.lists(st.tuples(st.integers(0, 5 * MIB), st.integers(1, 300_000)), max_size=4),
    after=st.lists(st.tuples(st.integers(0, 5 * MIB), st.integers(1, 300_000)), max_size=4),
)
def test_any_writes_before_and_after(
    before: list[tuple[int, int]], after: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "origin").write_bytes(random.Random(5).randbytes(6 * MIB))
    site = Site(folder, folder / "origin")
    site.take_snapshot()
    site.bulk()
    write(site, *before)
    proven = go_ahead(site)
    write(site, *after)
    site.last(proven=proven)
    is_finished(site)
    for path in folder.iterdir():
        path.unlink()


def test_it_waits_for_a_word_with_everything_ready(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process from before the shutdown to the end: to start one takes seconds on a busy server."""
    write(site, (9 * MIB, 4096))
    word = tmp_path / "word"
    mine = tmp_path / f"word.{os.getpid()}"
    mine.touch()  # left by a process with the same number: the domain is not off
    heard = threading.Event()
    says = []

    def listen(event: dict[str, Any]) -> None:
        says.append(event)
        if event["event"] == "waiting" and not heard.is_set():
            assert not mine.exists() and event["target"] == str(mine)
            heard.set()

    monkeypatch.setattr("snowha.images.events.as_json", listen)

    def domain() -> None:
        heard.wait()
        write(site, (13 * MIB, 4096))
        (tmp_path / "word.1").touch()  # for another engine
        mine.touch()

    thread = threading.Thread(target=domain)
    thread.start()
    incremental = ["incremental", str(site.origin), str(site.cow), str(site.image), "--base", "one", "--json"]
    assert main([*incremental, "--precopy", "+", "wait", str(word), "--json", "+", *incremental]) == 0
    thread.join()
    is_finished(site)
    assert not mine.exists() and (tmp_path / "word.1").exists()
    ends = [event for event in says if "number" in event]
    assert [event["event"] for event in ends] == ["ahead", "found", "done"]
    assert ends[2]["kept"] == 4096 and ends[2]["copied"] == 4096


def test_without_anybody_who_listens_it_does_not_wait_for_ever(site: Site, tmp_path: Path) -> None:
    """A snapshot would stay open, and fill up, after the machine that had started all this is gone."""
    soon = (
        "import sys; from snowha.images import cli, wait_for_file; wait_for_file.SAY_EVERY = 0.2; sys.exit(cli.main())"
    )
    words = [sys.executable, "-c", soon, "wait", str(tmp_path / "word"), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "waiting"
        process.stdout.close()
        assert process.wait(timeout=60) == 130


def test_a_word_that_cannot_be_removed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / f"word.{os.getpid()}").mkdir()
    with pytest.raises(TargetError, match="cannot be removed"):
        wait(str(tmp_path / "word"), silent)


def test_a_word_in_a_folder_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody can make it: the engine would stand there for ever, and its snapshot fill up. Nor once the folder is gone."""
    with pytest.raises(TargetError, match="no such folder"):
        wait(str(tmp_path / "nowhere/word"), silent)
    folder = tmp_path / "folder"
    folder.mkdir()
    soon = (
        "import sys; from snowha.images import cli, wait_for_file; wait_for_file.SAY_EVERY = 0.2; sys.exit(cli.main())"
    )
    words = [sys.executable, "-c", soon, "wait", str(folder / "word"), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "waiting"
        folder.rmdir()
        *_, last = process.stdout
    assert "no such folder" in json.loads(last)["message"]
    assert process.returncode == 4
