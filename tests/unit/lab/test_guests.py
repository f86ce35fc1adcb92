"""The insides of a domain, as far as they can be looked at without starting one."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import stat
import subprocess
from pathlib import Path

import machine
import pytest

from snowha.errors import InputError
from snowha.lab import build, guests, initramfs, records
from snowha.lab.busybox import BUSYBOX, check_busybox

SWAP = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def busybox() -> Path:
    try:
        check_busybox(BUSYBOX, (*guests.ROOT_APPLETS, *initramfs.APPLETS))
    except InputError:
        machine.lack("no static busybox", "busybox-static")
    return BUSYBOX


@pytest.fixture
def service(tmp_path: Path) -> Path:
    path = tmp_path / "lab-service"
    path.write_bytes(b"the service")
    return path


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """As Debian's kernels have them: compressed with xz, ext4 a module that names crc32c in its softdep."""
    folder = tmp_path / "modules"
    drivers = {
        "kernel/drivers/block/xen-blkfront.ko.xz": "",
        "kernel/drivers/net/xen-netfront.ko.xz": "",
        "kernel/fs/ext4/ext4.ko.xz": "kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz",
        "kernel/fs/jbd2/jbd2.ko.xz": "kernel/lib/crc16.ko.xz",
        "kernel/fs/mbcache.ko.xz": "",
        "kernel/lib/crc16.ko.xz": "",
        "kernel/crypto/crc32c_generic.ko.xz": "",
    }
    for file in drivers:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(lzma.compress(file.encode()))
    (folder / "modules.dep").write_text("".join(f"{file}: {needs}\n" for file, needs in drivers.items()))
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    (folder / "modules.softdep").write_text("# comment\nsoftdep ext4 pre: crypto-crc32c\nsoftdep nfs pre: x post: y\n")
    (folder / "modules.alias").write_text("alias crypto-crc32c crc32c_generic\nalias pci:v* other\n")
    return folder


def test_modules_are_loaded_after_what_they_need(modules: Path) -> None:
    names = [Path(file).name.removesuffix(".ko.xz") for file in initramfs.module_order(modules, initramfs.MODULES)]
    assert set(names) == {"xen-blkfront", "xen-netfront", "ext4", "jbd2", "mbcache", "crc16", "crc32c_generic"}
    assert names.index("crc16") < names.index("jbd2") < names.index("ext4")
    assert names.index("crc32c_generic") < names.index("ext4")
    assert len(names) == len(set(names))


def test_what_the_kernel_has_built_in_is_not_missed(modules: Path) -> None:
    assert initramfs.module_order(modules, ["virtio-pci"]) == []


def test_a_kernel_without_xens_disk_is_refused_before_a_domain_hangs_at_boot(modules: Path) -> None:
    (modules / "modules.dep").write_text("")
    with pytest.raises(InputError, match="xen_blkfront"):
        initramfs.module_order(modules, initramfs.MODULES)


def test_the_initramfs_unpacks_to_loadable_modules_in_their_order(tmp_path: Path, modules: Path, busybox: Path) -> None:
    """busybox's insmod loads no xz: a compressed module would leave the domain without a disk."""
    machine.need("cpio")
    image, root = tmp_path / "initrd", tmp_path / "unpacked"
    initramfs.write(image, modules=modules, busybox=busybox)
    root.mkdir()
    data = gzip.decompress(image.read_bytes())
    subprocess.run(["cpio", "-idm", "--quiet", "--nonmatching", "dev/console"], input=data, cwd=root, check=True)
    order = (root / "modules/order").read_text().split()
    assert [(root / "modules" / name).read_text().startswith("kernel/") for name in order] == [True] * 7
    assert (root / "init").stat().st_mode & 0o111
    assert subprocess.run([root / "bin/sh", "-n", root / "init"], check=False).returncode == 0
    again = tmp_path / "again"
    initramfs.write(again, modules=modules, busybox=busybox)
    assert again.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("stale", [True, False])
def test_a_small_root_has_all_it_needs_to_start_and_to_stop(
    tmp_path: Path, service: Path, busybox: Path, stale: bool
) -> None:
    root = tmp_path / "root"
    guest = guests.Guest("proxy01", "192.168.8.12", 24, "192.168.8.1", service, SWAP)
    guests.write_small_root(root, guest, stale=stale)
    for applet in ("init", "poweroff", "halt", "reboot"):
        assert (root / "sbin" / applet).readlink() == Path("/bin/busybox")
    assert (root / "etc/lab.conf").read_text() == "ADDRESS=192.168.8.12\nPREFIXLEN=24\nGATEWAY=192.168.8.1\n"
    assert f"UUID={SWAP} none swap" in (root / "etc/fstab").read_text()
    assert (root / records.RECORDS_FILE.lstrip("/")).stat().st_size == records.RECORDS_BYTES
    assert (root / records.STALE_FILE.lstrip("/")).exists() == stale
    assert ("--stale" in (root / "etc/inittab").read_text()) == stale
    for script in (root / "etc/init.d/start", root / "etc/init.d/stop"):
        assert script.stat().st_mode & 0o111
        assert subprocess.run([busybox, "sh", "-n", script], check=False).returncode == 0


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """What matters here of an unpacked Debian: links that would lead out of the tree if they were followed."""
    root = tmp_path / "debian"
    (root / "usr/sbin").mkdir(parents=True)
    (root / "sbin").symlink_to("usr/sbin")
    (root / "usr/sbin/init").symlink_to("/lib/systemd/systemd")
    (root / "usr/sbin/poweroff").symlink_to("/bin/systemctl")
    (root / "etc").mkdir()
    (root / "etc/shadow").write_text("root::19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n")
    (root / "etc/hostname").symlink_to(tmp_path / "this-machines-hostname")
    (tmp_path / "this-machines-hostname").write_text("do not touch\n")
    return root


def prepare(root: Path, service: Path, *, name: str = "deploy01", address: str = "192.168.8.11") -> None:
    guests.prepare_full_root(root, guests.Guest(name, address, 24, "192.168.8.1", service, SWAP))


def test_a_debian_becomes_a_domain_with_the_service_and_no_open_root(
    tmp_path: Path, debian: Path, service: Path, busybox: Path
) -> None:
    prepare(debian, service)
    prepare(debian, service)  # twice is as good as once
    units = debian / "etc/systemd/system"
    for unit in ("lab-service.service", "lab-network.service"):
        assert (units / "multi-user.target.wants" / unit).read_text() == (guests.GUEST / unit).read_text()
    assert (units / "apt-daily.timer").readlink() == Path("/dev/null")
    assert (debian / "etc/shadow").read_text().splitlines()[0].startswith("root:!*:")
    assert stat.S_IMODE((debian / "etc/shadow").stat().st_mode) == 0o640
    assert (debian / "etc/hostname").read_text() == "deploy01\n"
    assert (tmp_path / "this-machines-hostname").read_text() == "do not touch\n"


def test_a_root_that_could_not_power_off_is_refused(debian: Path, service: Path, busybox: Path) -> None:
    """``xl shutdown`` would wait for ever."""
    (debian / "usr/sbin/poweroff").unlink()
    with pytest.raises(InputError, match="poweroff"):
        prepare(debian, service)


@pytest.mark.parametrize("name", ["a;reboot", "../../etc", "", "-x", "a b", "a\nb"])
def test_a_name_that_is_none_never_reaches_a_file_or_a_shell(
    debian: Path, service: Path, busybox: Path, name: str
) -> None:
    with pytest.raises(InputError, match="name of a domain"):
        prepare(debian, service, name=name)


@pytest.mark.parametrize("address", ["$(reboot)", "fe80::1", "192.168.8", "192.168.8.11;x"])
def test_an_address_that_is_none_never_reaches_a_script(
    debian: Path, service: Path, busybox: Path, address: str
) -> None:
    with pytest.raises(InputError, match="IPv4"):
        prepare(debian, service, address=address)


def test_live_files_are_as_many_bytes_as_asked_for_and_the_same_every_time(tmp_path: Path) -> None:
    """The copied image is compared with these sums: they must be those of the files."""
    first = guests.fill(tmp_path / "a", 6, seed=3)
    assert first == guests.fill(tmp_path / "b", 6, seed=3)
    assert first != guests.fill(tmp_path / "c", 6, seed=4)
    files = {path: (tmp_path / "a" / path).read_bytes() for path in first}
    assert sum(len(data) for data in files.values()) == 6 << 20
    assert {path: hashlib.sha256(data).hexdigest() for path, data in files.items()} == first


def test_a_busybox_that_is_none_is_said_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="busybox-static"):
        check_busybox(tmp_path / "busybox", ["init"])


def test_what_is_built_is_named_after_every_file_of_the_domains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab would start domains of an earlier version of a part, such as a header, and test what is no longer there."""
    folder = tmp_path / "guest"
    shutil.copytree(guests.GUEST, folder)
    monkeypatch.setattr(guests, "GUEST", folder)
    keys = [build.key("trixie")]
    for file in sorted(folder.iterdir()):
        file.write_bytes(file.read_bytes() + b"\n")
        keys.append(build.key("trixie"))
    assert len(set(keys)) == len(keys) > 10
