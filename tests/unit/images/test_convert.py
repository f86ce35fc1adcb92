"""Disks in formats of their own, with the real qemu-img: what a domain sees in one is in the image, and in one like it again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from image_files import MIB, silent
from lease_program import LeaseProgram

from snowha.images import bundle, convert, qemu_img
from snowha.images.cli import main
from snowha.images.errors import BusyError, SourceError, SpaceError, TargetError, VerifyError
from snowha.images.verify import verify

pytestmark = pytest.mark.needs("qemu-img")
CONTENT = random.Random(3).randbytes(3 * MIB) + bytes(2 * MIB) + random.Random(4).randbytes(MIB) + bytes(MIB)
MAKERS = {
    "qcow2": ["-O", "qcow2"],
    "qcow2 as of QEMU 0.10": ["-O", "qcow2", "-o", "compat=0.10,cluster_size=4096"],
    "qcow2 compressed": ["-O", "qcow2", "-c"],
    "vhd": ["-O", "vpc", "-o", "force_size=on"],
    "vhd fixed": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
}


def qemu(*words: str | Path) -> str:
    done = subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(folder: Path, options: list[str], content: bytes = CONTENT) -> Path:
    """A disk with this content."""
    (folder / "raw").write_bytes(content)
    qemu("convert", "-f", "raw", *options, folder / "raw", folder / "disk")
    (folder / "raw").unlink()
    return folder / "disk"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return made(tmp_path, MAKERS["qcow2"])


def content_of(disk: Path, kind: str, folder: Path) -> bytes:
    """What a domain sees in it."""
    qemu("convert", "-f", qemu_img.DRIVERS[kind], "-O", "raw", disk, folder / "seen")
    return (folder / "seen").read_bytes()


@pytest.mark.parametrize("maker", MAKERS)
def test_there_and_back_with_what_was_written_since(maker: str, tmp_path: Path) -> None:
    kind = maker[:5].strip() if maker.startswith("qcow2") else "vhd"
    source, image = made(tmp_path, MAKERS[maker]), tmp_path / "image"
    source.chmod(0o640)
    before = source.read_bytes()
    assert convert.preview(str(source), str(image), kind)["bytes"] == len(CONTENT)
    done = convert.to_image(str(source), str(image), kind, silent)
    assert image.read_bytes() == CONTENT and source.read_bytes() == before
    assert (done["verified"], done["bytes"], done["method"]) == (True, len(CONTENT), f"converted from {kind}")
    assert verify(str(image), silent)["hash"] == done["hash"]
    assert json.loads((tmp_path / "image.manifest").read_text())["source"]["path"] == str(source)
    with image.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(b"written since")
    convert.from_image(str(image), str(source), kind, silent)
    assert content_of(source, kind, tmp_path) == image.read_bytes() != CONTENT
    assert source.stat().st_mode & 0o7777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "image", "image.manifest", "seen"]


def test_a_disk_is_made_again_with_the_properties_that_it_had(tmp_path: Path) -> None:
    """An older QEMU, or another hypervisor, may still read it."""
    source, image = made(tmp_path, MAKERS["qcow2 as of QEMU 0.10"]), tmp_path / "image"
    convert.to_image(str(source), str(image), "qcow2", silent)
    convert.from_image(str(image), str(source), "qcow2", silent)
    info = json.loads(qemu("info", "--output=json", source))
    assert (info["cluster-size"], info["format-specific"]["data"]["compat"]) == (4096, "0.10")


def with_backing(folder: Path) -> Path:
    made(folder, MAKERS["qcow2"])
    qemu("create", "-f", "qcow2", "-b", folder / "disk", "-F", "qcow2", folder / "top")
    return folder / "top"


def with_snapshot(folder: Path) -> Path:
    disk = made(folder, MAKERS["qcow2"])
    qemu("snapshot", "-c", "before", disk)
    return disk


def encrypted(folder: Path) -> Path:
    """By its header (docs/interop/qcow2.txt: crypt_method): making one fails on a busy machine, which it measures."""
    disk = made(folder, MAKERS["qcow2"])
    with disk.open("r+b") as file:
        file.seek(32)
        file.write((1).to_bytes(4, "big"))
    return disk


def with_data_elsewhere(folder: Path) -> Path:
    qemu("create", "-f", "qcow2", "-o", f"data_file={folder / 'data'},data_file_raw=on", folder / "disk", "4M")
    return folder / "disk"


def corrupt(folder: Path) -> Path:
    """The bit that QEMU sets when it finds the tables to be wrong (docs/interop/qcow2.txt: incompatible_features, bit 1)."""
    disk = made(folder, MAKERS["qcow2"])
    with disk.open("r+b") as file:
        file.seek(72)
        file.write((2).to_bytes(8, "big"))
    return disk


def tables_wrong(folder: Path) -> Path:
    """The first entry of the first table leads to a cluster that is called free."""
    disk = made(folder, MAKERS["qcow2"])
    with disk.open("r+b") as file:
        file.seek(40)
        table = int.from_bytes(file.read(8), "big")
        file.seek(table)
        file.write((1 << 63 | 64 << 16).to_bytes(8, "big"))
    return disk


def no_disk(folder: Path) -> Path:
    (folder / "disk").write_bytes(CONTENT)
    return folder / "disk"


REFUSED = {
    "partly in another file": with_backing,
    "snapshots in it": with_snapshot,
    "encrypted": encrypted,
    "contents are in another file": with_data_elsewhere,
    "marked as corrupt": corrupt,
    "finds errors": tables_wrong,
    "cannot be read as qcow2": no_disk,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_holds_more_than_its_own_contents_is_refused(reason: str, tmp_path: Path) -> None:
    """Snapshots would be lost, and half of a disk be taken for all of it."""
    source = REFUSED[reason](tmp_path)
    before = source.read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(SourceError, match=reason) as caught:
        convert.to_image(str(source), str(tmp_path / "image"), "qcow2", silent)
    assert caught.value.remedy
    if reason != "finds errors":  # for that it must be closed
        with pytest.raises(SourceError, match=reason):
            convert.preview(str(source), str(tmp_path / "image"), "qcow2")
    assert (source.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_a_vhd_with_a_parent_is_refused(tmp_path: Path) -> None:
    """QEMU takes it for a whole disk: what is in the parent alone became zeros, and was called verified."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    qemu("create", "-f", "vpc", disk, "4M")
    content = bytearray(disk.read_bytes())
    for at in (0, len(content) - 512):
        content[at + 60 : at + 64] = (4).to_bytes(4, "big")
        content[at + 64 : at + 68] = bytes(4)
        content[at + 64 : at + 68] = (~sum(content[at : at + 512]) & 0xFFFFFFFF).to_bytes(4, "big")
    disk.write_bytes(content)
    with pytest.raises(SourceError, match="partly in another file"):
        convert.preview(str(disk), str(image), "vhd")
    with pytest.raises(SourceError, match="partly in another file") as caught:
        convert.to_image(str(disk), str(image), "vhd", silent)
    assert "vhd-util" in caught.value.remedy
    assert not image.exists()


def test_a_disk_that_is_in_use_is_looked_at_and_not_converted(disk: Path, tmp_path: Path) -> None:
    """The domain's own QEMU has it locked; it closes its disks only once the domain is gone, so that is waited for."""
    holder = [sys.executable, "-c", HOLD, str(disk)]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin and process.stdout.readline() == "locked\n"
        try:
            assert convert.preview(str(disk), str(tmp_path / "image"), "qcow2")["bytes"] == len(CONTENT)
            with pytest.raises(BusyError, match="has it open") as caught:
                convert.to_image(str(disk), str(tmp_path / "image"), "qcow2", silent, patience_s=0)
            assert "shut its domain down" in caught.value.remedy
        finally:
            process.stdin.close()
    convert.to_image(str(disk), str(tmp_path / "image"), "qcow2", silent)


# the bytes by which QEMU says that it writes, and that nobody else may (block/file-posix.c: RAW_LOCK_PERM_BASE, _SHARED_BASE)
HOLD = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
for byte in (101, 201):
    fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, byte, 1, 0))
print("locked", flush=True)
sys.stdin.read()
"""


def instead(folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, script: str) -> None:
    """Have ``script`` run where qemu-img is asked for ``verb``; REAL is the real one."""
    real = Path(str(next(Path(one) / "qemu-img" for one in os.get_exec_path() if (Path(one) / "qemu-img").exists())))
    (folder / "bin").mkdir()
    program = folder / "bin" / "qemu-img"
    program.write_text(f'#!/bin/sh\nREAL={real}\nif [ "$1" = {verb} ]; then\n{script}\nfi\nexec "$REAL" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_an_image_that_differs_is_not_left_there(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "image"
    script = f"printf x | dd of={image}.partial bs=1 seek=70000 conv=notrunc status=none"
    instead(tmp_path, monkeypatch, "compare", script)
    with pytest.raises(VerifyError, match="differ"):
        convert.to_image(str(disk), str(image), "qcow2", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "disk"]


def test_a_disk_that_is_written_meanwhile_becomes_no_image(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By something that heeds no locks."""
    instead(tmp_path, monkeypatch, "compare", f"printf x >> {disk}")
    with pytest.raises(SourceError, match="written while"):
        convert.to_image(str(disk), str(tmp_path / "image"), "qcow2", silent)
    assert not (tmp_path / "image").exists()


def test_what_fails_on_the_way_back_leaves_the_old_disk(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, before = tmp_path / "image", disk.read_bytes()
    convert.to_image(str(disk), str(image), "qcow2", silent)
    instead(tmp_path, monkeypatch, "compare", "echo Content mismatch at offset 0!; exit 1")
    with pytest.raises(VerifyError, match="Content mismatch"):
        convert.from_image(str(image), str(disk), "qcow2", silent)
    assert disk.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "disk", "image", "image.manifest"]


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path: Path) -> None:
    source = tmp_path / "disk"
    qemu("create", "-f", "qcow2", source, "60T")
    with pytest.raises(SpaceError, match="bytes are missing"):
        convert.preview(str(source), str(tmp_path / "image"), "qcow2")
    with pytest.raises(SpaceError, match="bytes are missing"):
        convert.to_image(str(source), str(tmp_path / "image"), "qcow2", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]


def test_an_image_that_was_written_is_not_replaced_unless_asked(disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"somebody's")
    with pytest.raises(TargetError, match="it exists"):
        convert.to_image(str(disk), str(image), "qcow2", silent)
    convert.to_image(str(disk), str(image), "qcow2", silent, replace=True)
    assert image.read_bytes() == CONTENT


def test_without_the_program_its_package_is_named(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError) as caught:
        convert.preview(str(disk), str(tmp_path / "image"), "qcow2")
    assert "qemu-utils" in caught.value.remedy


def test_what_an_ended_run_left_is_begun_anew(disk: Path, tmp_path: Path) -> None:
    (tmp_path / "image.partial").write_bytes(b"rubbish" * MIB)
    (tmp_path / "image.journal").write_bytes(b"rubbish")
    convert.to_image(str(disk), str(tmp_path / "image"), "qcow2", silent)
    assert (tmp_path / "image").read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "image", "image.manifest"]


def test_the_verb_under_the_images_lease(
    disk: Path, tmp_path: Path, lease_program: LeaseProgram, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it travels to the server. With the lease no server attaches the image, and QEMU's own locks do not get in its way."""
    program = tmp_path / "images.pyz"
    program.write_bytes(bundle.pack())
    folder = tmp_path / "site"
    folder.mkdir()
    image = folder / "image"
    run: Any = lambda *words: subprocess.run(  # noqa: E731
        [sys.executable, str(program), "convert", *words, "--lease", lease_program.of("snow01"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    done = run(str(disk), str(image), "--from", "qcow2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["number"] == 0 and image.read_bytes() == CONTENT
    done = run(str(image), str(disk), "--to", "qcow2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert content_of(disk, "qcow2", tmp_path) == CONTENT
    with pytest.raises(SystemExit):
        main(["convert", str(disk), str(image), "--from", "vmdk"])
    assert "--from" in capsys.readouterr().err
