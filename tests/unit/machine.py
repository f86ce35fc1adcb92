"""What the tests need of the machine they run on, and how they get it.

``python tests/unit/machine.py --missing`` names the Debian packages that `make unit` installs. ``… --unpack FOLDER`` gets the
programs whose packages also hold daemons: those packages are only unpacked, so nothing of them is started, now or at the next
boot, and nothing outside FOLDER changes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

INSTALLED = {
    "bash": "bash",
    "busybox": "busybox-static",
    "chromium": "chromium",
    "cpio": "cpio",
    "debugfs": "e2fsprogs",
    "dumpe2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "findmnt": "util-linux",
    "gcc": "gcc",
    "mke2fs": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "openssl": "openssl",
    "pgrep": "procps",
    "qemu-img": "qemu-utils",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""Command to Debian package."""
ALSO_INSTALLED = {"gcc": ("libc6-dev",)}
UNPACKED = {
    "corosync": "corosync",
    "crm_resource": "pacemaker-cli-utils",
    "crm_simulate": "pacemaker-cli-utils",
    "crm_verify": "pacemaker-cli-utils",
    "ifquery": "ifupdown",
    "libxlutil.so": "^libxenmisc4",
    "mkfs.xfs": "xfsprogs",
    "promtool": "prometheus",
    "sshd": "openssh-server",
    "xfs_repair": "xfsprogs",
}
"""These bring services with them, or are one: corosync, pacemaker-cli-utils needs it and pacemaker, ifupdown configures the
network at boot.

The name of the package with Xen's parsers has Xen's version in it, which each release of Debian has its own of: what stands
here is a regular expression for apt-get(8).
"""
ALSO_UNPACKED = {"sshd": ("libnss-wrapper",)}
TOOLS = Path(__file__).parents[2] / "build" / "test-tools"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true")
UNABLE = "this machine: "
"""How the reason of a skip begins that no package helps against."""


def widen_path() -> None:
    """Let the tests, and what they start, find the administrator's commands and the unpacked ones."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    more = [name for name in ("/usr/sbin", "/sbin", str(TOOLS / "bin")) if name not in folders]
    os.environ["PATH"] = os.pathsep.join(folders + more)


def shared_object(name: str) -> Path | None:
    """The newest version of a shared library, of this machine or unpacked; None if there is none."""
    tops = [*map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib")), *_library_folders(TOOLS / "root")]
    found = (path for top in tops for folder in (top, *top.glob("*-linux-*")) for path in folder.glob(f"{name}.*"))
    return max(found, key=lambda path: path.name, default=None)


def shared_objects_path() -> str:
    """LD_LIBRARY_PATH for a process that loads an unpacked library."""
    return ":".join(map(str, _library_folders(TOOLS / "root")))


def program_files(command: str) -> list[Path]:
    """What it takes to run a command somewhere else: the program, installed or unpacked, and each library that it loads."""
    found = shutil.which(command)
    assert found is not None, command
    program = _found(TOOLS / "root", command) if Path(found).parent == TOOLS / "bin" else Path(found)
    environment = {**os.environ, "LD_LIBRARY_PATH": shared_objects_path()}
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, env=environment).stdout
    return [program, *(Path(path) for path in re.findall(r"=> (/\S+)", said))]


def is_missing(name: str) -> bool:
    """Whether a command or a shared library (its name ends with ``.so``) is neither installed nor unpacked."""
    return (shared_object(name) if name.endswith(".so") else shutil.which(name)) is None


def need(*commands: str) -> None:
    """Skip the test if a command or shared library is missing; where a CI runs it that is a failure."""
    for command in commands:
        if is_missing(command):
            lack(f"no {command}", {**INSTALLED, **UNPACKED}[command])


def lack(what: str, package: str) -> None:
    """Say that a package is missing: a skip, in CI a failure."""
    text = f"{what} on this machine: `make unit` gets it (Debian: {package})"
    if IN_CI:
        pytest.fail(f"skipped nowhere but at home: {text}", pytrace=False)
    pytest.skip(text)


def unable(reason: str) -> None:
    """Skip the test for what this kind of machine cannot do, whatever is installed."""
    pytest.skip(UNABLE + reason)


def only_if(able: bool, reason: str) -> pytest.MarkDecorator:
    """The same for a whole test or module."""
    return pytest.mark.skipif(not able, reason=UNABLE + reason)


def missing() -> list[str]:
    """The packages to be installed."""
    lacking = [command for command in INSTALLED if is_missing(command)]
    packages = [package for command in lacking for package in (INSTALLED[command], *ALSO_INSTALLED.get(command, ()))]
    return list(dict.fromkeys(packages))


def unpack(folder: Path) -> None:
    """Get what is missing of UNPACKED into ``folder``, with the libraries that it needs and that are not here."""
    lacking = [command for command in UNPACKED if is_missing(command)]
    if not lacking:
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        print(f"no apt-get here: the tests that need {', '.join(lacking)} are skipped", file=sys.stderr)
        return
    wanted = [package for command in lacking for package in (UNPACKED[command], *ALSO_UNPACKED.get(command, ()))]
    print(f"unpacking into {folder}: {' '.join(dict.fromkeys(wanted))}")
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as work:
        try:
            archives = _download(wanted, Path(work))
        except subprocess.CalledProcessError:
            # the lists of packages are missing or old
            subprocess.run([*_as_root(), "apt-get", "-q", "update"], check=True)
            archives = _download(wanted, Path(work))
        for archive in archives:
            subprocess.run(["dpkg", "--extract", archive, root], check=True)
    (folder / "bin").mkdir(exist_ok=True)
    for command in lacking:
        if command.endswith(".so"):
            continue
        _write_wrapper(folder / "bin" / command, _found(root, command), root)


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def _download(packages: Sequence[str], into: Path) -> list[Path]:
    """``packages`` and what they depend on, but for what is installed. Raises CalledProcessError."""
    words = ["apt-get", "--simulate", "--no-install-recommends", "install", *packages]
    said = subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    names = [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]
    # apt's own user may not write where we do
    words = ["apt-get", "-q", "-o", f"APT::Sandbox::User={_login()}", "download", *names]
    subprocess.run(words, check=True, cwd=into, stdout=subprocess.DEVNULL)
    return sorted(into.glob("*.deb"))


def _login() -> str:
    return "root" if os.geteuid() == 0 else "_apt"


def _library_folders(root: Path) -> list[Path]:
    tops = [root / "usr/lib", root / "lib"]
    return [path for top in tops for path in (*top.glob("*-linux-*"), top) if path.is_dir()]


def _found(root: Path, command: str) -> Path:
    for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
        if (path := root / folder / command).exists():
            return path
    raise FileNotFoundError(f"{command} is in none of the unpacked packages")


def _write_wrapper(target: Path, program: Path, root: Path) -> None:
    """A script in the place of ``program`` that runs it with its own libraries and data."""
    libraries = ":".join(map(str, _library_folders(root)))
    lines = ["#!/bin/sh", f"export LD_LIBRARY_PATH={shlex.quote(libraries)}"]
    if program.name.startswith("crm_"):
        lines.append(f"export PCMK_schema_directory={shlex.quote(str(root / 'usr/share/pacemaker'))}")
    if program.name == "sshd":
        lines += _sshd_user(root)
    lines.append(f'exec {shlex.join([str(program), *_parts(program, root)])} "$@"')
    target.write_text("\n".join([*lines, ""]))
    target.chmod(0o755)


def _parts(program: Path, root: Path) -> list[str]:
    """Options that name the programs which sshd is made of since OpenSSH 9.8."""
    parts = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"} if program.name == "sshd" else {}
    paths = {option: root / "usr/lib/openssh" / name for option, name in parts.items()}
    return [word for option, path in paths.items() if path.exists() for word in ("-o", f"{option}={path}")]


def _sshd_user(root: Path) -> list[str]:
    """Started by root, sshd wants a user ``sshd`` for what it has to do with no rights at all. The package's script would add
    one to this machine; here it is in a file that only sshd is told of (nss_wrapper(1))."""
    [wrapper] = (root / "usr/lib").glob("*-linux-*/libnss_wrapper.so")
    return [
        'if [ "$(id -u)" = 0 ] && ! getent passwd sshd >/dev/null; then',
        f"  cd {shlex.quote(str(root.parent))}",
        "  { cat /etc/passwd; echo sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin; } > passwd.$$",
        "  mv passwd.$$ passwd",
        f'  export LD_PRELOAD={shlex.quote(str(wrapper))} NSS_WRAPPER_PASSWD="$PWD/passwd" NSS_WRAPPER_GROUP=/etc/group',
        "fi",
    ]


def main() -> None:
    widen_path()
    match sys.argv[1:]:
        case ["--missing"]:
            print(" ".join(missing()))
        case ["--unpack", folder]:
            unpack(Path(folder).resolve())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
