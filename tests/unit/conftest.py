"""Fixtures of all tests."""

from __future__ import annotations

import random
from pathlib import Path

import machine
import pytest
from lease_program import LeaseProgram
from lease_servers import Servers, two_servers
from machine_hooks import (  # noqa: F401
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_terminal_summary,
)

from snowha.images import bundle


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image engine as it travels."""
    path = tmp_path_factory.mktemp("packed") / "images.pyz"
    path.write_bytes(bundle.pack())
    return path


@pytest.fixture
def lease_program(tmp_path_factory: pytest.TempPathFactory) -> LeaseProgram:
    """The program that takes leases, as it is on the servers."""
    return LeaseProgram(tmp_path_factory.mktemp("lease"))


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    """Two servers that share a folder, with an image that nobody has."""
    return two_servers(tmp_path)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind that matters for blocks: empty, small, large, sparse, many, linked."""
    machine.need("mkfs.ext4", "e2fsck", "dumpe2fs")
    top = tmp_path_factory.mktemp("tree")
    source = random.Random(1)
    (top / "empty").touch()
    (top / "zeros").write_bytes(bytes(300_000))
    (top / "large").write_bytes(source.randbytes(2_500_000))
    with (top / "sparse").open("wb") as file:
        file.seek(5_000_000)
        file.write(b"end")
    for number in range(200):
        folder = top / f"d{number % 7}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_bytes(source.randbytes(source.randrange(12_000)))
    (top / "link").symlink_to("large")
    return top
