"""Everything the lab's machines start from, built once and kept in the cache under a name that says what it was made from."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snowha.hosts.local import LocalHost
from snowha.lab import (
    busybox,
    cleanup,
    disks,
    emulation_tuning,
    guests,
    initramfs,
    layout,
    repository,
    rootfs,
    site_files,
    tree,
)
from snowha.lab.disks import MIB
from snowha.lab.layout import DOMAINS, MACHINES, NFS01, SNOW01, SNOW02, DomainPlan
from snowha.provision import packages

Say = Callable[[str], None]

DISK_SIZES = {"snow01": 4096 * MIB, "snow02": 4096 * MIB, "nfs01": 8192 * MIB}
VOLUME_GROUP_SIZE = 6144 * MIB

_BUILDERS = (
    busybox,
    disks,
    guests,
    initramfs,
    layout,
    packages,
    emulation_tuning,
    repository,
    rootfs,
    site_files,
    tree,
)
"""The modules that decide what is built."""


def key(release: str) -> str:
    """Name of what would be built now: the release, the sources and the code that builds."""
    digest = hashlib.sha256(release.encode() + rootfs.apt_sources(release).encode())
    modules = [Path(module.__file__ or "") for module in _BUILDERS]
    data = sorted(guests.GUEST.rglob("*"))
    for path in (Path(__file__), *modules, *data):
        if path.is_file():
            digest.update(path.read_bytes())
    return f"{release}-{digest.hexdigest()[:16]}"


def built(cache: Path, release: str, say: Say) -> Path:
    """The folder with the raw disks and keys for ``release``; builds it when the cache has none."""
    folder = cache / key(release)
    if folder.exists():
        return folder
    work = cache / f"{folder.name}.work"
    if work.exists():
        cleanup.remove(work)
    work.mkdir(parents=True)
    _build(work, release, say)
    for name in ("trees", "apt", "kernel"):
        shutil.rmtree(work / name)
    work.rename(folder)
    return folder


def _make_keys(folder: Path) -> rootfs.Keys:
    def generate(path: Path, comment: str) -> Path:
        LocalHost().run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
        return path

    private = generate(folder / "id_ed25519", "snow lab")
    return rootfs.Keys(private, {m.name: generate(folder / f"host-{m.name}", f"root@{m.name}") for m in MACHINES})


def _build(work: Path, release: str, say: Say) -> None:
    sources = work / "apt.sources"
    sources.write_text(rootfs.apt_sources(release))
    keys = _make_keys(work)
    trees = {role: work / "trees" / role for role in rootfs.PACKAGES}
    (work / "trees").mkdir()
    service = work / "lab-service"
    guests.compile_service(service)

    def bootstrap(role: str) -> None:
        say(f"unpacking Debian {release} for the {role} machine")
        rootfs.bootstrap(trees[role], role, release, sources)
        say(f"Debian {release} for the {role} machine is unpacked")

    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(bootstrap, ("single", "stock", "domain", "storage")))
    say("fetching the cluster's packages and the domains' kernel")
    packages_folder = trees["storage"] / "srv/packages/debian"
    servers = [trees["stock"], trees["single"]]
    repository.write(packages_folder, trees=servers, release=release, sources=sources, work=work / "apt")
    version, modules = repository.fetch_domain_kernel(
        work / "kernel", release=release, sources=sources, work=work / "apt", status_of=trees["stock"]
    )
    boot = trees["single"] / "boot"
    # not "vmlinuz-…": update-grub would offer it to boot the server from
    shutil.copy(next((work / "kernel/boot").glob("vmlinuz-*")), boot / f"domain-vmlinuz-{version}")
    initramfs.write(boot / f"domain-initrd.img-{version}", modules=modules)
    # no domain of the site has it: for those whose root is XFS, and too large for the memory of the others
    initramfs.write(boot / f"domain-initrd-xfs.img-{version}", modules=modules, names=(*initramfs.MODULES, "xfs"))
    site_files.write(trees["storage"] / "export/sNow", version)

    say("filling the domains' volumes")
    volumes: dict[str, int] = {}
    for plan in DOMAINS:
        volumes[f"{plan.name}-disk"] = plan.disk * MIB
        volumes[f"{plan.name}-swap"] = plan.swap * MIB
    group = work / "snow01-b.raw"
    places = disks.make_volume_group(group, size=VOLUME_GROUP_SIZE, volumes=volumes)
    for plan in DOMAINS:
        _fill_domain(work, plan, trees["domain"], service, group, places)

    say("writing the machines' disks")
    for machine in MACHINES:
        tree = trees[machine.role]
        rootfs.configure(tree, machine, keys)
        if machine in (SNOW01, SNOW02):
            first = rootfs.write_first_grub(tree, machine)
        else:
            first = None
            shutil.copy(rootfs.kernel(tree), work / f"{machine.name}.vmlinuz")
            shutil.copy(rootfs.initrd(tree), work / f"{machine.name}.initrd")
        disks.make_bootable(work / f"{machine.name}-a.raw", tree, size=DISK_SIZES[machine.name], boot=first)
    assert (work / f"{NFS01.name}.vmlinuz").exists()


def _fill_domain(
    work: Path, plan: DomainPlan, full: Path, service: Path, group: Path, places: dict[str, disks.Volume]
) -> None:
    tree = work / "trees" / plan.name
    swap_uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{plan.name}.swap.lab.example"))
    guest = guests.Guest(plan.name, plan.address, 24, SNOW01.address, service, swap_uuid)
    if plan.full:
        LocalHost().run(["cp", "-a", str(full), str(tree)], timeout=300)
        guests.prepare_full_root(tree, guest)
    else:
        tree.mkdir()
        guests.write_small_root(tree, guest, stale=plan.checks_stale_reads)
    guests.fill(tree, plan.live, plan.number)
    image = work / f"{plan.name}.img"
    disks.make_domain_disk(image, tree, plan)
    disks.write_into(group, places[f"{plan.name}-disk"], image)
    disks.make_swap(image, plan, swap_uuid)
    disks.write_into(group, places[f"{plan.name}-swap"], image)
    image.unlink()
    shutil.rmtree(tree)


def digest_of(*files: Path) -> str:
    """A short name for the contents of ``files``."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
