"""The records of proofs removed: a cluster that is made anew is proven anew."""

from __future__ import annotations

from snowha.hosts.files import remove_file
from snowha.hosts.host import Host
from snowha.live.context import SiteContext
from snowha.live.proof_records import PROOFS
from snowha.plan.step import Reporter


def _records(host: Host) -> list[str]:
    words = ["find", PROOFS, "-maxdepth", "1", "-name", "*.json"]
    return sorted(host.run(words, check=False).stdout.splitlines())


def recorded(context: SiteContext) -> str | None:
    """Whether anything is still written down as proven."""
    return context.first_missing(
        lambda host: f"{len(found)} proofs are recorded" if (found := _records(host)) else None
    )


def remove(context: SiteContext, reporter: Reporter) -> None:

    def remove_all(host: Host) -> None:
        for path in _records(host):
            remove_file(host, path)

    context.on_all(remove_all)
