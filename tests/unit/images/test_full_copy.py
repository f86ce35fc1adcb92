"""The whole copy on real files: what lands in the image, what is refused, and what a second run makes of the first."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from image_files import MIB, make_image, noise, silent, tool
from lease_program import LeaseProgram

from snowha.disks import engine_driver
from snowha.errors import CommandError
from snowha.hosts.local import LocalHost
from snowha.images import bundle, storage
from snowha.images.cli import main
from snowha.images.copy_plan import plan_copy
from snowha.images.errors import SourceError, SpaceError, TargetError, UsageError, VerifyError
from snowha.images.full_copy import copy
from snowha.images.job import Options
from snowha.images.ranges import gaps, intersect, total
from snowha.images.storage import Storage
from snowha.images.verify import verify
from snowha.xen import server_program


def test_a_file_system_is_copied_used_blocks_only_and_is_sound(tree: Path, tmp_path: Path) -> None:
    """The domain must find every file in the image, and deleted garbage must not fill the shared storage."""
    source = make_image(tmp_path / "source", 40 * MIB + 517, [], tree)
    target = tmp_path / "image"
    done = copy(str(source), str(target), silent)
    assert done["method"] == "ext4 used blocks" and done["verified"] and done["bytes"] == 40 * MIB + 517
    before, after = source.read_bytes(), target.read_bytes()
    with Storage(str(source)) as opened:
        used = plan_copy(opened).ranges
    assert len(after) == len(before)
    assert all(before[start:end] == after[start:end] for start, end in used)
    assert all(not any(after[start:end]) for start, end in gaps(used, len(after)))
    assert total(used) < 20 * MIB
    tool("e2fsck", "-fn", target)
    out = tmp_path / "out"
    out.mkdir()
    tool("debugfs", "-R", f"rdump / {out}", target)
    for file in (path for path in tree.rglob("*") if path.is_file()):
        assert (out / file.relative_to(tree)).read_bytes() == file.read_bytes(), file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image", "image.manifest", "out", "source"]


def test_an_unclean_file_system_is_copied_whole_and_the_manifest_says_why(tree: Path, tmp_path: Path) -> None:
    source = make_image(tmp_path / "source", 12 * MIB, [], tree)
    tool("debugfs", "-w", "-R", "feature needs_recovery", source)
    done = copy(str(source), str(tmp_path / "image"), silent)
    assert done["method"] == "every block" and "journal" in done["reason"]
    assert (tmp_path / "image").read_bytes() == source.read_bytes()
    assert "journal" in json.loads((tmp_path / "image.manifest").read_text())["reason"]


def test_several_verbs_in_one_process_up_to_the_first_that_fails(
    packed: Path, lease_program: LeaseProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain waits for all its disks; what comes after a failure must not be done, and not be called done."""
    for name in ("root", "other"):
        noise(tmp_path / name, MIB)
    verbs = [["copy", str(tmp_path / name), str(tmp_path / f"image-{name}")] for name in ("root", "missing", "other")]
    monkeypatch.setattr(bundle, "COMMAND", ("python3", str(packed)))
    monkeypatch.setattr(server_program, "PATH", lease_program.of("snow01"))
    host = LocalHost()
    with pytest.raises(CommandError, match="cannot be opened"):
        engine_driver.run_all(host, verbs)
    assert (tmp_path / "image-root").exists() and not (tmp_path / "image-other").exists()
    done = engine_driver.run_all(host, [verbs[2], ["map", verbs[0][1]]])
    assert [event["event"] for event in done] == ["done", "plan"]
    assert done[0]["target"] == verbs[2][2]
    assert engine_driver.run_all(host, []) == []


@pytest.mark.parametrize("size", [1, 511, 4095, 4096, 4097, MIB - 1, 5 * MIB + 12345])
def test_sizes_that_are_no_multiple_of_anything(size: int, tmp_path: Path) -> None:
    source = noise(tmp_path / "source", size)
    copy(str(source), str(tmp_path / "image"), silent)
    assert (tmp_path / "image").read_bytes() == source.read_bytes()
    verify(str(tmp_path / "image"), silent)


def test_an_image_that_is_gone_does_not_differ(tmp_path: Path) -> None:
    """ "Do not trust this storage" would be said of a typing mistake."""
    source = noise(tmp_path / "source", MIB)
    done = copy(str(source), str(tmp_path / "image"), silent)
    (tmp_path / "image").unlink()
    with pytest.raises(UsageError, match="no such image"):
        verify(str(tmp_path / "image"), silent)
    assert done["hash"].startswith("sha256-of-windows:")


def zeros_between(path: Path) -> Path:
    return noise(path, 9 * MIB, zeros=[(MIB, 3 * MIB), (6 * MIB + 70_000, 400_000), (8 * MIB, MIB)])


def test_zeros_are_not_written_and_have_their_room(tmp_path: Path) -> None:
    """The storage may fill up later: a domain's write into a hole would be an error of its disk."""
    source, image = zeros_between(tmp_path / "source"), tmp_path / "image"
    done = copy(str(source), str(image), silent)
    with Storage(str(image)) as there:  # before the kernel has pages of it in memory, which count as data
        assert total(there.data_ranges()) <= done["written"] + 64 * 1024, "zeros would be read back"
    assert image.read_bytes() == source.read_bytes()
    assert done["written"] < 5 * MIB
    assert image.stat().st_blocks * 512 >= 9 * MIB


def without_fallocate(descriptor: int, mode: int, at: int, size: int) -> int:
    return errno.EOPNOTSUPP if mode == 0 else real_fallocate(descriptor, mode, at, size)


real_fallocate = storage.fallocate


def test_where_the_storage_cannot_allocate_zeros_become_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS before 4.2. Zeros are not written instead: that would cost the copy its speed."""
    monkeypatch.setattr(storage, "fallocate", without_fallocate)
    source, image = zeros_between(tmp_path / "source"), tmp_path / "image"
    done = copy(str(source), str(image), silent)
    assert image.read_bytes() == source.read_bytes()
    assert done["written"] < 5 * MIB
    assert image.stat().st_blocks * 512 <= done["written"] + 64 * 1024


def test_what_does_not_fit_takes_no_room_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota ends the allocation half-way: what it had taken is given back, for the copy itself."""

    def half(descriptor: int, mode: int, at: int, size: int) -> int:
        if mode:
            return real_fallocate(descriptor, mode, at, size)
        return real_fallocate(descriptor, 0, at, size // 2) or errno.EDQUOT

    monkeypatch.setattr(storage, "fallocate", half)
    source, image = zeros_between(tmp_path / "source"), tmp_path / "image"
    done = copy(str(source), str(image), silent)
    assert image.read_bytes() == source.read_bytes()
    assert image.stat().st_blocks * 512 <= done["written"] + 64 * 1024


def test_swap_and_what_was_killed_have_their_room_as_well(tmp_path: Path) -> None:
    """Nothing of swap is copied; the domain fills all of it later."""
    source, image = tmp_path / "source", tmp_path / "image"
    noise(source, 4 * MIB)
    tool("mkswap", "-q", source)
    copy(str(source), str(image), silent)
    assert image.stat().st_blocks * 512 >= 4 * MIB


def test_swap_is_made_anew_with_the_same_identity(tmp_path: Path) -> None:
    """fstab names swap by UUID or label; what was in it is not worth reading."""
    source, target = tmp_path / "source", tmp_path / "image"
    noise(source, 4 * MIB)
    tool("mkswap", "-q", "-L", "paging", "-U", "0dd3ae5b-07b7-4c25-8f27-2f0aa1a1f3a5", source)
    done = copy(str(source), str(target), silent)
    assert done["method"] == "new swap header"
    assert (
        tool("blkid", "-p", "-o", "export", target).split("\n")[1:]
        == tool("blkid", "-p", "-o", "export", source).split("\n")[1:]
    )
    assert target.read_bytes()[:4096] == source.read_bytes()[:4096]
    assert not any(target.read_bytes()[4096:]) and target.stat().st_size == 4 * MIB
    verify(str(target), silent)


def test_swap_that_was_copied_already_is_left_alone_unless_it_is_another_or_was_written(tmp_path: Path) -> None:
    """It is copied ahead, while its domain runs, and looked at again once it is off: made anew meanwhile, it must be found."""
    source, target = tmp_path / "source", tmp_path / "image"
    source.write_bytes(bytes(4 * MIB))
    tool("mkswap", "-L", "first", source)
    first = copy(str(source), str(target), silent)
    before = target.stat()
    with source.open("r+b") as file:  # what is swapped out
        os.pwrite(file.fileno(), b"x" * 4096, MIB)
    again = copy(str(source), str(target), silent)
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    tool("mkswap", "-L", "second", source)
    copy(str(source), str(target), silent)
    assert target.read_bytes()[:4096] == source.read_bytes()[:4096]
    with target.open("r+b") as file:
        os.pwrite(file.fileno(), b"y", 99)
    with pytest.raises(TargetError):
        copy(str(source), str(target), silent)
    copy(str(source), str(target), silent, Options(replace=True))
    assert target.read_bytes()[:4096] == source.read_bytes()[:4096]
    before = target.stat()
    moved = source.rename(tmp_path / "moved")  # whoever brings it back looks in the manifest for where it came from
    copy(str(moved), str(target), silent)
    assert target.stat().st_ino != before.st_ino and str(moved) in (tmp_path / "image.manifest").read_text()


def test_what_a_running_domain_swaps_out_does_not_end_the_copy_of_its_swap_and_mkswap_does(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "image"
    source.write_bytes(bytes(4 * MIB))
    tool("mkswap", "-L", "first", source)
    totals: list[int] = []

    def swap_out(event: dict[str, Any]) -> None:
        if event["event"] == "plan":
            with source.open("r+b") as file:
                os.pwrite(file.fileno(), b"x" * 4096, 3 * 4096)

    copy(str(source), str(target), swap_out)
    assert target.read_bytes()[:4096] == source.read_bytes()[:4096] and not any(target.read_bytes()[4096:])
    target.unlink()
    copy(str(source), str(target), lambda event: totals.append(event.get("total", 1)))
    assert 0 not in totals, "0 of 0 bytes would be shown as progress"

    def make_anew(event: dict[str, Any]) -> None:
        if event["event"] == "plan":
            tool("mkswap", "-L", "second", source)

    target.unlink()
    with pytest.raises(SourceError, match="written while"):
        copy(str(source), str(target), make_anew)


def test_a_flipped_bit_is_found_and_its_window_named(tmp_path: Path) -> None:
    source, target = noise(tmp_path / "source", 13 * MIB), tmp_path / "image"
    copy(str(source), str(target), silent)
    with target.open("r+b") as file:
        for at in (5 * MIB + 17, 12 * MIB + 1):
            byte = os.pread(file.fileno(), 1, at)
            os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)
    with pytest.raises(VerifyError) as caught:
        verify(str(target), silent)
    assert caught.value.ranges == ((4 * MIB, 8 * MIB), (12 * MIB, 13 * MIB))


def test_a_byte_where_nothing_was_copied_is_found(tree: Path, tmp_path: Path) -> None:
    source, target = make_image(tmp_path / "source", 24 * MIB, [], tree), tmp_path / "image"
    copy(str(source), str(target), silent)
    with Storage(str(source)) as opened:
        start, end = max(gaps(plan_copy(opened).ranges, opened.length), key=lambda span: span[1] - span[0])
    with target.open("r+b") as file:
        os.pwrite(file.fileno(), b"x", (start + end) // 2)
    with pytest.raises(VerifyError) as caught:
        verify(str(target), silent)
    assert intersect(caught.value.ranges, [(start, end)])


def test_where_only_the_page_cache_is_to_be_had_it_is_synced_before_it_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else memory would be compared with memory, and nothing be known of the storage."""
    source, target = noise(tmp_path / "source", 44 * MIB + 99), tmp_path / "image"
    happened: list[tuple[str, int]] = []
    opened, write, read, sync = os.open, Storage.write_from, Storage.read_into, Storage.sync

    def no_direct(path: Any, flags: int, *more: Any, **others: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return opened(path, flags, *more, **others)

    def note(kind: str, self: Storage, at: int) -> None:
        if self.path.endswith(".partial"):
            happened.append((kind, at // (4 * MIB)))

    def noted_write(self: Storage, view: memoryview, at: int) -> None:
        write(self, view, at)
        note("write", self, at)

    def noted_read(self: Storage, buffer: memoryview, at: int, size: int) -> None:
        note("read", self, at)
        read(self, buffer, at, size)

    def noted_sync(self: Storage) -> None:
        note("sync", self, 0)
        sync(self)

    monkeypatch.setattr(os, "open", no_direct)
    monkeypatch.setattr(Storage, "write_from", noted_write)
    monkeypatch.setattr(Storage, "read_into", noted_read)
    monkeypatch.setattr(Storage, "sync", noted_sync)
    copy(str(source), str(target), silent)
    monkeypatch.undo()
    assert target.read_bytes() == source.read_bytes()
    for number, (kind, window) in enumerate(happened):
        if kind == "read":
            written = max(place for place, event in enumerate(happened[:number]) if event == ("write", window))
            assert ("sync", 0) in happened[written:number]
    assert {window for kind, window in happened if kind == "read"} == set(range(12))


class Failing:
    """A disk with one bad place."""

    def __init__(self, source: Storage, bad: tuple[int, int]) -> None:
        self.length, self._source, self._bad = source.length, source, bad

    def read_into(self, buffer: memoryview, at: int, size: int) -> None:
        if at < self._bad[1] and at + size > self._bad[0]:
            raise OSError(errno.EIO, "Input/output error")
        self._source.read_into(buffer, at, size)


def test_a_place_that_cannot_be_read_is_named_and_nothing_is_called_done(tmp_path: Path) -> None:
    source, target = noise(tmp_path / "source", 6 * MIB), tmp_path / "image"
    bad = (3 * MIB + 8192, 3 * MIB + 16384)
    with pytest.raises(SourceError) as caught:
        copy(str(source), str(target), silent, Options(wrap=lambda opened: Failing(opened, bad)))
    assert caught.value.ranges == (bad,) and str(bad[0]) in str(caught.value)
    assert not target.exists() and not (tmp_path / "image.manifest").exists()
    copy(str(source), str(target), silent)  # the disk reads again: the copy goes on
    assert target.read_bytes() == source.read_bytes()


def test_a_source_written_during_the_copy_is_not_called_done(tmp_path: Path) -> None:
    source = noise(tmp_path / "source", 2 * MIB)

    def write_meanwhile(event: dict[str, Any]) -> None:
        if event["event"] == "progress" and event["phase"] == "copy":
            os.utime(source)

    with pytest.raises(SourceError, match="written while"):
        copy(str(source), str(tmp_path / "image"), write_meanwhile)
    assert not (tmp_path / "image").exists()


def test_an_image_in_use_is_not_overwritten_and_an_untouched_one_is(tmp_path: Path) -> None:
    """What a domain wrote into its image since would be lost."""
    source, target = noise(tmp_path / "source", MIB), tmp_path / "image"
    copy(str(source), str(target), silent)
    copy(str(source), str(target), silent)
    with target.open("r+b") as file:
        file.write(b"a record")
    with pytest.raises(TargetError, match="written since"):
        copy(str(source), str(target), silent)
    assert target.read_bytes().startswith(b"a record")
    copy(str(source), str(target), silent, Options(replace=True))
    assert target.read_bytes() == source.read_bytes()


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = noise(tmp_path / "source", 3 * MIB, zeros=[(MIB, MIB)]), tmp_path / "image"
    real = os.statvfs(tmp_path)

    def room(free: int) -> None:
        fields = list(real)
        fields[4] = free // real.f_frsize
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))

    room(MIB)
    with pytest.raises(SpaceError, match=f"{MIB} bytes are missing"):
        copy(str(source), str(target), silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
    room(2 * MIB)  # fits once zeros are holes
    copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()


def test_the_disk_filling_up_midway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = noise(tmp_path / "source", 3 * MIB)

    def full(self: Storage, view: memoryview, at: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Storage, "write_from", full)
    with pytest.raises(SpaceError):
        copy(str(source), str(tmp_path / "image"), silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_the_source_itself_is_no_target(tmp_path: Path) -> None:
    source = noise(tmp_path / "source", MIB)
    with pytest.raises(TargetError):
        copy(str(source), str(source), silent)
    with pytest.raises(UsageError, match="manifest"):
        verify(str(source), silent)


def run(packed: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(packed), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_travelling_file_needs_nothing_of_the_project(packed: Path, tmp_path: Path) -> None:
    """It runs where only Python is."""
    source, target = noise(tmp_path / "source", 2 * MIB), tmp_path / "image"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(packed), "copy", str(source), str(target), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        events = [json.loads(line) for line in process.stdout or ()]
    assert process.returncode == 0
    assert events[0]["event"] == "plan" and events[-1]["event"] == "done" and events[-1]["verified"]
    said = [event for event in events if event["event"] == "progress"]
    assert {event["phase"] for event in said} == {"copy"} and said[-1]["done"] == said[-1]["total"] == 2 * MIB
    assert bundle.pack() == packed.read_bytes()


def test_exit_codes_and_error_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script must tell a failing disk from a typing mistake."""
    source = noise(tmp_path / "source", MIB)
    assert main(["copy", str(tmp_path / "none"), str(tmp_path / "image"), "--json"]) == 3
    assert main(["copy", str(source), str(tmp_path / "no" / "image"), "--json"]) == 4
    assert main(["verify", str(source), "--json"]) == 2
    assert main(["map", str(source), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event.get("kind") for event in events] == ["source", "target", "usage", "unknown"]
    assert events[3]["ranges"] == [[0, MIB]]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_when_nobody_reads_what_it_says_it_ends_without_a_traceback(
    more: list[str], packed: Path, tree: Path, tmp_path: Path
) -> None:
    """``… map DISK | head -1``"""
    source = make_image(tmp_path / "source", 24 * MIB, [], tree)
    with subprocess.Popen(
        [sys.executable, str(packed), "map", str(source), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 130
    assert "Traceback" not in said and "Exception" not in said


def test_a_second_copy_to_the_same_target_is_refused(packed: Path, tmp_path: Path) -> None:
    source, target = noise(tmp_path / "source", 4 * MIB), tmp_path / "image"
    with run(packed, "copy", str(source), str(target), "--json", "--rate", "0.5") as first:
        assert first.stdout and json.loads(first.stdout.readline())["event"] == "plan"
        assert main(["copy", str(source), str(target)]) == 7
        first.send_signal(signal.SIGINT)
        assert first.wait() == 130
    assert not target.exists()


def test_killed_at_random_instants_it_ends_with_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    """kill -9 as often as SNOW_KILLS says (6), then one run to the end. The source changes once in between."""
    source = noise(tmp_path / "source", 24 * MIB, zeros=[(5 * MIB, 3 * MIB)])
    target = tmp_path / "image"
    chance = random.Random(os.environ.get("SNOW_KILL_SEED", "7"))
    kills = int(os.environ.get("SNOW_KILLS", "6"))
    for number in range(kills):
        if number == kills // 2:
            with source.open("r+b") as file:
                os.pwrite(file.fileno(), bytes(MIB), chance.randrange(20 * MIB))
                os.pwrite(file.fileno(), chance.randbytes(MIB), chance.randrange(20 * MIB))
        with run(packed, "copy", str(source), str(target), "--rate", str(chance.choice([30, 100, 1000]))) as process:
            until = time.monotonic() + chance.uniform(0.05, 0.5)
            try:
                process.wait(timeout=until - time.monotonic())
            except subprocess.TimeoutExpired:
                process.kill()
        if target.exists():
            verify(str(target), silent)
            target.unlink()
    copy(str(source), str(target), silent)
    assert target.read_bytes() == source.read_bytes()


def test_what_was_synced_is_not_written_again(tmp_path: Path) -> None:
    """A copy that was nearly through when the server lost power does not start from nothing."""
    source, target = noise(tmp_path / "source", 16 * MIB), tmp_path / "image"
    with pytest.raises(SourceError):
        copy(
            str(source),
            str(target),
            silent,
            Options(threads=1, wrap=lambda opened: Failing(opened, (13 * MIB, 14 * MIB))),
        )
    done = copy(str(source), str(target), silent)
    assert done["kept"] == 12 * MIB and done["written"] == 4 * MIB
    assert target.read_bytes() == source.read_bytes()


def test_memory_does_not_grow_with_the_disk(packed: Path, tmp_path: Path) -> None:
    """A server's dom0 has little: at most 64 MiB, for 1 TiB as for 1 GiB."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from snow_images.cli import main; code = main(sys.argv[2:]);"
        + ("print([line for line in open('/proc/self/status') if 'VmHWM' in line][0].split()[1]); sys.exit(code)")
    )
    peaks = []
    for size in (1 << 30, 1 << 40):
        source = tmp_path / "source"
        with source.open("wb") as file:
            file.truncate(size)
            for at in range(0, size, size // 64):
                os.pwrite(file.fileno(), b"x" * 4096, at)
        words = [sys.executable, "-c", script, str(packed), "copy", str(source), str(tmp_path / f"image{size}")]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert max(peaks) < 64 * 1024 and peaks[1] < peaks[0] * 1.25, f"KiB: {peaks}"
