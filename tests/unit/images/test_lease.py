"""The engine has the lease of what it copies to and from: the real engine, the real program, real locks and records."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from image_files import MIB, make_image, noise, silent
from lease_program import LeaseProgram
from snapshot_site import Site

from snowha.disks import engine_driver
from snowha.images.cli import main
from snowha.images.opening import open_undelegated
from snowha.images.verify import verify
from snowha.xen import server_program


def under_way(packed: Path, program: str, source: Path, target: Path) -> subprocess.Popen[str]:
    """A copy that would take minutes, once it has begun."""
    words = ["copy", str(source), str(target), "--json", "--rate", "0.05", "--lease", program]
    process = subprocess.Popen([sys.executable, str(packed), *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and json.loads(process.stdout.readline())["event"] == "plan"
    return process


def taken(lease_program: LeaseProgram, server: str, image: Path) -> subprocess.CompletedProcess[str]:
    """What another server is told that wants to have the image."""
    with image.open("r+b") as file:
        return lease_program.run(server, "take", str(image), "--fd", str(file.fileno()), descriptors=(file.fileno(),))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return noise(tmp_path / "source", 8 * MIB)


def test_the_lease_is_there_before_the_first_byte_is_written(
    lease_program: LeaseProgram, source: Path, tmp_path: Path
) -> None:
    """A domain that was started from the image at that moment would write into what is copied over it."""
    seen, wrapped = tmp_path / "seen", tmp_path / "wrapped"
    wrapped.write_text(
        f'#!/bin/sh\n[ "$1" != take ] || stat -c %s "$2.partial" > {seen}\nexec {lease_program.of("snow01")} "$@"\n'
    )
    wrapped.chmod(0o755)
    assert main(["copy", str(source), str(tmp_path / "image"), "--lease", str(wrapped)]) == 0
    assert seen.read_text() == "0\n"
    assert (tmp_path / "image").read_bytes() == source.read_bytes()


def test_nobody_else_has_the_image_meanwhile_and_is_told_who_has(
    packed: Path, lease_program: LeaseProgram, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two writers in one image, the engine and a domain or another engine; a script must tell that from a failing disk."""
    target = tmp_path / "image"
    process = under_way(packed, lease_program.of("snow01"), source, target)
    try:
        record = lease_program.record(target)
        assert (record.state, record.server, record.kind) == ("held", "snow01", "copy")
        refused = lease_program.run("snow02", "take", str(target), "--fd", "0")
        assert refused.returncode == 7 and "snow01 has it open for a copy" in refused.stderr
        assert main(["copy", str(source), str(target), "--json", "--lease", lease_program.of("snow02")]) == 7
        (event,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert (event["event"], event["kind"], event["exit"]) == ("error", "busy", 7)
        assert "snow01 has it open for a copy" in event["message"] and "snow-lease list" in event["remedy"]
    finally:
        process.kill()
        process.communicate()


def test_the_lease_is_given_back_however_the_copy_ends(
    lease_program: LeaseProgram, source: Path, tmp_path: Path
) -> None:
    """The domain could not be started from its image, on any server."""
    target, program = tmp_path / "image", lease_program.of("snow01")
    assert main(["copy", str(source), str(target), "--lease", program]) == 0
    assert lease_program.record(target).state == "free"
    assert taken(lease_program, "snow02", target).returncode == 0
    assert lease_program.run("snow02", "give", str(target)).returncode == 0
    with target.open("r+b") as file:
        file.write(b"a record")  # what a domain wrote: it must not be replaced
    assert main(["copy", str(source), str(target), "--lease", program]) == 4
    assert lease_program.record(target).state == "free"


def test_a_killed_engine_keeps_nobody_from_its_own_server(
    packed: Path, lease_program: LeaseProgram, source: Path, tmp_path: Path
) -> None:
    """The next run would be refused, by a run that is gone."""
    target = tmp_path / "image"
    process = under_way(packed, lease_program.of("snow01"), source, target)
    process.kill()
    process.communicate()
    assert lease_program.record(target).state == "held"
    assert main(["copy", str(source), str(target), "--lease", lease_program.of("snow02")]) == 7
    assert main(["copy", str(source), str(target), "--lease", lease_program.of("snow01")]) == 0
    assert lease_program.record(target).state == "free"
    with target.open("r+b") as file:  # a lease whose process is gone, and that no next run takes
        number = str(file.fileno())
        lease_program.run("snow01", "take", str(target), "--fd", number, descriptors=(file.fileno(),))
    assert taken(lease_program, "snow02", target).returncode == 7
    assert lease_program.run("snow01", "give", str(target)).returncode == 0
    assert taken(lease_program, "snow02", target).returncode == 0
    verify(str(target), silent)


def test_a_look_takes_no_lease(lease_program: LeaseProgram, tree: Path, tmp_path: Path) -> None:
    """`--preview` only says how much there is to do: it would be refused by what has the image, and refuse others for nothing."""
    site = Site(tmp_path, make_image(tmp_path / "origin", 24 * MIB, [], tree))
    site.take_snapshot()
    site.bulk()
    site.see_changes()
    nothing = str(tmp_path / "no-such-program")
    words = ["incremental", str(site.origin), str(site.cow), str(site.image), "--base", "one", "--lease", nothing]
    assert main([*words, "--preview"]) == 0
    assert main(words) == 4
    assert not Path(f"{site.image}.lease").exists()


def test_all_leases_are_taken_before_the_first_verb(lease_program: LeaseProgram, source: Path, tmp_path: Path) -> None:
    """A domain would be off, one of its disks copied, and the other one refused."""
    first, second = tmp_path / "first", tmp_path / "second"
    second.write_bytes(bytes(4096))
    assert lease_program.run("snow02", "new", str(second)).returncode == 0
    assert taken(lease_program, "snow02", second).returncode == 0
    lease = ["--lease", lease_program.of("snow01")]
    words = ["copy", str(source), str(first), *lease, "+", "copy", str(source), str(second), "--replace", *lease]
    assert main(words) == 7
    assert not first.exists()
    assert second.read_bytes() == bytes(4096)


def test_an_image_is_not_copied_back_while_somebody_has_it(
    lease_program: LeaseProgram, source: Path, tmp_path: Path
) -> None:
    """The volume would get half of what the domain writes just now. A volume itself has no lease, nor a record."""
    assert lease_program.run("snow02", "new", str(source)).returncode == 0
    assert taken(lease_program, "snow02", source).returncode == 0
    words = ["copy", str(source), str(tmp_path / "volume"), "--lease", lease_program.of("snow01")]
    assert main(words) == 7
    assert not (tmp_path / "volume").exists()
    assert lease_program.run("snow02", "give", str(source)).returncode == 0
    assert main(words) == 0
    assert {lease_program.record(path).state for path in (source, tmp_path / "volume")} == {"free"}


def test_an_image_of_which_nobody_knows_who_has_it_is_not_written(
    lease_program: LeaseProgram, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be attached somewhere since before there were leases."""
    target = tmp_path / "image"
    target.write_bytes(bytes(4096))
    assert main(["copy", str(source), str(target), "--replace", "--lease", lease_program.of("snow01")]) == 7
    assert f"snow-lease new {target}" in capsys.readouterr().err
    assert target.read_bytes() == bytes(4096)


def test_a_copy_to_an_image_that_is_replaced_elsewhere_ends_with_a_message(
    lease_program: LeaseProgram, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback, where two runs replace one image: its partial copy is locked, too."""
    target, partial = tmp_path / "image", tmp_path / "image.partial"
    target.write_bytes(bytes(4096))
    assert lease_program.run("snow01", "new", str(target)).returncode == 0
    with partial.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["copy", str(source), str(target), "--replace", "--lease", lease_program.of("snow01")]) == 7
    assert "image.partial: it is locked" in capsys.readouterr().err


def test_without_the_program_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that was set up anew would write into an image that another one runs from."""
    assert main(["copy", str(source), str(tmp_path / "image"), "--lease", str(tmp_path / "none")]) == 4
    assert "the lease cannot be taken" in capsys.readouterr().err
    assert not (tmp_path / "image").exists()


def test_what_writes_or_reads_back_an_image_is_told_to_lease_it() -> None:
    """A verb without the word would write without a lease; one that has no such word would be refused by the engine."""
    verbs = [["copy", "a", "b"], ["incremental", "a", "s", "b"], ["verify", "b"], ["map", "a"], ["wait", "w"]]
    words = " ".join(engine_driver.argv(verbs)).split(" + ")
    lease = f"--lease {server_program.PATH} --json"
    assert [verb.endswith(lease) for verb in words] == [True, True, True, False, False]


@pytest.mark.parametrize("has_direct", [True, False])
def test_what_is_opened_for_a_lease_is_opened_for_direct_io_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_direct: bool
) -> None:
    """A server that loses its power would keep the others from its images for 90 s: an NFS client asks for a delegation else."""
    real, asked = os.open, []

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        asked.append(bool(flags & os.O_DIRECT))
        if flags & os.O_DIRECT and not has_direct:
            real(path, flags & ~os.O_DIRECT, mode)
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags & ~os.O_DIRECT, mode)

    monkeypatch.setattr(os, "open", opened)
    descriptor = open_undelegated(str(tmp_path / "image"), os.O_RDWR | os.O_CREAT)
    assert asked == ([True] if has_direct else [True, False])
    assert os.write(descriptor, b"odd") == 3
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT == 0
    os.close(descriptor)
