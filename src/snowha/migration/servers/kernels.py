"""The domains' kernels and ramdisks, which are read by the server that starts a domain."""

from __future__ import annotations

from snowha.errors import SiteError
from snowha.hosts.api import Host
from snowha.hosts.files import absent, read_file, write_file
from snowha.migration.ground import Ground
from snowha.plan.step import Reporter


def _files(ground: Ground) -> list[str]:
    return sorted({path for domain in ground.site.domains for path in (domain.kernel, domain.ramdisk) if path})


def missing(ground: Ground, host: Host) -> str | None:
    files = _files(ground)
    gone = absent(host, files)
    if gone:
        return f"no {gone[0]}"
    here, there = (one.run(["sha256sum", *files], timeout=300).stdout for one in (host, ground.first))
    return None if here == there else f"the domains' kernels differ from {ground.first.name}'s"


def copy(ground: Ground, host: Host, reporter: Reporter) -> None:
    for path in _files(ground):
        content = read_file(ground.first, path, timeout=300)
        if content is None:
            raise SiteError(
                f"no {path}", where=ground.first.name, remedy="the domain's config names it; correct the config"
            )
        reporter.say(f"copying {path} to {host.name}")
        write_file(host, path, content, mode=0o644, timeout=300)
