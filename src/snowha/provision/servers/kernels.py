"""The domains' kernels and ramdisks, which are read by the server that starts a domain.

Sites name those that the server boots itself from, by their version (xen-tools writes ``/boot/vmlinuz-VERSION``). Another server
may have a ramdisk of its own by that name, and GRUB boots the newest kernel that it finds in /boot, with modules or without.
"""

from __future__ import annotations

from collections.abc import Sequence

from snowha.errors import SiteError
from snowha.hosts.files import absent, read_file, sha256, write_file
from snowha.hosts.host import Host
from snowha.hosts.read_only import read_only_script
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter
from snowha.site.model import Site

# The shell function `booted`: those of the paths that are the kernel that runs or the newest one, or its ramdisk, links followed.
# Which is newer is said by sort(1), as in GRUB (util/grub-mkconfig_lib, version_sort).
FUNCTION = """\
booted() {
    for path; do
        version=$(readlink -m -- "$path")
        case $version in
            /boot/vmlinuz-*) version=${version#/boot/vmlinuz-} ;;
            /boot/initrd.img-*) version=${version#/boot/initrd.img-} ;;
            *) continue ;;
        esac
        newest=$(
            printf '%s\\n' "$version" /boot/vmlinuz-* | sed 's|^/boot/vmlinuz-||' | grep -vxF '*' | sort -V | tail -n 1
        )
        if [ "$version" = "$newest" ] || [ "$version" = "$(uname -r)" ]; then printf '%s\\n' "$path"; fi
    done
}
"""
_BOOTED = read_only_script(f'export LC_ALL=C\n{FUNCTION}booted "$@"\n')


def files(site: Site) -> list[str]:
    """Absolute paths of all domains' kernels, ramdisks and firmware, sorted."""
    return sorted({path for domain in site.domains for path in domain.server_files})


def missing(context: SiteContext, host: Host) -> str | None:
    paths = files(context.site)
    gone = absent(host, paths)
    if gone:
        return f"no {gone[0]}"
    here, there = (one.run(["sha256sum", *paths], timeout=300).stdout for one in (host, context.first))
    return None if here == there else f"the domains' kernels differ from {context.first.name}'s"


def copy(context: SiteContext, host: Host, reporter: Reporter) -> None:
    """Raises SiteError for what the server would be booted from itself."""
    differing = []
    for path in files(context.site):
        wanted = sha256(context.first, path)
        if wanted is None:
            raise _gone(context, path)
        if sha256(host, path) != wanted:
            differing.append(path)
    if booted := booted_from(host, differing):
        raise SiteError(
            f"{host.name} boots from a file called {booted[0]} there: it is not replaced by that of "
            f"{context.first.name}",
            where=host.name,
            remedy=remedy(booted[0], context.first.name),
        )
    for path in differing:
        content = read_file(context.first, path, timeout=300)
        if content is None:
            raise _gone(context, path)
        reporter.say(f"copying {path} to {host.name}")
        write_file(host, path, content, mode=0o644, timeout=300)


def _gone(context: SiteContext, path: str) -> SiteError:
    return SiteError(f"no {path}", where=context.first.name, remedy="the domain's config names it; correct the config")


def booted_from(host: Host, paths: Sequence[str]) -> list[str]:
    """Those of ``paths`` that ``host`` is booted from, or would be if they were there."""
    if not paths:
        return []
    said = host.run(["sh", "-c", _BOOTED, "sh", *paths]).stdout.split("\n")
    return [path for path in paths if path in said]


def remedy(path: str, first: str) -> str:
    """What to do about a file of the server ``first`` that another one is booted from."""
    return (
        f"on {first} copy kernel and ramdisk of the domains to names that GRUB does not know (cp -L {path} "
        f"/boot/domain-{path.rpartition('/')[2]}), name these in the domains' configs, then run this again"
    )
