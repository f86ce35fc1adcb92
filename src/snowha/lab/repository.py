"""The packages that the site's servers get: an apt repository for them, and the kernel of its domains."""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snowha.errors import SiteError
from snowha.hosts.local import LocalHost
from snowha.provision.packages import CONVERTER, server_packages


def write(repository: Path, *, trees: list[Path], release: str, sources: Path, work: Path) -> None:
    """An apt repository with every package that the trees lack for being servers of a cluster."""
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    apt = LocalHost()
    options = [
        f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State={work}",
        f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}", f"Dir::Cache::archives={work}/archives",
        "Acquire::Languages=none", "APT::Sandbox::User=root", "Debug::NoLocking=1",
    ]  # fmt: skip
    words = [word for option in options for word in ("-o", option)]
    status = ["-o", f"Dir::State::status={trees[0]}/var/lib/dpkg/status"]
    apt.run(["apt-get", *words, *status, "update"], timeout=300)
    for tree in trees:
        apt.run(
            [
                "apt-get", *words, "-o", f"Dir::State::status={tree}/var/lib/dpkg/status",
                "install", "--download-only", "--no-install-recommends", "-y", *server_packages(release), CONVERTER,
            ],
            timeout=900,
        )  # fmt: skip
    repository.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda package: _repacked(package, repository), (work / "archives").glob("*.deb")))
    index = apt.run(["env", "-C", str(repository), "apt-ftparchive", "packages", "."], timeout=300).stdout
    (repository / "Packages").write_text(index)
    release_text = apt.run(["env", "-C", str(repository), "apt-ftparchive", "release", "."], timeout=60).stdout
    (repository / "Release").write_text(release_text)


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
    options = [
        f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State={work}",
        f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}", "Acquire::Languages=none", "APT::Sandbox::User=root",
        f"Dir::State::status={status_of}/var/lib/dpkg/status",
    ]  # fmt: skip
    words = [word for option in options for word in ("-o", option)]
    apt = LocalHost()
    depends = apt.run(["apt-cache", *words, "depends", "linux-image-cloud-amd64"]).stdout
    match = re.search(r"Depends: (linux-image-(\S+-cloud-amd64))", depends)
    if not match:
        raise SiteError(f"no cloud kernel in {release}", where="linux-image-cloud-amd64", remedy="check the apt sources")
    package, version = match.groups()
    target.mkdir(parents=True, exist_ok=True)
    apt.run(["env", "-C", str(target), "apt-get", *words, "download", package], timeout=300)
    LocalHost().run(["dpkg", "-x", str(next(target.glob("*.deb"))), str(target)], timeout=300)
    modules = next(path for path in (target / "usr/lib/modules", target / "lib/modules") if path.exists())
    LocalHost().run(["depmod", "-b", str(modules.parent.parent), version], timeout=60)
    return version, modules / version
