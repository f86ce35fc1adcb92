"""The domains' kernels and ramdisks, which are read by the server that starts a domain."""

from __future__ import annotations

from snowha.errors import SiteError
from snowha.hosts.files import absent, read_file, write_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.plan.step import Reporter


def _files(context: SiteContext) -> list[str]:
    return sorted({path for domain in context.site.domains for path in (domain.kernel, domain.ramdisk) if path})


def missing(context: SiteContext, host: Host) -> str | None:
    files = _files(context)
    gone = absent(host, files)
    if gone:
        return f"no {gone[0]}"
    here, there = (one.run(["sha256sum", *files], timeout=300).stdout for one in (host, context.first))
    return None if here == there else f"the domains' kernels differ from {context.first.name}'s"


def copy(context: SiteContext, host: Host, reporter: Reporter) -> None:
    for path in _files(context):
        content = read_file(context.first, path, timeout=300)
        if content is None:
            raise SiteError(
                f"no {path}", where=context.first.name, remedy="the domain's config names it; correct the config"
            )
        reporter.say(f"copying {path} to {host.name}")
        write_file(host, path, content, mode=0o644, timeout=300)
