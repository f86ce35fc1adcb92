"""The domains' kernels on another server, which has kernels of its own to boot from."""

from __future__ import annotations

from pathlib import Path

import pytest

from snowha.hosts.local import LocalHost
from snowha.provision.servers import kernels


@pytest.mark.parametrize(
    ("path", "is_booted"),
    [
        ("boot/vmlinuz-6.1.0-18-amd64", True),  # the newest, whose ramdisk is this server's own
        ("boot/initrd.img-6.1.0-18-amd64", True),
        ("boot/vmlinuz-6.1.0-30-amd64", True),  # not there: GRUB would boot it, and there are no modules
        ("vmlinuz", True),
        ("boot/vmlinuz-6.1.0-9-amd64", False),  # older than the one that is booted, whatever its letters
        ("boot/initrd.img-3.16.0-4-amd64", False),
        ("boot/domain-vmlinuz-6.1.0-30-amd64", False),
        ("boot/vmlinuz", False),
    ],
)
def test_what_a_server_is_booted_from_is_known(
    path: str, is_booted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was replaced by another server's: with the ramdisk of that one, or without its modules, it does not come back."""
    top = tmp_path.resolve()
    (top / "boot").mkdir()
    for name in ("vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-18-amd64", "initrd.img-6.1.0-18-amd64"):
        (top / "boot" / name).write_text(name)
    (top / "vmlinuz").symlink_to("boot/vmlinuz-6.1.0-18-amd64")
    monkeypatch.setattr(kernels, "_BOOTED", kernels._BOOTED.replace("/boot/", f"{top}/boot/"))
    assert kernels.booted_from(LocalHost(), [f"{top}/{path}"]) == ([f"{top}/{path}"] if is_booted else [])


def test_a_server_without_kernels_in_its_boot_folder_takes_none_for_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path.resolve()
    monkeypatch.setattr(kernels, "_BOOTED", kernels._BOOTED.replace("/boot/", f"{top}/boot/"))
    assert kernels.booted_from(LocalHost(), [f"{top}/boot/vmlinuz-1"]) == [f"{top}/boot/vmlinuz-1"]
