"""The packages that the site's servers get: an apt repository for them, and the kernel of its domains."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.provision.packages import CONVERTER, EMULATOR, server_packages


def apt_words(*, sources: Path, work: Path, status: Path) -> list[str]:
    """apt-get(8)'s options to look at ``sources`` alone, for a machine whose packages are in the file ``status``; lists and
    archives are below ``work``."""
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    options = [
        f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State={work}",
        f"Dir::State::Lists={work}/lists", f"Dir::State::status={status}", f"Dir::Cache={work}",
        f"Dir::Cache::archives={work}/archives", "Acquire::Languages=none", "APT::Sandbox::User=root",
        "Debug::NoLocking=1",
    ]  # fmt: skip
    return [word for option in options for word in ("-o", option)]


def write(repository: Path, *, trees: list[Path], release: str, sources: Path, work: Path) -> None:
    """An apt repository with every package that the trees lack for being servers of a cluster."""
    apt = LocalHost()
    for number, tree in enumerate(trees):
        words = apt_words(sources=sources, work=work, status=tree / "var/lib/dpkg/status")
        if number == 0:
            apt.run(["apt-get", *words, "update"], timeout=300)
        install = ["install", "--download-only", "--no-install-recommends", "-y"]
        apt.run(["apt-get", *words, *install, *server_packages(release), CONVERTER, EMULATOR], timeout=900)
    repack(work / "archives", repository)
    index(repository, ".")


def repack(archives: Path, folder: Path) -> None:
    """A copy in ``folder`` of each .deb in ``archives``, which an emulated server unpacks in less time."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda package: _repacked(package, folder), archives.glob("*.deb")))


def index(root: Path, folder: str) -> None:
    """What apt reads of a flat repository (sources.list(5)) with packages in ``folder`` of ``root``."""
    apt = LocalHost()
    text = apt.run(["env", "-C", str(root), "apt-ftparchive", "packages", folder], timeout=300).stdout
    (root / folder / "Packages").write_text(text)
    release = apt.run(["env", "-C", str(root), "apt-ftparchive", "release", folder], timeout=60).stdout
    (root / folder / "Release").write_text(release)


def _repacked(package: Path, folder: Path) -> None:
    """Write a copy of a .deb to ``folder`` with zstd in place of xz (deb(5)), which an emulated server unpacks for minutes."""
    names = LocalHost().run(["ar", "t", str(package)]).stdout.split()
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        LocalHost().run(["ar", "x", str(package.resolve()), f"--output={work}"], timeout=60)
        for name in names:
            if name.endswith(".xz"):
                LocalHost().run(["xz", "--decompress", f"{work}/{name}"], timeout=120)
                LocalHost().run(["zstd", "--quiet", "--rm", f"{work}/{name.removesuffix('.xz')}"], timeout=120)
        members = [f"{work}/{name.replace('.xz', '.zst')}" for name in names]
        LocalHost().run(["ar", "qcS", str(folder / package.name), *members], timeout=60)


def fetch_domain_kernel(target: Path, *, release: str, sources: Path, work: Path, status_of: Path) -> tuple[str, Path]:
    """Debian's cloud kernel, unpacked below ``target``: its version and its modules. Small, made for virtual machines."""
    words = apt_words(sources=sources, work=work, status=status_of / "var/lib/dpkg/status")
    apt = LocalHost()
    depends = apt.run(["apt-cache", *words, "depends", "linux-image-cloud-amd64"]).stdout
    match = re.search(r"Depends: (linux-image-(\S+-cloud-amd64))", depends)
    if not match:
        raise SiteError(
            f"no cloud kernel in {release}", where="linux-image-cloud-amd64", remedy="check the apt sources"
        )
    package, version = match.groups()
    target.mkdir(parents=True, exist_ok=True)
    apt.run(["env", "-C", str(target), "apt-get", *words, "download", package], timeout=300)
    LocalHost().run(["dpkg", "-x", str(next(target.glob("*.deb"))), str(target)], timeout=300)
    modules = next(path for path in (target / "usr/lib/modules", target / "lib/modules") if path.exists())
    LocalHost().run(["depmod", "-b", str(modules.parent.parent), version], timeout=60)
    return version, modules / version
