"""``make deb``, ``make deb-test``: the Debian packages, built and tried in a fresh tree of each release. Needs root.

Nothing of the machine but its apt sources and mmdebstrap is used. The packages come to build/deb/RELEASE.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

from snowha.lab.rootfs import apt_sources

TOP = Path(__file__).parents[1]
OUT = TOP / "build/deb"
RELEASES = {"bookworm": "deb12", "trixie": "deb13"}
"""Release to the end of its packages' version: the one for the newer release is the newer one (deb-version(7))."""
_BUILD = "cd /build/source && dpkg-buildpackage --no-sign --build=binary && lintian --fail-on warning,error --info ../*.changes"
_TEST = """\
set -eu
cd /build
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unshare --net dpkg --install ./*.deb
unshare --net debian/tests/command
SNOW_HA_SERVER_DEB=$(ls /build/snow-ha-server_*.deb) unshare --net debian/tests/server
unshare --net dpkg --purge snow-ha
"""


def version() -> str:
    """pyproject's. Raises SystemExit if the newest entry of debian/changelog is of another one."""
    named = str(tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"])
    newest = re.match(r"snow-ha \((.+)\) ", (TOP / "debian/changelog").read_text())
    if newest is None or newest[1] != named:
        raise SystemExit(f"debian/changelog: no entry of {named}, which pyproject.toml names\n  → add one at its top")
    return named


def build(release: str) -> None:
    """The packages for ``release``, from the files that git knows, as they are now."""
    out = OUT / release
    shutil.rmtree(out, ignore_errors=True)
    source = out / "source"
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=TOP, text=True).split("\0"):
        if name and (TOP / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, source / name)
    changelog = source / "debian/changelog"
    text = changelog.read_text()
    number = version()
    changelog.write_text(text.replace(f"({number})", f"({number}~{RELEASES[release]})", 1))
    found = re.search(r"^Build-Depends:\n((?: .*\n)+)", (TOP / "debian/control").read_text(), re.MULTILINE)
    assert found is not None
    needs = [re.sub(r" ?\(.*\)", "", line.strip(" ,\n")) for line in found[1].splitlines()]
    needs = [{"debhelper-compat": "debhelper", "dh-sequence-python3": "dh-python"}.get(one, one) for one in needs]
    _in_tree(
        release,
        "buildd",
        [*needs, "lintian"],
        [
            'mkdir "$1/build"',
            f'cp -a {source} "$1/build/source"',
            f'chroot "$1" sh -c "{_BUILD}"',
            f'cp "$1"/build/*.deb "$1"/build/*.changes "$1"/build/*.buildinfo {out}',
        ],
    )
    shutil.rmtree(source)
    for package in sorted(out.glob("*.deb")):
        print(package.relative_to(TOP))


def test(release: str) -> None:
    """Install the packages where no network is, and run debian/tests."""
    out = OUT / release
    packages = sorted(out.glob("*.deb"))
    if len(packages) != 2:
        raise SystemExit(f"{out}: no packages\n  → make deb")
    names = {name for package in packages for name in _depends(package)}
    (out / "test.sh").write_text(_TEST)
    _in_tree(
        release,
        "minbase",
        sorted(names),
        [
            'mkdir -p "$1/build/debian"',
            f'cp {" ".join(map(str, packages))} {out}/test.sh "$1/build"',
            f'cp -a {TOP}/debian/tests "$1/build/debian/tests"',
            'chroot "$1" sh /build/test.sh',
        ],
    )
    print(f"{release}: installed, tried, and removed")


def _depends(package: Path) -> list[str]:
    """The names of the packages that one needs, of alternatives the first."""
    needs = subprocess.check_output(["dpkg-deb", "-f", str(package), "Depends"], text=True).strip()
    return [re.sub(r" ?\(.*\)|:any", "", one.split("|")[0]).strip() for one in needs.split(",") if one]


def _in_tree(release: str, variant: str, packages: Sequence[str], hooks: Sequence[str]) -> None:
    """Run ``hooks`` (shell, the tree is ``$1``) in a new tree of ``release`` that is removed afterwards."""
    words = ["mmdebstrap", "--mode=root", f"--variant={variant}", "--format=null", '--aptopt=Acquire::Languages "none"']
    words += ["--dpkgopt=force-unsafe-io", f"--include={','.join(packages)}"]
    words += [f"--customize-hook={hook}" for hook in hooks]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/root"}
    subprocess.run(
        [*words, release, "-", "-"], input=apt_sources(release), text=True, check=True, env=environment, timeout=3600
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("verb", choices=("build", "test"))
    words.add_argument("releases", nargs="*", choices=(*RELEASES, []), default=list(RELEASES))
    chosen = words.parse_args()
    for release in chosen.releases:
        (build if chosen.verb == "build" else test)(release)


if __name__ == "__main__":
    main()
