"""The domains' kernels on another server, which has kernels of its own to boot from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from listener import Listener
from simulated import SimulatedHost, single_server

from snowha.errors import SiteError
from snowha.hosts.files import read_file
from snowha.hosts.local import LocalHost
from snowha.live.context import SiteContext
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


@pytest.mark.parametrize("is_booted", [True, False])
def test_what_differs_is_copied_unless_the_server_is_booted_from_it(
    is_booted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _, (first, second) = single_server(("deploy01",))
    domain = replace(context.site.domains[0], kernel="/boot/vmlinuz-6", ramdisk="/boot/initrd.img-6")
    context = SiteContext(replace(context.site, domains=(domain,)), context.hosts)
    for host, ramdisk in ((first, b"mine"), (second, b"its own")):
        assert isinstance(host, SimulatedHost)
        host.own |= {"/boot/vmlinuz-6": (b"linux", 0o644), "/boot/initrd.img-6": (ramdisk, 0o644)}
    asked: list[str] = []

    def booted_from(_: object, paths: list[str]) -> list[str]:
        asked.extend(paths)
        return paths if is_booted else []

    monkeypatch.setattr(kernels, "booted_from", booted_from)
    if is_booted:
        with pytest.raises(SiteError, match="boots from a file called /boot/initrd") as caught:
            kernels.copy(context, second, Listener())
        assert "/boot/domain-initrd.img-6" in caught.value.remedy
    else:
        kernels.copy(context, second, Listener())
    assert asked == ["/boot/initrd.img-6"]
    assert read_file(second, "/boot/initrd.img-6") == (b"its own" if is_booted else b"mine")
